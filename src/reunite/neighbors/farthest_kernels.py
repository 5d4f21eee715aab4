"""Compiled selection of the pairs that can be the farthest of a row; calls for different rows can run in threads.

At place i of the tiles stands row order[i]. Of each place, `keys` and `columns` (n, room) hold the candidates so far, as many
as `counts` says, and `limits` the smallest key that can still be of use.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reunite.neighbors.candidate_kernels import CHUNK, Key
from reunite.neighbors.operand_kernels import dot


@njit(cache=True, nogil=True)
def least_of(value: float, levels: NDArray[np.float32]) -> Key:
    """The key of the highest level that is not above `value`; the least of all keys if there is none."""
    if levels.shape[0] == 1:
        return value if levels[0] == 1 else np.floor(value / levels[0])
    if value <= 0:
        return -32768.0
    return float(np.searchsorted(levels, np.float32(value * (1 - 2.0**-22)), "right") - 1)


@njit(cache=True, nogil=True)
def take(
    i: int,
    key: Key,
    column: int,
    keys: NDArray[Key],
    columns: NDArray[np.int32],
    counts: NDArray[np.int32],
    limits: NDArray[Key],
    slack: NDArray[np.float32],
    levels: NDArray[np.float32],
    order: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> None:
    """One more candidate of row i, and a higher limit if it is the farthest so far."""
    if counts[i] == keys.shape[1]:
        kept = 0
        for a in range(counts[i]):
            if keys[i, a] >= limits[i]:
                keys[i, kept], columns[i, kept] = keys[i, a], columns[i, a]
                kept += 1
        if kept == keys.shape[1]:  # nearly all are alike: their products decide
            smallest: Key = np.float32(np.inf)
            for a in range(kept):
                product = dot(rows[order[i]], rows[order[columns[i, a]]])
                if product < smallest:
                    smallest, columns[i, 0] = product, columns[i, a]
            keys[i, 0] = least_of(1.0 - smallest, levels)
            limits[i] = max(limits[i], least_of(1.0 - smallest - slack[i] / 2, levels))
            kept = 1
        counts[i] = kept
    keys[i, counts[i]], columns[i, counts[i]] = key, column
    counts[i] += 1
    value = key * np.float64(levels[0]) if levels.shape[0] == 1 else levels[max(int(key), 0)] / (1 + 2.0**-8)
    limits[i] = max(limits[i], least_of(value - slack[i], levels))


@njit(cache=True, nogil=True)
def offer_far(
    tile: NDArray[Key],
    nothing: Key,
    first_row: int,
    first_column: int,
    column_limits: NDArray[Key],
    keys: NDArray[Key],
    columns: NDArray[np.int32],
    counts: NDArray[np.int32],
    limits: NDArray[Key],
    slack: NDArray[np.float32],
    levels: NDArray[np.float32],
    order: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> None:
    """Offer the pairs of `tile` to its rows and its columns; keys are `nothing` for a row and itself.

    `column_limits` are the limits of the columns of the tile, a view; or `nothing`, where columns take nothing.
    """
    for a in range(tile.shape[0]):
        i = first_row + a
        row = tile[a]
        for start in range(0, row.shape[0], CHUNK):
            chunk, others = row[start : start + CHUNK], column_limits[start : start + CHUNK]
            own = limits[i]
            found = np.int16(chunk.shape[0] < CHUNK)
            if not found:
                for j in range(CHUNK):
                    found = np.int16(found | np.int16(chunk[j] >= min(own, others[j])))
            if found:
                for j in range(chunk.shape[0]):
                    key, other = chunk[j], first_column + start + j
                    if key == nothing:
                        continue
                    if key >= limits[i]:
                        take(i, key, other, keys, columns, counts, limits, slack, levels, order, rows)
                    if key >= others[j]:
                        take(other, key, i, keys, columns, counts, limits, slack, levels, order, rows)


@njit(cache=True, nogil=True)
def smallest_of(
    start: int,
    stop: int,
    keys: NDArray[Key],
    columns: NDArray[np.int32],
    counts: NDArray[np.int32],
    limits: NDArray[Key],
    order: NDArray[np.int64],
    rows: NDArray[np.float32],
    smallest: NDArray[np.float32],
) -> None:
    """The smallest product of the rows order[start:stop] with one of their candidates."""
    for i in range(start, stop):
        least = np.float32(np.inf)
        for a in range(counts[i]):
            if keys[i, a] >= limits[i]:
                least = min(least, dot(rows[order[i]], rows[order[columns[i, a]]]))
        smallest[order[i]] = least
