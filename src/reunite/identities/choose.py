"""How many neighbors count and where the line is drawn, chosen without labels: what is apart, and comes out again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.sparse import csr_array

from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.identities.agreement import agreement
from reunite.identities.evidence import Evidence
from reunite.identities.separation import separation
from reunite.neighbors.jaccard import graph_of_neighbors
from reunite.neighbors.knn import nearest_neighbors
from reunite.threads import in_blocks
from reunite.types import unit_rows

NEIGHBORHOODS = ((2, 1), (3, 2), (4, 2), (6, 2), (8, 2), (10, 3), (15, 4), (20, 6), (30, 6))
"""(k1, k2) that are looked at. Each image of an individual of two has one neighbor that is of the same, and thirty are what the
published methods take. More find kinds: of 567 vehicles with two images each 60 and 120 found three types, again and again."""

NEARLY = 0.75
"""A neighborhood is as good as the best one if it is supported this much. Images of one individual come in bursts, which are
apart and come out again too: support is nearly flat over k1 there, and falls by half and more where k1 is too large."""

LITTLE = 0.1
"""Support below which the sentence warns. Vehicles and characters are below it where the network was never trained on any, and
nothing else of what was measured (docs/identify.md)."""

BETTER = 1.1
"""Times as much support as the next larger neighborhood has, for which a smaller one is taken: more than chance makes."""

CUTS = np.round(np.arange(0.40, 0.805, 0.025), 3)
"""Mean Jaccard distances that are looked at. Groups that share less than a fifth are kinds, not individuals."""

FALLBACK = 0.7
"""The cut where there are too few rows to choose one from: about where it was chosen on most data."""

FEWEST = 6
"""Rows below which nothing is chosen, and neighborhoods mean nothing: each would be of everybody."""

VIEWS = ((2_000, 4), (20_000, 2), (2**63, 1))
"""Rows up to which so many pairs of views are compared: few rows agree by chance."""

MOST_ROWS = 50_000
"""Rows that are looked at; of more, those of some regions, see `region`."""

BLOCK = 65_536
"""Rows whose products are held at a time."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and what it was chosen on.

    Attributes:
        evidence: the cut, the neighborhood, and how they were chosen.
        rows: (m, d) that were looked at; all of them, or a region.
        labels: (m,) their groups at that cut.
    """

    evidence: Evidence
    rows: Float32[np.ndarray, "m d"]
    labels: Int64[np.ndarray, " m"]


def choose(
    rows: Float32[np.ndarray, "n d"], eps: float | None = None, k1: int | None = None, *, seed: int = 0
) -> Choice:
    """The neighborhood and the cut at which clusters are separated and come out again.

    Two things are measured for each k1 and each cut of average linkage on its Jaccard graph. The separation is the mean, over
    rows, of how much more they share with their own cluster than with the nearest other one. The stability is the adjusted
    Rand index of two clusterings made in the same way, each from one half of the dimensions of the embeddings, which are dealt
    at random: what is there is seen in both halves ("stability", as Ben-Hur, Elisseeff and Guyon 2002 measure it with halves
    of the rows). A cut is supported by separation times the square of stability, and the best cut of each k1 is taken. Of k1
    that are supported `NEARLY` as much as the best one the largest is where to begin, and as long as the next smaller one is
    `BETTER` it is taken instead.

    The square, `NEARLY` and `BETTER` are not derived. They were found on people, vehicles and characters: docs/results.md
    has what they choose there, and what labels would have chosen.

    Args:
        rows: (n, d) of length one.
        eps: a cut to use; only k1 is chosen, and the evidence is gathered all the same.
        k1: neighbors to use.
        seed: of how dimensions are dealt and regions are drawn.

    Returns:
        Of `FEWEST` rows and more; of fewer, `FALLBACK` or the given cut, and no neighborhood.
    """
    count = len(rows)
    if count < FEWEST:
        chosen = f"{FALLBACK} was taken: there is too little to choose from (rows: {count})."
        if eps is not None:
            chosen = f"{eps:g} was given."
        evidence = Evidence(eps or FALLBACK, chosen, np.empty(0), np.empty(0, np.int64), ())
        return Choice(evidence, rows, np.arange(count))
    random = np.random.default_rng(seed)
    looked = region(rows, MOST_ROWS, random)
    within = _neighborhoods(len(looked), k1)
    cuts = CUTS if eps is None else np.unique(np.append(CUTS, eps))
    measured = _measure(looked, within, cuts, random)
    allowed = np.ones(len(cuts), np.bool_) if eps is None else cuts == eps
    support = [np.where(allowed, each.support, -1).max() for each in measured]
    best = max(i for i, value in enumerate(support) if value >= NEARLY * max(support))
    while best and support[best - 1] > BETTER * support[best]:
        best -= 1
    found, width = measured[best], within[best][0]
    cut = float(cuts[np.where(allowed, found.support, -1).argmax()]) if max(support) > 0 else eps or FALLBACK
    evidence = Evidence(
        cut,
        _sentence(cut, width, support[best], eps, k1, count, len(looked)),
        cuts,
        found.clusters,
        (("support", found.support), ("separation", found.separated), ("stability", found.stable)),
        width,
        tuple((each[0], float(value)) for each, value in zip(within, support, strict=True)),
    )
    return Choice(evidence, looked, found.tree.cut(cut))


@dataclass(frozen=True, eq=False)
class Measured:
    """Of one k1: the tree of all dimensions, and at each cut groups, how separated they are, and how stable."""

    tree: LinkageTree
    clusters: Int64[np.ndarray, " k"]
    separated: Float64[np.ndarray, " k"]
    stable: Float64[np.ndarray, " k"]

    @property
    def support(self) -> Float64[np.ndarray, " k"]:
        """What decides."""
        return np.maximum(self.separated, 0) * np.maximum(self.stable, 0) ** 2


def _measure(
    rows: Float32[np.ndarray, "n d"],
    within: list[tuple[int, int]],
    cuts: Float64[np.ndarray, " k"],
    random: np.random.Generator,
) -> list[Measured]:
    pairs = next(count for most, count in VIEWS if len(rows) <= most)
    halves = [half for _ in range(pairs) for half in _halves(rows, random)]
    widest = within[-1][0]
    known = [(view, *nearest_neighbors(view, widest)) for view in (rows, *halves)]
    found = []
    for k1, k2 in within:
        graphs = [graph_of_neighbors(near, similarity, view, k1, k2, FARTHEST) for view, near, similarity in known]
        trees = _trees(graphs)
        found.append(_at_cuts(graphs[0], trees, cuts))
    return found


def _trees(graphs: list[csr_array]) -> list[LinkageTree]:
    return in_blocks(len(graphs), 1, lambda start, _: sparse_linkage_tree(graphs[start]))


def _at_cuts(graph: csr_array, trees: list[LinkageTree], cuts: Float64[np.ndarray, " k"]) -> Measured:
    """The first tree is that of `graph`, the others are of halves, in pairs."""

    def at(start: int, _: int) -> tuple[int, float, float]:
        labels, *views = [tree.cut(float(cuts[start])) for tree in trees]
        stable = [agreement(one, other) for one, other in zip(views[::2], views[1::2], strict=True)]
        return int(labels.max()) + 1, float(separation(graph, labels).margin.mean()), float(np.mean(stable))

    clusters, separated, stable = zip(*in_blocks(len(cuts), 1, at), strict=True)
    return Measured(trees[0], np.array(clusters), np.array(separated), np.array(stable))


def _halves(rows: Float32[np.ndarray, "n d"], random: np.random.Generator) -> list[Float32[np.ndarray, "n h"]]:
    """The dimensions dealt into two hands; of one dimension both get it."""
    dealt = random.permutation(rows.shape[1])
    middle = len(dealt) // 2
    return [
        unit_rows(np.ascontiguousarray(rows[:, hand])) for hand in (dealt[:middle], dealt[middle:]) if len(hand)
    ] * (1 if middle else 2)


def region(rows: Float32[np.ndarray, "n d"], most: int, random: np.random.Generator) -> Float32[np.ndarray, "m d"]:
    """All rows, or if there are more than `most`, as many that lie together.

    Random rows would break up individuals, and how many neighbors are of one individual is what is asked. So rows are divided
    among random ones by which of these is nearest, into forty divisions of `most` rows, and whole divisions are taken at
    random; of the last one those nearest to its middle.
    """
    if len(rows) <= most:
        return rows
    pivots = rows[random.choice(len(rows), max(40, 40 * len(rows) // most) if most >= 40 else 2, replace=False)]
    nearest, similarity = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        products = rows[block] @ pivots.T
        nearest[block], similarity[block] = products.argmax(axis=1), products.max(axis=1)
    order = np.lexsort((-similarity, random.permutation(len(pivots))[nearest]))
    return rows[np.sort(order[:most])]


def _neighborhoods(count: int, k1: int | None) -> list[tuple[int, int]]:
    """What is looked at among so many rows: neighborhoods of more than half of them would be of everybody."""
    if k1 is not None:
        return [(min(k1, count), averaged(k1))]
    return [(width, averaged) for width, averaged in NEIGHBORHOODS if width <= max(4, count // 2)]


def averaged(k1: int) -> int:
    """The k2 that goes with a k1."""
    return next(averaged for width, averaged in reversed((*NEIGHBORHOODS,)) if width <= max(k1, 2))


def _sentence(
    cut: float, width: int, support: float, eps: float | None, k1: int | None, count: int, looked: int
) -> str:
    if eps is not None:
        sentence = f"{eps:g} was given"
    elif support > 0:
        sentence = f"{cut:g} was chosen: there groups are apart, and come out again from either half of the dimensions"
        if support < LITTLE:
            sentence += f" (but little supports it, {support:.2f} of at most 1: expect many errors)"
    else:
        sentence = f"{FALLBACK} was taken: nothing that comes out again was found, so the groups mean little"
    sentence += f"; {width} neighbors count{' as given' if k1 is not None else ''}."
    return sentence + (f" Looked at: {looked:,} of {count:,} rows that lie together." if looked < count else "")
