"""k-reciprocal re-ranking by sets, in float64 (Zhong et al. 2017; what their Python program does with Euclidean input)."""

from __future__ import annotations

import numpy as np


def rerank_by_sets(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, lambda_value: float) -> np.ndarray:
    """The dense (q, g) distances."""
    rows = np.concatenate([query, gallery]).astype(np.float64)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n, asked = len(rows), len(query)
    squared = [
        [max(0.0, 2 - 2 * float(a @ b)) if i != j else 0.0 for j, b in enumerate(rows)] for i, a in enumerate(rows)
    ]
    original = np.array([[value / max(line) for value in line] for line in squared])
    ranks = [sorted(range(n), key=lambda j, i=i: (j != i, original[i, j], j)) for i in range(n)]

    def reciprocal(i: int, neighbors: int) -> set[int]:
        return {j for j in ranks[i][: neighbors + 1] if i in ranks[j][: neighbors + 1]}

    encoding = []
    for i in range(n):
        first = reciprocal(i, k1)
        members = set(first)
        for candidate in first:
            near = reciprocal(candidate, int(np.around(k1 / 2)))
            if 3 * len(near & first) > 2 * len(near):
                members |= near
        weight = {j: np.exp(-original[i, j]) for j in members}
        encoding.append({j: value / sum(weight.values()) for j, value in weight.items()})
    if k2 > 1:
        encoding = [
            {
                c: sum(encoding[j].get(c, 0.0) for j in ranks[i][:k2]) / k2
                for c in set().union(*(encoding[j] for j in ranks[i][:k2]))
            }
            for i in range(n)
        ]
    result = np.empty((asked, n - asked))
    for i in range(asked):
        for j in range(asked, n):
            shared = sum(min(value, encoding[j].get(c, 0.0)) for c, value in encoding[i].items())
            jaccard = 1 - shared / (2 - shared)
            result[i, j - asked] = (1 - lambda_value) * jaccard + lambda_value * original[i, j]
    return result
