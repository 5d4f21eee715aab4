"""k-reciprocal re-ranking (Zhong et al. 2017) on one (q + g) x (q + g) matrix, sorted whole, as the published code does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.published.jaccard import Rows, expanded, expanded_queries, reciprocal, shared_weight


def euclidean(rows: Rows) -> NDArray[np.float32]:
    """Euclidean distances (n, n) of unit rows."""
    distance = rows @ rows.T
    distance *= -2
    distance += 2
    np.maximum(distance, 0, out=distance)
    np.fill_diagonal(distance, 0)
    return np.sqrt(distance, out=distance)


def rerank(query: Rows, gallery: Rows, k1: int = 20, k2: int = 6, lambda_value: float = 0.3) -> NDArray[np.float32]:
    """Final distances (q, g) of unit rows."""
    queries = len(query)
    original = euclidean(np.concatenate([query, gallery])) ** 2
    original = np.transpose(original / original.max(axis=0))
    nearest = np.argsort(original).astype(np.int32)
    sets, halves = reciprocal(nearest, k1 + 1), reciprocal(nearest, round(k1 / 2) + 1)
    weights = np.zeros(original.shape, np.float32)
    for i in range(len(original)):
        members = expanded(sets[i], halves)
        weight = np.exp(-original[i, members])
        weights[i, members] = weight / weight.sum()
    original = original[:queries]
    weights = expanded_queries(weights, nearest, k2)
    holders = [np.flatnonzero(column) for column in weights.T]
    jaccard = np.empty(original.shape, np.float32)
    for i in range(queries):
        shared = shared_weight(weights, holders, i)
        jaccard[i] = 1 - shared / (2 - shared)
    return (jaccard * (1 - lambda_value) + original * lambda_value)[:, queries:]
