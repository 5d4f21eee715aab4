"""Compiled conversion of products of rows into their distances, in place and mirrored."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reunite.cluster.blocks import ROUNDING

TILE = 128
"""Rows and columns converted at once, in 64 KB: the mirror image is written from the cache."""

NEAR = np.float32(2.0**-7)
"""Of |x|^2 + |y|^2: what is left below it is measured by the difference of the rows."""

ZERO = np.float32(ROUNDING)
TWO = np.float32(2)


@njit(cache=True, nogil=True)
def from_products(
    matrix: NDArray[np.float32],
    rows: NDArray[np.float32],
    squares: NDArray[np.float32],
    euclidean: bool,
    start: int,
    stop: int,
    left: int,
    right: int,
) -> None:
    """Products in rows `start` to `stop` and columns `left` to `right` become distances, there and in the mirror image.

    `left - start` is a multiple of `TILE`: no tile but those on the diagonal reaches below it. `squares` are the squared
    lengths of the rows.
    """
    tile = np.empty((TILE, TILE), np.float32)
    for top in range(start, stop, TILE):
        bottom = min(top + TILE, stop)
        for first in range(max(left, top), right, TILE):
            last = min(first + TILE, right)
            width = last - first
            for i in range(top, bottom):
                values = tile[i - top, :width]
                if subtract(matrix[i, first:last], squares[i], squares[first:last], values):
                    measure_near(rows, squares, i, first, values)
                if euclidean:
                    for j in range(width):
                        values[j] = np.sqrt(values[j])
            if first == top:  # the two products of a pair may differ by rounding
                for i in range(width):
                    tile[i, i] = np.inf
                    for j in range(i):
                        tile[i, j] = tile[j, i]
            else:
                for j in range(width):
                    mirror = matrix[first + j, top:bottom]
                    for i in range(bottom - top):
                        mirror[i] = tile[i, j]
            for i in range(top, bottom):
                matrix[i, first:last] = tile[i - top, :width]


@njit(cache=True, nogil=True)
def subtract(
    products: NDArray[np.float32], square: np.float32, squares: NDArray[np.float32], values: NDArray[np.float32]
) -> np.int32:
    """Squared distances of a row to some rows by its products with them; how many of these are near it."""
    near = np.int32(0)
    for j in range(values.shape[0]):
        both = square + squares[j]
        value = both - TWO * products[j]
        near = np.int32(near + np.int32(value < NEAR * both))
        values[j] = value if value >= ZERO else np.float32(0)
    return near


@njit(cache=True, nogil=True)
def measure_near(
    rows: NDArray[np.float32], squares: NDArray[np.float32], i: int, first: int, values: NDArray[np.float32]
) -> None:
    """Put the squared length of the difference where row `i` is near one of the rows from `first` on."""
    for j in range(values.shape[0]):
        if values[j] < NEAR * (squares[i] + squares[first + j]):
            value = squared_difference(rows[i], rows[first + j])
            values[j] = value if value >= ZERO else np.float32(0)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def squared_difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """|a - b|^2. The sum may be formed in any order, and so in vectors."""
    total = np.float32(0)
    for k in range(a.shape[0]):
        apart = a[k] - b[k]
        total += apart * apart
    return total
