"""What a page of identities tells: tracks, who is who among them, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from numpy.typing import NDArray

from reunite.cluster.centroids import centroids
from reunite.errors import InputError
from reunite.evaluate.page import number
from reunite.identities.evidence import Evidence
from reunite.types import Images, check_codes, check_embeddings, unit_rows

DOUBTFUL = 0.1
"""A track of a smaller margin than this is called doubtful. A margin of 0.1 is a second best a ninth farther away."""


@dataclass(frozen=True, eq=False)
class Individual:
    """One individual: its number, its tracks in order of time (those of unknown time last), and its cameras, ascending."""

    label: int
    rows: Int64[np.ndarray, " k"]
    cameras: Int64[np.ndarray, " c"]


@dataclass(frozen=True, eq=False)
class IdentityStory:
    """Everything a page of identities tells about m tracks.

    Attributes:
        title: such as "identities in scenes".
        facts: seed, data, command, versions, ... in the order to print.
        tracks: one image for each track, such as its middle frame, with its camera and its track number; -1 unknown.
        camera_names: what camera codes 0, 1, ... are called; empty where the codes are their names.
        frames: how many frames each track has, (m,).
        begin, end: when each track was first and last seen, (m,) float64; NaN unknown.
        labels, confidence, second_best: (m,), of `reunite.identities.result.Identities`.
        mixed: tracks that seem to hold two individuals, (m,); their label is -1.
        parts: for these the identity nearest to each part, (m, 2); -1 for nobody, and for all other tracks.
        part_paths: for these a picture of each part, (m, 2) str; "" where there is none.
        apart: pairs of tracks that one camera saw at the same moment.
        overlap: whether such pairs were kept apart.
        evidence: what the cut was chosen from.
        embeddings: (m, d) float32, or None: then there is no map, and the most confident track of an individual stands
            for it, not the most central one.
        clock: what `begin` and `end` count, "seconds" or "frames".

    Raises:
        InputError: an array without one row per track, embeddings that are not finite, a mixed track with a label, a
            camera without a name, a second best or a part that nobody is labelled with, or another clock.
    """

    title: str
    facts: dict[str, str]
    tracks: Images
    camera_names: tuple[str, ...]
    frames: NDArray[np.int64]
    begin: NDArray[np.float64]
    end: NDArray[np.float64]
    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    second_best: NDArray[np.int64]
    mixed: NDArray[np.bool_]
    parts: NDArray[np.int64]
    part_paths: Shaped[np.ndarray, "m 2"]
    apart: int
    overlap: bool
    evidence: Evidence
    embeddings: NDArray[np.float32] | None
    clock: str = "seconds"

    def __post_init__(self) -> None:
        count = len(self.tracks)
        for name in ("frames", "begin", "end", "labels", "confidence", "second_best", "mixed", "parts", "part_paths"):
            shape = (count, 2) if name.startswith("part") else (count,)
            if np.shape(getattr(self, name)) != shape:
                raise InputError(
                    f"{name} must have shape {shape}, one row for each of {count:,} tracks; got shape "
                    f"{np.shape(getattr(self, name))}. Pass the arrays of one run, in the order of its tracks."
                )
        if self.embeddings is not None and len(check_embeddings(self.embeddings)) != count:
            raise InputError(
                f"embeddings must have one row for each of {count:,} tracks; got {len(self.embeddings):,} rows. "
                "Pass the arrays of one run, in the order of its tracks."
            )
        check_camera_names(self.tracks, self.camera_names)
        self._check_codes(count)

    def _check_codes(self, count: int) -> None:
        """What is named must be there, for the page would otherwise show one track's picture in place of another's."""
        labels = check_codes(self.labels, count, "labels")
        named = np.flatnonzero(np.asarray(self.mixed, np.bool_) & (labels >= 0))
        if len(named):
            raise InputError(
                f"A track that holds two individuals is nobody's and must have label -1; {len(named):,} have another (the "
                f"first is track {named[0]}, label {labels[named[0]]})."
            )
        for name, codes in (("second_best", self.second_best), ("parts", self.parts)):
            given = np.ravel(codes)
            nobody = np.flatnonzero((given >= 0) & ~np.isin(given, labels))
            if len(nobody):
                raise InputError(
                    f"{name} must be labels of other tracks, or -1; {len(nobody):,} are not (the first is "
                    f"{given[nobody[0]]})."
                )
        if self.clock not in ("seconds", "frames"):
            raise InputError(f"clock must be seconds or frames; got {self.clock!r}.")

    @cached_property
    def individuals(self) -> list[Individual]:
        """All individuals, those of most tracks first and of equals the one with the lowest number."""
        start, _ = self.span
        order = np.lexsort((np.arange(len(start)), start, self.labels))
        order = order[self.labels[order] >= 0]
        names, first = np.unique(self.labels[order], return_index=True)
        found = [
            Individual(int(label), rows, np.unique(self.tracks.camera[rows]))
            for label, rows in zip(names, np.split(order, first[1:]), strict=len(names) > 0)
        ]
        return sorted(found, key=lambda individual: (-len(individual.rows), individual.label))

    @cached_property
    def span(self) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
        """First and last moment of each track; one stands for both where only one is known."""
        return np.fmin(self.begin, self.end), np.fmax(self.begin, self.end)

    @cached_property
    def doubtful(self) -> Bool[np.ndarray, " m"]:
        """Tracks that could almost as well be somebody else."""
        return (self.labels >= 0) & (self.second_best >= 0) & (self.confidence < DOUBTFUL)

    @cached_property
    def cameras(self) -> Int64[np.ndarray, " c"]:
        """Camera codes that occur, ascending; an unknown camera, -1, is the last of them."""
        return present_cameras(self.tracks)

    @property
    def camera(self) -> Int64[np.ndarray, " m"]:
        """The camera code of each track."""
        return self.tracks.camera

    @property
    def unit(self) -> str:
        """What a row is."""
        return "track"

    def camera_name(self, code: int) -> str:
        """What a camera is called, as text."""
        return camera_name(code, self.camera_names)

    def central(self, label: int, without: int = -1) -> int:
        """The track that stands for an individual: the most central one but `without`, -1 where there is no other."""
        rows = np.flatnonzero(self.labels == label)
        rows = rows[rows != without]
        return int(rows[self._centrality[rows].argmax()]) if label >= 0 and len(rows) else -1

    @cached_property
    def _centrality(self) -> Float64[np.ndarray, " m"]:
        """Cosine similarity to the center of the track's own individual; without embeddings, its confidence."""
        if self.embeddings is None or not (self.labels >= 0).any():
            return self.confidence
        rows = unit_rows(self.embeddings.astype(np.float64))
        own = np.full(len(rows), -1, np.int64)
        own[self.labels >= 0] = np.unique(self.labels[self.labels >= 0], return_inverse=True)[1]
        return np.einsum("md,md->m", rows, unit_rows(centroids(rows, own))[own])


