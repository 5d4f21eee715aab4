"""What was decided before stays unless the images say otherwise: groups of an earlier result are where the linkage begins."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from scipy.sparse import csr_array

from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.sparse_linkage import sparse_linkage_tree
from reunite.identities.copies import united

SLACK = 0.1
"""How far beyond the radius groups must be, or within it, before what was together parts, or what was apart is united."""


def regrouped(
    graph: csr_array,
    tree: LinkageTree,
    eps: float,
    previous: Int64[np.ndarray, " n"],
    apart: Int64[np.ndarray, "p 2"],
) -> Int64[np.ndarray, " n"]:
    """Groups up to `eps` that keep to those of an earlier result where it is a close call.

    New images move every mean a little, and of merges near the radius some fall on its other side: individuals would be
    united and parted in every run although nobody saw anything new. So rows that were together stay together if they are
    even `SLACK` beyond the radius, and rows that were two individuals are united only if they are even `SLACK` within it. From
    there the linkage goes on, with new rows wherever they belong.

    Args:
        graph: distances.
        tree: the linkage of the graph, with whatever must be together or apart.
        eps: the radius.
        previous: (n,) the group each row was in; -1 is none.
        apart: pairs of rows that must not share a group.
    """
    count = len(previous)
    loose, tight = tree.cut(min(eps + SLACK, 1.0)), tree.cut(max(eps - SLACK, 0.0))
    start = united(np.concatenate([_with_first(tight), _with_first(_both(loose, previous))]), count)
    rows = np.repeat(np.arange(count), np.diff(graph.indptr))
    columns = graph.indices.astype(np.int64)
    were_two = (rows < columns) & (previous[rows] != previous[columns]) & (start[rows] != start[columns])
    were_two &= (previous[rows] >= 0) & (previous[columns] >= 0)
    kept_apart = np.stack([rows[were_two], columns[were_two]], axis=1)
    return sparse_linkage_tree(graph, start, np.unique(np.concatenate([apart, kept_apart]), axis=0)).cut(eps)


def _both(labels: Int64[np.ndarray, " n"], previous: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Rows of one label that were together before; a row that was nowhere is alone."""
    pairs = np.stack([labels, np.where(previous >= 0, previous, -1 - np.arange(len(previous)))], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def _with_first(labels: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "n 2"]:
    """Each row paired with the first one of its label."""
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    return np.stack([first[place.reshape(-1)], np.arange(len(labels))], axis=1)
