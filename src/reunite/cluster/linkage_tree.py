"""Average linkage of which the whole tree is kept, with pairs of rows that stay apart at any cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy.typing import ArrayLike

from reunite.cluster.distance_matrix import check_memory, distance_matrix, distance_matrix_bytes
from reunite.cluster.hierarchy_kernels import AVERAGE, nearest_neighbor_chain
from reunite.cluster.merging import merge_in_order
from reunite.errors import InputError
from reunite.types import check_embeddings

FAR = np.float32(1e30)
"""Put for the squared distance of two rows that stay apart. The chain needs a number: means with infinity are infinite,
and a cluster that is near no other one would have no nearest.

No two clusters of which a pair of members stays apart are near after that. Their mean distance is at least FAR over the
pairs of their members, and these are at most n^2 / 4, or 2.5e11 for a million rows: 4e18. Rounding takes less than
2^-24 of a number in each of fewer than n merges, or 6 % for a million rows. All other mean distances are at most 4.
"""

FARTHEST = 3.0
"""Mean cosine distances are below this, rounding included, and those of clusters that stay apart are above."""


@dataclass(frozen=True, eq=False)
class LinkageTree:
    """The merges of an agglomeration in ascending order; more than one tree where some rows stay apart.

    Attributes:
        first, second: the lowest rows of the two clusters that each merge unites, (m,) int64, first < second.
        heights: mean cosine distance of the two, (m,) float64 in [0, 2], ascending.
        count: rows.
    """

    first: Int64[np.ndarray, " m"]
    second: Int64[np.ndarray, " m"]
    heights: Float64[np.ndarray, " m"]
    count: int

    def cut(self, height: float) -> Int64[np.ndarray, " n"]:
        """The cluster of each row after the merges up to `height`, itself included; numbered by first member.

        Any height keeps apart what stays apart. A lower cut never unites what a higher one does not.

        Raises:
            InputError: `height` is not a number.
        """
        if math.isnan(height):
            raise InputError("height must be a mean cosine distance, 0 to 2; got NaN.")
        merges = int(np.searchsorted(self.heights, height, side="right"))
        lowest, _ = merge_in_order(self.first[:merges], self.second[:merges], self.count, merges, True)
        return np.unique(lowest, return_inverse=True)[1]


def linkage_tree(embeddings: Float[np.ndarray, "n d"], apart: ArrayLike | None = None) -> LinkageTree:
    """Unite again and again the two clusters with the smallest mean cosine distance, except those that stay apart.

    Average linkage (UPGMA) of 1 - <x, y> on rows of unit length. Two clusters stay apart if any member of one stays
    apart from any member of the other ("cannot-link", Davidson and Ravi 2005, "Agglomerative Hierarchical Clustering
    with Constraints"). Pairs that tie up to rounding merge in an order that depends on the order of the rows.

    Holds one n x n matrix in float32, 100 MB for 5,000 rows, 400 MB for 10,000, and a copy of the rows. O(n^2 d) time.
    Distances are those of `distance_matrix`, right to 1e-6. The guarantee for pairs that stay apart is for up to
    a million rows.

    Args:
        embeddings: (n, d) rows; their lengths do not matter.
        apart: (p, 2) pairs of rows that must not share a cluster, in any order; None is no pair.

    Raises:
        InputError: rows that are not finite or of length zero, pairs that are no pairs of rows, or a matrix that does
            not fit into memory.
    """
    given = check_embeddings(embeddings)
    count = len(given)
    pairs = check_apart(apart, count)
    _check_directions(given)
    if count == 0:
        return LinkageTree(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 0)
    check_memory(
        distance_matrix_bytes(count, given.shape[1]),
        f"Average linkage of {count:,} rows",
        "Use fewer rows, for tracks those of a shorter time, or a larger machine.",
    )
    matrix = distance_matrix(given, "sqeuclidean")
    matrix[pairs[:, 0], pairs[:, 1]] = FAR
    matrix[pairs[:, 1], pairs[:, 0]] = FAR
    first, second, heights = nearest_neighbor_chain(matrix, np.ones(count, np.int64), AVERAGE)
    heights /= 2  # |x - y|^2 = 2 (1 - <x, y>) for rows of unit length, and so are the means of both
    order = np.argsort(heights, kind="stable")  # stable: a merge comes after those below it also where heights tie
    order = order[: np.searchsorted(heights[order], FARTHEST)]
    return LinkageTree(first[order], second[order], heights[order], count)


def check_apart(apart: ArrayLike | None, count: int, name: str = "apart") -> Int64[np.ndarray, "p 2"]:
    """`apart` as pairs of two different rows out of `count`; None is no pair.

    Raises:
        InputError: another shape, not whole numbers, no such row, or a row paired with itself (the first is named).
    """
    pairs = np.empty((0, 2), np.int64) if apart is None else np.asarray(apart)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InputError(f"{name} must have shape (p, 2), two rows that stay apart in each; got shape {pairs.shape}.")
    if len(pairs) and pairs.dtype.kind not in "iu":
        raise InputError(f"{name} must be numbers of rows, whole numbers from 0 on; got {pairs.dtype} values.")
    pairs = pairs.astype(np.int64)
    wrong = np.flatnonzero((pairs < 0).any(axis=1) | (pairs >= count).any(axis=1) | (pairs[:, 0] == pairs[:, 1]))
    if len(wrong):
        raise InputError(
            f"{name} must be pairs of two different rows from 0 to {count - 1}; {len(wrong):,} of {len(pairs):,} pairs "
            f"are not (the first is pair {wrong[0]}, {pairs[wrong[0]].tolist()})."
        )
    return pairs


def _check_directions(rows: Float[np.ndarray, "n d"]) -> None:
    zero = np.flatnonzero(~rows.any(axis=1))
    if len(zero):
        raise InputError(
            f"embeddings must have a direction; {len(zero):,} of {len(rows):,} rows are all zeros (the first is row "
            f"{zero[0]}). Drop those rows, or look at what produced them."
        )
