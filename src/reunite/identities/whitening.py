"""What varies within individuals counts less: a metric learned from the clusters that were found."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64
from sklearn.covariance import ledoit_wolf

from reunite.cluster.centroids import centroids
from reunite.types import unit_rows

MOST_ROWS = 50_000
"""Rows that the covariance is estimated from, at most; of more, evenly spread ones."""


def whitened(
    rows: Float32[np.ndarray, "n d"], seen: Float32[np.ndarray, "m d"], labels: Int64[np.ndarray, " m"]
) -> Float32[np.ndarray, "n d"]:
    """Rows without their mean, times the inverse square root of the covariance within clusters, of length one again.

    Directions in which rows of one individual differ (pose, light, what hides them) are no evidence that two rows are of two
    individuals. Within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006, for speaker recognition), with
    clusters in place of known classes, and the shrinkage of Ledoit and Wolf (2004) in place of a constant that somebody would
    have to choose. A few clusters that are wrong matter little: they are averaged with all others.

    Args:
        rows: of length one.
        seen: the same, or some of them, of which clusters are known.
        labels: (m,) clusters 0, 1, ... of these.

    Returns:
        The rows themselves where no cluster has two different rows, or where all rows are in one: nothing would be left of
        what they share.
    """
    sizes = np.bincount(labels, minlength=1)
    several = np.flatnonzero(sizes[labels] > 1)
    if not len(several) or len(sizes) == 1:
        return rows
    asked = several[np.unique(np.linspace(0, len(several) - 1, MOST_ROWS).round().astype(np.int64))]
    size = sizes[labels[asked]]
    within = seen[asked] - centroids(seen, labels)[labels[asked]]
    within *= np.sqrt(size / (size - 1)).astype(np.float32)[:, None]  # a mean of few rows is too near to them
    if np.abs(within).max() < 1e-6:
        return rows
    covariance, _ = ledoit_wolf(within.astype(np.float64), assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    scale = 1 / np.sqrt(np.maximum(values, 1e-6 * values[-1]))
    matrix = ((vectors * scale) @ vectors.T / scale.max()).astype(np.float32)
    return unit_rows((rows - rows.mean(axis=0)) @ matrix)
