"""What a search keeps while tiles go by: of each row, the pairs that can be among its nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from reunite.neighbors.candidate_kernels import decide, offer, visiting_order
from reunite.neighbors.filter import Filter, Tile
from reunite.neighbors.precision import Precision
from reunite.threads import in_blocks

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
        least = -np.inf if everything.dtype.kind == "f" else np.iinfo(everything.dtype).min
        self._least = np.array([least], everything.dtype)
        self._bound = asked.slack, operands.levels
        self._rows = asked.order, asked.rows, searched.order, searched.rows
        self._itself = asked is searched

    def offer(self, tile: Tile) -> None:
        """Take the useful pairs of a tile: for its rows, and for its columns where rows are searched in themselves."""
        width = tile.keys.shape[1]
        columns = slice(tile.first_column, tile.first_column + width)
        both = self._itself and tile.first_column != tile.first_row
        limits = self._candidates[3][columns] if both else self._least.repeat(width)
        offer(tile.keys, tile.first_row, tile.first_column, limits, *self._state())

    def decide(self, indices: Int64[np.ndarray, "m k"], similarity: Float32[np.ndarray, "m k"]) -> None:
        """Write the nearest, by float32 products, to the last columns of the results."""
        keys, columns, counts, _ = self._candidates
        turns = visiting_order(keys, columns, counts) if self._itself else np.arange(len(counts))
        in_blocks(len(counts), 256, lambda a, b: decide(a, b, turns, indices, similarity, *self._state()))

    def _state(self) -> tuple[Any, ...]:
        return self.wanted, *self._candidates, *self._bound, *self._rows
