"""How near each row is to its own cluster, and to the nearest other one, on a sparse graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csr_array

from reunite.identities.separation_kernels import nearest_clusters

FAR = np.float32(1e30)
"""Put for the distance of two rows that stay apart: the mean similarity of a row and a cluster with it is below 0."""


@dataclass(frozen=True, eq=False)
class Separation:
    """Of n rows in clusters, on a graph where an absent pair shares nothing.

    Attributes:
        own: mean similarity, 1 - distance, to the other rows of the cluster, (n,) in [0, 1]; 0 for a row alone.
        other: that to all rows of the nearest other cluster, (n,); 0 where nothing is shared with any.
        second_best: the label of that cluster, (n,) int64; -1 where there is none.
    """

    own: Float64[np.ndarray, " n"]
    other: Float64[np.ndarray, " n"]
    second_best: Int64[np.ndarray, " n"]

    @property
    def margin(self) -> Float64[np.ndarray, " n"]:
        """How much nearer a row is to its own cluster, in [-1, 1]. A row alone is near to nobody: 0."""
        return np.where(self.own > 0, self.own - self.other, 0.0)


def separation(
    graph: csr_array, labels: Int64[np.ndarray, " n"], apart: Int64[np.ndarray, "p 2"] | None = None
) -> Separation:
    """Mean similarities of each row to clusters: one reading of the graph.

    Args:
        graph: (n, n) distances in [0, 1], as `jaccard_graph` makes it.
        labels: (n,) clusters 0, 1, ..., or -1 for none.
        apart: (p, 2) pairs of rows of different clusters that must not share one: for neither is the other's the nearest.
    """
    if apart is not None and len(apart):
        both = np.concatenate([apart, apart[:, ::-1]])
        barred = csr_array((np.full(len(both), -FAR), (both[:, 0], both[:, 1])), shape=graph.shape)
        # Sums of sparse matrices drop zeros, which of distances are the nearest pairs, and of similarities nothing.
        graph = csr_array(csr_array((1 - graph.data, graph.indices, graph.indptr), shape=graph.shape) + barred)
        graph.data = 1 - graph.data
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    return Separation(*nearest_clusters(graph.indptr, graph.indices, graph.data, labels, sizes))
