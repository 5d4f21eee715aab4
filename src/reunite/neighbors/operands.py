"""The operands of products that give tiles of values o_i + o_j - <X_i, X_j>, at three precisions.

X are centered rows and o offsets, see `reunite.neighbors.filter.Filter`. The offsets are columns of the operands: X is followed
by (1, o) on the right side, and -X by (o, 1) on the left, so that one product of matrices is all it takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Num

from reunite.neighbors.operand_kernels import quantize_centered, round_centered
from reunite.neighbors.precision import Precision
from reunite.threads import blas_on_one_thread, in_blocks, per_thread

Keys = Num[np.ndarray, "p q"]

UNIT_ROUNDOFF = 2.0**-24
"""Of float32: a number is rounded by at most this times itself."""

BFLOAT16_LEVELS: Float32[np.ndarray, " b"] = (np.arange(0x7F80, dtype=np.uint32) << 16).view(np.float32)
"""The values of all finite bfloat16 bit patterns without a sign, ascending."""

ROWS_PER_TASK = 256


class Operands(ABC):
    """Rows, or some of them, in some order, made ready for products, on either side. Offsets and attributes are in that order.

    Attributes:
        levels: what keys stand for. One level is the value of key 1 (keys are multiples of it); more are the values of the keys
            0, 1, 2 and so on, and negative keys stand for values that are negative or zero.
        remainders: |X - b| of each row, (n,) float32, where b is X as the operands have it.
        offset_errors: by how much each offset can be off, (n,).
        sum_error: g, such that sums err by at most g times the sum of the absolute values of their terms.
    """

    precision: ClassVar[Precision]
    no_value: ClassVar[Any]
    """A key larger than that of any value."""
    largest_value: ClassVar[Any]
    """The largest key a value can have."""
    width: ClassVar[int]
    """Columns of a tile."""

    levels: Float32[np.ndarray, " b"]
    remainders: Float32[np.ndarray, " n"]
    offset_errors: Float64[np.ndarray, " n"]
    sum_error: float

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        order: Int64[np.ndarray, " p"],
        center: Float32[np.ndarray, " d"],
        offsets: Float64[np.ndarray, " p"],
    ) -> None:
        self.rows, self.order, self.center, self.offsets = rows, order, center, offsets
        self._buffer = per_thread(_Buffer)

    @abstractmethod
    def left(self, part: slice) -> Any:
        """These rows on the left side of a product."""

    @abstractmethod
    def product(self, left: Any, part: slice) -> Keys:
        """The tile of rows on the left, of these or other operands, and of these rows; valid until the next of the thread."""

    @abstractmethod
    def keys_of(self, values: Float32[np.ndarray, "p q"]) -> Keys:
        """A tile of values that are known, rounded as those of products are. `values` may be overwritten, or be the tile."""

    def forget(self) -> None:
        """Let go of what only products need, most of the memory."""
        self._buffer = per_thread(_Buffer)

    def on_one_thread(self) -> AbstractContextManager[object]:
        """Within, threads of `in_blocks` that multiply do so side by side, each on its own."""
        return nullcontext()

    def _room(self, height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
        buffer = self._buffer()
        if len(buffer.values) < height * width:
            buffer.values = torch.empty(height * width, dtype=dtype)
        return buffer.values[: height * width].view(height, width)


class _Buffer:
    """What the tiles of one thread are written to, one after the other."""

    values = torch.empty(0)


class Float32Operands(Operands):
    """Made anew for each tile, so that there is no centered copy of all rows. Products are NumPy's."""

    precision = "float32"
    no_value = np.float32(np.inf)
    largest_value = np.finfo(np.float32).max
    width = 2048
    levels = np.ones(1, np.float32)

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        order: Int64[np.ndarray, " p"],
        center: Float32[np.ndarray, " d"],
        offsets: Float64[np.ndarray, " p"],
    ) -> None:
        super().__init__(rows, order, center, offsets)
        self.remainders = np.zeros(len(order), np.float32)
        self.offset_errors = UNIT_ROUNDOFF * np.abs(offsets)
        self.sum_error = (rows.shape[1] + 2) * UNIT_ROUNDOFF

    def left(self, part: slice) -> Float32[np.ndarray, "p k"]:
        """See `Operands.left`."""
        dimensions = self.rows.shape[1]
        operand = np.empty((part.stop - part.start, dimensions + 2), np.float32)
        np.subtract(self.center, self.rows[self.order[part]], out=operand[:, :dimensions])
        operand[:, dimensions] = self.offsets[part]
        operand[:, dimensions + 1] = 1
        return operand

    def right(self, part: slice) -> Float32[np.ndarray, "q k"]:
        """These rows on the right side of a product."""
        dimensions = self.rows.shape[1]
        operand = np.empty((part.stop - part.start, dimensions + 2), np.float32)
        np.subtract(self.rows[self.order[part]], self.center, out=operand[:, :dimensions])
        operand[:, dimensions] = 1
        operand[:, dimensions + 1] = self.offsets[part]
        return operand

    def product(self, left: Float32[np.ndarray, "p k"], part: slice) -> Keys:
        """See `Operands.product`."""
        tile = self._room(len(left), part.stop - part.start, torch.float32).numpy()
        return np.matmul(left, self.right(part).T, out=tile)

    def keys_of(self, values: Float32[np.ndarray, "p q"]) -> Keys:
        """See `Operands.keys_of`."""
        return values

    def on_one_thread(self) -> AbstractContextManager[object]:
        """See `Operands.on_one_thread`."""
        return blas_on_one_thread()


