"""The k-reciprocal Jaccard distance on n x n matrices, as SpCL and Cluster Contrast compute it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Lists = list[NDArray[np.int64]]

ROWS_PER_BLOCK = 1024


def dense_jaccard(rows: Rows, k1: int, k2: int) -> NDArray[np.float32]:
    """Distances (n, n) of unit rows: search, then `jaccard_of_neighbors`."""
    return jaccard_of_neighbors(nearest_by_product(rows, k1)[0], rows, k1, k2)


def nearest_by_product(rows: Rows, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k rows of largest inner product for each row, best first, and these products; exhaustive, a block at a time."""
    nearest = np.empty((len(rows), k), np.int64)
    products = np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        block = slice(start, start + ROWS_PER_BLOCK)
        similarity = rows[block] @ rows.T
        best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(similarity, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        nearest[block] = np.take_along_axis(best, order, axis=1)
        products[block] = np.take_along_axis(values, order, axis=1)
    return nearest, products


def jaccard_of_neighbors(nearest: NDArray[np.int64], rows: Rows, k1: int, k2: int) -> NDArray[np.float32]:
    """Distances (n, n) of rows whose k1 nearest are known, themselves included: sets, weights, expansion, sums of minima."""
    n = len(rows)
    sets, halves = reciprocal(nearest, k1 + 1), reciprocal(nearest, round(k1 / 2) + 1)
    weights = np.zeros((n, n), np.float32)
    for i in range(n):
        members = expanded(sets[i], halves)
        weight = np.exp(-(2 - 2 * rows[members] @ rows[i]))
        weights[i, members] = weight / weight.sum()
    weights = expanded_queries(weights, nearest, k2)
    holders = [np.flatnonzero(column) for column in weights.T]
    distance = np.empty((n, n), np.float32)
    for i in range(n):
        shared = shared_weight(weights, holders, i)
        distance[i] = 1 - shared / (2 - shared)
    return np.maximum(distance, 0, out=distance)


def reciprocal(nearest: NDArray[np.int64], width: int) -> Lists:
    """For each row those of its first `width` neighbors that have it among theirs."""
    first = nearest[:, :width]
    return [first[i][(first[first[i]] == i).any(axis=1)] for i in range(len(nearest))]


def expanded(members: NDArray[np.int64], halves: Lists) -> NDArray[np.int64]:
    """A reciprocal set with the smaller sets of its members that lie in it by more than two thirds, ascending."""
    found = [members]
    for candidate in members:
        joining = halves[candidate]
        if len(np.intersect1d(joining, members, assume_unique=True)) > 2 / 3 * len(joining):
            found.append(joining)
    return np.unique(np.concatenate(found))


def expanded_queries(weights: NDArray[np.float32], nearest: NDArray[np.int64], k2: int) -> NDArray[np.float32]:
    """Each row of weights averaged with those of its nearest, k2 in all."""
    if k2 == 1:
        return weights
    averaged = np.empty_like(weights)
    for i in range(len(weights)):
        averaged[i] = weights[nearest[i, :k2]].mean(axis=0)
    return averaged


def shared_weight(weights: NDArray[np.float32], holders: Lists, i: int) -> NDArray[np.float32]:
    """The sum of the minima of row i's weights and every row's; `holders` are the rows with a weight in a column."""
    shared = np.zeros(len(weights), np.float32)
    for column in np.flatnonzero(weights[i]):
        held = holders[column]
        shared[held] += np.minimum(weights[i, column], weights[held, column])
    return shared
