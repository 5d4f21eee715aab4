"""One stage of bottom-up merging on n x n matrices: BUC (Lin et al. 2019) and DBC (BMVC 2019), as their programs do it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.published.evaluation import distances

Codes = NDArray[np.int64]

FAR = 100_000
"""Added to pairs that must not merge."""


def buc_stage(rows: NDArray[np.float32], labels: Codes, merges: int, size_penalty: float = 0.003) -> Codes:
    """Labels after `merges` unions along the closest pairs of images, with a penalty on the sizes of their clusters.

    Every pair of images is sorted, so the minimum of two clusters comes first by itself.
    """
    distance = distances(rows, rows)
    distance[np.tri(len(rows), dtype=bool)] += FAR
    sizes = np.bincount(labels)[labels].astype(np.float32)
    distance += np.float32(size_penalty) * (sizes[None, :] + sizes[:, None])
    distance[labels[:, None] == labels[None, :]] = FAR
    labels = labels.copy()
    for i, j in _ascending(distance):
        low, high = sorted((labels[i], labels[j]))
        if low == high:
            continue
        labels[labels == high] = low
        merges -= 1
        if not merges:
            break
    return np.unique(labels, return_inverse=True)[1]


def dbc_stage(rows: NDArray[np.float32], labels: Codes, merges: int, weight: float = 0.1) -> Codes:
    """Labels after `merges` of the closest clusters by average linkage, with a penalty on their dispersions.

    A cluster that was absorbed takes no further part, nor do its pairs. The released program ranks by `weight` 0.
    """
    order = np.argsort(labels, kind="stable")
    linkage = _average_linkage(distances(rows[order], rows[order]), np.bincount(labels))
    within = linkage.diagonal()
    linkage = linkage + weight * (within[None, :] + within[:, None])
    linkage[np.tri(len(linkage), dtype=bool)] += FAR
    into = np.arange(len(linkage))
    for a, b in _ascending(linkage):
        if into[a] != a or into[b] != b:
            continue
        into[b] = a
        merges -= 1
        if not merges:
            break
    while (into[into] != into).any():
        into = into[into]
    return np.unique(into[labels], return_inverse=True)[1]


def _average_linkage(distance: NDArray[np.float32], sizes: Codes) -> NDArray[np.float64]:
    """Mean distance of every two clusters, and within each, of rows that lie cluster by cluster: a block at a time."""
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    linkage = np.zeros((len(sizes), len(sizes)))
    for a in range(len(sizes)):
        beside = distance[bounds[a] : bounds[a + 1]]
        for b in range(a, len(sizes)):
            linkage[a, b] = linkage[b, a] = beside[:, bounds[b] : bounds[b + 1]].mean()
    return linkage


def _ascending(values: NDArray) -> zip:
    """Pairs of all entries of a matrix, from the smallest."""
    return zip(*np.unravel_index(np.argsort(values, axis=None), values.shape), strict=True)