class Bfloat16Operands(Operands):
    """Rows and offsets in bfloat16, an offset as the sum of two. Keys are the bits of values in bfloat16."""

    precision = "bfloat16"
    no_value = np.int16(0x7FFF)
    largest_value = np.int16(0x7F7F)
    width = 4096
    levels = BFLOAT16_LEVELS

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        order: Int64[np.ndarray, " p"],
        center: Float32[np.ndarray, " d"],
        offsets: Float64[np.ndarray, " p"],
    ) -> None:
        super().__init__(rows, order, center, offsets)
        count, dimensions = len(order), rows.shape[1]
        rounded = np.empty((count, -(-(dimensions + 4) // 8) * 8), np.int16)  # whole vectors multiply faster
        self.remainders = np.empty(count, np.float32)
        in_blocks(
            count, ROWS_PER_TASK, lambda a, b: round_centered(a, b, rows, order, center, rounded, self.remainders)
        )
        exact = torch.from_numpy(offsets)
        self._rounded: torch.Tensor | None = torch.from_numpy(rounded).view(torch.bfloat16)
        self._rounded[:, dimensions : dimensions + 2] = 1
        self._rounded[:, dimensions + 2] = exact.bfloat16()
        self._rounded[:, dimensions + 3] = (exact - exact.bfloat16().double()).bfloat16()
        self._rounded[:, dimensions + 4 :] = 0
        self.offset_errors = 2.0**-16 * np.abs(offsets)
        # Some processors round sums to odd or towards zero, not to the nearest: twice the usual bound.
        self.sum_error = 2 * rounded.shape[1] * UNIT_ROUNDOFF

    def left(self, part: slice) -> torch.Tensor:
        """See `Operands.left`."""
        assert self._rounded is not None, "forgotten"
        dimensions = self.rows.shape[1]
        operand = -self._rounded[part]
        operand[:, dimensions : dimensions + 2] = self._rounded[part, dimensions + 2 : dimensions + 4]
        operand[:, dimensions + 2 : dimensions + 4] = 1
        return operand

    def product(self, left: torch.Tensor, part: slice) -> Keys:
        """See `Operands.product`."""
        assert self._rounded is not None, "forgotten"
        tile = self._room(len(left), part.stop - part.start, torch.bfloat16)
        torch.mm(left, self._rounded[part].T, out=tile)
        return tile.view(torch.int16).numpy()

    def keys_of(self, values: Float32[np.ndarray, "p q"]) -> Keys:
        """See `Operands.keys_of`."""
        return torch.from_numpy(values).bfloat16().view(torch.int16).numpy()

    def forget(self) -> None:
        """See `Operands.forget`."""
        super().forget()
        self._rounded = None


class Int8Operands(Operands):
    """Rows as bytes on one scale, and offsets as sums of bytes, each multiplied by 127. Keys are exact sums of products.

    The scale is that of the largest number of the rows; where that of rows `beside` is smaller, larger numbers are cut off,
    which their remainders show.
    """

    precision = "int8"
    no_value = np.int32(2**31 - 1)
    largest_value = np.int32(2**31 - 2)
    width = 2048

    MOST_OFFSET_COLUMNS = 256
    LARGEST_SUM = 2.0**30
    sum_error = 0.0

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        order: Int64[np.ndarray, " p"],
        center: Float32[np.ndarray, " d"],
        offsets: Float64[np.ndarray, " p"],
        scale: float,
        beside: Int8Operands | None = None,
    ) -> None:
        super().__init__(rows, order, center, offsets)
        count, dimensions = len(order), rows.shape[1]
        self.scale: float = scale if beside is None else beside.scale
        needed = np.abs(offsets).max(initial=0) / (127 * 127 * self.scale**2)
        # At least one: torch 2.14 multiplies bytes wrongly where the operands have a single column.
        self._extra: int = max(1, int(np.ceil(needed))) if beside is None else beside._extra
        self.levels = np.array([self.scale**2], np.float32)
        whole = np.empty((count, dimensions + 2 * self._extra), np.int8)
        self.remainders = np.empty(count, np.float32)
        in_blocks(
            count,
            ROWS_PER_TASK,
            lambda a, b: quantize_centered(a, b, rows, order, center, np.float32(self.scale), whole, self.remainders),
        )
        whole[:, dimensions : dimensions + self._extra] = 127
        left_over = np.rint(offsets / (127 * self.scale**2))
        for column in range(dimensions + self._extra, whole.shape[1]):
            digit = np.clip(left_over, -127, 127)
            whole[:, column] = digit
            left_over -= digit
        # What does not fit into the columns, for offsets beyond those that the scale was chosen for, is an error, too.
        self.offset_errors = 127 * self.scale**2 * (0.5 + np.abs(left_over)) + 2.0**-20 * np.abs(offsets)
        self._whole: torch.Tensor | None = torch.from_numpy(whole)

    def left(self, part: slice) -> torch.Tensor:
        """See `Operands.left`."""
        assert self._whole is not None, "forgotten"
        dimensions, middle = self.rows.shape[1], self.rows.shape[1] + self._extra
        operand = -self._whole[part]
        operand[:, dimensions:middle] = self._whole[part, middle:]
        operand[:, middle:] = 127
        return operand

    def product(self, left: torch.Tensor, part: slice) -> Keys:
        """See `Operands.product`."""
        assert self._whole is not None, "forgotten"
        tile = self._room(len(left), part.stop - part.start, torch.int32)
        torch._int_mm(left, self._whole[part].T, out=tile)
        return tile.numpy()

    def keys_of(self, values: Float32[np.ndarray, "p q"]) -> Keys:
        """See `Operands.keys_of`. What rounding takes here is a small part of the errors of the offsets.

        Sums of products are below `LARGEST_SUM`. Of rows that are all alike a step can be so small that the rounding of a known
        product is more steps than that; it is cut off, which brings the value nearer to the exact one.
        """
        steps = np.multiply(values, 1 / self.levels[0], out=values)
        np.clip(np.rint(steps, out=steps), -self.LARGEST_SUM, self.LARGEST_SUM, out=steps)
        return steps.astype(np.int32)

    def forget(self) -> None:
        """See `Operands.forget`."""
        super().forget()
        self._whole = None


def int8_scale(largest: float, offsets: Float64[np.ndarray, " n"]) -> float:
    """The value of one step of a byte: 127 are the largest number of the rows, or offsets take `MOST_OFFSET_COLUMNS`."""
    most = 127 * 127 * Int8Operands.MOST_OFFSET_COLUMNS
    return max(largest / 127, float(np.sqrt(np.abs(offsets).max(initial=0) / most)), 1e-18)


OPERANDS: dict[Precision, type[Operands]] = {
    each.precision: each for each in (Float32Operands, Bfloat16Operands, Int8Operands)
}
