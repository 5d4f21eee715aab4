"""One look at rows in one space: how well each neighborhood is supported, and which of them is chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64

from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.identities.silhouette import ROWS, mean_silhouette
from reunite.identities.support import Support, support
from reunite.identities.whitening import Space, Whitening, half_whitening
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

NEARLY = 0.65
"""A neighborhood may be chosen if it is supported this much, compared to the best one. Images of one individual come in bursts,
which are apart and come out again too, so small neighborhoods are supported everywhere."""

BETTER = 1.06
"""Times as much support as the next larger neighborhood has, for which a smaller one is taken: more than chance makes (from one
dealing of the dimensions to another that ratio differed by 0.01 to 0.03)."""

CLEARLY = 1.25
"""Times as much support as the embeddings as they are have with the same neighborhood, for which half-whitened ones are taken
instead of any: where all directions count more alike, halves of them agree more, whether or not it helps. And times as much as
others have, for which a wide neighborhood is taken."""

WEAK = 0.15
"""Support of the embeddings as they are below which half-whitened ones are taken wherever they have more with the same
neighborhood. Only networks that were not trained for what they embedded had so little (those of ImageNet on vehicles, on
characters and on some people), and mostly it made them better; those that were trained for it had 0.15 and more, and it made
them worse."""

CUTS = np.round(np.arange(0.40, 0.805, 0.025), 3)
"""Mean Jaccard distances that are looked at. Groups that share less than a fifth are kinds, not individuals."""

EQUAL = 0.99
"""Cuts that are supported this much, compared to the best one, are as good, and the largest of them is taken."""

FALLBACK = 0.7
"""The cut where there are too few rows to choose one from: about where it was chosen on most data."""


@dataclass(frozen=True)
class Asked:
    """What is looked for.

    Attributes:
        eps: the cut that is given; None chooses one of `CUTS`.
        seed: of how dimensions are dealt.
    """

    eps: float | None
    seed: int

    @property
    def cuts(self) -> Float64[np.ndarray, " k"]:
        """All that are looked at, ascending."""
        return CUTS if self.eps is None else np.unique(np.append(CUTS, self.eps))

    @property
    def allowed(self) -> Bool[np.ndarray, " k"]:
        """Those that may be chosen."""
        return np.ones(len(CUTS), np.bool_) if self.eps is None else self.cuts == self.eps

    def best(self, each: Support) -> float:
        """Support of the best cut."""
        return float(each.at[self.allowed].max())

    def cut(self, each: Support) -> float:
        """The largest of those that are as good as the best one; `FALLBACK` where none is supported."""
        if self.eps is not None:
            return self.eps
        return float(CUTS[each.at >= EQUAL * each.at.max()][-1]) if each.at.max() > 0 else FALLBACK


@dataclass(frozen=True, eq=False)
class Look:
    """How neighborhoods are supported in one space.

    Attributes:
        asked: cuts and seed.
        whitening: the space; None is that of the embeddings.
        within: (k1, k2) of each neighborhood.
        support: what was measured of each.
        wide: how many of the neighborhoods, the last ones, are wide.
    """

    asked: Asked
    whitening: Whitening | None
    within: tuple[tuple[int, int], ...]
    support: tuple[Support, ...]
    wide: int = 0

    @classmethod
    def at(
        cls,
        rows: Float32[np.ndarray, "n d"],
        whitening: Whitening | None,
        within: tuple[tuple[int, int], ...],
        asked: Asked,
    ) -> Look:
        """What is measured of `rows`, as they are or whitened."""
        space, prepared = (_as_it_is, _as_it_is) if whitening is None else (whitening, _whitened)
        return cls(asked, whitening, within, tuple(support(rows, space, prepared, within, asked.cuts, asked.seed)))

    def wider(self, rows: Float32[np.ndarray, "n d"]) -> Look:
        """With wide neighborhoods whose groups are `SUBSTANTIAL`, as long as support does not go down."""
        seen = Space(self.whitening)(rows)
        shown = np.unique(np.linspace(0, len(rows) - 1, ROWS).round().astype(np.int64))

        def substantial(tree: LinkageTree, *cuts: float) -> bool:
            return any(mean_silhouette(seen, tree.cut(cut), shown) > SUBSTANTIAL for cut in cuts)

        look = self
        for each in WIDE:
            if each[0] > len(rows) // TENTH or look.best[-1] * BETTER < max(look.best):
                break
            # One tree before those of all halves: graphs of so many neighbors can be nearly full.
            tree = sparse_linkage_tree(jaccard_graph(seen, *each, FARTHEST))
            if substantial(tree, *self.asked.cuts[self.asked.allowed].tolist()):
                wide = Look.at(rows, self.whitening, (each,), self.asked)
                if substantial(tree, self.asked.cut(*wide.support)):
                    within, found = look.within + wide.within, look.support + wide.support
                    look = replace(look, within=within, support=found, wide=look.wide + 1)
        return look

    @property
    def best(self) -> list[float]:
        """Support of the best cut of each neighborhood."""
        return [self.asked.best(each) for each in self.support]

    def better_than(self, plain: Look) -> bool:
        """Whether the neighborhood that is supported best here is supported more than the same one in the plain space.

        `CLEARLY` more, and more than any there, where plain support is not `WEAK`. Not compared to the best one there alone,
        which may answer another question: of vehicles as they are, pairs of nearest neighbors are supported best; half-whitened
        ones are supported best, and 1.4 times as much as the others, with two neighbors and more.
        """
        place = int(np.argmax(self.best))
        here, there = self.best[place], plain.best[place]
        if max(plain.best) < WEAK:
            return here > there
        return here >= max(plain.best) and here > CLEARLY * there

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


def _as_it_is(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    return rows


def _whitened(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    return Space(half_whitening(rows))(rows)


def averaged(k1: int) -> int:
    """The k2 that goes with a k1."""
    return next(averaged for width, averaged in reversed((*NEIGHBORHOODS, *WIDE)) if width <= max(k1, 2))
