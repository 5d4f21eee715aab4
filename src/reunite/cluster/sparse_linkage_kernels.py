"""Compiled average linkage on a sparse graph of similarities, which is used up on the way."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reunite.cluster.density_kernels import root
from reunite.errors import InputError

TIE = 1e-5
"""Mean similarities this close, as a share of them, are equal: sums of one pair of clusters differ by less, whichever of the
two is asked."""


@njit(cache=True, nogil=True)
def sparse_chain(
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    groups: NDArray[np.int64],
    floor: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All merges of mean similarity above `floor`: the lowest rows in the two sides, and similarities, in the order found.

    Follows nearest neighbors from cluster to cluster until two are nearest to each other, and merges these; a cluster without
    a neighbor above the floor is finished, since no later merge brings another one nearer. The similarity of two clusters is
    the sum over their pairs of rows, and sums of a union are sums of its parts: a cluster is the list of its rows, and when it
    is searched what these say of one and the same cluster is added up and written back over what it was added from. So nothing
    is ever allocated, and the neighbors of a union need not be told of it.

    Args:
        offsets: (n + 1,) of the rows in `columns` and `values`.
        columns: of the entries, symmetric; the diagonal is passed over.
        values: similarities; an absent one is 0, and a hugely negative one keeps the two apart.
        groups: (n,) the lowest row of those that belong together from the beginning.
        floor: mean similarity below which nothing merges, above 0.

    Raises:
        InputError: the graph is so far from symmetric that following neighbors has no end.
    """
    n = offsets.shape[0] - 1
    parents, sizes = groups.copy(), np.zeros(n)
    after, last = np.full(n, -1), np.arange(n)  # the rows of a cluster, one behind the other
    lengths = offsets[1:] - offsets[:-1]
    for i in range(n):
        sizes[groups[i]] += 1
        if groups[i] != i:
            after[last[groups[i]]] = i
            last[groups[i]] = i
    first, second, similarities = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    lowest = np.full(n, np.inf)  # similarity of the last merge of each cluster
    sums, met = np.zeros(n), np.empty(n, np.int64)
    finished = np.zeros(n, np.bool_)
    chain, length = np.empty(n + 1, np.int64), 0
    merges, start = 0, 0
    while True:
        if length == 0:
            while start < n and (parents[start] != start or finished[start]):
                start += 1
            if start == n:
                return first[:merges], second[:merges], similarities[:merges]
            chain[0] = start
            length = 1
        tip, before = chain[length - 1], chain[length - 2] if length > 1 else -1
        size, row = 0, tip
        while row >= 0:
            for p in range(offsets[row], offsets[row] + lengths[row]):
                j = root(parents, columns[p])
                if j != tip and not finished[j] and values[p] != 0:  # whether j was met is told by a sum that is not 0
                    met[size] = j
                    size += sums[j] == 0
                    sums[j] += values[p]
            row = after[row]
        best, most, back = -1, floor * sizes[tip], 0.0
        used, row = 0, tip
        while row >= 0:
            lengths[row] = min(offsets[row + 1] - offsets[row], size - used)
            for p in range(offsets[row], offsets[row] + lengths[row]):
                j = met[used]
                used += 1
                columns[p], values[p] = j, sums[j]
                mean = sums[j] / sizes[j]
                sums[j] = 0
                if mean > most or (mean == most and 0 <= j < best):
                    best, most = j, mean
                if j == before:
                    back = mean
            row = after[row]
        if best < 0:
            finished[tip] = True  # and a chain of one: what leads to it is as near to it as it is to that
            length = 0
            continue
        if before < 0 or back < most * (1 - TIE):
            if length > n:  # similarities rise along a chain, so nobody is met twice
                raise InputError("graph must be symmetric; following nearest neighbors in it leads round in circles.")
            chain[length] = best
            length += 1
            continue
        a, b = min(tip, before), max(tip, before)
        lowest[a] = min(
            lowest[a], lowest[b], back / sizes[tip]
        )  # by rounding a merge could be nearer than those below it
        first[merges], second[merges], similarities[merges] = a, b, lowest[a]
        merges += 1
        parents[b] = a
        sizes[a] += sizes[b]
        after[last[a]] = b
        last[a] = last[b]
        length -= 2
