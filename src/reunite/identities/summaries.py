"""What is known of each track, from the embeddings of its frames: a mean, when it was seen, where it falls in two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from reunite.errors import InputError
from reunite.identities.centering import camera_means, without
from reunite.identities.mixed import two_parts
from reunite.images.tracklets import Tracklets
from reunite.types import check_unit_rows, unit_rows


@dataclass(frozen=True, eq=False)
class Summaries:
    """One row for each of m tracks.

    Attributes:
        embeddings: mean of the unit embeddings of its frames, without the mean of its camera, of length one, (m, d).
        camera: (m,), -1 unknown.
        begin, end: seconds of its first and last frame whose time is known, (m,); NaN where none is.
        parts: the same for the two parts of each track at its best cut, (m, 2, d); of a track too short to be cut, twice its
            own.
        place: frames before that cut, (m,), those that could not be read included; 0 where there is none.
        distance: cosine distance of the two parts, (m,), as `two_parts` estimates it.
    """

    embeddings: Float32[np.ndarray, "m d"]
    camera: Int64[np.ndarray, " m"]
    begin: Float64[np.ndarray, " m"]
    end: Float64[np.ndarray, " m"]
    parts: Float32[np.ndarray, "m 2 d"]
    place: Int64[np.ndarray, " m"]
    distance: Float64[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.embeddings)


def summarise(
    frames: Float32[np.ndarray, "k d"],
    tracks: Tracklets,
    *,
    starts: Int64[np.ndarray, " m"] | None = None,
    center: bool = True,
) -> Summaries:
    """Summaries of tracks. Frames are read one track at a time, twice: they may be a memory-mapped file of any size.

    Args:
        frames: an embedding for each entry of `tracks.rows`, in that order. A row of NaN is a frame that could not be read and
            does not count.
        tracks: which of them belong together, camera and times.
        starts: where in `frames` each track begins, for files that hold other tracks too; None is one after the other.
        center: subtract the mean of each camera's tracks (`camera_means`); False for cameras that see different individuals.

    Raises:
        InputError: not one row for each frame, infinite ones, or a track without a frame that could be read.
    """
    if frames.ndim != 2 or (starts is None and len(frames) != len(tracks.rows)):
        raise InputError(f"frames must have shape ({len(tracks.rows)}, d), a row per frame; got shape {frames.shape}.")
    begins = tracks.starts[:-1] if starts is None else starts
    count, dimensions = len(tracks), frames.shape[1]
    means = np.empty((count, dimensions), np.float32)
    for track, (own, _) in enumerate(_each(frames, begins, tracks.lengths)):
        means[track] = own.mean(axis=0)
    camera = tracks.heads.camera
    means = unit_rows(means)
    offset = camera_means(means, camera) if center else np.zeros_like(means)
    parts = np.empty((count, 2, dimensions), np.float32)
    place, distance = np.zeros(count, np.int64), np.zeros(count)
    for track, (own, readable) in enumerate(_each(frames, begins, tracks.lengths)):
        cut = two_parts(own - offset[track])
        place[track], distance[track] = readable[cut.place] if cut.place else 0, cut.distance
        parts[track] = means[track] if not cut.place else (own[: cut.place].mean(axis=0), own[cut.place :].mean(axis=0))
    time = tracks.images.time[tracks.rows]
    flat = without(unit_rows(parts.reshape(2 * count, dimensions)), np.repeat(offset, 2, axis=0))
    return Summaries(
        without(means, offset),
        camera,
        np.fmin.reduceat(time, tracks.starts[:-1]) if count else time,  # of the times that are known
        np.fmax.reduceat(time, tracks.starts[:-1]) if count else time,
        flat.reshape(parts.shape),
        place,
        distance,
    )


def _each(
    frames: Float32[np.ndarray, "k d"], begins: Int64[np.ndarray, " m"], lengths: Int64[np.ndarray, " m"]
) -> Iterator[tuple[Float32[np.ndarray, "r d"], Int64[np.ndarray, " r"]]]:
    """The unit embeddings of the readable frames of each track, and which of its frames they are."""
    for track, (begin, length) in enumerate(zip(begins.tolist(), lengths.tolist(), strict=True)):
        own = np.asarray(frames[begin : begin + length])
        readable = np.flatnonzero(~np.isnan(own).any(axis=1))
        if not len(readable):
            raise InputError(f"Track {track} has no frame with an embedding. Leave such tracks out.")
        yield check_unit_rows(own[readable], f"frames of track {track}"), readable
