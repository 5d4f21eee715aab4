"""Compiled agglomeration on a square matrix of distances between clusters, which is used up on the way.

`distances` (c, c) float32 is symmetric with infinity on its diagonal; `sizes` (c,) are the rows in each cluster.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

AVERAGE, SINGLE, COMPLETE, WARD = range(4)

CHUNK = 64
"""Distances compared at once, in vectors, before any is looked at: nearly all chunks hold nothing nearer."""


@njit(cache=True)
def merged_distance(linkage: int, ka: float, kb: float, ab: float, k: float, a: float, b: float) -> float:
    """Lance and Williams: distance of cluster k to the union of a and b, from the distances and sizes of the three."""
    if linkage == AVERAGE:
        return (a * ka + b * kb) / (a + b)
    if linkage == SINGLE:
        return min(ka, kb)
    if linkage == COMPLETE:
        return max(ka, kb)
    return ((a + k) * ka + (b + k) * kb - k * ab) / (a + b + k)


@njit(cache=True)
def nearest(row: NDArray[np.float32], favorite: int) -> int:
    """Where `row` is smallest; ties go to `favorite`, if it is not negative, and then to the lower index."""
    place = max(favorite, 0)
    best = row[place]
    for left in range(0, row.shape[0], CHUNK):
        right = min(left + CHUNK, row.shape[0])
        nearer = np.int32(0)
        for j in range(left, right):
            nearer = np.int32(nearer + np.int32(row[j] < best))
        if nearer:
            for j in range(left, right):
                if row[j] < best:
                    best, place = row[j], j
    return place


@njit(cache=True)
def nearest_neighbor_chain(
    distances: NDArray[np.float32], sizes: NDArray[np.int64], linkage: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All c - 1 merges of the tree, O(c^2): clusters that were in either side, and heights, in the order found.

    Follows nearest neighbors from cluster to cluster until two are nearest to each other, and merges these. The
    linkages here are reducible (a merge brings no cluster nearer to a third), so the tree is that of always merging
    the closest pair. No merge is lower than those below it, by rounding either: float64 arithmetic on float32 distances
    errs by less than a step of float32.
    """
    count = sizes.shape[0]
    sizes = sizes.astype(np.float64)
    first, second = np.empty(count - 1, np.int64), np.empty(count - 1, np.int64)
    heights = np.empty(count - 1)
    chain = np.empty(count, np.int64)
    length = 0
    start = 0
    for merge in range(count - 1):
        if length == 0:
            while sizes[start] == 0:
                start += 1
            chain[0] = start
            length = 1
        while True:
            tip = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            found = nearest(distances[tip], before)
            if found == before:
                break
            chain[length] = found
            length += 1
        length -= 2
        a, b = min(tip, found), max(tip, found)
        between = distances[a, b]
        first[merge], second[merge], heights[merge] = a, b, between
        for k in range(count):
            if sizes[k] > 0 and k != a and k != b:
                away = merged_distance(linkage, distances[a, k], distances[b, k], between, sizes[k], sizes[a], sizes[b])
                distances[a, k] = away
                distances[k, a] = away
            distances[k, b] = np.inf
        sizes[a] += sizes[b]
        sizes[b] = 0
    return first, second, heights


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
