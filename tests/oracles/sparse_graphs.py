"""Average linkage and separation on a sparse graph from their definitions: a dense matrix with 1 where nothing is, in loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.sparse import csr_array

from oracles.merging import members_of


def dense(graph: csr_array) -> np.ndarray:
    """The matrix with 1 wherever the graph has nothing."""
    matrix = np.ones(graph.shape)
    for i in range(graph.shape[0]):
        for p in range(graph.indptr[i], graph.indptr[i + 1]):
            matrix[i, graph.indices[p]] = graph.data[p]
    return matrix


def merges_of_graph(
    matrix: np.ndarray, groups: np.ndarray, apart: list[list[int]], farthest: float
) -> list[tuple[float, np.ndarray]]:
    """Greedy UPGMA: the height of each merge below `farthest` and the labels after it, skipping clusters that stay apart."""
    forbidden = {frozenset(pair) for pair in apart}
    labels = groups.copy()
    merges = []
    while True:
        allowed = [
            (float(matrix[np.ix_(a, b)].mean()), a, b)
            for a, b in combinations(members_of(labels), 2)
            if not any(frozenset((i, j)) in forbidden for i in a for j in b)
        ]
        if not allowed or min(allowed)[0] >= farthest:
            return merges
        height, a, b = min(allowed)
        labels = labels.copy()
        labels[b] = labels[a[0]]
        merges.append((height, labels))


def separation_by_loops(
    matrix: np.ndarray, labels: np.ndarray, apart: list[list[int]]
) -> tuple[list[float], list[float], list[int]]:
    """Of each row the mean similarity to the others of its cluster, and to the nearest other cluster, and which that is."""
    forbidden = {frozenset(pair) for pair in apart}
    own, other, second = [], [], []
    for i, label in enumerate(labels.tolist()):
        inside = [1 - matrix[i, j] for j in range(len(labels)) if j != i and labels[j] == label and label >= 0]
        own.append(float(np.mean(inside)) if inside else 0.0)
        best = (0.0, -1)
        for name in sorted(set(labels.tolist()) - {label, -1}):
            members = [j for j in range(len(labels)) if labels[j] == name]
            mean = float(np.mean([1 - matrix[i, j] for j in members]))
            if mean > best[0] and not any(frozenset((i, j)) in forbidden for j in members):
                best = (mean, name)
        other.append(best[0])
        second.append(best[1])
    return own, other, second
