"""Does a track show two individuals? Where a tracker jumped from one to the other, the frames change for good."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy.typing import ArrayLike

from reunite.errors import InputError
from reunite.types import check_codes, check_embeddings, unit_rows


@dataclass(frozen=True)
class TwoParts:
    """The best place to cut a track in two.

    Attributes:
        place: frames before the cut; 0 where the track is too short to be cut.
        distance: how far the two parts are apart, a cosine distance in [0, 2]; 0.0 where there is no cut.
    """

    place: int
    distance: float


def two_parts(frames: Float[np.ndarray, "t d"], shortest: int = 4) -> TwoParts:
    """Cut a track where its frames change most, and say how far the parts are apart.

    The place is the least-squares change point: the cut with the largest between-parts sum of squares
    t1 * t2 / (t1 + t2) * |mean1 - mean2|^2, the first of equals.

    The distance is 1 - c / sqrt(w1 * w2), where c is the mean cosine of two frames on different sides of the cut, and w1
    and w2 are those of two different frames of one part. It estimates the cosine distance of the directions that the
    parts would have with frames without end. That of their means, the first thing to come to mind, is larger the
    noisier and the fewer the frames: of simulated tracks of 8 noisy frames of one individual it takes most for two
    people (`tests/identities/test_mixed.py`). Frames of a video resemble the frames next to them, and of such noise a
    part remains. Where the frames of a part have nothing in common (w <= 0) the distance is 0.0: nothing speaks for two
    people.

    There is one cut. An individual who comes back after another one leaves two parts of which one is mixed still, and
    the distance is smaller than that of the two.

    Args:
        frames: (t, d) embeddings of the frames in order of time; their lengths do not matter.
        shortest: frames that each part has at least, 2 or more. Frames of somebody who walks past are taken for a person
            of their own only where they are most of such a part: a part of which half is wrong is at a distance of 0.3
            at most if the two individuals are at 1. With 4, one or two wrong frames are at 0.14 at most, three at 0.65.

    Raises:
        InputError: frames that are not finite, or `shortest` below 2.
    """
    _check_shortest(shortest)
    return _cut(check_embeddings(frames, "frames"), shortest)


def mixed_tracks(
    frames: Float[np.ndarray, "n d"], starts: ArrayLike, eps: float, shortest: int = 4
) -> Bool[np.ndarray, " m"]:
    """Which tracks fall in two parts farther apart than `eps`: as two tracks they would not have been united.

    A flag is a question to a person who looks at the track, not a verdict. The network decides what looks alike: somebody
    who turns around, or steps out of the sun, is flagged if the two views are farther apart than `eps`, and would be two
    identities then as two tracks. Somebody who turns slowly is flagged less, since each part holds a half of the way.

    Args:
        frames: (n, d) embeddings of all frames, track by track and in order of time within a track. One track at a time
            is read of it, so a memory-mapped file of any size will do.
        starts: (m + 1,) where each track starts in `frames`, and where the last one stops.
        eps: the distance up to which two tracks are taken for the same individual.
        shortest: see `two_parts`.

    Returns:
        (m,) bool; False for a track of fewer than 2 * `shortest` frames.

    Raises:
        InputError: frames that are not finite (the first such track is named), `starts` that do not divide them, `eps`
            below 0, or `shortest` below 2.
    """
    _check_shortest(shortest)
    if not eps >= 0:
        raise InputError(f"eps must be a cosine distance of 0 or more; got {eps}.")
    bounds = _bounds(starts, np.shape(frames))
    mixed = np.zeros(len(bounds) - 1, np.bool_)
    for track, (start, stop) in enumerate(pairwise(bounds.tolist())):
        mixed[track] = _cut(check_embeddings(frames[start:stop], f"frames of track {track}"), shortest).distance > eps
    return mixed


def _cut(frames: Float32[np.ndarray, "t d"], shortest: int) -> TwoParts:
    count = len(frames)
    if count < 2 * shortest:
        return TwoParts(0, 0.0)
    rows = unit_rows(frames.astype(np.float64))
    sums = rows.cumsum(axis=0)
    before = np.arange(shortest, count - shortest + 1)
    moved = sums[before - 1] - (before / count)[:, None] * sums[-1]  # t1 * t2 / (t1 + t2) * (mean1 - mean2)
    between = np.einsum("kd,kd->k", moved, moved) * count / (before * (count - before))
    place = int(before[between.argmax()])
    left, right = sums[place - 1], sums[-1] - sums[place - 1]
    squares = np.einsum("td,td->t", rows, rows)  # 1, or 0 for a row of zeros
    within = _mean_cosine(left, squares[:place]) * _mean_cosine(right, squares[place:])
    if within <= 0:
        return TwoParts(place, 0.0)
    across = float(left @ right) / (place * (count - place))
    return TwoParts(place, min(max(1 - across / within**0.5, 0.0), 2.0))


def _mean_cosine(total: Float[np.ndarray, " d"], squares: Float[np.ndarray, " t"]) -> float:
    """Mean cosine of two different rows, from their sum and the square of the length of each; 0 if it is negative."""
    pairs = len(squares) * (len(squares) - 1)
    return max(float(total @ total - squares.sum()) / pairs, 0.0)


def _check_shortest(shortest: int) -> None:
    if shortest < 2:
        raise InputError(f"shortest must be at least 2 frames, since one frame alone shows no noise; got {shortest}.")


def _bounds(starts: ArrayLike, shape: tuple[int, ...]) -> Int64[np.ndarray, " s"]:
    bounds = check_codes(starts, np.size(starts), "starts")
    if len(shape) != 2 or not len(bounds) or bounds[0] != 0 or bounds[-1] != shape[0] or (np.diff(bounds) < 0).any():
        raise InputError(
            f"starts must rise from 0 to the number of frames, one more than there are tracks, and frames have shape "
            f"(n, d); got starts {bounds[:3].tolist()} ... {bounds[-3:].tolist()} and frames of shape {shape}."
        )
    return bounds
