"""Compiled preparation of rows for products at low precision, and the inner product that decides in the end."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Inner product; the order of the sum is left to the vector units, and is the same for (a, b) and (b, a)."""
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def measure_centered(
    start: int,
    stop: int,
    rows: NDArray[np.float32],
    center: NDArray[np.float32],
    lengths: NDArray[np.float32],
    along: NDArray[np.float64],
    largest: NDArray[np.float32],
) -> None:
    """Of each row minus `center`: its length, its inner product with `center`, and its largest number, signs aside.

    A loop for each of the three, over a row that is in the cache: each then runs in vector registers. Sizes of numbers are
    compared by their bits, which are in the same order, because a largest number of floats would not.
    """
    difference = np.empty(rows.shape[1], np.float32)
    bits = difference.view(np.uint32)
    for i in range(start, stop):
        row = rows[i]
        for q in range(row.shape[0]):
            difference[q] = row[q] - center[q]
        square, product, most = np.float32(0), 0.0, np.uint32(0)
        for q in range(row.shape[0]):
            square += difference[q] * difference[q]
        for q in range(row.shape[0]):
            product += np.float64(difference[q]) * np.float64(center[q])
        for q in range(row.shape[0]):
            most = max(most, bits[q] & np.uint32(0x7FFFFFFF))
        lengths[i] = np.sqrt(square)
        along[i] = product
        bits[0] = most
        largest[i] = difference[0]


@njit(cache=True, nogil=True)
def known_values(
    products: NDArray[np.float32],
    rows: NDArray[np.int64],
    of_rows: NDArray[np.float64],
    columns: NDArray[np.int64],
    of_columns: NDArray[np.float64],
) -> NDArray[np.float32]:
    """What belongs to a row, and to a column, minus the product of the two."""
    values = np.empty((rows.shape[0], columns.shape[0]), np.float32)
    for a in range(rows.shape[0]):
        known, own = products[rows[a]], np.float32(of_rows[a])
        for b in range(columns.shape[0]):
            values[a, b] = own + np.float32(of_columns[b]) - known[columns[b]]
    return values


@njit(cache=True, nogil=True)
def descend(
    start: int,
    stop: int,
    rows: NDArray[np.float32],
    directions: NDArray[np.float32],
    middles: NDArray[np.float32],
    group: NDArray[np.int64],
) -> None:
    """The group of each of the rows [start, stop): below plane p, its lower side is 2 p + 1 and its upper one 2 p + 2."""
    for i in range(start, stop):
        plane = 0
        while plane < directions.shape[0]:
            plane = 2 * plane + 1 + (dot(rows[i], directions[plane]) >= middles[plane])
        group[i] = plane


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def round_centered(
    start: int,
    stop: int,
    rows: NDArray[np.float32],
    order: NDArray[np.int64],
    center: NDArray[np.float32],
    rounded: NDArray[np.int16],
    remainders: NDArray[np.float32],
) -> None:
    """Rows order[start:stop] minus `center` to the nearest bfloat16, ties to even, as bits; and the length of what that took.

    The values are finite, so that no bits need special care. `rounded` has more columns than `rows`; these are left alone.
    """
    exact = np.empty(rows.shape[1], np.float32)
    kept = np.empty(rows.shape[1], np.uint32)
    bits, back = exact.view(np.uint32), kept.view(np.float32)
    for i in range(start, stop):
        row = rows[order[i]]
        for q in range(rows.shape[1]):
            exact[q] = row[q] - center[q]
        for q in range(rows.shape[1]):
            up = bits[q] + np.uint32(0x7FFF) + ((bits[q] >> np.uint32(16)) & np.uint32(1))
            kept[q] = up & np.uint32(0xFFFF0000)
            rounded[i, q] = np.int16(up >> np.uint32(16))
        square = np.float32(0)
        for q in range(rows.shape[1]):
            lost = exact[q] - back[q]  # exact: the two share their leading bits
            square += lost * lost
        remainders[i] = np.sqrt(square)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def quantize_centered(
    start: int,
    stop: int,
    rows: NDArray[np.float32],
    order: NDArray[np.int64],
    center: NDArray[np.float32],
    scale: np.float32,
    whole: NDArray[np.int8],
    remainders: NDArray[np.float32],
) -> None:
    """Rows order[start:stop] minus `center` in steps of `scale`, at most 127 of them; and the length of what that took away."""
    steps = np.float32(1) / scale
    for i in range(start, stop):
        row = rows[order[i]]
        square = np.float32(0)
        for q in range(rows.shape[1]):
            exact = row[q] - center[q]
            step = np.rint(min(max(exact * steps, np.float32(-127)), np.float32(127)))
            whole[i, q] = np.int8(step)
            lost = exact - step * scale
            square += lost * lost
        remainders[i] = np.sqrt(square)
