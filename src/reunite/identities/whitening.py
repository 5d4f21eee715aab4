"""Directions in which embeddings vary anyway count less: of all of them, or within the clusters that were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from sklearn.covariance import ledoit_wolf

from reunite.cluster.centroids import centroids
from reunite.types import evenly_spread, unit_rows

MOST_ROWS = 50_000
"""Rows that a covariance is estimated from, at most; of more, evenly spread ones."""

SMALL = 1e-6
"""Differences below it are rounding, and there is nothing to learn from them."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """Makes other rows of length one of rows of length one: x -> (x - mean) matrix.

    Attributes:
        mean: (d,). matrix: (d, d), symmetric.
    """

    mean: Float32[np.ndarray, " d"]
    matrix: Float32[np.ndarray, "d d"]

    def __call__(self, rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Other rows, of length one again."""
        return unit_rows((rows - self.mean) @ self.matrix)


@dataclass(frozen=True, eq=False)
class Space:
    """How embeddings are changed before they are compared: what was learned from some rows, for these and later ones.

    Attributes:
        half: `half_whitening` of all rows, if it was chosen. within: then `within_whitening`, if there was anything to learn.
    """

    half: Whitening | None = None
    within: Whitening | None = None

    @property
    def dimensions(self) -> int | None:
        """Of the rows that it is for; None is any."""
        return next((len(each.mean) for each in (self.half, self.within) if each is not None), None)

    def __call__(self, rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """One whitening after the other; the rows themselves where there is none."""
        for each in (self.half, self.within):
            rows = rows if each is None else each(rows)
        return rows


def half_whitening(rows: Float32[np.ndarray, "n d"]) -> Whitening | None:
    """Half way to where embeddings vary the same in all directions: x -> (x - mean) C^(-1/4), of length one again.

    A network that was trained for something else spends most of the variance of its embeddings on what it was trained to tell
    apart, such as kinds of things and what they stand in front of; the same network trained on the individuals does not, and
    there nothing is gained. Attenuated whitening (Mukundan, Tolias, Bursuc, Jegou and Chum 2019, for descriptors of patches)
    with t = 1/2, and the shrinkage of Ledoit and Wolf (2004) of the covariance C.

    Args:
        rows: of length one, that mean and covariance are taken of.

    Returns:
        None where they are all alike.
    """
    seen = rows[evenly_spread(len(rows), MOST_ROWS)]
    mean = seen.mean(axis=0) if len(seen) else np.zeros(rows.shape[1], np.float32)
    if not len(seen) or np.abs(seen - mean).max() < SMALL:
        return None
    return Whitening(mean, _root(seen - mean, -0.25))


def within_whitening(
    rows: Float32[np.ndarray, "n d"], seen: Float32[np.ndarray, "m d"], labels: Int64[np.ndarray, " m"]
) -> Whitening | None:
    """Rows without their mean, times the inverse square root of the covariance within clusters, of length one again.

    Directions in which rows of one individual differ (pose, light, what hides them) are no evidence that two rows are of two
    individuals. Within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006, for speaker recognition), with
    clusters in place of known classes, and the shrinkage of Ledoit and Wolf (2004) in place of a constant that somebody would
    have to choose. A few clusters that are wrong matter little: they are averaged with all others.

    Args:
        rows: of length one, that the mean is taken of.
        seen: the same, or some of them, of which clusters are known.
        labels: (m,) clusters 0, 1, ... of these.

    Returns:
        None where no cluster has two different rows, or where all rows are in one: nothing would be left of what they
        share.
    """
    sizes = np.bincount(labels, minlength=1)
    several = np.flatnonzero(sizes[labels] > 1)
    if not len(several) or len(sizes) == 1:
        return None
    asked = several[evenly_spread(len(several), MOST_ROWS)]
    size = sizes[labels[asked]]
    within = seen[asked] - centroids(seen, labels)[labels[asked]]
    within *= np.sqrt(size / (size - 1)).astype(np.float32)[:, None]  # a mean of few rows is too near to them
    if np.abs(within).max() < SMALL:
        return None
    return Whitening(rows.mean(axis=0), _root(within, -0.5))


def _root(centered: Float32[np.ndarray, "m d"], power: float) -> Float32[np.ndarray, "d d"]:
    """A power of the covariance of rows whose mean is zero, but for a factor."""
    covariance, _ = ledoit_wolf(centered.astype(np.float64), assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    scale: Float64[np.ndarray, Any] = np.maximum(values, SMALL * values[-1]) ** power
    return ((vectors * scale) @ vectors.T / scale.max()).astype(np.float32)
