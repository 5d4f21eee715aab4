"""Which of all pairs can be near: products at low precision, and how far they can be off.

Distances of rows are products of matrices, and processors multiply bfloat16 two to four times as fast as float32. So a search
first looks at tiles of low precision, keeps every pair that can be among those wanted, and computes these again in
float32. What comes out is decided by the second computation alone, and is the same whichever precision the first one has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Num, Shaped

from reunite.neighbors.filter_kernels import measure_centered, round_centered
from reunite.threads import in_blocks

Keys = Num[np.ndarray, "p q"]

UNIT_ROUNDOFF = 2.0**-24
"""Of float32: a number is rounded by at most this times itself."""

ROWS_PER_TASK = 256

BLOCK_SIZE = 1024
"""Rows of a tile."""

WIDTH = {False: 4096, True: 32768}
"""Columns of a tile; in float32 the operand is made anew for each tile, so that there is no centered copy of all rows."""

LARGEST_VALUE: dict[bool, Any] = {False: np.finfo(np.float32).max, True: np.int16(0x7F7F)}
"""The largest key a value can have."""

NO_VALUE: dict[bool, Any] = {False: np.float32(np.inf), True: np.int16(0x7FFF)}
"""Larger than that."""

LEVELS: Float32[np.ndarray, " b"] = (np.arange(0x7F80, dtype=np.uint32) << 16).view(np.float32)
"""The values of all finite bfloat16 bit patterns without a sign, ascending."""

SAMPLE = 4096
"""Rows that the center is the mean of. Any center is right; a good one makes the bounds tight."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Approximate values of the pairs of some consecutive rows and some consecutive columns.

    Attributes:
        first_row, first_column: of the tile.
        keys: (p, q) float32 values, or int16, the bits of bfloat16 values: non-negative keys stand for `LEVELS`, and are
            ordered as these; negative ones are values of zero, up to rounding. Overwritten by the next tile.
    """

    first_row: int
    first_column: int
    keys: Keys


class Filter:
    """Values a_i + a_j - <x_i, x_j> of all pairs of rows, approximately, in tiles, with a bound on the error.

    Half the squared distance is such a value, with the squares of the lengths, halved, as a; so is one minus the cosine of
    unit rows, with a = 1/2, and so are distances with a penalty on each side.

    **What is computed.** With a center c and X = x - c, the value is o_i + o_j - <X_i, X_j> where o = a - |c|^2 / 2 - <c, X>.
    One product of matrices gives it: X is followed by the columns (1, o) on one side, -X by (o, 1) on the other. Centering
    matters where all rows are alike, as those of an untrained network: values and errors then shrink together.

    **The bound.** Let b be X as the tile has it, r = |X - b|, n = |X|; R and N the largest r and n; u = 2^-24, and w the value
    that a tile holds before it is rounded to the precision of the tile. Then |w - (a_i + a_j - s)| <= e_i, where s is the
    float32 inner product that decides, and e_i is the sum of:

    - r_i (N + R) + n_i R, since <b_i, b_j> - <X_i, X_j> is made of <b_i - X_i, X_j>, <X_i, b_j - X_j> and
      <b_i - X_i, b_j - X_j> (Cauchy and Schwarz). r has two parts: rounding to bfloat16, which is measured for each row,
      and that of x - c to float32, at most u n;
    - v (|o_i| + max |o|) for the rounding of o, where v is u, or 2^-16 for the two bfloat16 that hold o;
    - g ((n_i + r_i)(N + R) + |o_i| + max |o|) for sums in float32 over K products in any order: g = K u for float32,
      which is the usual first-order bound; four times that for bfloat16, for processors that add pairs of products or
      round more coarsely than IEEE asks;
    - d u |x_i| max |x| for the rounding of s itself, likewise in any order; plus u |c| n_i, for o.

    All are first-order; what that leaves out, and the float32 arithmetic that measures r and n, is covered by 1 %.

    Args:
        rows: (n, d) float32.
        offsets: a of each row, (n,) or one for all.
        reduced: bfloat16 or float32; None asks `reduced_pays`.
        beside: filter of the rows that these will be compared with, for the same center, precision and maxima; None
            compares them among themselves.

    Attributes:
        slack: 2 e_i of each row, (n,) float32.
        levels: what the keys of tiles stand for; empty where they are the values themselves.
    """

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        offsets: Float64[np.ndarray, " n"] | float = 0.5,
        *,
        reduced: bool | None = None,
        beside: Filter | None = None,
    ) -> None:
        count = len(rows)
        self.rows = rows
        if beside is None:
            self.reduced = reduced_pays() if reduced is None else reduced
            self.center = rows[:: max(1, count // SAMPLE)].mean(axis=0)
        else:
            self.reduced, self.center = beside.reduced, beside.center
        self.levels = LEVELS if self.reduced else LEVELS[:0]
        self.lengths, along = np.empty(count, np.float32), np.empty(count)
        in_blocks(count, ROWS_PER_TASK, lambda a, b: measure_centered(a, b, rows, self.center, self.lengths, along))
        self.offsets = offsets - float(self.center.astype(np.float64) @ self.center) / 2 - along
        self._buffer: torch.Tensor | None = None
        remainders = np.zeros(count, np.float32)
        self._rounded = self._round(remainders) if self.reduced else None
        self.remainders = remainders + np.float32(UNIT_ROUNDOFF) * self.lengths
        self.slack = self._slack(beside or self)

    def _round(self, remainders: Float32[np.ndarray, " n"]) -> torch.Tensor:
        count, dimensions = self.rows.shape
        rounded = np.empty((count, -(-(dimensions + 4) // 8) * 8), np.int16)  # whole vectors multiply faster
        in_blocks(count, ROWS_PER_TASK, lambda a, b: round_centered(a, b, self.rows, self.center, rounded, remainders))
        tensor = torch.from_numpy(rounded).view(torch.bfloat16)
        offsets = torch.from_numpy(self.offsets)
        high = offsets.bfloat16()
        tensor[:, dimensions : dimensions + 2] = 1
        tensor[:, dimensions + 2] = high
        tensor[:, dimensions + 3] = (offsets - high.double()).bfloat16()
        tensor[:, dimensions + 4 :] = 0
        return tensor

    def _slack(self, others: Filter) -> Float32[np.ndarray, " n"]:
        dimensions = self.rows.shape[1]
        length, lost, offset = self.lengths.astype(float), self.remainders.astype(float), np.abs(self.offsets)
        longest, most_lost = others.lengths.max(initial=0).item(), others.remainders.max(initial=0).item()
        largest, center = np.abs(others.offsets).max(initial=0), np.linalg.norm(self.center.astype(float))
        sums = (4 if self.reduced else 1) * (dimensions + 4) * UNIT_ROUNDOFF
        error = (
            lost * (longest + most_lost)
            + length * most_lost
            + (2.0**-16 if self.reduced else UNIT_ROUNDOFF) * (offset + largest)
            + sums * ((length + lost) * (longest + most_lost) + offset + largest)
            + dimensions * UNIT_ROUNDOFF * (length + center) * (longest + center)  # the rows before centering
            + UNIT_ROUNDOFF * center * (length + longest)
        )
        return (2 * 1.01 * error).astype(np.float32)

    def tiles(self, block_size: int = BLOCK_SIZE) -> Iterator[Tile]:
        """Tiles of the upper triangle, from above and from the left; no pair is in two tiles.

        The first tile of each band begins on the diagonal: its leading square is symmetric, and holds the largest key there
        is for a row and itself.
        """
        count = len(self.rows)
        for top in range(0, count, block_size):
            asked = slice(top, min(top + block_size, count))
            operand = self.left(asked)
            for left in range(top, count, WIDTH[self.reduced]):
                keys = self._product(operand, slice(left, min(left + WIDTH[self.reduced], count)))
                if left == top:
                    square = min(len(keys), keys.shape[1])
                    keys[np.arange(square), np.arange(square)] = NO_VALUE[self.reduced]
                yield Tile(top, left, keys)

    def tiles_of(self, queries: Filter, block_size: int = BLOCK_SIZE) -> Iterator[Tile]:
        """Tiles of all pairs of a row of `queries`, a filter made `beside` this one, and a row of this one."""
        for top in range(0, len(queries.rows), block_size):
            operand = queries.left(slice(top, min(top + block_size, len(queries.rows))))
            for left in range(0, len(self.rows), WIDTH[self.reduced]):
                right = slice(left, min(left + WIDTH[self.reduced], len(self.rows)))
                yield Tile(top, left, self._product(operand, right))

    def forget(self) -> None:
        """Let go of all that makes tiles, which is most of the memory."""
        self._buffer = self._rounded = None

    def left(self, part: slice) -> Shaped[np.ndarray, "p k"] | torch.Tensor:
        """The operand of these rows on the left side of a product."""
        dimensions = self.rows.shape[1]
        if self._rounded is not None:
            rounded = self._rounded[part]
            operand = -rounded
            operand[:, dimensions : dimensions + 2] = rounded[:, dimensions + 2 : dimensions + 4]
            operand[:, dimensions + 2 : dimensions + 4] = 1
            return operand
        exact = np.empty((part.stop - part.start, dimensions + 2), np.float32)
        np.subtract(self.center, self.rows[part], out=exact[:, :dimensions])
        exact[:, dimensions] = self.offsets[part]
        exact[:, dimensions + 1] = 1
        return exact

    def _product(self, operand: Shaped[np.ndarray, "p k"] | torch.Tensor, part: slice) -> Keys:
        """The tile of rows on the left and rows on the right; only valid until the next."""
        height, width = operand.shape[0], part.stop - part.start
        if isinstance(operand, torch.Tensor) and self._rounded is not None:
            tile = self._room(height * width, torch.bfloat16).view(height, width)
            torch.mm(operand, self._rounded[part].T, out=tile)
            return tile.view(torch.int16).numpy()
        values = self._room(height * width, torch.float32).view(height, width).numpy()
        return np.matmul(operand, self.right(part).T, out=values)

    def right(self, part: slice) -> Float32[np.ndarray, "q k"]:
        """The float32 operand of these rows on the right side of a product."""
        dimensions = self.rows.shape[1]
        exact = np.empty((part.stop - part.start, dimensions + 2), np.float32)
        np.subtract(self.rows[part], self.center, out=exact[:, :dimensions])
        exact[:, dimensions] = 1
        exact[:, dimensions + 1] = self.offsets[part]
        return exact

    def _room(self, size: int, dtype: torch.dtype) -> torch.Tensor:
        if self._buffer is None or len(self._buffer) < size:
            self._buffer = torch.empty(size, dtype=dtype)
        return self._buffer[:size]


CPU_INFO = Path("/proc/cpuinfo")
INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls products in bfloat16, on x86 and ARM."""


@cache
def reduced_pays() -> bool:
    """Whether this processor multiplies bfloat16 clearly faster than float32: measured once, in milliseconds.

    A busy machine can mislead the clock. Where the processor is known to have the instructions, it takes much to rule it out.
    """
    known = CPU_INFO.exists() and INSTRUCTIONS & set(CPU_INFO.read_text("utf-8", "replace").split())
    rng = np.random.default_rng(0)
    exact = rng.standard_normal((512, 512), np.float32)
    rounded = torch.from_numpy(exact).bfloat16()
    fastest = [np.inf, np.inf]
    for _ in range(4):  # the first time, threads wake up and code is prepared
        for which, product in enumerate((lambda: exact @ exact.T, lambda: torch.mm(rounded, rounded.T))):
            start = time.perf_counter()
            product()
            fastest[which] = min(fastest[which], time.perf_counter() - start)
    return bool(fastest[1] < fastest[0] * (2.0 if known else 0.8))
