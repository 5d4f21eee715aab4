"""Compiled DBSCAN on a sparse graph: union-find over the core points, O(edges)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Place = np.uint64
"""What arrays are indexed by here: a signed number could be negative, and would be checked for it each time."""


@njit(cache=True, nogil=True)
def root(parents: NDArray[np.integer], i: Any) -> Any:
    """The representative of i's set; the way there is halved for the next call."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def core_points(
    offsets: NDArray[np.integer],
    columns: NDArray[np.integer],
    distances: NDArray[np.floating],
    radius: float,
    min_samples: int,
) -> NDArray[np.bool_]:
    """Points with at least `min_samples` points within `radius`; a point counts itself, stored or not."""
    n = offsets.shape[0] - 1
    core = np.empty(n, np.bool_)
    for i in range(n):
        count = 1
        for p in range(offsets[i], offsets[i + 1]):
            count += (columns[p] != i) & (distances[p] <= radius)
            if count >= min_samples:
                break
        core[i] = count >= min_samples
    return core


@njit(cache=True, nogil=True)
def density_labels(
    offsets: NDArray[np.integer],
    columns: NDArray[np.integer],
    distances: NDArray[np.floating],
    radius: float,
    core: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Connected core points, numbered by their smallest member; a border point joins its lowest-numbered cluster.

    The columns of each row are ascending.
    """
    n = offsets.shape[0] - 1
    parents = np.arange(n).astype(np.uint32)
    for i in range(n):
        if not core[i]:
            continue
        own: Any = Place(i)  # the smallest of its set, alone so far; a pair is looked at once, from its later row
        for p in range(Place(offsets[i]), Place(offsets[i + 1])):
            j = Place(columns[p])
            if j >= Place(i):
                break
            if parents[j] != own and core[j] and distances[p] <= radius:
                other = root(parents, j)
                parents[max(own, other)] = min(own, other)
                own = min(own, other)
    labels = np.full(n, -1)
    clusters = 0
    for i in range(n):
        if core[i]:
            first = root(parents, Place(i))
            if first == Place(i):
                labels[i] = clusters
                clusters += 1
            labels[i] = labels[first]
    for i in range(n):
        if core[i]:
            continue
        lowest = labels[i]
        for p in range(Place(offsets[i]), Place(offsets[i + 1])):
            j = Place(columns[p])
            if core[j] and distances[p] <= radius and (lowest < 0 or labels[j] < lowest):
                lowest = labels[j]
        labels[i] = lowest
    return labels
