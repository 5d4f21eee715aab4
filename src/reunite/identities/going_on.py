"""What was decided before stays unless the images say otherwise: groups of an earlier result are where the linkage begins."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from scipy.sparse import csr_array

from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.sparse_linkage import sparse_linkage_tree

SLACK = 0.1
"""How far beyond the radius a group must be before it parts, or within it before two are united."""


def regrouped(
    graph: csr_array,
    tree: LinkageTree,
    eps: float,
    previous: Int64[np.ndarray, " n"],
    apart: Int64[np.ndarray, "p 2"],
) -> Int64[np.ndarray, " n"]:
    """Groups up to `eps` that keep to those of an earlier result where it is a close call.

    New images move every mean a little, and of merges near the radius some fall on its other side: individuals would be
    united and parted in every run although nobody saw anything new. So an earlier group parts only where its rows, by
    themselves, are more than `SLACK` beyond the radius from each other, whoever else has come near to some of them. Two earlier
    groups are united only if they are, each as a whole, `SLACK` within it. From there the linkage goes on, with new rows
    wherever they belong.

    Args:
        graph: distances.
        tree: the linkage of the graph, with whatever must be together or apart.
        eps: the radius.
        previous: (n,) the group each row was in; -1 is none.
        apart: pairs of rows that must not share a group.
    """
    rows = np.repeat(np.arange(len(previous)), np.diff(graph.indptr))
    columns = graph.indices.astype(np.int64)
    known = (previous[rows] >= 0) & (previous[columns] >= 0)
    within = known & (previous[rows] == previous[columns])
    alone = csr_array((graph.data[within], (rows[within], columns[within])), shape=graph.shape)
    together = _lowest(tree.cut(0.0))  # rows that a person called the same, and rows that are equal
    held = _lowest(sparse_linkage_tree(alone, together, apart).cut(min(eps + SLACK, 1.0)))
    clear = _lowest(sparse_linkage_tree(graph, held, apart).cut(max(eps - SLACK, 0.0)))
    two = known & ~within & (rows < columns) & (clear[rows] != clear[columns])
    kept_apart = np.stack([rows[two], columns[two]], axis=1)
    return sparse_linkage_tree(graph, clear, np.unique(np.concatenate([apart, kept_apart]), axis=0)).cut(eps)


def _lowest(labels: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Of each row, the lowest one of its label."""
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    return first[place.reshape(-1)]
