"""In which space rows are compared, how many neighbors count and where the line is drawn, chosen without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.identities.evidence import Evidence
from reunite.identities.region import region
from reunite.identities.silhouette import ROWS, mean_silhouette
from reunite.identities.support import Support, support
from reunite.identities.whitening import Whitening, half_whitening
from reunite.neighbors.jaccard import jaccard_graph

NEIGHBORHOODS = ((2, 1), (3, 2), (4, 2), (6, 2), (8, 2), (10, 3), (15, 4), (20, 6), (25, 6))
"""(k1, k2) that are looked at. Each image of an individual of two has one neighbor that is of the same."""

WIDE = ((35, 7), (50, 10), (70, 14), (100, 20))
"""(k1, k2) for individuals of fifty images and more. They find kinds, too, which come out again as well as individuals do: of
567 vehicles with two images each three types, again and again. So they count only where the largest of the others is supported
about as much as the best of them, and groups are `SUBSTANTIAL`."""

SUBSTANTIAL = 0.25
"""Mean silhouette, by cosine distance, up to which "no substantial structure has been found" (Kaufman and Rousseeuw 1990).
Neighborhoods say who is nearest and not how near, and kinds are not much nearer to each other than to the rest."""

TENTH = 10
"""Wide neighborhoods of more than one row in so many are not looked at."""

NEARLY = 0.6
"""A neighborhood may be chosen if it is supported this much, compared to the best one. Images of one individual come in bursts,
which are apart and come out again too, so small neighborhoods are supported everywhere."""

BETTER = 1.06
"""Times as much support as the next larger neighborhood has, for which a smaller one is taken: more than chance makes (from one
dealing of the dimensions to another that ratio differed by 0.01 to 0.03)."""

CLEARLY = 1.25
"""Times as much support as the embeddings as they are have, for which half-whitened ones are taken: where all directions count
more alike, halves of them agree more, whether or not it helps. And times as much as others have, for which a wide neighborhood
is taken."""

CUTS = np.round(np.arange(0.40, 0.805, 0.025), 3)
"""Mean Jaccard distances that are looked at. Groups that share less than a fifth are kinds, not individuals."""

EQUAL = 0.99
"""Cuts that are supported this much, compared to the best one, are as good, and the largest of them is taken."""

LITTLE = 0.1
"""Support below which the sentence warns: vehicles are about there where the network was never trained on any
(docs/identify.md)."""

FALLBACK = 0.7
"""The cut where there are too few rows to choose one from: about where it was chosen on most data."""

FEWEST = 6
"""Rows below which nothing is chosen, and neighborhoods mean nothing: each would be of everybody."""

FIRST_ROWS = 4_000
"""Rows that the space is chosen on, and whether wide neighborhoods count; of more, those of some regions, see `region`."""

MOST_ROWS = 50_000
"""Rows that the neighborhood and the cut are chosen on; of more, those of some regions."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and what it was chosen on.

    Attributes:
        evidence: the cut, the neighborhood, and how they were chosen.
        whitening: what to do to all rows before they are compared; None for nothing.
        rows: (m, d) that were looked at, whitened if the others are to be; all of them, or a region.
        labels: (m,) their groups at that cut.
    """

    evidence: Evidence
    whitening: Whitening | None
    rows: Float32[np.ndarray, "m d"]
    labels: Int64[np.ndarray, " m"]


def choose(
    rows: Float32[np.ndarray, "n d"],
    eps: float | None = None,
    k1: int | None = None,
    half_whitened: bool | None = None,
    *,
    seed: int = 0,
) -> Choice:
    """The space, the neighborhood and the cut at which clusters are separated and come out again.

    A space (embeddings as they are, or `half_whitening` of them), a k1 and a cut of average linkage on its Jaccard graph are
    supported by separation times the square of stability (`support`), and a k1 by its best cut. Half-whitened embeddings are
    taken where their best k1 is supported `CLEARLY` more. Of k1 that are supported `NEARLY` as much as the best one the
    largest is where to begin, and as long as the next smaller one is `BETTER` it is taken instead; the best wide one (`WIDE`)
    is taken where it is supported `CLEARLY` more than all others. Of cuts that are `EQUAL` to the best one the largest is
    taken. So where support does not decide, what is coarser is preferred: what is finer than individuals, bursts of images,
    is supported too.

    The square and the numbers behind these words are not derived. They were found on people, vehicles, characters and faces:
    docs/results.md has what they choose there, and what labels would have chosen.

    Args:
        rows: (n, d) of length one.
        eps: a cut to use; the others are chosen, and the evidence is gathered all the same.
        k1: neighbors to use.
        half_whitened: the space to use.
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
        return Choice(evidence, None, rows, np.arange(count))
    cuts = CUTS if eps is None else np.unique(np.append(CUTS, eps))
    allowed = np.ones(len(cuts), np.bool_) if eps is None else cuts == eps
    random = np.random.default_rng(seed)
    looked = region(rows, MOST_ROWS, random)
    first = region(looked, FIRST_ROWS, random)
    spaces = [None if not each else half_whitening(rows) for each in (False, True) if half_whitened in (None, each)]
    looks = [Look.at(first, space, _narrow(len(looked), k1), cuts, allowed, seed) for space in spaces]
    look = looks[-1] if looks[-1].strongest > CLEARLY * looks[0].strongest else looks[0]
    if k1 is None:
        look = look.wider(first, cuts, seed)
    if len(looked) > len(first):
        wide = k1 is None and look.width > NEIGHBORHOODS[-1][0]
        look = Look.at(looked, look.whitening, _narrow(len(looked), k1), cuts, allowed, seed)
        look = look.wider(looked, cuts, seed) if wide else look
    found, cut = look.support[look.place], look.cut(cuts, eps)
    evidence = Evidence(
        cut,
        _sentence(cut, look, eps, k1, count, len(looked)),
        cuts,
        found.clusters,
        (("support", found.at), ("separation", found.separated), ("stability", found.stable)),
        look.width,
        tuple((width, best) for (width, _), best in zip(look.within, look.best, strict=True)),
        look.whitening is not None,
    )
    seen = looked if look.whitening is None else look.whitening(looked)
    return Choice(evidence, look.whitening, seen, found.tree.cut(cut))


