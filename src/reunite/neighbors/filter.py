"""Which of all pairs can be near: products at low precision, and how far they can be off.

Distances of rows are products of matrices, and processors multiply bfloat16 or bytes two to five times as fast as float32. So a
search first looks at tiles of low precision, keeps every pair that can be among those wanted, and computes these again in
float32. What comes out is decided by the second computation alone, and is the same whichever precision the first one has.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import cast

import numpy as np
from jaxtyping import Float32, Float64, Int64

from reunite.neighbors.operand_kernels import known_values, measure_centered
from reunite.neighbors.operands import (
    OPERANDS,
    ROWS_PER_TASK,
    UNIT_ROUNDOFF,
    Int8Operands,
    Keys,
    Operands,
    int8_scale,
)
from reunite.neighbors.precision import Precision, fastest
from reunite.threads import in_blocks, same_threads, thread_count

BLOCK_SIZE = 1024
"""Rows that threads look at together, before they go on to the next."""

LEAST_ROWS = 64
"""Rows of a tile: with fewer, a product spends most of its time on preparing its other side."""

KNOWN_TOGETHER = 2**16
"""Products in a tile of those that are known, whole rows where they are no longer: they are read out of order, in a cache."""

SAMPLE = 4096
"""Rows that the center is the mean of. Any center is right; a good one makes the bounds tight."""

COARSE = 0.015
"""Part of the length of rows that bytes may lose. Where a few columns are much larger than the others, they lose more."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Approximate values of the pairs of some consecutive rows and some consecutive columns.

    Attributes:
        first_row, first_column: of the tile.
        keys: (p, q) what stands for the values, see `Operands.levels`. Overwritten by the next tile of the thread.
    """

    first_row: int
    first_column: int
    keys: Keys


class Filter:
    """Values a_i + a_j - <x_i, x_j> of all pairs of rows, approximately, in tiles, with a bound on the error.

    Half the squared distance is such a value, with the squares of the lengths, halved, as a; so is one minus the cosine of
    unit rows, with a = 1/2, and so are distances with a penalty on each side.

    **What is computed.** With a center c and X = x - c, the value is o_i + o_j - <X_i, X_j> where o = a - |c|^2 / 2 - <c, X>.
    Centering matters where all rows are alike, as those of an untrained network: values and errors then shrink together.

    **The bound.** Let b be X as the operands have it, r = |X - b|, n = |X|; R and N the largest r and n; u = 2^-24, and w the
    value that a tile holds before it is rounded to the precision of the tile. Then |w - (a_i + a_j - s)| <= e_i, where s is
    the float32 inner product that decides, and e_i is the sum of:

    - r_i (N + R) + n_i R, since <b_i, b_j> - <X_i, X_j> is made of <b_i - X_i, X_j>, <X_i, b_j - X_j> and
      <b_i - X_i, b_j - X_j> (Cauchy and Schwarz). r has two parts: what the operands take away, which is measured for each
      row, and the rounding of x - c to float32, at most u n;
    - the error of o_i as the operands have it, and the largest such error;
    - g ((n_i + r_i)(N + R) + |o_i| + max |o|) for the rounding of sums, where g is `Operands.sum_error`: K u for float32 sums
      of K products in any order, which is the usual first-order bound;
    - d u |x_i| max |x| for the rounding of s itself, likewise in any order; plus u |c| n_i, for o.

    All are first-order; what that leaves out, and the float32 arithmetic that measures r and n, is covered by 1 %.

    Args:
        rows: (n, d) float32.
        offsets: a of each row, (n,) or one for all.
        precision: of the products; None takes the fastest for these rows.
        beside: filter of the rows that these will be compared with, for the same center, precision and maxima; None
            compares them among themselves.
        order: which row stands at each place of the tiles, (p,): all, or some of them; None is as they come. Where rows that
            are alike are next to each other (`reunite.neighbors.grouping.grouped`), a search knows from the first tiles,
            those of rows among themselves, nearly how near the neighbors of each row are, and has little to keep afterwards.
        known: tiles of products that are known in float32 will be looked at, too, see `visit_known`. These are off by another
            (d + 4) u (|x_i| max |x| + |a_i| + max |a|), for their own rounding in any order and that of the value.

    Attributes:
        order: which row stands at each place of the tiles, (p,); what follows is in that order.
        operands: the rows, ready for products.
        slack: 2 e_i of each row, (p,) float32.
    """

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        offsets: Float64[np.ndarray, " n"] | float = 0.5,
        *,
        precision: Precision | None = None,
        beside: Filter | None = None,
        order: Int64[np.ndarray, " p"] | None = None,
        known: bool = False,
    ) -> None:
        count, dimensions = rows.shape
        self.rows = rows
        self.center: Float32[np.ndarray, " d"]
        self.center = rows[:: max(1, -(-count // SAMPLE))].mean(axis=0) if beside is None else beside.center
        lengths, along, largest = np.empty(count, np.float32), np.empty(count), np.empty(count, np.float32)
        measured = lengths, along, largest
        in_blocks(count, ROWS_PER_TASK, lambda a, b: measure_centered(a, b, rows, self.center, *measured))
        self.order = np.arange(count) if order is None else order
        self.lengths = lengths[self.order]
        self._given, self._known = np.broadcast_to(offsets, count)[self.order], known
        self.offsets = (offsets - float(self.center.astype(np.float64) @ self.center) / 2 - along)[self.order]
        if beside is not None:
            precision = beside.operands.precision
        scale = int8_scale(largest.max(initial=0).item(), self.offsets)
        if precision is None:
            precision = fastest(count, dimensions)
            lost = scale * np.sqrt(dimensions / 12)  # by bytes, as if all errors were uniform within a step
            if precision == "int8" and lost > COARSE * self.lengths.mean():
                precision = fastest(0, dimensions)
        given = rows, self.order, self.center, self.offsets
        self.operands: Operands
        if precision == "int8":
            self.operands = Int8Operands(*given, scale, None if beside is None else cast(Int8Operands, beside.operands))
        else:
            self.operands = OPERANDS[precision](*given)
        self.remainders = self.operands.remainders + np.float32(UNIT_ROUNDOFF) * self.lengths
        self.slack = self.slack_beside(beside or self)

    def slack_beside(self, others: Filter) -> Float32[np.ndarray, " p"]:
        """2 e_i of each row where it meets the rows of `others`, a filter for the same center and precision."""
        length, lost, offset = self.lengths.astype(float), self.remainders.astype(float), np.abs(self.offsets)
        longest, most_lost = others.lengths.max(initial=0).item(), others.remainders.max(initial=0).item()
        largest, center = np.abs(others.offsets).max(initial=0), np.linalg.norm(self.center.astype(float))
        error = (
            lost * (longest + most_lost)
            + length * most_lost
            + self.operands.offset_errors
            + others.operands.offset_errors.max(initial=0)
            + self.operands.sum_error * ((length + lost) * (longest + most_lost) + offset + largest)
            + self.rows.shape[1] * UNIT_ROUNDOFF * (length + center) * (longest + center)  # the rows before centering
            + UNIT_ROUNDOFF * center * (length + longest)
        )
        if self._known:
            given = np.abs(self._given) + np.abs(others._given).max(initial=0)
            error += (self.rows.shape[1] + 4) * UNIT_ROUNDOFF * ((length + center) * (longest + center) + given)
        return (2 * 1.01 * error).astype(np.float32)

    def visit(
        self, look: Callable[[Tile], None], block_size: int = BLOCK_SIZE, places: tuple[int, int] | None = None
    ) -> None:
        """Call `look` with tiles of the upper triangle, in threads, each of which multiplies and looks on its own.

        The squares on the diagonal come first, symmetric, with `no_value` for a row and itself; no other pair is in two
        tiles. No two tiles that are looked at at once have a row or a column in common, nor is a row of one a column of
        the other, and the order in which a row is looked at is always the same. `places` are the first row and the one behind
        the last, where others are left out.
        """
        first, end = places or (0, len(self.order))

        def square(start: int, stop: int) -> None:
            top, bottom = first + start, first + stop
            keys = self.operands.product(self.operands.left(slice(top, bottom)), slice(top, bottom))
            np.fill_diagonal(keys, self.operands.no_value)
            look(Tile(top, top, keys))

        with same_threads(), self.operands.on_one_thread():
            in_blocks(end - first, block_size, square)
            for top in range(first, end, block_size):
                past = min(top + block_size, end)
                self._cross(partial(self._strip, self, look), slice(top, past), slice(past, end))

    def visit_known(
        self, products: Float32[np.ndarray, "a b"], look: Callable[[Tile], None], block_size: int = BLOCK_SIZE
    ) -> None:
        """Call `look` with tiles of the pairs whose inner products are known: of rows at the first places and all others.

        `products` has the first a rows, the others behind them, by row and not by place; a and b make all. Otherwise like
        `visit`. The filter was made for it, see `known`.
        """
        count = len(products)

        def show(rows: slice, columns: slice) -> None:
            others = self.order[columns] - count, self._given[columns]
            height = max(1, KNOWN_TOGETHER // (columns.stop - columns.start))
            for top in range(rows.start, rows.stop, height):
                own = slice(top, min(top + height, rows.stop))
                values = known_values(products, self.order[own], self._given[own], *others)
                look(Tile(top, columns.start, self.operands.keys_of(values)))

        with same_threads():
            for top in range(0, count, block_size):
                self._cross(show, slice(top, min(top + block_size, count)), slice(count, len(self.order)))

    def visit_pairs(
        self,
        queries: Filter,
        look: Callable[[Tile], None],
        block_size: int = BLOCK_SIZE,
        width: int | None = None,
    ) -> None:
        """Call `look` with tiles of all pairs of a row of `queries`, a filter made `beside` this one, and a row of this one.

        In threads, of which no two look at the same row of `queries` at once; few queries stay in the caller's, whose
        products may take all threads.
        """
        count, everything = len(queries.order), slice(0, len(self.order))
        size = min(block_size, max(LEAST_ROWS, -(-count // thread_count())))
        with same_threads(), self.operands.on_one_thread() if size < count else nullcontext():
            in_blocks(count, size, lambda a, b: self._strip(queries, look, slice(a, b), everything, width))

    def _cross(self, show: Callable[[slice, slice], None], rows: slice, columns: slice) -> None:
        """Show some rows with some columns, in threads, of which no two have a row or a column in common at once."""
        parts = min(thread_count(), max(1, (rows.stop - rows.start) // LEAST_ROWS))
        tops, lefts = _divided(rows.start, rows.stop, parts), _divided(columns.start, columns.stop, parts)
        for shift in range(parts):  # each part of the rows meets each part of the columns, one at a time
            meets = lefts[shift:] + lefts[:shift]
            in_blocks(parts, 1, partial(_meet, show, tops, meets))

    def _strip(
        self,
        queries: Filter,
        look: Callable[[Tile], None],
        rows: slice,
        columns: slice,
        width: int | None = None,
    ) -> None:
        operand, width = queries.operands.left(rows), width or self.operands.width
        for left in range(columns.start, columns.stop, width):
            right = slice(left, min(left + width, columns.stop))
            look(Tile(rows.start, left, self.operands.product(operand, right)))


def _meet(show: Callable[[slice, slice], None], rows: list[slice], columns: list[slice], start: int, _: int) -> None:
    show(rows[start], columns[start])


def _divided(start: int, stop: int, parts: int) -> list[slice]:
    ends = [start + (stop - start) * part // parts for part in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]
