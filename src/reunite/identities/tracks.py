"""From tracks to individuals: tracks that show two individuals are set aside, the others are grouped across cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import ArrayLike

from reunite.cluster.centroids import centroids
from reunite.identities.by_cosine import identify_by_cosine
from reunite.identities.result import Identities
from reunite.identities.summaries import Summaries
from reunite.types import NOISE


@dataclass(frozen=True, eq=False)
class TrackIdentities:
    """Who is who among m tracks. Every track has one row.

    Attributes:
        identities: of all m tracks; a track that is set aside has label -1 and confidence 0.
        mixed: tracks that seem to show two individuals, (m,). They are set aside: using one would unite the two.
        parts: for these, the identity nearest to each of their two parts, (m, 2) int64; -1 where none is within eps, and for
            all other tracks.
    """

    identities: Identities
    mixed: Bool[np.ndarray, " m"]
    parts: Int64[np.ndarray, "m 2"]


def identify_tracks(
    tracks: Summaries, constraints: ArrayLike | None = None, eps: float | None = None, *, overlap: bool = True
) -> TrackIdentities:
    """Group tracks of several cameras by individual.

    A track whose two parts are farther apart than `eps` would not be one individual if it were two tracks. It is flagged and
    set aside, and `parts` says whom its parts look like. The line is drawn without tracks that look like that at first.

    Args:
        tracks: as `summarise` makes them.
        constraints: (p, 2) more pairs of tracks that show different individuals.
        eps: mean cosine distance up to which tracks are one individual; None chooses it.
        overlap: keep tracks apart that one camera saw at the same moment.

    Raises:
        InputError: as `identify_by_cosine` does.
    """
    time = np.stack([tracks.begin, tracks.end], axis=1)
    every = identify_by_cosine(tracks.embeddings, tracks.camera, time, constraints, eps, overlap=overlap, center=False)
    kept = np.flatnonzero(tracks.distance <= every.eps)
    found = every if len(kept) == len(tracks) else _among(tracks, kept, every.apart, eps)
    by_that_line = np.flatnonzero(tracks.distance <= found.eps)
    if len(by_that_line) != len(kept):  # of two lines one keeps all that the other keeps, so as many are the same
        kept = by_that_line
        found = replace(_among(tracks, kept, every.apart, found.eps), evidence=found.evidence)
    mixed = np.ones(len(tracks), np.bool_)
    mixed[kept] = False
    labels, second_best = np.full((2, len(tracks)), NOISE, np.int64)
    confidence = np.zeros(len(tracks))  # by cosine, it is the margin
    labels[kept], confidence[kept], second_best[kept] = found.labels, found.confidence, found.second_best
    parts = np.full((len(tracks), 2), NOISE, np.int64)
    if mixed.any() and len(kept):
        parts[mixed] = _nearest(tracks, labels, np.flatnonzero(mixed), every.apart, found.eps)
    whole = replace(
        found, labels=labels, confidence=confidence, margin=confidence, second_best=second_best, apart=every.apart
    )
    return TrackIdentities(whole, mixed, parts)


def _among(
    tracks: Summaries, kept: Int64[np.ndarray, " k"], apart: Int64[np.ndarray, "p 2"], eps: float | None
) -> Identities:
    """Identities of some of the tracks."""
    place = np.full(len(tracks), NOISE, np.int64)
    place[kept] = np.arange(len(kept))
    inside = place[apart]
    return identify_by_cosine(
        tracks.embeddings[kept], constraints=inside[(inside >= 0).all(axis=1)], eps=eps, center=False
    )


def _nearest(
    tracks: Summaries,
    labels: Int64[np.ndarray, " m"],
    mixed: Int64[np.ndarray, " k"],
    apart: Int64[np.ndarray, "p 2"],
    eps: float,
) -> Int64[np.ndarray, "k 2"]:
    """The identity within `eps` that each part of these tracks is nearest to, of those that the track may have; or -1."""
    distance = 1 - tracks.parts[mixed] @ centroids(tracks.embeddings, labels).T
    both = np.concatenate([apart, apart[:, ::-1]])
    both = both[np.isin(both[:, 0], mixed) & (labels[both[:, 1]] >= 0)]
    distance[np.searchsorted(mixed, both[:, 0]), :, labels[both[:, 1]]] = np.inf
    nearest = distance.argmin(axis=2)
    return np.where(distance.min(axis=2) <= eps, nearest, NOISE)
