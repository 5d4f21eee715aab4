"""Compiled loops from nearest neighbors to weighted reciprocal neighborhoods: the first half of the Jaccard graph.

Each handles the rows [start, stop), writes nothing that others read meanwhile and releases the GIL: blocks of rows run in
threads, in any order, and the result does not depend on how many there are. Scratch is as long as there are rows, belongs to
a thread, and is left as it was found. Rows of different length come back as (length of each row, columns, values), their
columns in the order of discovery. Columns are unsigned: a signed index would be asked at every use whether it is negative.
Lists are appended to without a branch (write, then count it or not), because whether a column is new is a coin toss.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reunite.neighbors.operand_kernels import dot

Rows = tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.float32]]

REACH = 8
"""Neighbors that `walk` may go on to from a row."""

NOTHING = np.float32(1e-30)
"""Weights up to this are left out: no sum sees them, and whether a column was met is told by a sum that is not 0."""


@njit(cache=True, nogil=True)
def walk(indices: NDArray[np.int64]) -> NDArray[np.uint32]:
    """All rows in the order of a depth-first walk along nearest neighbors.

    Rows that come one after another have much the same neighbors, whose embeddings and lists are then in the cache.
    """
    n = indices.shape[0]
    reach = min(REACH, indices.shape[1])
    order = np.empty(n, np.uint32)
    placed = np.zeros(n, np.bool_)
    waiting = np.empty(n * reach + 1, np.uint32)
    done = 0
    for first in range(n):
        waiting[0] = first
        size = 1
        while size:
            size -= 1
            i = waiting[size]
            if placed[i]:
                continue
            placed[i] = True
            order[done] = i
            done += 1
            for a in range(reach - 1, -1, -1):  # the nearest is next
                waiting[size] = indices[i, a]
                size += not placed[indices[i, a]]
    return order


@njit(cache=True, nogil=True)
def rename(
    start: int,
    stop: int,
    indices: NDArray[np.int64],
    order: NDArray[np.uint32],
    place: NDArray[np.uint32],
    near: NDArray[np.uint32],
) -> None:
    """Neighbor lists of rows in `order`, which are then called by their `place` in it."""
    for i in range(start, stop):
        for a in range(near.shape[1]):
            near[i, a] = place[indices[order[i], a]]


@njit(cache=True, nogil=True)
def position(near: NDArray[np.uint32], i: np.uint32, j: np.uint32, width: int) -> np.int32:
    """Where j is among the first `width` neighbors of i; -1 if it is not. Without a way out, so that it is vectors."""
    found = np.int32(-1)
    for a in range(width):
        found = max(found, np.int32(a) if near[i, a] == j else np.int32(-1))
    return found


@njit(cache=True, nogil=True)
def reciprocal(
    start: int,
    stop: int,
    near: NDArray[np.uint32],
    half: int,
    members: NDArray[np.uint32],
    counts: NDArray[np.int32],
) -> None:
    """Among the neighbors of each row, as many as `members` has room for, those that have the row among theirs.

    Those that are so among the first `half` neighbors come first: `counts` is how many, and how many there are in all.
    """
    width = members.shape[1]
    inner = np.empty(width + 1, np.uint32)
    outer = np.empty(width + 1, np.uint32)
    for i in range(start, stop):
        inside = 0
        outside = 0
        for a in range(width):
            j = near[i, a]
            b = position(near, j, np.uint32(i), width)
            is_half = (a < half) & (b >= 0) & (b < half)
            inner[inside] = j
            outer[outside] = j
            inside += int(is_half)
            outside += int((b >= 0) & (not is_half))
        for m in range(inside):
            members[i, m] = inner[m]
        for m in range(outside):
            members[i, inside + m] = outer[m]
        counts[i, 0] = inside
        counts[i, 1] = inside + outside


@njit(cache=True, nogil=True)
def expanded(
    i: int,
    members: NDArray[np.uint32],
    counts: NDArray[np.int32],
    mark: NDArray[np.uint8],
    found: NDArray[np.uint32],
) -> int:
    """Write row i's reciprocal set, joined by the half sets that share over 2/3 with it, to `found`; its size.

    `mark` is 1 for the reciprocal set and 2 for what joined it, afterwards; 0 elsewhere.
    """
    size = counts[i, 1]
    for m in range(size):
        found[m] = members[i, m]
        mark[members[i, m]] = 1
    for m in range(counts[i, 1]):
        candidate = members[i, m]
        total = counts[candidate, 0]
        shared = 0
        for t in range(total):
            shared += mark[members[candidate, t]] & 1
        if 3 * shared > 2 * total:
            for t in range(total):
                j = members[candidate, t]
                new = mark[j] == 0
                found[size] = j
                size += new
                mark[j] |= np.uint8(2 * new)
    return size


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
def encode(
    start: int,
    stop: int,
    near: NDArray[np.uint32],
    similarity: NDArray[np.float32],
    rows: NDArray[np.float32],
    order: NDArray[np.uint32],
    scale: NDArray[np.float32],
    members: NDArray[np.uint32],
    counts: NDArray[np.int32],
    mark: NDArray[np.uint8],
    known: NDArray[np.int32],
    found: NDArray[np.uint32],
) -> Rows:
    """Softmax of minus the squared distance, times the row's scale, over the expanded reciprocal set of each row.

    `similarity`, `rows` and `scale` are as they were before rows were put in `order`. A product that the search has found,
    from either side, is not computed again.
    """
    width = near.shape[1]
    lengths = np.empty(stop - start, np.int32)
    columns = np.empty(members.shape[1] * (stop - start), np.uint32)
    values = np.empty(columns.shape[0], np.float32)
    used = 0
    for i in range(start, stop):
        size = expanded(i, members, counts, mark, found)
        columns = grown(columns, used, size)
        values = grown(values, used, size)
        for a in range(width):
            known[near[i, a]] = a + 1
        largest = np.float32(-np.inf)
        for m in range(size):
            j = found[m]
            mark[j] = 0
            a = known[j] - 1
            if a >= 0:
                product = similarity[order[i], a]
            else:
                b = position(near, j, np.uint32(i), width)
                product = similarity[order[j], b] if b >= 0 else dot(rows[order[i]], rows[order[j]])
            values[used + m] = scale[order[i]] * (np.float32(2) * product - np.float32(2))
            largest = max(largest, values[used + m])
        for a in range(width):
            known[near[i, a]] = 0
        total = np.float32(0)
        for m in range(used, used + size):
            values[m] = np.exp(values[m] - largest)
            total += values[m]
        first = used
        for m in range(size):
            weight = values[first + m] / total
            columns[used] = found[m]
            values[used] = weight
            used += weight > NOTHING
        lengths[i - start] = used - first
    return lengths, columns[:used], values[:used]


@njit(cache=True, nogil=True)
def count_union(
    start: int,
    stop: int,
    near: NDArray[np.uint32],
    k2: int,
    sizes: NDArray[np.int64],
    last: NDArray[np.int64],
    offsets: NDArray[np.int64],
    columns: NDArray[np.uint32],
) -> None:
    """Columns that the sparse rows of each row's first `k2` neighbors have together. `last` is scratch, all -1 at first."""
    for i in range(start, stop):
        size = 0
        for a in range(k2):
            for p in range(offsets[near[i, a]], offsets[near[i, a] + 1]):
                size += last[columns[p]] != i
                last[columns[p]] = i
        sizes[i] = size


@njit(cache=True, nogil=True)
def average(
    start: int,
    stop: int,
    near: NDArray[np.uint32],
    k2: int,
    out_offsets: NDArray[np.int64],
    out_columns: NDArray[np.uint32],
    out_values: NDArray[np.float32],
    total: NDArray[np.float32],
    met: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    columns: NDArray[np.uint32],
    values: NDArray[np.float32],
) -> None:
    """Query expansion: the mean of the sparse rows of each row's first `k2` neighbors. `total` and `met` are scratch."""
    for i in range(start, stop):
        size = 0
        for a in range(k2):
            for p in range(offsets[near[i, a]], offsets[near[i, a] + 1]):
                column = columns[p]
                before = total[column]
                met[size] = column
                size += before == 0
                total[column] = before + values[p]
        for m in range(size):
            out_columns[out_offsets[i] + m] = met[m]
            out_values[out_offsets[i] + m] = total[met[m]] / np.float32(k2)
            total[met[m]] = 0
