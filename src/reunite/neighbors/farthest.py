"""The farthest of each row, found beside the nearest, in the same tiles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from reunite.neighbors.farthest_kernels import offer_far, smallest_of
from reunite.neighbors.filter import Filter, Tile
from reunite.threads import in_blocks

ROOM = 128
"""Candidates of a row: distances are few at the far end."""


class Farthest:
    """Candidates for the smallest similarity of each row of a filter to the others, O(n) memory."""

    def __init__(self, filter: Filter) -> None:
        count, nothing = len(filter.rows), filter.operands.no_value
        least = -np.inf if nothing.dtype.kind == "f" else np.iinfo(nothing.dtype).min
        self._rows, self._nothing = (filter.order, filter.rows), nothing
        self._candidates = (
            np.empty((count, ROOM), nothing.dtype),
            np.empty((count, ROOM), np.int32),
            np.zeros(count, np.int32),
            np.full(count, least, nothing.dtype),
        )
        self._bound = filter.slack, filter.operands.levels

    def offer(self, tile: Tile) -> None:
        """Take the useful pairs of a tile, for its rows and its columns, see `Filter.visit`."""
        width = tile.keys.shape[1]
        limits = self._candidates[3][tile.first_column : tile.first_column + width]
        if tile.first_column == tile.first_row:
            limits = np.full(width, self._nothing)
        place = tile.keys, self._nothing, tile.first_row, tile.first_column, limits
        offer_far(*place, *self._candidates, *self._bound, *self._rows)

    def smallest(self) -> Float32[np.ndarray, " n"]:
        """The smallest similarity of each row to any other, by float32 products; infinity for a row that is alone."""
        result = np.empty(len(self._rows[0]), np.float32)
        in_blocks(len(result), 256, lambda a, b: smallest_of(a, b, *self._candidates, *self._rows, result))
        return result
