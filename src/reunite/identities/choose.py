"""In which space rows are compared, how many neighbors count and where the line is drawn, chosen without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from reunite.identities.evidence import Evidence
from reunite.identities.look import FALLBACK, NEIGHBORHOODS, Asked, Look, averaged
from reunite.identities.region import region
from reunite.identities.whitening import Space, Whitening, half_whitening, within_whitening

LITTLE = 0.1
"""Support below which the sentence warns: vehicles are about there where the network was never trained on any
(docs/identify.md)."""

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

    def space(self, rows: Float32[np.ndarray, "n d"]) -> Space:
        """Where all rows are to be compared: what varies within the groups that were found counts less there."""
        return Space(self.whitening, within_whitening(Space(self.whitening)(rows), self.rows, self.labels))


def choose(
    rows: Float32[np.ndarray, "n d"],
    eps: float | None = None,
    k1: int | None = None,
    half_whitened: bool | None = None,
    *,
    kept: Space | None = None,
    seed: int = 0,
) -> Choice:
    """The space, the neighborhood and the cut at which clusters are separated and come out again.

    A space (embeddings as they are, or `half_whitening` of them), a k1 and a cut of average linkage on its Jaccard graph are
    supported by separation times the square of stability (`support`), and a k1 by its best cut. Half-whitened embeddings are
    taken where one of their k1 is supported best of all, and `CLEARLY` more than the same k1 without; where support is `WEAK`
    without, wherever it is supported more than the same k1. Of k1 that are supported `NEARLY` as much as the best one the
    largest is where to begin, and as long as the next smaller one is `BETTER` it is taken instead; the best wide one (`WIDE`)
    is taken where it is supported `CLEARLY` more than all others. Of cuts that are `EQUAL` to the best one the largest is
    taken. So where support does not decide, what is coarser is preferred: what is finer than individuals, bursts of images, is
    supported too.

    The square and the numbers behind these words are not derived. They were found on people, vehicles, characters and faces:
    docs/results.md has what they choose there, and what labels would have chosen.

    Args:
        rows: (n, d) of length one.
        eps: a cut to use; the others are chosen, and the evidence is gathered all the same.
        k1: neighbors to use.
        half_whitened: the space to use.
        kept: one that was learned from other rows, to use.
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
    asked, random = Asked(eps, seed), np.random.default_rng(seed)
    looked = region(rows, MOST_ROWS, random)
    first = region(looked, FIRST_ROWS, random)
    spaces = [half_whitening(rows) if half else None for half in (False, True) if half_whitened in (None, half)]
    if kept is not None:
        spaces = [kept.half]
    looks = [Look.at(first, space, _narrow(len(looked), k1), asked) for space in spaces]
    look = looks[-1] if looks[-1].better_than(looks[0]) else looks[0]
    if k1 is None:
        look = look.wider(first)
    if len(looked) > len(first):
        wide = look.place >= len(look.within) - look.wide
        look = Look.at(looked, look.whitening, _narrow(len(looked), k1), asked)
        look = look.wider(looked) if wide else look
    found, width = look.support[look.place], look.within[look.place][0]
    cut = asked.cut(found)
    evidence = Evidence(
        cut,
        _sentence(look, cut, width, given=k1 is not None, count=count, looked=len(looked)),
        asked.cuts,
        found.clusters,
        (("support", found.at), ("separation", found.separated), ("stability", found.stable)),
        width,
        tuple((each, best) for (each, _), best in zip(look.within, look.best, strict=True)),
        look.whitening is not None,
    )
    return Choice(evidence, look.whitening, Space(look.whitening)(looked), found.tree.cut(cut))


def _narrow(count: int, k1: int | None) -> tuple[tuple[int, int], ...]:
    """What is looked at first among so many rows: neighborhoods of more than half of them would be of everybody."""
    if k1 is not None:
        return ((min(k1, count), averaged(k1)),)
    return tuple((width, averaged) for width, averaged in NEIGHBORHOODS if width <= max(4, count // 2))


def _sentence(look: Look, cut: float, width: int, *, given: bool, count: int, looked: int) -> str:
    best = look.best[look.place]
    if look.asked.eps is not None:
        sentence = f"{cut:g} was given"
    elif best > 0:
        sentence = f"{cut:g} was chosen: there groups are apart, and come out again from either half of the dimensions"
        if best < LITTLE:
            sentence += f" (but little supports it, {best:.2f} of at most 1: expect many errors)"
    else:
        sentence = f"{cut:g} was taken: nothing that comes out again was found, so the groups mean little"
    sentence += f"; {width} neighbors count{' as given' if given else ''}."
    if look.whitening is not None:
        sentence += " Directions in which the embeddings vary most count less (half whitening)."
    return sentence + (f" Looked at: {looked:,} of {count:,} rows that lie together." if looked < count else "")
