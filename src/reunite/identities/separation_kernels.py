"""Compiled sums over a sparse graph: how near each row is to its own cluster and to the nearest other one."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def nearest_clusters(
    offsets: NDArray[np.integer],
    columns: NDArray[np.integer],
    distances: NDArray[np.float32],
    labels: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """For each row the mean similarity (1 - distance, 0 where absent) to the others of its cluster, and to the nearest
    other cluster, and that one's label; 0 and -1 where there is none. A label of -1 is no cluster, and what is hugely far
    is in no nearest one.
    """
    n = labels.shape[0]
    own, other, second = np.zeros(n), np.zeros(n), np.full(n, -1)
    sums, met = np.zeros(sizes.shape[0]), np.empty(sizes.shape[0], np.int64)
    for i in range(n):
        size = 0
        for p in range(offsets[i], offsets[i + 1]):
            j = columns[p]
            if j == i:
                continue
            label = labels[j]
            if label < 0 or distances[p] == 1:
                continue
            if sums[label] == 0:
                met[size] = label
                size += 1
            sums[label] += 1.0 - distances[p]
        for m in range(size):
            label = met[m]
            if label == labels[i]:
                own[i] = sums[label] / (sizes[label] - 1)
            else:
                mean = sums[label] / sizes[label]
                if mean > other[i] or (mean == other[i] and label < second[i]):
                    other[i], second[i] = mean, label
            sums[label] = 0
    return own, other, second
