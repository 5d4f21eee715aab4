"""What the page of a folder tells: its images, who is who among them, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from reunite.errors import InputError
from reunite.evaluate.identity_story import Individual, camera_name, check_camera_names, present_cameras
from reunite.evaluate.page import number
from reunite.identities.evidence import Evidence
from reunite.types import ClusterScores, Images, check_codes


@dataclass(frozen=True)
class Changes:
    """What is different from the previous result, by numbers of individuals.

    Attributes:
        new: numbers that were not there before.
        merged: (numbers before, the number that they have now).
        split: (number before, the numbers that it fell into).
    """

    new: tuple[int, ...] = ()
    merged: tuple[tuple[tuple[int, ...], int], ...] = ()
    split: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class ConstraintCounts:
    """How many pairs were given as the same and as different individuals, and how many contradict others."""

    same: int
    different: int
    contradictory: int = 0


@dataclass(frozen=True)
class Drawing:
    """A figure that is ready: its title and caption as text, and itself as HTML that needs nothing else."""

    title: str
    body: str
    caption: str = ""


@dataclass(frozen=True, eq=False)
class FolderStory:
    """Everything the page of a folder tells about n images.

    Attributes:
        title: such as "identities in photos".
        facts: seed, data, command, versions, ... in the order to print.
        images: with camera and time where these are known.
        camera_names: what camera codes 0, 1, ... are called; empty where the codes are their names.
        labels: identity numbers, (n,); -1 is noise.
        confidence: (n,) in [0, 1].
        second_best: the nearest other identity, (n,); -1 for none.
        margin: how much nearer the own identity is than the second best, (n,).
        evidence: what the radius was chosen from, or None.
        embeddings: (n, d) float32, or None: then there is no map, and the most confident image of an individual stands for
            it. May be a memory map: only rows that are shown, and some of their groups, are read.
        trust: how far to trust each group, (k,) in [0, 1], in ascending order of the k identity numbers, or None: then the
            mean confidence of its images stands for it.
        pairs: images that may or may not show one individual, (p, 2) rows, and how probably they do, (p,).
        scores: against known identities, or None.
        changes: against a previous result, or None.
        constraints: how many pairs were given, or None.
        calibration: a reliability plot, or None.
        doubtful_below: images with a smaller confidence are called doubtful.

    Raises:
        InputError: an array without one row per image, a confidence, trust or probability outside [0, 1], a second best
            that nobody is labelled with, pairs of rows that are not there, or a camera without a name.
    """

    title: str
    facts: dict[str, str]
    images: Images
    camera_names: tuple[str, ...]
    labels: NDArray[np.int64]
    confidence: NDArray[np.floating]
    second_best: NDArray[np.int64]
    margin: NDArray[np.floating]
    evidence: Evidence | None = None
    embeddings: NDArray[np.float32] | None = None
    trust: NDArray[np.floating] | None = None
    pairs: tuple[NDArray[np.int64], NDArray[np.floating]] | None = None
    scores: ClusterScores | None = None
    changes: Changes | None = None
    constraints: ConstraintCounts | None = None
    calibration: Drawing | None = None
    doubtful_below: float = 0.5

    def __post_init__(self) -> None:
        count = len(self.images)
        for name in ("labels", "confidence", "second_best", "margin"):
            if np.shape(getattr(self, name)) != (count,):
                raise InputError(
                    f"{name} must have shape ({count},), one value for each of {count:,} images; got shape "
                    f"{np.shape(getattr(self, name))}. Pass the arrays of one run, in the order of its images."
                )
        if self.embeddings is not None and (self.embeddings.ndim != 2 or len(self.embeddings) != count):
            raise InputError(
                f"embeddings must have one row for each of {count:,} images; got shape {self.embeddings.shape}. "
                "Pass the arrays of one run, in the order of its images."
            )
        labels = check_codes(self.labels, count, "labels")
        second = check_codes(self.second_best, count, "second_best")
        nobody = np.flatnonzero((second >= 0) & ~np.isin(second, labels))
        if len(nobody):
            raise InputError(
                f"second_best must be labels of other images, or -1; {len(nobody):,} are not (the first is "
                f"{second[nobody[0]]}, of image {nobody[0]})."
            )
        check_camera_names(self.images, self.camera_names)
        _check_fractions(self.confidence, "confidence")
        if self.trust is not None:
            if np.shape(self.trust) != (len(self.groups),):
                raise InputError(
                    f"trust must have one value for each of {len(self.groups):,} identities; got shape "
                    f"{np.shape(self.trust)}. Noise, label -1, has none."
                )
            _check_fractions(self.trust, "trust")
        if self.pairs is not None:
            _check_pairs(*self.pairs, count)

    @cached_property
    def groups(self) -> Groups:
        """All individuals."""
        return Groups.of(self.labels)

    @cached_property
    def trusted(self) -> Float64[np.ndarray, " k"]:
        """How far to trust each group; without an estimate the mean confidence of its images."""
        if self.trust is not None:
            return np.asarray(self.trust, np.float64)
        sums = np.bincount(self.groups.of_image[self.labels >= 0], self.confidence[self.labels >= 0], len(self.groups))
        return sums / np.maximum(self.groups.sizes, 1)

    @cached_property
    def doubtful(self) -> Bool[np.ndarray, " n"]:
        """Images that could well be somebody else: of an individual, and with a small confidence."""
        return (self.labels >= 0) & (self.confidence < self.doubtful_below)

    @cached_property
    def cameras(self) -> Int64[np.ndarray, " c"]:
        """Camera codes that occur, ascending; an unknown camera, -1, is the last of them."""
        return present_cameras(self.images)

    @property
    def camera(self) -> Int64[np.ndarray, " n"]:
        """The camera code of each image."""
        return self.images.camera

    @property
    def span(self) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """First and last moment of each image, which are one."""
        return self.images.time, self.images.time

    @property
    def clock(self) -> str:
        """What times count."""
        return "seconds"

    @property
    def unit(self) -> str:
        """What a row is."""
        return "image"

    def camera_name(self, code: int) -> str:
        """What a camera is called, as text."""
        return camera_name(code, self.camera_names)

    def individual(self, place: int) -> Individual:
        """The individual of this place among the groups, its images in order of time."""
        rows = self.groups.rows(place)
        rows = rows[np.lexsort((rows, self.images.time[rows]))]
        return Individual(int(self.groups.labels[place]), rows, np.unique(self.images.camera[rows]))


@dataclass(frozen=True, eq=False)
class Groups:
    """The k individuals among n images, in ascending order of their numbers.

    Attributes:
        labels: their numbers, (k,).
        sizes: images of each, (k,).
        of_image: place of each image's individual among them, (n,); -1 for noise.
    """

    labels: Int64[np.ndarray, " k"]
    sizes: Int64[np.ndarray, " k"]
    of_image: Int64[np.ndarray, " n"]
    _order: Int64[np.ndarray, " m"]
    _starts: Int64[np.ndarray, " k1"]

    @classmethod
    def of(cls, labels: Int64[np.ndarray, " n"]) -> Groups:
        """The groups of these labels; -1 is noise."""
        order = np.argsort(labels, kind="stable")
        order = order[labels[order] >= 0]
        names, place, sizes = np.unique(labels[order], return_inverse=True, return_counts=True)
        of_image = np.full(len(labels), -1, np.int64)
        of_image[order] = place.reshape(-1)
        return cls(names, sizes, of_image, order, np.concatenate([[0], np.cumsum(sizes)]))

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, place: int) -> Int64[np.ndarray, " m"]:
        """Images of the individual of this place, ascending."""
        return self._order[self._starts[place] : self._starts[place + 1]]

    @cached_property
    def by_size(self) -> Int64[np.ndarray, " k"]:
        """Places, those of most images first and of equals the one with the lowest number."""
        return np.argsort(-self.sizes, kind="stable")


def folder_result(story: FolderStory) -> str:
    """The page in one sentence."""
    images, found = number(len(story.images), "image"), len(story.groups)
    cameras = int((story.cameras >= 0).sum())
    where = f"{images} of {number(cameras, 'camera')}" if cameras else images
    sentence = f"{number(found, 'individual')} in {where}" if found else f"No individuals in {where}"
    alone, noise = int((story.groups.sizes == 1).sum()), int((story.labels < 0).sum())
    parts = [f"{number(alone, 'individual was', 'individuals were')} seen once"] if alone else []
    if noise:
        parts.append(f"{number(noise, 'image was', 'images were')} left as noise")
    return "; ".join([sentence, *parts]) + "."


def _check_fractions(values: NDArray[np.floating], name: str) -> None:
    wrong = np.flatnonzero(~((np.asarray(values) >= 0) & (np.asarray(values) <= 1)))
    if len(wrong):
        raise InputError(
            f"{name} must lie between 0 and 1; {len(wrong):,} of {len(values):,} values do not (the first is "
            f"{values[wrong[0]]}, in row {wrong[0]})."
        )


def _check_pairs(rows: NDArray[np.int64], probability: NDArray[np.floating], count: int) -> None:
    if rows.ndim != 2 or rows.shape[1] != 2 or np.shape(probability) != (len(rows),):
        raise InputError(
            f"pairs must be rows of shape (p, 2) and their probabilities, (p,); got shapes {rows.shape} and "
            f"{np.shape(probability)}."
        )
    outside = np.flatnonzero(((rows < 0) | (rows >= count)).any(axis=1))
    if len(outside):
        raise InputError(
            f"pairs must be rows of the {count:,} images; {len(outside):,} of {len(rows):,} are not (the first is "
            f"{rows[outside[0]].tolist()})."
        )
    _check_fractions(probability, "the probabilities of pairs")
