"""What the page of a folder is made of, from a result."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from reunite.cli.constraint_file import SaidPairs
from reunite.cli.folder_embeddings import FolderEmbeddings
from reunite.evaluate.folder_story import Changes, ConstraintCounts, Drawing, FolderStory
from reunite.evaluate.reliability_chart import reliability_chart
from reunite.identities.calibration import Calibration
from reunite.identities.numbering import Numbering
from reunite.identities.result import Identities
from reunite.types import NOISE, ClusterScores

MOST_PAIRS = 200
"""Borderline pairs that are looked for; the page shows some of them."""

LEAST = 0.05
"""Pairs that are less probable are not in the chart: they are nearly all pairs there are."""

MOST_MEMBERS = 200
"""Rows of a group that one is compared with, at most; of more, evenly spread ones."""


def folder_story(
    *,
    title: str,
    facts: dict[str, str],
    embedded: FolderEmbeddings,
    camera_names: tuple[str, ...],
    found: Identities,
    numbering: Numbering | None,
    said: SaidPairs,
    scores: ClusterScores | None,
    calibration: Calibration | None,
) -> FolderStory:
    """Everything the page tells."""
    same = sum(each.same for each in said.said)
    return FolderStory(
        title=title,
        facts=facts,
        images=embedded.images,
        camera_names=camera_names,
        labels=found.labels,
        confidence=found.confidence,
        second_best=found.second_best,
        margin=found.margin,
        evidence=found.evidence,
        embeddings=embedded.embeddings,
        pairs=None if calibration is None else borderline(found, embedded.embeddings, calibration),
        scores=scores,
        changes=None if numbering is None else _changes(numbering),
        constraints=ConstraintCounts(same, len(said.said) - same) if said.said else None,
        calibration=None if calibration is None else _drawing(calibration),
        trust=_trust(found),
        doubtful_below=round(1 - found.eps, 3),
    )


def borderline(
    found: Identities, embeddings: np.ndarray, calibration: Calibration
) -> tuple[Int64[np.ndarray, "p 2"], Float64[np.ndarray, " p"]]:
    """Images that could as well be in their second best group, each with the nearest image of that group, and how probably
    the two show one individual.
    """
    grouped = np.flatnonzero(found.labels != NOISE)
    order = np.argsort(found.labels, kind="stable")
    ranked = found.labels[order]
    pairs, similarity = [], []
    for doubt, other in ((found.margin, found.second_best), (found.confidence, found.labels)):
        asked = grouped[other[grouped] != NOISE]
        for row in asked[np.argsort(doubt[asked], kind="stable")][:MOST_PAIRS].tolist():
            begin, end = np.searchsorted(ranked, [other[row], other[row] + 1])
            members = order[np.unique(np.linspace(begin, end - 1, MOST_MEMBERS).round().astype(np.int64))]
            members = members[members != row]
            if len(members):
                near = embeddings[members] @ embeddings[row]
                pairs.append((row, int(members[near.argmax()])))
                similarity.append(float(near.max()))
    unique = np.unique(np.sort(np.array(pairs, np.int64).reshape(-1, 2), axis=1), axis=0, return_index=True)[1]
    rows = np.array(pairs, np.int64).reshape(-1, 2)[unique]
    return rows, np.asarray(calibration.probability(np.array(similarity)[unique]), np.float64).reshape(-1)


def _trust(found: Identities) -> Float64[np.ndarray, " k"]:
    """Mean margin of each group, in order of their numbers: low for two individuals in one, and for one that is in two."""
    member = found.labels != NOISE
    own = np.unique(found.labels[member], return_inverse=True)[1]
    return np.clip(np.bincount(own, found.margin[member]) / np.maximum(np.bincount(own), 1), 0, 1)


def _changes(numbering: Numbering) -> Changes:
    return Changes(
        tuple(numbering.new.tolist()),
        tuple((tuple(part for part, _ in each.parts), each.number) for each in numbering.merges),
        tuple((each.number, tuple(part for part, _ in each.parts)) for each in numbering.splits),
    )


def _drawing(calibration: Calibration) -> Drawing:
    table = calibration.reliability(least=LEAST)
    caption = (
        "How often pairs of images that are said to show one individual with some probability do so in the groups that were "
        f"found, of pairs that are said to with {LEAST:.0%} or more. It was learned from these groups: where they are wrong, "
        "so is it."
    )
    chart = reliability_chart(table, name="reliability", description="Reliability of the probabilities")
    return Drawing("Is this the same one?", chart, caption)
