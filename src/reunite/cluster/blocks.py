"""Distances between clusters in tiles: what is held of them at a time does not grow with the number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Float64, Int64

from reunite.errors import InputError
from reunite.types import Clusters

Metric = Literal["sqeuclidean", "euclidean"]

BLOCK_SIZE = 1024
"""Rows on a side of a block of distances."""

ROUNDING = 2.0**-40
"""Smaller differences (1e-12) between numbers around 1 are rounding of float64 products, not order."""


def check_metric(metric: str) -> None:
    """Raise `InputError` unless `metric` is one of `Metric`."""
    if metric not in get_args(Metric):
        raise InputError(f"metric must be one of {', '.join(get_args(Metric))}; got {metric!r}.")


def distances(
    a: Float64[np.ndarray, "p d"], b: Float64[np.ndarray, "q d"], metric: Metric
) -> Float64[np.ndarray, "p q"]:
    """Distances of all rows of `a` to all rows of `b`; exactly 0 between equal rows of length up to one."""
    squared = (-2 * a) @ b.T
    squared += np.einsum("ij,ij->i", a, a)[:, None]
    squared += np.einsum("ij,ij->i", b, b)
    squared[squared < ROUNDING] = 0  # a square root would blow up the rounding of what is zero
    return np.sqrt(squared, out=squared) if metric == "euclidean" else squared


@dataclass(frozen=True, eq=False)
class Tile:
    """One number for each pair of a cluster from `first` on and a cluster from `second` on.

    Attributes:
        first, second: clusters of the first row and the first column; first <= second.
        values: (p, q). Where first == second it is symmetric.
    """

    first: int
    second: int
    values: Float[np.ndarray, "p q"]

    @property
    def rows(self) -> slice:
        """Clusters of the rows."""
        return slice(self.first, self.first + self.values.shape[0])

    @property
    def columns(self) -> slice:
        """Clusters of the columns."""
        return slice(self.second, self.second + self.values.shape[1])

    def add(self, per_cluster: Float64[np.ndarray, " c"]) -> Tile:
        """Add to each pair, in place, the numbers of its two clusters."""
        values = self.values
        values += per_cluster[self.rows, None]
        values += per_cluster[self.columns]
        return self


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some consecutive sorted rows, the clusters they belong to (within their group), and where each of these begins."""

    rows: slice
    clusters: slice
    cuts: Int64[np.ndarray, " c"]


class ClusterBlocks:
    """Rows sorted by cluster and cut into blocks, whose distances are reduced to one number for each pair of clusters.

    Args:
        rows: (n, d) float64.
        clusters: the cluster of each row, without noise.
        block_size: rows on a side of a block. A cluster may be larger; it is then seen in pieces.
    """

    def __init__(self, rows: Float64[np.ndarray, "n d"], clusters: Clusters, *, block_size: int = BLOCK_SIZE) -> None:
        self._members = rows[np.argsort(clusters.labels, kind="stable")]
        bounds = np.append(0, np.cumsum(clusters.sizes))
        self.starts = np.flatnonzero(np.diff(bounds[:-1] // block_size, prepend=-1))
        """First cluster of each group; a group has at most `block_size` clusters."""
        stops = np.append(self.starts[1:], clusters.count)
        self._groups = [_pieces(bounds[a : b + 1], block_size) for a, b in zip(self.starts, stops, strict=True)]
        self._shape = stops - self.starts

    def tiles(self, metric: Metric, reduction: np.ufunc) -> Iterator[Tile]:
        """`reduction` of the distances between the members of two clusters, for all pairs of clusters, once.

        Args:
            metric: of the distances.
            reduction: `numpy.add`, `numpy.minimum` or `numpy.maximum`.
        """
        for a in range(len(self._groups)):
            for b in range(a, len(self._groups)):
                yield self._tile(a, b, metric, reduction)

    def within(self, metric: Metric) -> Float64[np.ndarray, " c"]:
        """Sum of the distances between all members of a cluster, each pair in both orders, for each cluster."""
        return np.concatenate([self._tile(a, a, metric, np.add).values.diagonal() for a in range(len(self._groups))])

    def _tile(self, a: int, b: int, metric: Metric, reduction: np.ufunc) -> Tile:
        values = np.full((self._shape[a], self._shape[b]), np.inf if reduction is np.minimum else 0.0)
        for upper in self._groups[a]:
            for left in self._groups[b]:
                block = distances(self._members[upper.rows], self._members[left.rows], metric)
                window = values[upper.clusters, left.clusters]
                reduction(
                    window, _reduce(_reduce(block, upper.cuts, 0, reduction), left.cuts, 1, reduction), out=window
                )
        return Tile(int(self.starts[a]), int(self.starts[b]), values)


def _pieces(bounds: Int64[np.ndarray, " c"], block_size: int) -> list[_Piece]:
    """The rows of a group of clusters in even pieces of at most `block_size`; `bounds` are where clusters begin."""
    count = -(-(bounds[-1] - bounds[0]) // block_size)
    edges = np.linspace(bounds[0], bounds[-1], count + 1).astype(np.int64)
    pieces = []
    for start, stop in pairwise(edges):
        first = int(np.searchsorted(bounds, start, side="right")) - 1
        last = int(np.searchsorted(bounds, stop, side="left"))
        cuts = np.maximum(bounds[first:last], start) - start
        pieces.append(_Piece(slice(start, stop), slice(first, last), cuts))
    return pieces


def _reduce(
    block: Float64[np.ndarray, "p q"], cuts: Int64[np.ndarray, " c"], axis: int, reduction: np.ufunc
) -> Float64[np.ndarray, "r s"]:
    return block if len(cuts) == block.shape[axis] else reduction.reduceat(block, cuts, axis=axis)
