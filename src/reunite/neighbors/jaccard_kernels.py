"""Compiled loops from weighted neighborhoods to the pairs of rows that are near: the second half of the Jaccard graph.

The rules are those of `reunite.neighbors.neighborhood_kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reunite.neighbors.neighborhood_kernels import Rows, grown


@njit(cache=True, nogil=True)
def count_holders(
    start: int, stop: int, offsets: NDArray[np.int64], columns: NDArray[np.uint32], counts: NDArray[np.int64]
) -> None:
    """Add to `counts` how many of the rows hold each column."""
    for p in range(offsets[start], offsets[stop]):
        counts[columns[p]] += 1


@njit(cache=True, nogil=True)
def share_out(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the holders of each column begin, and, in place of the `counts` (parts, n), where those of each part do."""
    starts = np.empty(counts.shape[1] + 1, np.int64)
    place = 0
    for column in range(counts.shape[1]):
        starts[column] = place
        for part in range(counts.shape[0]):
            count = counts[part, column]
            counts[part, column] = place
            place += count
    starts[counts.shape[1]] = place
    return starts


@njit(cache=True, nogil=True)
def place_holders(
    start: int,
    stop: int,
    offsets: NDArray[np.int64],
    columns: NDArray[np.uint32],
    values: NDArray[np.float32],
    free: NDArray[np.int64],
    holders: NDArray[np.uint32],
    weights: NDArray[np.float32],
) -> None:
    """Write the rows and their weights to the columns they hold, each to the next `free` place of the column."""
    for i in range(start, stop):
        for p in range(offsets[i], offsets[i + 1]):
            place = free[columns[p]]
            free[columns[p]] = place + 1
            holders[place] = i
            weights[place] = values[p]


@njit(cache=True, nogil=True)
def near_pairs(
    start: int,
    stop: int,
    offsets: NDArray[np.int64],
    columns: NDArray[np.uint32],
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    holders: NDArray[np.uint32],
    weights: NDArray[np.float32],
    max_distance: float,
    least: float,
    spare: float,
    shared: NDArray[np.float32],
    own: NDArray[np.float32],
    met: NDArray[np.uint32],
) -> Rows:
    """Jaccard distances of each row i to the rows j > i that are at most `max_distance` away, columns in any order.

    Most rows that share a column with i share no more than a little. So the last columns of i, of a weight of up to `spare`
    together, are not looked up. Rows that share less than `least` in the others cannot reach `least` + `spare` and are ruled
    out; the sum of those left is computed anew, from all columns, where columns were spared.

    Args:
        start: the first row.
        stop: the row after the last.
        offsets: of the rows in `columns` and `values`.
        columns: of the entries of rows.
        values: likewise.
        starts: of the columns in `holders` and `weights`.
        holders: the rows that hold a column, ascending.
        weights: likewise.
        max_distance: of pairs that are kept.
        least: shared weight below which no row comes into question, `spare` aside.
        spare: weight that is not looked up; 0 is none.
        shared: scratch (n,), all 0.
        own: likewise.
        met: scratch (n + 1,).
    """
    lengths = np.empty(stop - start, np.int32)
    out_columns = np.empty(16 * (stop - start), np.uint32)
    out_values = np.empty(out_columns.shape[0], np.float32)
    used = 0
    for i in range(start, stop):
        last = offsets[i + 1]
        spared = np.float32(0)
        while last > offsets[i] and spared + values[last - 1] <= spare:
            last -= 1
            spared += values[last]
        size = 0
        for p in range(offsets[i], last):
            value = values[p]
            q = starts[columns[p] + 1] - 1
            j = holders[q]
            while j > np.uint32(i):  # i holds the column itself: the walk ends there
                before = shared[j]
                met[size] = j
                size += before == 0
                shared[j] = before + min(value, weights[q])
                q -= 1
                j = holders[q]
        candidates = 0
        out_columns = grown(out_columns, used, size)
        out_values = grown(out_values, used, size)
        for m in range(size):
            j = met[m]
            out_columns[used + candidates] = j
            out_values[used + candidates] = shared[j]
            candidates += shared[j] >= least
            shared[j] = 0
        if spared > 0 and candidates:
            for p in range(offsets[i], offsets[i + 1]):
                own[columns[p]] = values[p]
            for m in range(used, used + candidates):
                total = np.float32(0)
                for p in range(offsets[out_columns[m]], offsets[out_columns[m] + 1]):
                    total += min(values[p], own[columns[p]])
                out_values[m] = total
            for p in range(offsets[i], offsets[i + 1]):
                own[columns[p]] = 0
        first = used
        for m in range(first, first + candidates):
            distance = max(np.float32(0), np.float32(1) - out_values[m] / (np.float32(2) - out_values[m]))
            out_columns[used] = out_columns[m]
            out_values[used] = distance
            used += distance <= max_distance
        lengths[i - start] = used - first
    return lengths, out_columns[:used], out_values[:used]


@njit(cache=True, nogil=True)
def mirror(
    offsets: NDArray[np.int64],
    columns: NDArray[np.uint32],
    values: NDArray[np.float32],
    order: NDArray[np.uint32],
    place: NDArray[np.uint32],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The symmetric matrix of pairs, called as before rows were put in `order`, with a diagonal of zeros.

    A row is written to the rows it is near to, one after another: so columns are ascending, and nothing is sorted.
    """
    n = offsets.shape[0] - 1
    begin = np.zeros(n + 1, np.int64)  # the counts, each one place behind its row, and then their sums
    for i in range(n):
        begin[i + 1] = offsets[i + 1] - offsets[i]
    for column in columns:
        begin[column + 1] += 1
    starts = np.zeros(n + 1, np.int64)
    for i in range(n):
        starts[i + 1] = starts[i] + 1 + begin[place[i] + 1]
    for i in range(n):
        begin[i + 1] += begin[i]
    free = begin.copy()
    others = np.empty(begin[n], np.uint32)
    distances = np.empty(begin[n], np.float32)
    for i in range(n):
        for p in range(offsets[i], offsets[i + 1]):
            j = columns[p]
            others[free[i]], distances[free[i]] = order[j], values[p]
            others[free[j]], distances[free[j]] = order[i], values[p]
            free[i] += 1
            free[j] += 1
    for i in range(n):
        free[i] = starts[i]
    out_columns = np.empty(starts[n], np.int32)
    out_values = np.empty(starts[n], np.float32)
    for i in range(n):
        out_columns[free[i]], out_values[free[i]] = i, 0
        free[i] += 1
        for p in range(begin[place[i]], begin[place[i] + 1]):
            j = others[p]
            out_columns[free[j]], out_values[free[j]] = i, distances[p]
            free[j] += 1
    return starts, out_columns, out_values
