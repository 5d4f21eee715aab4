"""Compiled agglomeration on a square matrix of distances between clusters, which is used up on the way.

`distances` (c, c) float32 is symmetric with infinity on its diagonal and holds no negative number, no -0.0 and no NaN;
`sizes` (c,) are the rows in each cluster.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

AVERAGE, SINGLE, COMPLETE, WARD = range(4)

CHUNK = 256
"""Distances compared at once, in vectors; only the chunk with the smallest is looked at one by one."""

GONE = np.int32(2**31 - 1)
"""Above the bits of any distance: put for clusters that are part of another one."""


@njit(cache=True, nogil=True)
def nearest_neighbor_chain(
    distances: NDArray[np.float32], sizes: NDArray[np.int64], linkage: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All c - 1 merges of the tree, O(c^2): the lowest clusters in the two sides, and heights, in the order found.

    Follows nearest neighbors from cluster to cluster until two are nearest to each other, and merges these. The
    linkages here are reducible (a merge brings no cluster nearer to a third), so the tree is that of always merging
    the closest pair. No merge is lower than those below it, by rounding either: float64 arithmetic on float32 distances
    errs by less than a step of float32.

    The union takes the row of the side with the lower cluster. Its column is not written, which would touch as many
    pages as there are clusters: `changes` lists the unions in their order, and a row reads what it missed from theirs
    when it is searched next, a place once however often it changed. When half of the clusters are gone, the others move
    together.
    """
    count = sizes.shape[0]
    first, second = np.empty(count - 1, np.int64), np.empty(count - 1, np.int64)
    heights = np.empty(count - 1)
    names = np.arange(count)
    members = sizes.astype(np.float64)
    gone = np.zeros(count, np.int32)
    changes, made = np.empty(count, np.int64), 0
    changed = np.full(count, -1)
    seen = np.zeros(count, np.int64)
    chain, length = np.empty(count, np.int64), 0
    width = count
    for merge in range(count - 1):
        if length == 0:
            chain[0] = 0  # never gone: a union takes the lower place
            length = 1
        while True:
            tip = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            catch_up(distances, tip, changes[seen[tip] : made])
            seen[tip] = made
            found = nearest(distances[tip, :width], gone[:width], before)
            if found == before:
                break
            chain[length] = found
            length += 1
        length -= 2
        catch_up(distances, found, changes[seen[found] : made])
        a, b = min(tip, found), max(tip, found)
        between = distances[a, b]
        first[merge], second[merge], heights[merge] = names[a], names[b], between
        unite(linkage, distances[a, :width], distances[b, :width], between, members, members[a], members[b])
        distances[a, a] = np.inf
        members[a] += members[b]
        gone[b] = GONE
        for side in (a, b):
            if changed[side] >= 0:
                changes[changed[side]] = -1
        changes[made], changed[a] = a, made
        made += 1
        seen[a] = made
        left = count - 1 - merge
        if 2 * left <= width:
            live = np.flatnonzero(gone[:width] == 0)
            for k in live:
                catch_up(distances, int(k), changes[seen[k] : made])
            move_together(distances, live)
            chain[:length] = np.searchsorted(live, chain[:length])
            names[:left], members[:left] = names[live], members[live]
            gone[:left], seen[:left], changed[:left] = 0, 0, -1
            made, width = 0, left
    return first, second, heights


@njit(cache=True, nogil=True)
def catch_up(distances: NDArray[np.float32], k: int, changes: NDArray[np.int64]) -> None:
    """Put into row `k` its distances to the unions in `changes`, from their rows; -1 is one that changed again since.

    The row of a union has the distance to k if k was not united later than it; if it was, this union is not among the
    changes that k missed.
    """
    row = distances[k]
    for change in range(changes.shape[0]):
        union = changes[change]
        if union >= 0:
            row[union] = distances[union, k]


