"""Ranks of matches from products in bfloat16: only images that are nearly as similar as a match are compared in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from reunite.evaluate.close_calls_kernels import count_tile, list_images, rank_matches, sort_matches
from reunite.neighbors.filter import Filter, Tile
from reunite.threads import in_blocks, same_threads, thread_count

OPERAND_BYTES = 48 * 2**20
"""What the part of the gallery that is looked at together takes in bfloat16."""

MOST_LISTED = 2**21
"""Matches of all queries together, 20 bytes each, and images that they ignore, 8 bytes each: all are listed at once."""

MOST_COMPARED = 0.12
"""Part of the images that may need comparing: beyond, by estimate, a product in float32 is quicker than single ones."""

TRIED = 64
"""Queries that are looked at first, to see how many that is."""

QUERIES_AT_ONCE, QUERIES_PER_TILE, WIDTH = 4096, 256, 4096
QUERIES_PER_TASK = 16


class CloseCalls:
    """The ranks of the matches of all queries, as exact as the float32 products that decide wherever it is close.

    A tile in bfloat16 says of most images that they surely rank before or after a match, see `Filter` for the bound. The others
    are compared by their own product. Memory is a part of the gallery in bfloat16, 20 bytes for each match and 8
    for each image that a query ignores.

    Args:
        query: unit rows, (q, d).
        gallery: unit rows, (g, d).
        columns: of the gallery, by identity and camera.
        spans: where in `columns` the identity of each query begins, its camera in it, the next camera and the next identity;
            (q, 4). What lies in the middle is ignored, the rest are matches.
        exclude: one more column that each query ignores, or -1.
        junk: columns that all queries ignore, ascending.
    """

    def __init__(
        self,
        query: Float32[np.ndarray, "q d"],
        gallery: Float32[np.ndarray, "g d"],
        columns: Int64[np.ndarray, " k"],
        spans: Int64[np.ndarray, "q 4"],
        exclude: Int64[np.ndarray, " q"],
        junk: Int64[np.ndarray, " j"],
    ) -> None:
        self._sides, self._junk = (query, gallery), junk
        self._matches: tuple[Any, ...]
        bounds, matches, ignored_bounds, ignored = list_images(columns, spans, exclude)
        similarity, between = np.empty(len(matches), np.float32), np.zeros(len(matches), np.int64)
        self._matches = bounds, matches, similarity
        self._ignored = ignored_bounds, ignored
        self._between = between
        in_blocks(len(query), QUERIES_PER_TASK, lambda a, b: sort_matches(a, b, *self._sides, *self._matches))

    def scores(self, trapezoid: bool) -> Float64[np.ndarray, "q 3"] | None:
        """Average precision, inverse negative penalty and first rank, NaN without a match; None if too much is close."""
        with same_threads():
            return self._scores(trapezoid)

    def _scores(self, trapezoid: bool) -> Float64[np.ndarray, "q 3"] | None:
        query, gallery = self._sides
        size = max(WIDTH, OPERAND_BYTES // (2 * query.shape[1] + 16))
        tried, seen = min(TRIED, len(query)), 0
        for start in range(0, len(gallery), size):
            part = np.arange(start, min(start + size, len(gallery)))
            order = part[~np.isin(part, self._junk, assume_unique=True)] - start
            if not len(order):
                continue
            filter = Filter(gallery[start : start + size], precision="bfloat16", order=order)
            if seen == 0 and self._count(filter, start, 0, tried) > MOST_COMPARED * tried * len(order):
                return None
            for top in range(0 if seen else tried, len(query), QUERIES_AT_ONCE):
                self._count(filter, start, top, min(top + QUERIES_AT_ONCE, len(query)))
            seen += len(order)
        scores = np.full((len(query), 3), np.nan)
        state = *self._sides, *self._matches, *self._ignored, self._between, trapezoid, scores
        in_blocks(len(query), QUERIES_PER_TASK, lambda a, b: rank_matches(a, b, *state))
        return scores

    def _count(self, filter: Filter, start: int, top: int, bottom: int) -> int:
        """Count a part of the gallery for some of the queries; says how many images had to be compared."""
        bounds, _, similarity = self._matches
        # Rounding is relative to a value, so zero lies where most images are: at the farthest match.
        farthest = np.zeros(bottom - top)
        matched = np.diff(bounds[top : bottom + 1]) > 0
        farthest[matched] = similarity[bounds[top + 1 : bottom + 1][matched] - 1]
        queries = Filter(self._sides[0][top:bottom], farthest - 0.5, beside=filter)
        error = queries.slack.astype(np.float64) / 2
        compared: list[int] = []

        def look(tile: Tile) -> None:
            rows = slice(tile.first_row, tile.first_row + len(tile.keys))
            columns = start + filter.order[tile.first_column : tile.first_column + tile.keys.shape[1]]
            state = filter.operands.levels, error[rows], *self._sides, *self._matches, self._between
            compared.append(count_tile(tile.keys, top + tile.first_row, columns, *state))

        threads = thread_count()
        rounds = -(-(bottom - top) // (threads * QUERIES_PER_TILE))  # all threads end at once
        filter.visit_pairs(queries, look, -(-(bottom - top) // (threads * rounds)), WIDTH)
        return sum(compared)
