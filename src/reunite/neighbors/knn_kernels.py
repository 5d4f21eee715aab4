"""Compiled selection of the k best columns of every row, from tiles of similarities that come one after another.

`similarity` (m, k), descending, and `indices` (m, k) hold the best met so far; they begin at minus infinity and -1.
Columns come in ascending order and only a larger value moves in, so ties go to the lower index, at the k-th place too.
Each call writes the rows it is given and no others: calls for different rows can run in threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CHUNK = 64
"""Values compared at once, in vectors, before any is looked at: nearly all chunks hold nothing new."""


@njit(cache=True, nogil=True)
def insert(similarity: NDArray[np.float32], indices: NDArray[np.int64], value: np.float32, index: int) -> None:
    """Put `value` in its place behind its equals; the last one drops out."""
    place = similarity.shape[0] - 1
    while place > 0 and similarity[place - 1] < value:
        similarity[place] = similarity[place - 1]
        indices[place] = indices[place - 1]
        place -= 1
    similarity[place] = value
    indices[place] = index


@njit(cache=True, nogil=True)
def offer_columns(
    start: int,
    stop: int,
    tile: NDArray[np.float32],
    first_column: int,
    similarity: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> None:
    """Offer the columns of `tile` to the rows [start, stop) of all three arrays."""
    last = similarity.shape[1] - 1
    for i in range(start, stop):
        for left in range(0, tile.shape[1], CHUNK):
            right = min(left + CHUNK, tile.shape[1])
            worst = similarity[i, last]
            better = np.int32(0)
            for j in range(left, right):
                better = np.int32(better + np.int32(tile[i, j] > worst))
            if better:
                for j in range(left, right):
                    if tile[i, j] > similarity[i, last]:
                        insert(similarity[i], indices[i], tile[i, j], first_column + j)


@njit(cache=True, nogil=True)
def offer_rows(
    start: int,
    stop: int,
    tile: NDArray[np.float32],
    first_row: int,
    similarity: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> None:
    """The transpose: offer the rows of `tile` to its columns [start, stop), which are rows of the other two arrays."""
    last = similarity.shape[1] - 1
    worst = similarity[start:stop, last].copy()
    for i in range(tile.shape[0]):
        for left in range(start, stop, CHUNK):
            right = min(left + CHUNK, stop)
            better = np.int32(0)
            for j in range(left, right):
                better = np.int32(better + np.int32(tile[i, j] > worst[j - start]))
            if better:
                for j in range(left, right):
                    if tile[i, j] > worst[j - start]:
                        insert(similarity[j], indices[j], tile[i, j], first_row + i)
                        worst[j - start] = similarity[j, last]
