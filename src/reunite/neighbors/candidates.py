"""What a search keeps while tiles go by: of each row, the pairs that can be among its nearest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from reunite.neighbors.candidate_kernels import decide, offer_columns, offer_rows, visiting_order
from reunite.neighbors.filter import Filter, Tile
from reunite.neighbors.precision import Precision
from reunite.threads import in_blocks, in_even_blocks

ROOM: dict[Precision, int] = {"float32": 4, "bfloat16": 4, "int8": 9}
"""Candidates there is room for, for each one wanted: twice what embeddings of trained networks need, and at least 128."""


class Candidates:
    """The candidates of the rows of a filter for their `wanted` nearest among those of another, O(n wanted) memory.

    Args:
        asked: the unit rows that are asked for, with offsets of 1/2.
        searched: the unit rows that are searched; the same filter for a search of rows in themselves.
        wanted: nearest rows to find, at least 1 and no more than there are.
    """

    def __init__(self, asked: Filter, searched: Filter, wanted: int) -> None:
        operands = asked.operands
        count, room = len(asked.rows), max(ROOM[operands.precision] * wanted, 128)
        everything = operands.largest_value
        self.wanted = wanted
        self._candidates = (
            np.empty((count, room), everything.dtype),
            np.empty((count, room), np.int32),
            np.zeros(count, np.int32),
            np.full(count, everything),
        )
        self._bound = asked.slack, operands.levels
        self._rows = asked.order, asked.rows, searched.order, searched.rows
        self._itself = asked is searched

    def offer(self, tile: Tile, *, both: bool) -> None:
        """Take the useful pairs of a tile: for its rows, and if `both` also for the columns that are no rows of it."""
        height, width = tile.keys.shape
        self._run(offer_columns, 0, height, tile)
        past = max(0, tile.first_row + height - tile.first_column)
        if both and past < width:
            self._run(offer_rows, past, width, tile)

    def _run(self, kernel: Callable[..., None], start: int, stop: int, tile: Tile) -> None:
        place = tile.keys, tile.first_row, tile.first_column
        in_even_blocks(stop - start, lambda a, b: kernel(start + a, start + b, *place, *self._state()))

    def decide(self, indices: Int64[np.ndarray, "m k"], similarity: Float32[np.ndarray, "m k"]) -> None:
        """Write the nearest, by float32 products, to the last columns of the results."""
        keys, columns, counts, _ = self._candidates
        turns = visiting_order(keys, columns, counts) if self._itself else np.arange(len(counts))
        in_blocks(len(counts), 256, lambda a, b: decide(a, b, turns, indices, similarity, *self._state()))

    def _state(self) -> tuple[Any, ...]:
        return self.wanted, *self._candidates, *self._bound, *self._rows
