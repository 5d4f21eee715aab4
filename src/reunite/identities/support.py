"""How well the data support neighborhoods and cuts: are clusters apart, and do they come out again?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.sparse import csr_array

from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.identities.agreement import agreement
from reunite.identities.separation import separation
from reunite.neighbors.jaccard import graph_of_neighbors
from reunite.neighbors.knn import nearest_neighbors
from reunite.threads import in_blocks, same_threads
from reunite.types import unit_rows

VIEWS = ((2_000, 4), (20_000, 2), (2**63, 1))
"""Rows up to which so many pairs of views are compared: few rows agree by chance."""

Rows = Float32[np.ndarray, "n d"]


@dataclass(frozen=True, eq=False)
class Support:
    """Of one neighborhood: the tree of all dimensions, and at each cut groups, how separated they are, and how stable."""

    tree: LinkageTree
    clusters: Int64[np.ndarray, " k"]
    separated: Float64[np.ndarray, " k"]
    stable: Float64[np.ndarray, " k"]

    @property
    def at(self) -> Float64[np.ndarray, " k"]:
        """What decides, at each cut: separation times the square of stability."""
        return np.maximum(self.separated, 0) * np.maximum(self.stable, 0) ** 2


def support(
    rows: Rows,
    space: Callable[[Rows], Rows],
    prepared: Callable[[Rows], Rows],
    neighborhoods: Sequence[tuple[int, int]],
    cuts: Float64[np.ndarray, " k"],
    seed: int,
) -> list[Support]:
    """That of each neighborhood.

    The separation is the mean, over rows, of how much more they share with their own cluster than with the nearest other one.
    The stability is the adjusted Rand index of two clusterings made in the same way, each from one half of the dimensions of
    the embeddings, which are dealt at random: what is there is seen in both halves ("stability", as Ben-Hur, Elisseeff and
    Guyon 2002 measure it with halves of the rows).

    Args:
        rows: (n, d) of length one.
        space: what is done to all dimensions of rows before they are compared.
        prepared: the same for half of the dimensions, learned from nothing but these.
        neighborhoods: (k1, k2) of each, the last one the widest.
        cuts: mean Jaccard distances, ascending.
        seed: of how dimensions are dealt: with the same one, in the same way.
    """
    random = np.random.default_rng(seed)
    pairs = next(count for most, count in VIEWS if len(rows) <= most)
    views = [space(rows), *(prepared(half) for _ in range(pairs) for half in _halves(rows, random))]
    with same_threads():  # thousands of calls, of a millisecond each where rows are few
        known = [(view, *nearest_neighbors(view, neighborhoods[-1][0])) for view in views]
        found = []
        for k1, k2 in neighborhoods:
            graphs = [graph_of_neighbors(near, similarity, view, k1, k2, FARTHEST) for view, near, similarity in known]
            found.append(_at_cuts(graphs[0], _trees(graphs), cuts))
    return found


def _trees(graphs: list[csr_array]) -> list[LinkageTree]:
    return in_blocks(len(graphs), 1, lambda start, _: sparse_linkage_tree(graphs[start]))


def _at_cuts(graph: csr_array, trees: list[LinkageTree], cuts: Float64[np.ndarray, " k"]) -> Support:
    """The first tree is that of `graph`, the others are of halves, in pairs."""

    def at(start: int, _: int) -> tuple[int, float, float]:
        labels, *views = [tree.cut(float(cuts[start])) for tree in trees]
        stable = [agreement(one, other) for one, other in zip(views[::2], views[1::2], strict=True)]
        return int(labels.max()) + 1, float(separation(graph, labels).margin.mean()), float(np.mean(stable))

    clusters, separated, stable = zip(*in_blocks(len(cuts), 1, at), strict=True)
    return Support(trees[0], np.array(clusters), np.array(separated), np.array(stable))


def _halves(rows: Rows, random: np.random.Generator) -> list[Float32[np.ndarray, "n h"]]:
    """The dimensions dealt into two hands; of one dimension both get it."""
    dealt = random.permutation(rows.shape[1])
    middle = len(dealt) // 2
    return [
        unit_rows(np.ascontiguousarray(rows[:, hand])) for hand in (dealt[:middle], dealt[middle:]) if len(hand)
    ] * (1 if middle else 2)
