"""Cameras are found or the reason is told, and every frame is the one that was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reunite.errors import ImageError, ReaderError
from reunite.images.tracker.footage import MissingFrame, find_cameras, frame_rate, natural, open_footage

ROW = "1,1,0,0,5,5,1\n"
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


def shade(number: int) -> int:
    """The grey level of a frame; neighbours are far enough apart to survive compression."""
    return 20 + 8 * number


def picture(number: int) -> np.ndarray:
    return np.full((48, 64, 3), shade(number), np.uint8)


def put(folder: Path, *names: str, text: str = "") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".jpg", ".png")):
            cv2.imwrite(str(folder / name), picture(0))
        else:
            (folder / name).write_text(text or ROW)


def put_frames(folder: Path, names: Iterable[str]) -> Path:
    """Images in this order, the first as frame 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, start=1):
        cv2.imwrite(str(folder / name), picture(number))
    return folder


def put_video(path: Path, frames: int, rate: float = 25.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix]), rate, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {path.suffix}")
    for number in range(1, frames + 1):
        writer.write(picture(number))
    writer.release()
    return path


def frames_seen(footage: Path, wanted: Iterable[int]) -> list[tuple[int, int]]:
    """(number asked for, number shown) of each frame."""
    levels = [shade(number) for number in range(30)]
    seen = []
    for frame in open_footage(footage).frames(wanted):
        pixels = frame.load()
        assert (pixels.shape, pixels.dtype) == ((48, 64, 3), np.uint8)
        seen.append((frame.number, int(np.argmin(np.abs(levels - pixels.mean())))))
    return seen


# ---- cameras


def test_natural_order() -> None:
    names = ["cam10", "Cam2", "cam1", "10", "9", "cam", "cam02", "b", "cam2b"]
    assert sorted(names, key=natural) == ["9", "10", "b", "cam", "cam1", "Cam2", "cam02", "cam2b", "cam10"]


def test_cameras_of_every_kind(tmp_path: Path) -> None:
    put(tmp_path, "cam10.txt", "cam10/000001.jpg", "cam2.TXT", "cam2.MP4", "cam1/img1/1.png", "cam1/gt/gt.txt")
    put(tmp_path, "cam3/img1/1.jpg", "cam3/tracks.txt", "cam4/img1/1.jpg", "cam4/out of my tracker.txt")
    put(tmp_path, "cam5/img1/1.jpg", "cam5.txt")
    put(tmp_path, "readme.txt", "cam4/notes.txt", text="Filmed in May.")
    put(tmp_path, "cam2_annotated.mp4", "other/1.jpg", ".hidden.txt", "cam3/det/det.txt")
    found = [
        (each.name, each.tracks.relative_to(tmp_path).as_posix(), each.footage.relative_to(tmp_path).as_posix())
        for each in find_cameras(tmp_path)
    ]
    assert found == [
        ("cam1", "cam1/gt/gt.txt", "cam1/img1"),
        ("cam2", "cam2.TXT", "cam2.MP4"),
        ("cam3", "cam3/tracks.txt", "cam3/img1"),
        ("cam4", "cam4/out of my tracker.txt", "cam4/img1"),
        ("cam5", "cam5.txt", "cam5/img1"),
        ("cam10", "cam10.txt", "cam10"),
    ]


@pytest.mark.parametrize("extension", ["mp4", "avi", "mov", "mkv", "m4v", "webm"])
def test_kinds_of_video(tmp_path: Path, extension: str) -> None:
    put(tmp_path, "north.txt", f"north.{extension}")
    assert [each.footage.name for each in find_cameras(tmp_path)] == [f"north.{extension}"]


