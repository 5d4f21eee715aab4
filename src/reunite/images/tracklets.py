"""Images in groups: the frames of a tracklet together, or each image alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int64

from reunite.errors import InputError
from reunite.types import UNKNOWN, Images, check_codes

MeanOf = Literal["pooled", "unit"]


@dataclass(frozen=True)
class Frames:
    """How a tracklet becomes one embedding. A tracklet of one frame is embedded exactly as that image is.

    Args:
        train: frames of each tracklet in a training batch: drawn at random, without repetition where there are enough,
            and in order, as BUC and DBC do it. Never more than the longest tracklet has, so that single images stay single.
        test: most frames that are embedded for clustering, search and tests. Of a longer tracklet they are evenly spread,
            where the authors' code draws them at random.
        mean_of: what is averaged over the frames: the "pooled" features of the backbone, before neck and norm (BUC, DBC),
            or the "unit" embeddings, whose mean is made a unit vector again.
    """

    train: int = 16
    test: int = 900
    mean_of: MeanOf = "pooled"

    def __post_init__(self) -> None:
        if self.train < 1 or self.test < 1:
            raise InputError(f"train and test count frames and must be at least 1; got {self.train} and {self.test}.")
        if self.mean_of not in get_args(MeanOf):
            raise InputError(f"mean_of must be one of {', '.join(get_args(MeanOf))}; got {self.mean_of!r}.")


@dataclass(frozen=True, eq=False)
class Tracklets:
    """A partition of images into tracklets, m of them. Made by `group_tracklets` or `each_alone`.

    Attributes:
        images: all n images.
        rows: rows of `images`, (k,), tracklet after tracklet and in order of time within each.
        starts: where in `rows` each tracklet begins, and k at the end, (m + 1,).
    """

    images: Images
    rows: Int64[np.ndarray, " k"]
    starts: Int64[np.ndarray, " m1"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int64[np.ndarray, " m"]:
        """Frames of each tracklet."""
        return np.diff(self.starts)

    @property
    def owners(self) -> Int64[np.ndarray, " k"]:
        """For each entry of `rows` the tracklet it belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def heads(self) -> Images:
        """One image for each tracklet, (m): its middle frame, with the identity of the tracklet."""
        middle = self.rows[(self.starts[:-1] + self.starts[1:] - 1) // 2]
        known = np.full(len(self), UNKNOWN, np.int64)
        np.maximum.at(known, self.owners, self.images.identity[self.rows])
        return replace(self.images.take(middle), identity=known)

    def frames_of(self, number: int) -> Int64[np.ndarray, " t"]:
        """Rows of one tracklet, in order of time."""
        return self.rows[self.starts[number] : self.starts[number + 1]]

    def take(self, numbers: Int64[np.ndarray, " b"]) -> Tracklets:
        """These tracklets, in this order, of the same images."""
        rows = [self.frames_of(number) for number in np.asarray(numbers).tolist()]
        return replace(self, rows=_joined(rows), starts=np.cumsum([0, *map(len, rows)]))

    def at_most(self, frames: int) -> Tracklets:
        """The same tracklets with at most so many frames each: of longer ones, evenly spread from first to last."""
        if not len(self) or self.lengths.max() <= frames:
            return self
        rows = [self.frames_of(number) for number in range(len(self))]
        rows = [each[_spread(len(each), frames)] if len(each) > frames else each for each in rows]
        return replace(self, rows=_joined(rows), starts=np.cumsum([0, *map(len, rows)]))

    def draw(
        self, numbers: Int64[np.ndarray, " b"], frames: int, rng: np.random.Generator
    ) -> Int64[np.ndarray, "b frames"]:
        """Rows of `frames` frames of each of these tracklets, at random and in order; with repetition from short ones."""
        drawn = np.empty((len(numbers), frames), np.int64)
        for place, number in enumerate(numbers.tolist()):
            own = self.frames_of(number)
            drawn[place] = own[np.sort(rng.choice(len(own), frames, replace=len(own) < frames))]
        return drawn


def each_alone(images: Images) -> Tracklets:
    """Every image by itself, whatever tracks say."""
    return Tracklets(images, np.arange(len(images)), np.arange(len(images) + 1))


def group_tracklets(images: Images, part: Int64[np.ndarray, " n"] | None = None) -> Tracklets:
    """The tracklets of images: images of one camera with the same track number. An image without a track is one by itself.

    Trackers count from 1 in every camera, so a track number means nothing without its camera. Tracklets are numbered by
    their first image. Their frames are in order of time, and in the order of the images where time is not known.

    Args:
        images: n images.
        part: numbers, (n,), that all frames of a tracklet must share; others make it several tracklets.

    Raises:
        InputError: frames of one tracklet have different known identities.
    """
    count = len(images)
    tracked = images.track != UNKNOWN
    keys = np.stack(
        [
            images.camera,
            np.where(tracked, images.track, UNKNOWN),
            check_codes(part, count, "part"),
            np.where(tracked, UNKNOWN, np.arange(count)),
        ]
    )
    _, first, code = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[code.reshape(-1)]
    unknown_time = np.zeros(len(first), bool)
    np.logical_or.at(unknown_time, number, np.isnan(images.time))
    order = np.lexsort([np.where(unknown_time[number], 0.0, images.time), number])
    starts = np.searchsorted(number[order], np.arange(len(first) + 1))
    _check_identities(images, order, number[order])
    return Tracklets(images, order, starts)


def _check_identities(images: Images, order: np.ndarray, number: np.ndarray) -> None:
    identity = images.identity[order]
    known = identity != UNKNOWN
    pairs = np.unique(np.stack([number[known], identity[known]]), axis=1)
    twice = np.flatnonzero(pairs[0, 1:] == pairs[0, :-1])
    if len(twice):
        at = order[np.searchsorted(number, pairs[0, twice[0]])]
        raise InputError(
            f"Frames of one track have different identities: track {images.track[at]} of camera {images.camera[at]} shows "
            f"{pairs[1, twice[0]]} and {pairs[1, twice[0] + 1]}, and {len(np.unique(pairs[0, twice])) - 1:,} more tracks do "
            "so. Give every track one identity and every individual tracks of its own, or leave identities out."
        )


def _spread(length: int, frames: int) -> np.ndarray:
    return np.linspace(0, length - 1, frames).round().astype(np.int64)


def _joined(rows: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(rows) if rows else np.empty(0, np.int64)
