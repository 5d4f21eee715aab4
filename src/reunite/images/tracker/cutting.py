"""Boxes cut out of their frames and written, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from jaxtyping import Bool, Float64, Int64

from reunite.errors import ImageError
from reunite.images.loading import available_cores
from reunite.images.tracker.footage import Footage, Frame
from reunite.images.tracker.mot import MotTracks

FEWEST_PIXELS = 2
"""A box of which less is in the picture, in width or in height, counts as outside."""


@dataclass(frozen=True, eq=False)
class Cut:
    """One frame cut up: the rows it has in the tracks, and which of these have a crop now."""

    frame: int
    rows: slice
    kept: Bool[np.ndarray, " boxes"]
    clipped: int = 0
    size: tuple[int, int] = (0, 0)
    error: ImageError | None = None


def clip_boxes(
    box: Float64[np.ndarray, "n 4"], height: int, width: int
) -> tuple[Int64[np.ndarray, "n 4"], Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Left, top, right and bottom of each box in whole pixels (right and bottom excluded), inside a picture.

    Returns:
        The edges, rounded (halves up) and clipped; which boxes were clipped; and which have two pixels or more left
        in width and in height.
    """
    with np.errstate(over="ignore"):  # a box that ends at infinity is clipped like any other
        edges = np.floor(np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1) + 0.5)
    inside = np.clip(edges, 0, [width, height, width, height])
    corners = inside.astype(np.int64)
    large = (corners[:, 2:] - corners[:, :2] >= FEWEST_PIXELS).all(axis=1)
    return corners, np.asarray((inside != edges).any(axis=1)), np.asarray(large)


def cut_frames(footage: Footage, tracks: MotTracks, folder: Path, quality: int) -> Generator[Cut, None, None]:
    """Every frame that has a box, cut in threads and handed out in order; no more than a few wait at any time."""
    numbers, first, count = np.unique(tracks.frame, return_index=True, return_counts=True)
    rows_of = {
        number: slice(start, start + boxes)
        for number, start, boxes in zip(numbers.tolist(), first.tolist(), count.tolist(), strict=True)
    }
    workers = available_cores()
    waiting: deque[Future[Cut]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for frame in footage.frames(rows_of):
                waiting.append(pool.submit(_cut_frame, frame, rows_of[frame.number], tracks, folder, quality))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def crop_path(track: int, frame: int) -> str:
    """Where the crop of a track in a frame is, in the folder of its camera."""
    return f"{track:06d}/{frame:06d}.jpg"


def _cut_frame(frame: Frame, rows: slice, tracks: MotTracks, folder: Path, quality: int) -> Cut:
    try:
        pixels = frame.load()
    except ImageError as error:
        return Cut(frame.number, rows, np.zeros(rows.stop - rows.start, dtype=np.bool_), error=error)
    height, width = pixels.shape[:2]
    corners, clipped, kept = clip_boxes(tracks.box[rows], height, width)
    places = zip(tracks.track[rows][kept].tolist(), corners[kept].tolist(), strict=True)
    for track, (left, top, right, bottom) in places:
        crop = np.ascontiguousarray(pixels[top:bottom, left:right])
        data = simplejpeg.encode_jpeg(crop, quality=quality, colorspace="RGB", colorsubsampling="444")
        file = folder / crop_path(track, frame.number)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
    return Cut(frame.number, rows, kept, int((clipped & kept).sum()), (height, width))
