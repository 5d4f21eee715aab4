"""Do probabilities keep their word? Of the pairs said to be one individual with probability p, a share p should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from reunite.errors import InputError

Spacing = Literal["width", "mass"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was said and what was so, in bins of the probability that was said. Only bins that hold something.

    Attributes:
        said: mean probability, (b,).
        found: share of pairs that show one individual, (b,).
        pairs: how many pairs the bin holds, (b,).
    """

    said: Float64[np.ndarray, " b"]
    found: Float64[np.ndarray, " b"]
    pairs: Float64[np.ndarray, " b"]

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini, Cooper & Hauskrecht 2015): mean of |said - found| over pairs, in [0, 1]."""
        return float(np.average(np.abs(self.said - self.found), weights=self.pairs))

    @property
    def largest_error(self) -> float:
        """The error of the worst bin."""
        return float(np.abs(self.said - self.found).max())


def reliability(
    probability: ArrayLike,
    same: ArrayLike,
    bins: int = 15,
    *,
    spacing: Spacing = "width",
    weight: ArrayLike | None = None,
) -> Reliability:
    """What was said and what was so.

    Which pairs are looked at decides what the answer means. Of all pairs of a collection nearly all show two individuals
    at a glance and are said to be 0, which is right: the error over all of them is close to 0 whatever is said about the
    others. Look also at pairs that somebody would ask about, such as each row and its 20 nearest neighbors:

        indices, similarity = reunite.nearest_neighbors(embeddings, 21)
        pairs = identity[indices[:, 1:]] == identity[:, None]
        expected_calibration_error(calibration.probability(similarity[:, 1:]), pairs)

    Args:
        probability: said to show one individual, numbers in [0, 1] of any shape.
        same: whether they do, of the same shape.
        bins: how many, at least 1.
        spacing: "width" divides [0, 1] in equal parts, the usual choice and that of a chart. "mass" makes bins that hold
            equally many pairs, apart from ties, which stay together.
        weight: of each pair, 0 or more; None is 1.

    Raises:
        InputError: shapes that differ, no pairs, or numbers out of range.
    """
    said, is_same = np.asarray(probability, np.float64), np.asarray(same)
    weights = np.ones(said.shape) if weight is None else np.asarray(weight, np.float64)
    if said.shape != is_same.shape or said.shape != weights.shape:
        raise InputError(
            f"probability, same and weight must have one shape; got {said.shape}, {is_same.shape} and {weights.shape}."
        )
    if bins < 1 or spacing not in get_args(Spacing):
        raise InputError(f'bins must be at least 1 and spacing "width" or "mass"; got {bins} and {spacing!r}.')
    _check_range(said, 0, 1, "probability")
    _check_range(is_same, 0, 1, "same")
    _check_range(weights, 0, np.inf, "weight")
    kept = weights > 0
    if not kept.any():
        raise InputError("probability holds no pair; there is nothing to compare with what was so.")
    said, hits, weights = said[kept], is_same[kept].astype(np.float64), weights[kept]
    place = (
        np.minimum((said * bins).astype(np.int64), bins - 1) if spacing == "width" else _by_mass(said, weights, bins)
    )
    pairs = np.bincount(place, weights, bins)
    there = pairs > 0
    means = [np.bincount(place, weights * values, bins)[there] / pairs[there] for values in (said, hits)]
    return Reliability(means[0], means[1], pairs[there])


def expected_calibration_error(
    probability: ArrayLike,
    same: ArrayLike,
    bins: int = 15,
    *,
    spacing: Spacing = "width",
    weight: ArrayLike | None = None,
) -> float:
    """How far probabilities are from what was so, on average over pairs: `reliability(...).error`, see there.

    Raises:
        InputError: as `reliability`.
    """
    return reliability(probability, same, bins, spacing=spacing, weight=weight).error


def _by_mass(said: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"], bins: int) -> Int64[np.ndarray, " n"]:
    """Bins that hold equal weight; equal probabilities go where the middle of their weight is."""
    _, inverse = np.unique(said, return_inverse=True)
    mass = np.bincount(inverse, weights)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.minimum((middle * bins).astype(np.int64), bins - 1)[inverse]


def _check_range(values: np.ndarray, low: float, high: float, name: str) -> None:
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        raise InputError(
            f"{name} must be in [{low:g}, {high:g}]; {int(wrong.sum()):,} of {values.size:,} are not "
            f"(the first is {values[wrong].flat[0]})."
        )
