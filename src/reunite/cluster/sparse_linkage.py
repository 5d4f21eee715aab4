"""Average linkage on a sparse graph of distances: of a million rows, where the matrix of all distances is out of reach."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from scipy.sparse import csr_array

from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.sparse_linkage_kernels import sparse_chain
from reunite.errors import InputError

FARTHEST = 0.98
"""Mean distance above which nothing merges: clusters that share next to nothing."""

APART = np.float32(-1e30)
"""Put for the similarity of two rows that stay apart. Sums with it stay negative: those of similarities are at most the pairs
of rows there are, 2.5e11 for a million."""


def sparse_linkage_tree(
    graph: csr_array,
    groups: Int64[np.ndarray, " n"] | None = None,
    apart: Int64[np.ndarray, "p 2"] | None = None,
) -> LinkageTree:
    """Unite again and again the two clusters with the smallest mean distance; an absent pair of rows counts as distance 1.

    This is UPGMA of the matrix that has 1 wherever the graph has nothing, without that matrix: what two clusters share is the
    sum of 1 - distance over the pairs that are stored, and sums are additive under merging. By nearest-neighbor chains on
    lists that shrink, O(n k) memory; the time is that of a few readings of the graph. Pairs that tie, up to rounding, merge
    in an order that depends on the order of the rows.

    Args:
        graph: (n, n), symmetric, distances in [0, 1]; `jaccard_graph` makes one.
        groups: (n,) the lowest row of those that belong together whatever their distance; they merge first, at height 0.
        apart: (p, 2) pairs of rows that must not share a cluster; nor do clusters that hold one of each.

    Returns:
        Merges up to `FARTHEST`. Clusters that share nothing are never united.

    Raises:
        InputError: the graph is not square, or so far from symmetric that it was noticed.
    """
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise InputError(f"graph must be square, one row and column per point; got shape {graph.shape}.")
    count = graph.shape[0]
    lowest = np.arange(count) if groups is None else groups
    similarity = csr_array((np.float32(1) - graph.data, graph.indices, graph.indptr), shape=graph.shape)
    if apart is not None and len(apart):
        both = np.concatenate([apart, apart[:, ::-1]])
        barred = csr_array((np.full(len(both), APART), (both[:, 0], both[:, 1])), shape=graph.shape)
        similarity = csr_array(similarity + barred)
    columns = similarity.indices.astype(np.int32)  # a copy, used up
    first, second, shared = sparse_chain(
        similarity.indptr.astype(np.int64), columns, similarity.data.astype(np.float32), lowest, 1 - FARTHEST
    )
    together = np.flatnonzero(lowest != np.arange(count))
    heights = np.concatenate([np.zeros(len(together)), 1 - shared])
    first, second = np.concatenate([lowest[together], first]), np.concatenate([together, second])
    order = np.argsort(heights, kind="stable")  # stable: a merge comes after those below it also where heights tie
    return LinkageTree(first[order], second[order], heights[order], count)
