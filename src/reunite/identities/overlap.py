"""Tracks that one camera saw at the same moment: they show different individuals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from numpy.typing import ArrayLike

from reunite.errors import InputError
from reunite.types import check_codes


def overlapping(camera: ArrayLike, begin: ArrayLike, end: ArrayLike) -> Int64[np.ndarray, "p 2"]:
    """Pairs of tracks of one camera that share a moment, and so cannot show the same individual.

    That holds where a camera draws one box around an individual. A detector that draws two boxes around one person, or
    two "cameras" that are one number, make pairs that are wrong, and nothing later can unite them. A track is taken to
    last without a gap from its first moment to its last, and a single shared moment counts.

    Memory and time grow with the pairs found, not with the pairs there are: O(n log n + p log p).

    Args:
        camera: (n,) the camera of each track; -1 is unknown, and such a track is in no pair.
        begin: (n,) seconds of the first frame, on any clock that the tracks of a camera share; NaN is unknown, and such
            a track is in no pair.
        end: (n,) seconds of the last frame, likewise.

    Returns:
        (p, 2) int64: the rows i < j of each pair, in ascending order.

    Raises:
        InputError: other shapes, no numbers, or a track that ends before it begins.
    """
    count = np.size(camera)
    cameras = check_codes(camera, count, "camera")
    first, last = _seconds(begin, count, "begin"), _seconds(end, count, "end")
    backwards = np.flatnonzero(last < first)
    if len(backwards):
        row = backwards[0]
        raise InputError(
            f"A track must end at or after its begin; {len(backwards):,} of {count:,} do not (the first is track {row}, "
            f"from {first[row]} to {last[row]} seconds). Are the two columns swapped?"
        )
    known = np.flatnonzero((cameras >= 0) & ~np.isnan(first) & ~np.isnan(last))
    order = known[np.lexsort((first[known], cameras[known]))]  # by camera, and by begin within a camera
    each = np.split(order, np.flatnonzero(np.diff(cameras[order])) + 1)
    pairs = np.concatenate([_within_one_camera(tracks, first, last) for tracks in each])
    pairs.sort(axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _within_one_camera(
    tracks: Int64[np.ndarray, " m"], begin: Float64[np.ndarray, " n"], end: Float64[np.ndarray, " n"]
) -> Int64[np.ndarray, "p 2"]:
    """Each of `tracks`, which come in order of their begin, with those that begin after it and before it ends."""
    behind = np.arange(1, len(tracks) + 1)
    met = np.searchsorted(begin[tracks], end[tracks], side="right") - behind
    earlier = np.repeat(np.arange(len(tracks)), met)
    nth = np.arange(len(earlier)) - np.repeat(np.cumsum(met) - met, met)  # of those that begin while it lasts
    return np.stack([tracks[earlier], tracks[behind[earlier] + nth]], axis=1)


def _seconds(values: ArrayLike, count: int, name: str) -> Float64[np.ndarray, " n"]:
    try:
        seconds = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers of seconds, NaN where unknown; got {values!r:.80}.") from None
    if seconds.shape != (count,):
        raise InputError(f"{name} must have shape ({count},), one number per track; got shape {seconds.shape}.")
    return seconds


def span_of(time: ArrayLike, count: int) -> tuple[Shaped[np.ndarray, " n"], Shaped[np.ndarray, " n"]]:
    """Begin and end of each row, from one moment or two; `overlapping` checks that they are numbers.

    Raises:
        InputError: another shape.
    """
    seconds = np.asarray(time)
    if seconds.shape not in ((count,), (count, 2)):
        raise InputError(
            f"time must have shape ({count},), or ({count}, 2) for begin and end; got shape {seconds.shape}."
        )
    return (seconds, seconds) if seconds.ndim == 1 else (seconds[:, 0], seconds[:, 1])
