"""Mean directions of clusters: float32 to search with, float64 to decide with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from reunite.cluster.near_pairs_kernels import inverse_lengths, row_products, sum_members
from reunite.threads import in_blocks
from reunite.types import Clusters

COLUMNS = 128
"""Columns that are held in float64 at a time."""

ROWS_PER_TASK = 1024

NEARLY_UNIT = 2.0**-20
"""Rows whose lengths are as near to one as this are not copied to be at length one."""

ROUNDING_OF_PRODUCTS = 2.0**-18
"""How far an inner product of two rows of `ClusterMeans.rounded` can be from that of the means, as real numbers.

Products of rows that are nearly unit are within 2^-19 (1 + 2^-21) of those of their directions, and rounding the numbers of a
mean, which is no longer than one, to float32 moves a product by 2^-23 (1 + 2^-25) at most: half of this is to spare.
"""


class ClusterMeans:
    """The mean of the directions of each cluster's rows: the rows at length one. A row of zeros has none and stays zero.

    Float64 means are made when they are needed, `COLUMNS` columns at a time, so that they take little memory.

    Args:
        rows: (n, d), of any length.
        clusters: the cluster of each row, without noise.

    Attributes:
        rounded: the means, (c, d) float32; see `ROUNDING_OF_PRODUCTS`. `rows` itself where each is a cluster of its own and
            nearly unit.
        squares: squared length of each mean, (c,).
        member_squares: mean squared length of the directions, (c,): the share of the members that are not zero.
    """

    def __init__(self, rows: Float[np.ndarray, "n d"], clusters: Clusters) -> None:
        self._rows = rows
        sizes = clusters.sizes
        self._members = np.argsort(clusters.labels, kind="stable")
        self._bounds = np.append(0, np.cumsum(sizes))
        scales = np.empty(len(rows))
        in_blocks(len(rows), ROWS_PER_TASK, lambda a, b: inverse_lengths(a, b, rows, scales))
        self.member_squares = np.bincount(clusters.labels, scales > 0, clusters.count) / sizes
        self._scales = scales / sizes[clusters.labels]
        nearly_unit = (np.abs(scales - 1) < NEARLY_UNIT) | (scales == 0)
        if clusters.count == len(rows) and rows.dtype == np.float32 and nearly_unit.all():
            self.rounded, self.squares = rows, self.member_squares
        else:
            self.rounded = np.empty((clusters.count, rows.shape[1]), np.float32)
            self.squares = np.sum(in_blocks(rows.shape[1], COLUMNS, self._round), axis=0)

    def _round(self, start: int, stop: int) -> Float64[np.ndarray, " c"]:
        means = self.columns(np.arange(len(self._bounds) - 1), start, stop)
        self.rounded[:, start:stop] = means
        return np.einsum("ij,ij->i", means, means)

    def columns(self, clusters: Int64[np.ndarray, " m"], start: int, stop: int) -> Float64[np.ndarray, "m q"]:
        """Columns [start, stop) of the means of these clusters."""
        means = np.empty((len(clusters), stop - start))
        sum_members(clusters, self._members, self._bounds, self._rows, self._scales, start, means)
        return means

    def exact(self) -> Float64[np.ndarray, "c d"]:
        """All means."""
        return self.columns(np.arange(len(self._bounds) - 1), 0, self._rows.shape[1])

    def products(self, first: Int32[np.ndarray, " p"], second: Int32[np.ndarray, " p"]) -> Float64[np.ndarray, " p"]:
        """Inner products of the means of pairs of clusters."""
        needed = np.zeros(len(self.squares), np.bool_)
        needed[first] = needed[second] = True
        place = np.cumsum(needed) - 1
        chosen, a, b = np.flatnonzero(needed), place[first], place[second]
        parts = in_blocks(
            self._rows.shape[1], COLUMNS, lambda start, stop: row_products(a, b, self.columns(chosen, start, stop))
        )
        return np.sum(parts, axis=0)