def test_a_sequence_is_one_camera(tmp_path: Path) -> None:
    put(tmp_path, "east/img1/1.jpg", "east/gt/gt.txt", "west.txt")
    (camera,) = find_cameras(tmp_path / "east")
    assert (camera.name, camera.tracks.name, camera.footage.name) == ("east", "gt.txt", "img1")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds no camera. It is empty; looked for NAME.txt beside"),
        (("a.jpg", "b/c.jpg"), "holds no camera. It holds 'a.jpg', 'b'; looked for"),
        (
            ("a.txt", "a.mp4", "b.txt"),
            "b.txt lists tracks, but their frames are missing: looked beside it for a folder b",
        ),
        (("a.txt", "a/empty.md"), "a.txt lists tracks, but their frames are missing"),
        (("a.txt", "a.mp4", "a/1.jpg"), "Camera a has 2 kinds of footage"),
        (("a.txt", "a.mp4", "a.avi"), "Camera a has 2 kinds of footage"),
        (("a/img1/1.jpg", "a/gt/gt.txt", "a/tracks.txt"), "Camera a has 2 files of tracks"),
        (("a/img1/1.jpg", "a/one.txt", "a/two.txt"), "Camera a has 2 files of tracks"),
        (("a/img1/1.jpg", "a/gt/gt.txt", "a.txt"), "Camera a has 2 files of tracks"),
        (("a/img1/1.jpg", "a/det/det.txt"), "has frames but no tracks: looked for gt/gt.txt, tracks.txt"),
        (("-1.txt", "-1.mp4"), "must not be called '-1'"),
    ],
)
def test_what_is_no_camera(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(ReaderError) as caught:
        find_cameras(tmp_path)
    assert message in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.txt")
    for path in (tmp_path / "absent", tmp_path / "a.txt"):
        with pytest.raises(ReaderError, match="There is no folder"):
            find_cameras(path)


# ---- frame rates


def test_rates(tmp_path: Path) -> None:
    assert frame_rate(put_video(tmp_path / "a.avi", 2, 12.5)) == 12.5
    put(tmp_path, "s/img1/1.jpg", "t/1.jpg")
    assert frame_rate(tmp_path / "s" / "img1") is None
    put(tmp_path, "s/seqinfo.ini", "seqinfo.ini", text="[Sequence]\nname=s\nframeRate=30\nseqLength=9\n")
    assert frame_rate(tmp_path / "s" / "img1") == 30.0
    assert frame_rate(tmp_path / "t") is None
    put(tmp_path, "s/seqinfo.ini", text="[Sequence]\nname=s\n")
    assert frame_rate(tmp_path / "s" / "img1") is None


@pytest.mark.parametrize("text", ["frameRate=30", "[Sequence]\nframeRate=fast", "[Sequence]\nframeRate=0"])
def test_rates_that_cannot_be_understood(tmp_path: Path, text: str) -> None:
    put(tmp_path, "s/img1/1.jpg")
    put(tmp_path, "s/seqinfo.ini", text=text)
    with pytest.raises(ReaderError, match=r"seqinfo\.ini .*pass rate"):
        frame_rate(tmp_path / "s" / "img1")


# ---- frames

NUMBERED = [f"{number:06d}.png" for number in range(1, 13)]


@pytest.mark.parametrize(
    "names",
    [
        NUMBERED,
        [f"{number}.png" for number in range(1, 13)],
        [f"{number}.png" for number in range(12)],
        [f"frame {number}.jpg" for number in range(3, 39, 3)],
        [f"{letter}.png" for letter in "abcdefghijkl"],
    ],
)
def test_frames_of_a_folder(tmp_path: Path, names: list[str]) -> None:
    folder = put_frames(tmp_path / "frames", names)
    (folder / ".hidden.jpg").write_bytes(b"")
    (folder / "notes.md").write_bytes(b"")
    assert frames_seen(folder, [2, 1, 11, 2, 12]) == [(1, 1), (2, 2), (11, 11), (12, 12)]
    assert open_footage(folder).absent([1, 12, 13]) == [13]


def test_numbers_are_kept_where_frames_are_missing(tmp_path: Path) -> None:
    folder = put_frames(tmp_path / "frames", NUMBERED)
    (folder / NUMBERED[4]).unlink()
    footage = open_footage(folder)
    assert footage.absent([4, 5, 6, 13]) == [5, 13]
    assert frames_seen(folder, [4, 6]) == [(4, 4), (6, 6)]
    with pytest.raises(MissingFrame, match="has no frame 5: its 11 images are frames 1 to 12"):
        next(footage.frames([5])).load()


def test_folders_that_are_no_footage(tmp_path: Path) -> None:
    put(tmp_path, "empty/notes.md", "twice/1.jpg", "twice/01.png", "twice/2.jpg", "zero/0.jpg", "zero/00.jpg")
    with pytest.raises(ReaderError, match="holds no images"):
        open_footage(tmp_path / "empty")
    for name, pair in (("twice", r"(1\.jpg and 01\.png|01\.png and 1\.jpg)"), ("zero", "two images of one frame")):
        with pytest.raises(ReaderError, match=pair):
            open_footage(tmp_path / name)


def test_a_broken_image_fails_when_loaded_and_the_others_do_not(tmp_path: Path) -> None:
    folder = put_frames(tmp_path / "frames", NUMBERED)
    (folder / NUMBERED[1]).write_bytes(b"no image")
    first, second, third = open_footage(folder).frames([1, 2, 3])
    assert [round(float(frame.load().mean())) for frame in (first, third)] == [shade(1), shade(3)]
    with pytest.raises(ImageError, match=NUMBERED[1]):
        second.load()


@pytest.mark.parametrize("extension", CODECS)
def test_frames_of_a_video(tmp_path: Path, extension: str) -> None:
    video = put_video(tmp_path / f"a{extension}", 20)
    assert frames_seen(video, [7, 1, 20, 2]) == [(1, 1), (2, 2), (7, 7), (20, 20)]
    assert frames_seen(video, range(1, 21)) == [(number, number) for number in range(1, 21)]


def test_a_video_has_colours_in_the_right_order(tmp_path: Path) -> None:
    put_video(tmp_path / "probe.avi", 1)
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    writer.write(np.full((48, 64, 3), (10, 60, 220), np.uint8))  # blue, green, red
    writer.release()
    pixels = next(open_footage(tmp_path / "a.avi").frames([1])).load()
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), [220, 60, 10], atol=6)


def test_a_video_that_ends_too_early_says_so(tmp_path: Path) -> None:
    video = put_video(tmp_path / "a.avi", 5)
    frames = list(open_footage(video).frames([0, 4, 6, 9]))
    assert [frame.number for frame in frames] == [0, 4, 6, 9]
    assert frames[1].load().mean() == pytest.approx(shade(4), abs=3)
    for frame in frames[2:]:
        with pytest.raises(MissingFrame, match=r"a\.avi ends after frame 5"):
            frame.load()
    with pytest.raises(MissingFrame):
        frames[0].load()


@pytest.mark.parametrize("name", ["broken.mp4", "absent.mp4", "empty.avi"])
def test_a_video_that_does_not_open_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    (tmp_path / "empty.avi").write_bytes(b"")
    with pytest.raises(ReaderError, match=f"{name} does not open as a video"):
        open_footage(tmp_path / name)
    with pytest.raises(ReaderError, match=f"{name} does not open as a video"):
        frame_rate(tmp_path / name)