def present_cameras(images: Images) -> Int64[np.ndarray, " c"]:
    """Camera codes that occur, ascending; an unknown camera, -1, is the last of them."""
    codes = np.unique(images.camera)
    return np.concatenate([codes[codes >= 0], codes[codes < 0]])


def camera_name(code: int, names: tuple[str, ...]) -> str:
    """What a camera is called, as text."""
    if code < 0:
        return "unknown camera"
    return names[code] if names else f"camera {code}"


def check_camera_names(images: Images, names: tuple[str, ...]) -> None:
    """Raises InputError where there are names, but not one for each camera."""
    if names and len(images) and images.camera.max() >= len(names):
        raise InputError(
            f"camera_names must name every camera; got {len(names)} names and camera code "
            f"{images.camera.max()}. Name them all, or pass () to show the codes."
        )


def identity_result(story: IdentityStory) -> str:
    """The page in one sentence."""
    found, tracks = len(story.individuals), number(len(story.tracks), "track")
    cameras = int((story.cameras >= 0).sum())
    where = f"{tracks} of {number(cameras, 'camera')}" if cameras else tracks
    mixed = int(np.sum(story.mixed))
    left = int(np.sum(story.labels < 0)) - mixed
    sentence = f"{number(found, 'individual')} in {where}" if found else f"No individuals in {where}"
    if mixed:
        sentence += (
            f"; {number(mixed, 'track seems', 'tracks seem')} to hold two individuals and {_was(mixed)} set aside"
        )
    if left:
        sentence += f"; {number(left, 'more track' if mixed else 'track')} {_was(left)} nobody's"
    return sentence + "."


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
