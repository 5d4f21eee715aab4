"""DBSCAN by breadth-first search on a dense matrix (Ester et al. 1996), with scikit-learn's numbering."""

from __future__ import annotations

from collections import deque

import numpy as np


def dbscan_by_search(distance: np.ndarray, radius: float, min_samples: int) -> np.ndarray:
    """Labels; clusters grow from core points in row order, and a border point stays with the first that reaches it."""
    n = len(distance)
    near = [[j for j in range(n) if j == i or distance[i, j] <= radius] for i in range(n)]
    labels = [-1] * n
    cluster = 0
    for seed in range(n):
        if labels[seed] != -1 or len(near[seed]) < min_samples:
            continue
        labels[seed] = cluster
        queue = deque([seed])
        while queue:
            i = queue.popleft()
            if len(near[i]) < min_samples:
                continue
            for j in near[i]:
                if labels[j] == -1:
                    labels[j] = cluster
                    queue.append(j)
        cluster += 1
    return np.array(labels)
