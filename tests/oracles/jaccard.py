"""The k-reciprocal Jaccard distance by sets and dictionaries, in float64.

Zhong et al. 2017, "Re-ranking person re-identification with k-reciprocal encoding", with the
neighborhood sizes of SpCL and Cluster Contrast (`compute_jaccard_distance`): k1 columns, the row itself included.
"""

from __future__ import annotations

import numpy as np


def jaccard_by_sets(
    embeddings: np.ndarray, k1: int, k2: int, nearest: np.ndarray | None = None, itself: bool = True
) -> np.ndarray:
    """The dense (n, n) distances; `nearest` (n, k1) settles which neighbors come first where similarities tie.

    Without `itself` among the k1, neighborhoods have one member more, as Zhong et al. have it.
    """
    rows = embeddings.astype(np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    n = len(rows)
    half = int(np.around(min(k1, n) / 2)) + 1
    k1 = min(k1 + (not itself), n)
    cosine = rows @ rows.T
    if nearest is None:
        nearest = np.array([sorted(range(n), key=lambda j: (j != i, -cosine[i, j], j))[:k1] for i in range(n)])
    nearest = nearest.tolist()

    def reciprocal(i: int, width: int) -> set[int]:
        return {j for j in nearest[i][:width] if i in nearest[j][:width]}

    encoding = []
    for i in range(n):
        original = reciprocal(i, k1)
        members = set(original)
        for candidate in original:
            near = reciprocal(candidate, half)
            if 3 * len(near & original) > 2 * len(near):
                members |= near
        weight = {j: np.exp(-(2 - 2 * cosine[i, j])) for j in members}
        total = sum(weight.values())
        encoding.append({j: w / total for j, w in weight.items()})

    expanded = []
    for i in range(n):
        chosen = nearest[i][:k2]
        columns = set().union(*(encoding[j] for j in chosen))
        expanded.append({c: sum(encoding[j].get(c, 0.0) for j in chosen) / len(chosen) for c in columns})

    distance = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            shared = sum(min(expanded[i][c], expanded[j][c]) for c in expanded[i].keys() & expanded[j].keys())
            distance[i, j] = max(0.0, 1 - shared / (2 - shared))
    return distance
