"""Boxes are clipped as a loop over pixels would, and crops are the pixels of the frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reunite.errors import ImageError
from reunite.images.loading import available_cores
from reunite.images.tracker.cutting import clip_boxes, cut_frames
from reunite.images.tracker.footage import Frame
from reunite.images.tracker.mot import MotTracks

sides = st.one_of(st.floats(-40, 40), st.sampled_from([-1e300, 1e300, 1.7e308, 0.5, 2.5]))


@given(st.lists(st.tuples(sides, sides, sides, sides), min_size=1, max_size=5), st.integers(1, 20), st.integers(1, 20))
def test_clipping_is_the_oracles(boxes: list[tuple[float, ...]], height: int, width: int) -> None:
    corners, clipped, large = clip_boxes(np.array(boxes, dtype=np.float64), height, width)
    for (x, y, w, h), (left, top, right, bottom), was_clipped, is_large in zip(
        boxes, corners.tolist(), clipped.tolist(), large.tolist(), strict=True
    ):
        edges = [math.inf if edge == math.inf else math.floor(edge + 0.5) for edge in (x, y, x + w, y + h)]
        columns = [column for column in range(width) if edges[0] <= column < edges[2]]
        rows = [row for row in range(height) if edges[1] <= row < edges[3]]
        assert is_large == (len(columns) >= 2 and len(rows) >= 2)
        if is_large:
            assert (left, top, right, bottom) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert was_clipped == (min(edges) < 0 or max(edges[0::2]) > width or max(edges[1::2]) > height)


class Noise:
    """Footage of random pictures; one frame does not decode."""

    def __init__(self, broken: int = 0) -> None:
        self.broken = broken

    def absent(self, wanted: Iterable[int]) -> list[int]:
        return []

    def frames(self, wanted: Iterable[int]) -> Iterator[Frame]:
        return (Frame(number, lambda number=number: self.pixels(number)) for number in wanted)

    def pixels(self, number: int) -> np.ndarray:
        if number == self.broken:
            raise ImageError("broken")
        small = np.random.default_rng(number).integers(40, 215, (5, 8, 3), dtype=np.uint8)
        return cv2.resize(small, (64, 40), interpolation=cv2.INTER_LINEAR)


def tracks_of(rows: list[tuple[int, int, int, int, int, int]]) -> MotTracks:
    columns = np.array(rows, dtype=np.int64)
    return MotTracks(columns[:, 0], columns[:, 1], columns[:, 2:].astype(np.float64), np.ones(len(rows)))


def test_crops_are_the_pixels_of_their_boxes(tmp_path: Path) -> None:
    rows = [
        (1, 3, 5, 6, 20, 30),
        (1, 4, -5, -6, 20, 30),
        (2, 3, 60, 6, 3, 5),
        (9, 3, 60, 6, 20, 1),
        (9, 10**6, 0, 0, 64, 40),
    ]
    with closing(cut_frames(Noise(), tracks_of(rows), tmp_path, 100)) as cuts:
        seen = [(cut.frame, cut.rows, cut.kept.tolist(), cut.clipped, cut.size, cut.error) for cut in cuts]
    assert seen == [
        (1, slice(0, 2), [True, True], 1, (40, 64), None),
        (2, slice(2, 3), [True], 0, (40, 64), None),
        (9, slice(3, 5), [False, True], 0, (40, 64), None),
    ]
    expected = {
        "000003/000001.jpg": Noise().pixels(1)[6:36, 5:25],
        "000004/000001.jpg": Noise().pixels(1)[:24, :15],
        "000003/000002.jpg": Noise().pixels(2)[6:11, 60:63],
        "1000000/000009.jpg": Noise().pixels(9),
    }
    assert sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.jpg")) == sorted(expected)
    for name, pixels in expected.items():
        crop = cv2.cvtColor(cv2.imread(str(tmp_path / name)), cv2.COLOR_BGR2RGB)
        assert crop.shape == pixels.shape
        assert np.abs(crop.astype(int) - pixels).max() <= 4


def test_a_frame_that_does_not_decode_keeps_none_of_its_boxes(tmp_path: Path) -> None:
    rows = [(number, track, 0, 0, 9, 9) for number in range(1, 30) for track in (1, 2)]
    cuts = list(cut_frames(Noise(broken=17), tracks_of(rows), tmp_path, 90))
    assert [cut.frame for cut in cuts] == list(range(1, 30))
    assert [cut.frame for cut in cuts if cut.error is not None] == [17]
    assert [cut.frame for cut in cuts if not cut.kept.all()] == [17]
    assert not cuts[16].kept.any()


def test_frames_are_not_read_far_ahead(tmp_path: Path) -> None:
    read = []

    class Counted(Noise):
        def frames(self, wanted: Iterable[int]) -> Iterator[Frame]:
            for frame in super().frames(wanted):
                read.append(frame.number)
                yield frame

    rows = [(number, 1, 0, 0, 9, 9) for number in range(1, 400)]
    with closing(cut_frames(Counted(), tracks_of(rows), tmp_path, 90)) as cuts:
        ahead = max(len(read) - cut.frame for cut, _ in zip(cuts, range(300), strict=False))
    written = len(list(tmp_path.rglob("*.jpg")))
    assert ahead <= 2 * available_cores() + 1
    assert written <= len(read) < 400


def test_what_goes_wrong_in_a_thread_is_raised(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        closing(cut_frames(Noise(), tracks_of([(1, 1, 0, 0, 9, 9)]), tmp_path / "absent", 90)) as cuts,
    ):
        next(cuts)
