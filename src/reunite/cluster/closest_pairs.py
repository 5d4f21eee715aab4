"""The closest pairs of clusters, from tiles that come one after another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from reunite.cluster.blocks import ROUNDING, Tile


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of clusters, the closest first; equal values by `first`, then `second`.

    Attributes:
        values: what the pairs are ranked by, (p,) ascending.
        first, second: the clusters of each pair, (p,) int64; first < second.
    """

    values: Float64[np.ndarray, " p"]
    first: Int64[np.ndarray, " p"]
    second: Int64[np.ndarray, " p"]


def closest_pairs(tiles: Iterable[Tile], clusters: int, want: int) -> Pairs:
    """The `want` pairs with the smallest values, or all pairs where there are fewer.

    Holds O(want) pairs besides the tile. Values are rounded to `ROUNDING`, so that what ties in exact arithmetic ties
    here, and the order of pairs does not depend on how the tiles were cut.

    Args:
        tiles: finite values of all pairs of clusters, once each; on and below the diagonal they are not looked at.
        clusters: number of clusters.
        want: pairs wanted, at least 1.
    """
    values, keys = np.empty(0), np.empty(0, np.int64)
    limit = np.finfo(np.float64).max
    for tile in tiles:
        near = tile.values <= limit + ROUNDING
        if tile.first == tile.second:
            near = np.triu(near, 1)
        row, column = np.nonzero(near)
        values = np.append(values, np.rint(tile.values[row, column] / ROUNDING) * ROUNDING)
        keys = np.append(keys, (tile.first + row) * clusters + tile.second + column)
        if len(values) > want:
            values, keys = _smallest(values, keys, want)
            limit = values.max()
    order = np.lexsort((keys, values))
    first, second = np.divmod(keys[order], clusters)
    return Pairs(values[order], first, second)


def _smallest(
    values: Float64[np.ndarray, " p"], keys: Int64[np.ndarray, " p"], want: int
) -> tuple[Float64[np.ndarray, " want"], Int64[np.ndarray, " want"]]:
    """The `want` smallest values, the lower keys first where the last of them tie; in no order."""
    last = np.partition(values, want - 1)[want - 1]
    below, ties = np.flatnonzero(values < last), np.flatnonzero(values == last)
    taken = ties[np.argsort(keys[ties])[: want - len(below)]]
    kept = np.append(below, taken)
    return values[kept], keys[kept]
