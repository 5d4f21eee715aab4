"""Compiled loops of the k-reciprocal Jaccard graph. Each handles the rows [start, stop) and depends on nothing else.

They release the GIL and share no memory that is written, so blocks of rows run in threads, in any order, and the result
does not depend on how many there are. Variable-length rows come back as (length of each row, columns, values).
Accumulation is float32 in ascending order of the columns, like the authors' NumPy code.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Inner product; the one place where the order of a sum is left to the vector units, as in any BLAS."""
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def ascending(members: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """The first `size` members in order; on its own, because sorting takes long to compile."""
    return np.sort(members[:size])


@njit(cache=True, nogil=True)
def reciprocal(start: int, stop: int, indices: NDArray[np.int64], width: int) -> NDArray[np.int32]:
    """Among the first `width` neighbors of each row, those that have the row among theirs; -1 fills the rest."""
    found = np.full((stop - start, width), -1, np.int32)
    for i in range(start, stop):
        count = 0
        for a in range(width):
            j = indices[i, a]
            for b in range(width):
                if indices[j, b] == i:
                    found[i - start, count] = j
                    count += 1
                    break
    return found


@njit(cache=True, nogil=True)
def expanded(
    full: NDArray[np.int32], half: NDArray[np.int32], i: int, seen: NDArray[np.int64], members: NDArray[np.int32]
) -> int:
    """Write row i's reciprocal set, joined by the half sets that share over 2/3 with it, to `members`; its size.

    `seen` is scratch of length n: 2 i + 1 marks the reciprocal set of i and 2 i what joined it. Rows come in ascending
    order, so the marks of earlier rows are smaller and need no clearing.
    """
    size = 0
    for j in full[i]:
        if j >= 0:
            seen[j] = 2 * i + 1
            members[size] = j
            size += 1
    for candidate in members[:size].copy():
        shared = 0
        total = 0
        for j in half[candidate]:
            if j >= 0:
                total += 1
                shared += seen[j] == 2 * i + 1
        if 3 * shared > 2 * total:
            for j in half[candidate]:
                if j >= 0 and seen[j] < 2 * i:
                    seen[j] = 2 * i
                    members[size] = j
                    size += 1
    return size


@njit(cache=True, nogil=True)
def encode(
    start: int,
    stop: int,
    full: NDArray[np.int32],
    half: NDArray[np.int32],
    indices: NDArray[np.int64],
    similarity: NDArray[np.float32],
    rows: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> Rows:
    """Softmax of minus the squared distance, times the row's scale, over the expanded reciprocal set of each row."""
    n = full.shape[0]
    seen = np.full(n, -1, np.int64)
    known = np.full(n, -1, np.int64)
    near = np.empty(n, np.float32)
    members = np.empty(min(n, full.shape[1] * (half.shape[1] + 1)), np.int32)
    lengths = np.empty(stop - start, np.int64)
    columns = np.empty((stop - start) * members.shape[0], np.int32)  # room for the worst case
    values = np.empty(columns.shape[0], np.float32)
    used = 0
    for i in range(start, stop):
        size = expanded(full, half, i, seen, members)
        ordered = ascending(members, size)
        for a in range(indices.shape[1]):  # similarities from the search are not computed again
            known[indices[i, a]] = i
            near[indices[i, a]] = similarity[i, a]
        for m in range(size):
            j = ordered[m]
            columns[used + m] = j
            product = near[j] if known[j] == i else dot(rows[i], rows[j])
            values[used + m] = scale[i] * (np.float32(2) * product - np.float32(2))
        largest = values[used : used + size].max()
        total = np.float32(0)
        for m in range(used, used + size):
            values[m] = np.exp(values[m] - largest)
            total += values[m]
        for m in range(used, used + size):
            values[m] /= total
        lengths[i - start] = size
        used += size
    return lengths, columns[:used], values[:used]


@njit(cache=True, nogil=True)
def average(
    start: int,
    stop: int,
    neighbors: NDArray[np.int64],
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> Rows:
    """Query expansion: the mean of the sparse rows of each row's `neighbors`, added in their order."""
    n = offsets.shape[0] - 1
    total = np.zeros(n, np.float32)
    met = np.full(n, -1, np.int64)
    touched = np.empty(n, np.int32)
    lengths = np.empty(stop - start, np.int64)
    room = 0
    for i in range(start, stop):
        for j in neighbors[i]:
            room += offsets[j + 1] - offsets[j]
    out_columns = np.empty(room, np.int32)
    out_values = np.empty(room, np.float32)
    used = 0
    for i in range(start, stop):
        size = 0
        for j in neighbors[i]:
            for p in range(offsets[j], offsets[j + 1]):
                column = columns[p]
                if met[column] != i:
                    met[column] = i
                    total[column] = 0
                    touched[size] = column
                    size += 1
                total[column] += values[p]
        ordered = ascending(touched, size)
        for m in range(size):
            out_columns[used + m] = ordered[m]
            out_values[used + m] = total[ordered[m]] / np.float32(neighbors.shape[1])
        lengths[i - start] = size
        used += size
    return lengths, out_columns[:used], out_values[:used]


@njit(cache=True, nogil=True)
def invert(
    offsets: NDArray[np.int64], columns: NDArray[np.int32], values: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """The rows that hold each column, ascending: offsets, rows, values, and where every entry of the input went."""
    n = offsets.shape[0] - 1
    starts = np.zeros(n + 1, np.int64)
    for column in columns:
        starts[column + 1] += 1
    for column in range(n):
        starts[column + 1] += starts[column]
    free = starts[:-1].copy()
    holders = np.empty(columns.shape[0], np.int32)
    weights = np.empty(columns.shape[0], np.float32)
    places = np.empty(columns.shape[0], np.int64)
    for i in range(n):
        for p in range(offsets[i], offsets[i + 1]):
            place = free[columns[p]]
            free[columns[p]] += 1
            holders[place] = i
            weights[place] = values[p]
            places[p] = place
    return starts, holders, weights, places


@njit(cache=True, nogil=True)
def grown(array: NDArray, used: int, room: int) -> NDArray:
    """`array` itself if `room` more values fit behind the `used` ones, else a longer copy."""
    if used + room <= array.shape[0]:
        return array
    longer = np.empty(max(2 * array.shape[0], used + room), array.dtype)
    for i in range(used):
        longer[i] = array[i]
    return longer


@njit(cache=True, nogil=True)
def near_pairs(
    start: int,
    stop: int,
    offsets: NDArray[np.int64],
    values: NDArray[np.float32],
    columns: NDArray[np.int32],
    starts: NDArray[np.int64],
    holders: NDArray[np.int32],
    weights: NDArray[np.float32],
    places: NDArray[np.int64],
    max_distance: float,
) -> Rows:
    """Jaccard distances of each row i to the rows j > i that are at most `max_distance` away, columns ascending."""
    n = offsets.shape[0] - 1
    shared = np.zeros(n, np.float32)
    touched = np.empty(n, np.int32)
    lengths = np.empty(stop - start, np.int64)
    out_columns = np.empty(16 * (stop - start), np.int32)
    out_values = np.empty(out_columns.shape[0], np.float32)
    used = 0
    for i in range(start, stop):
        size = 0
        for p in range(offsets[i], offsets[i + 1]):
            for q in range(places[p] + 1, starts[columns[p] + 1]):
                j = holders[q]
                if shared[j] == 0:
                    touched[size] = j
                    size += 1
                shared[j] += min(values[p], weights[q])
        kept = 0
        for t in range(size):  # distances replace the shared weights; near columns move to the front
            j = touched[t]
            distance = max(np.float32(0), np.float32(1) - shared[j] / (np.float32(2) - shared[j]))
            shared[j] = distance
            if distance <= max_distance:
                touched[t], touched[kept] = touched[kept], j
                kept += 1
        out_columns = grown(out_columns, used, kept)
        out_values = grown(out_values, used, kept)
        ordered = ascending(touched, kept)
        for m in range(kept):
            out_columns[used + m] = ordered[m]
            out_values[used + m] = shared[ordered[m]]
        for t in range(size):
            shared[touched[t]] = 0
        lengths[i - start] = kept
        used += kept
    return lengths, out_columns[:used], out_values[:used]


@njit(cache=True, nogil=True)
def mirror(
    offsets: NDArray[np.int64], columns: NDArray[np.int32], values: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The symmetric matrix of a strict upper triangle, with an explicit diagonal of zeros and columns ascending."""
    n = offsets.shape[0] - 1
    starts = np.zeros(n + 1, np.int64)
    for i in range(n):
        starts[i + 1] += 1 + offsets[i + 1] - offsets[i]
    for column in columns:
        starts[column + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    free = starts[:-1].copy()
    out_columns = np.empty(starts[n], np.int32)
    out_values = np.empty(starts[n], np.float32)
    for i in range(n):  # everything left of the diagonal of row i was placed by the rows above
        out_columns[free[i]] = i
        out_values[free[i]] = 0
        free[i] += 1
        for p in range(offsets[i], offsets[i + 1]):
            j = columns[p]
            out_columns[free[i]], out_values[free[i]] = j, values[p]
            out_columns[free[j]], out_values[free[j]] = i, values[p]
            free[i] += 1
            free[j] += 1
    return starts, out_columns, out_values