@njit(cache=True, nogil=True)
def nearest(row: NDArray[np.float32], gone: NDArray[np.int32], favorite: int) -> int:
    """Where `row` is smallest, of what is not gone; ties go to `favorite`, if it is not negative, then to the lower index.

    Numbers that are not negative are ordered like their bits, and the minimum of whole numbers is formed in vectors,
    which that of floating point is not.
    """
    bits = row.view(np.int32)
    best, place = GONE, 0
    for left in range(0, bits.shape[0], CHUNK):
        some, out = bits[left : left + CHUNK], gone[left : left + CHUNK]
        low = GONE
        for j in range(some.shape[0]):
            low = min(low, max(some[j], out[j]))
        if low < best:
            best, place = low, left
    if favorite >= 0 and bits[favorite] == best:
        return favorite
    while max(bits[place], gone[place]) != best:
        place += 1
    return place


@njit(cache=True, nogil=True)
def unite(
    linkage: int,
    mine: NDArray[np.float32],
    other: NDArray[np.float32],
    between: float,
    sizes: NDArray[np.float64],
    a: float,
    b: float,
) -> None:
    """Lance and Williams: distances of all clusters to the union of two, of sizes a and b, over those to the first."""
    if linkage == AVERAGE:
        share, rest = a / (a + b), b / (a + b)
        for k in range(mine.shape[0]):
            mine[k] = np.float32(share * np.float64(mine[k]) + rest * np.float64(other[k]))
    elif linkage == SINGLE:
        for k in range(mine.shape[0]):
            mine[k] = min(mine[k], other[k])
    elif linkage == COMPLETE:
        for k in range(mine.shape[0]):
            mine[k] = max(mine[k], other[k])
    else:
        for k in range(mine.shape[0]):
            size = sizes[k]
            apart = (a + size) * np.float64(mine[k]) + (b + size) * np.float64(other[k]) - size * between
            mine[k] = np.float32(apart / (a + b + size))


@njit(cache=True, nogil=True)
def move_together(distances: NDArray[np.float32], live: NDArray[np.int64]) -> None:
    """Rows and columns `live`, ascending, become the first: nothing is written where something is still to be read."""
    for i in range(live.shape[0]):
        source, target = distances[live[i]], distances[i]
        for j in range(live.shape[0]):
            target[j] = source[live[j]]


@njit(cache=True)
def contract(
    distances: NDArray[np.float32], sizes: NDArray[np.int64], merged: NDArray[np.int64], linkage: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Distances and sizes of unions of clusters, written over those of the clusters; no Ward.

    `merged` (c,) is the union of each cluster, numbered by first member: union u ends in row u, and no row is written
    before it was read. What ends on the diagonal means nothing.
    """
    count = int(merged.max()) + 1
    order = np.argsort(merged, kind="mergesort")
    total = np.zeros(count, np.int64)
    for i in range(merged.shape[0]):
        total[merged[i]] += sizes[i]
    place = 0
    row = np.empty(merged.shape[0])
    narrow = np.empty(count)
    for union in range(count):
        begun = False
        while place < merged.shape[0] and merged[order[place]] == union:
            i = order[place]
            share = sizes[i] / total[union]
            for j in range(merged.shape[0]):
                row[j] = _joined(linkage, row[j], distances[i, j], share, begun)
            begun = True
            place += 1
        seen = np.zeros(count, np.bool_)
        for j in range(merged.shape[0]):
            to = merged[j]
            narrow[to] = _joined(linkage, narrow[to], row[j], sizes[j] / total[to], seen[to])
            seen[to] = True
        for j in range(count):
            distances[union, j] = narrow[j]
    return distances[:count, :count], total


@njit(cache=True)
def _joined(linkage: int, held: float, other: float, share: float, begun: bool) -> float:
    """`held` together with one more distance, which is the first if not `begun`; an average counts it by `share`."""
    if linkage == AVERAGE:
        return held + share * other if begun else share * other
    if not begun:
        return other
    return min(held, other) if linkage == SINGLE else max(held, other)