@dataclass(frozen=True, eq=False)
class Look:
    """How neighborhoods are supported in one space.

    Attributes:
        whitening: the space; None is that of the embeddings.
        within: (k1, k2) of each neighborhood.
        support: what was measured of each.
        allowed: (k,) cuts that may be chosen.
        wide: how many of the neighborhoods, the last ones, are wide.
    """

    whitening: Whitening | None
    within: tuple[tuple[int, int], ...]
    support: tuple[Support, ...]
    allowed: Bool[np.ndarray, " k"]
    wide: int = 0

    @classmethod
    def at(
        cls,
        rows: Float32[np.ndarray, "n d"],
        whitening: Whitening | None,
        within: tuple[tuple[int, int], ...],
        cuts: Float64[np.ndarray, " k"],
        allowed: Bool[np.ndarray, " k"],
        seed: int,
    ) -> Look:
        """What is measured of `rows`, as they are or whitened."""
        if whitening is None:
            return cls(None, within, tuple(support(rows, _as_it_is, _as_it_is, within, cuts, seed)), allowed)
        return cls(whitening, within, tuple(support(rows, whitening, _whitened, within, cuts, seed)), allowed)

    def wider(self, rows: Float32[np.ndarray, "n d"], cuts: Float64[np.ndarray, " k"], seed: int) -> Look:
        """With wide neighborhoods whose groups are `SUBSTANTIAL`, as long as support does not go down."""
        seen = rows if self.whitening is None else self.whitening(rows)
        shown = np.unique(np.linspace(0, len(rows) - 1, ROWS).round().astype(np.int64))

        def substantial(tree: LinkageTree, cuts: Float64[np.ndarray, " m"]) -> bool:
            return any(mean_silhouette(seen, tree.cut(float(cut)), shown) > SUBSTANTIAL for cut in cuts)

        look = self
        for each in WIDE:
            if each[0] > len(rows) // TENTH or look.best[-1] * BETTER < look.strongest:
                break
            # One tree before those of all halves: graphs of so many neighbors can be nearly full.
            tree = sparse_linkage_tree(jaccard_graph(seen, *each, FARTHEST))
            if not substantial(tree, cuts[self.allowed]):
                continue
            wide = Look.at(rows, self.whitening, (each,), cuts, self.allowed, seed)
            if substantial(tree, cuts[[self._decides(wide.support[0]).argmax()]]):
                within, found = look.within + wide.within, look.support + wide.support
                look = Look(self.whitening, within, found, self.allowed, look.wide + 1)
        return look

    @property
    def best(self) -> list[float]:
        """Support of the best cut of each neighborhood."""
        return [float(self._decides(each).max()) for each in self.support]

    @property
    def strongest(self) -> float:
        """Support of the best cut of all."""
        return max(self.best)

    @property
    def place(self) -> int:
        """That of the neighborhood that is chosen."""
        best = np.array(self.best)
        narrow = best[: len(best) - self.wide]
        if best.max() > CLEARLY * narrow.max():
            return int(best.argmax())
        place = int(np.flatnonzero(narrow >= NEARLY * narrow.max())[-1])
        while place and narrow[place - 1] > BETTER * narrow[place]:
            place -= 1
        return place

    @property
    def width(self) -> int:
        """Its k1."""
        return self.within[self.place][0]

    def cut(self, cuts: Float64[np.ndarray, " k"], eps: float | None) -> float:
        """The largest of those that are as good as the best one, of the neighborhood that is chosen."""
        decides = self._decides(self.support[self.place])
        return float(cuts[decides >= EQUAL * decides.max()][-1]) if self.strongest > 0 else eps or FALLBACK

    def _decides(self, each: Support) -> Float64[np.ndarray, " k"]:
        return np.where(self.allowed, each.at, -1)


def _as_it_is(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    return rows


def _whitened(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    return half_whitening(rows)(rows)


def _narrow(count: int, k1: int | None) -> tuple[tuple[int, int], ...]:
    """What is looked at first among so many rows: neighborhoods of more than half of them would be of everybody."""
    if k1 is not None:
        return ((min(k1, count), averaged(k1)),)
    return tuple((width, averaged) for width, averaged in NEIGHBORHOODS if width <= max(4, count // 2))


def averaged(k1: int) -> int:
    """The k2 that goes with a k1."""
    return next(averaged for width, averaged in reversed((*NEIGHBORHOODS, *WIDE)) if width <= max(k1, 2))


def _sentence(cut: float, look: Look, eps: float | None, k1: int | None, count: int, looked: int) -> str:
    if eps is not None:
        sentence = f"{eps:g} was given"
    elif look.strongest > 0:
        sentence = f"{cut:g} was chosen: there groups are apart, and come out again from either half of the dimensions"
        if look.best[look.place] < LITTLE:
            sentence += f" (but little supports it, {look.best[look.place]:.2f} of at most 1: expect many errors)"
    else:
        sentence = f"{FALLBACK} was taken: nothing that comes out again was found, so the groups mean little"
    sentence += f"; {look.width} neighbors count{' as given' if k1 is not None else ''}."
    if look.whitening is not None:
        sentence += " Directions in which the embeddings vary most count less (half whitening)."
    return sentence + (f" Looked at: {looked:,} of {count:,} rows that lie together." if looked < count else "")
