"""Ranks of matches from products in bfloat16: only images that are nearly as similar as a match are compared in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from reunite.evaluate.close_calls_kernels import count_tile, list_images, rank_matches, sort_matches
from reunite.neighbors.filter import Filter, Tile
from reunite.threads import in_blocks, same_threads, thread_count

OPERAND_BYTES = 24 * 2**20
"""What the part of the gallery that is looked at together takes in bfloat16."""

MOST_LISTED = 2**21
"""Matches of all queries together, 20 bytes each, and images that they ignore, 8 bytes each: all are listed at once."""

MOST_COMPARED = 0.12
"""Part of the images that may need comparing: beyond, by estimate, a product in float32 is quicker than single ones."""

TRIED = 64
"""Queries that are looked at first, to see how many that is."""

LEAST_FOR_ONE_TRIED = 16
"""Queries of which one is tried: trying is never more than a small part of the work."""

QUERIES_AT_ONCE, QUERIES_PER_TILE, WIDTH = 4096, 512, 4096
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
        self._turns = np.argsort(spans[:, 0], kind="stable")  # queries that share matches come one after another
        in_blocks(
            len(query), QUERIES_PER_TASK, lambda a, b: sort_matches(a, b, self._turns, *self._sides, *self._matches)
        )

    def scores(self, trapezoid: bool) -> Float64[np.ndarray, "q 3"] | None:
        """Average precision, inverse negative penalty and first rank, NaN without a match; None if too much is close."""
        with same_threads():
            return self._scores(trapezoid)

    def _scores(self, trapezoid: bool) -> Float64[np.ndarray, "q 3"] | None:
        count = len(self._sides[0])
        tried = min(TRIED, count // LEAST_FOR_ONE_TRIED)
        if tried and self._is_mostly_close(self._queries(0, tried)):
            return None
        for top in range(0, count, QUERIES_AT_ONCE):
            queries = self._queries(top, min(top + QUERIES_AT_ONCE, count))
            for part in self._parts():
                self._count(queries, top, part, self._between)
        scores = np.full((count, 3), np.nan)
        state = *self._sides, *self._matches, *self._ignored, self._between, trapezoid, scores
        in_blocks(count, QUERIES_PER_TASK, lambda a, b: rank_matches(a, b, self._turns, *state))
        return scores

    def _parts(self) -> Iterator[Int64[np.ndarray, " p"]]:
        """The columns that are not junk, some consecutive ones at a time."""
        query, gallery = self._sides
        size = max(WIDTH, OPERAND_BYTES // (2 * query.shape[1] + 16))
        for start in range(0, len(gallery), size):
            columns = np.arange(start, min(start + size, len(gallery)))
            kept = columns[~np.isin(columns, self._junk, assume_unique=True)]
            if len(kept):
                yield kept

    def _queries(self, top: int, bottom: int) -> Filter:
        """Some of the queries, such that a value says how much less similar an image is than the farthest match."""
        bounds, _, similarity = self._matches
        # Rounding is relative to a value, so zero lies where most images are: at the farthest match.
        farthest = np.zeros(bottom - top)
        matched = np.diff(bounds[top : bottom + 1]) > 0
        farthest[matched] = similarity[bounds[top + 1 : bottom + 1][matched] - 1]
        return Filter(self._sides[0][top:bottom], farthest - 0.5, precision="bfloat16")

    def _is_mostly_close(self, queries: Filter) -> bool:
        """Whether products in float32 would be quicker, as the first queries and the first part of the gallery have it."""
        part = next(self._parts(), np.array([], np.int64))
        compared = self._count(queries, 0, part, np.zeros_like(self._between)) if len(part) else 0
        return compared > MOST_COMPARED * len(queries.order) * len(part)

    def _count(self, queries: Filter, top: int, part: Int64[np.ndarray, " p"], between: Int64[np.ndarray, " m"]) -> int:
        """Count a part of the gallery for the queries from `top` on; says how many images had to be compared."""
        first = int(part[0])
        filter = Filter(self._sides[1][first : part[-1] + 1], beside=queries, order=part - first)
        error = queries.slack_beside(filter).astype(np.float64) / 2
        compared: list[int] = []

        def look(tile: Tile) -> None:
            rows = slice(tile.first_row, tile.first_row + len(tile.keys))
            columns = part[tile.first_column : tile.first_column + tile.keys.shape[1]]
            state = filter.operands.levels, error[rows], *self._sides, *self._matches, between
            compared.append(count_tile(tile.keys, top + tile.first_row, columns, *state))

        count, threads = len(queries.order), thread_count()
        rounds = -(-count // (threads * QUERIES_PER_TILE))  # all threads end at once
        filter.visit_pairs(queries, look, -(-count // (threads * rounds)), WIDTH)
        return sum(compared)
