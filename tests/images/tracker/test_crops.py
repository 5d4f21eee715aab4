"""Crops show what the tracker boxed, the table lists them all, and a stop or a mistake leaves nothing half-done."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from reunite.errors import ImageError, InputError, ReaderError
from reunite.images.readers import read
from reunite.images.tracker.crops import CameraCrops, Crops, crop_tracks
from reunite.images.tracker.mot import read_mot, write_mot

HEIGHT, WIDTH, FRAMES = 72, 128, 6
COLOURS = {1: (220, 30, 30), 2: (30, 200, 40), 5: (40, 50, 230)}
"""Of the rectangle that each track follows."""


def box_of(track: int, frame: int) -> tuple[int, int, int, int]:
    """x, y, width, height: side by side, moving, of different sizes."""
    return 8 + 38 * list(COLOURS).index(track) + 2 * frame, 10 + 3 * frame, 16 + track, 24 + 2 * track


def scene(frame: int) -> np.ndarray:
    """RGB: rectangles on a gradient."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:] = np.linspace(60, 190, WIDTH, dtype=np.uint8)[None, :, None]
    for track, colour in COLOURS.items():
        x, y, width, height = box_of(track, frame)
        pixels[y : y + height, x : x + width] = colour
    return pixels


ROWS = [(frame, track, *box_of(track, frame), 0.5) for frame in range(1, FRAMES + 1) for track in COLOURS]


def put_rows(path: Path, rows: list[tuple[float, ...]] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(map(str, row)) + ",-1,-1,-1\n" for row in (ROWS if rows is None else rows)))
    return path


def put_images(folder: Path, extension: str = "jpg", frames: int = FRAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(1, frames + 1):
        bgr = cv2.cvtColor(scene(frame), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{frame:06d}.{extension}"), bgr)


def put_video(path: Path, codec: str, frames: int = FRAMES, rate: float = 20.0) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (WIDTH, HEIGHT))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {codec}")
    for frame in range(1, frames + 1):
        writer.write(cv2.cvtColor(scene(frame), cv2.COLOR_RGB2BGR))
    writer.release()


def put_camera(folder: Path, name: str, rows: list[tuple[float, ...]] | None = None) -> Path:
    """A text file beside a folder of PNG frames."""
    put_images(folder / name, "png")
    return put_rows(folder / f"{name}.txt", rows)


def table_of(crops: Crops) -> list[dict[str, str]]:
    with crops.table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files_in(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def check_colours(folder: Path, edge: int, tolerance: int) -> None:
    """Every crop has the size of its box and, `edge` pixels away from its edge, the colour of its track."""
    for frame in range(1, FRAMES + 1):
        for track, colour in COLOURS.items():
            crop = cv2.cvtColor(cv2.imread(str(folder / f"{track:06d}" / f"{frame:06d}.jpg")), cv2.COLOR_BGR2RGB)
            assert crop.shape[:2] == box_of(track, frame)[:1:-1]
            assert (
                np.abs(crop[edge : len(crop) - edge, edge : crop.shape[1] - edge].astype(int) - colour).max()
                <= tolerance
            )


# ---- what comes out


@pytest.mark.parametrize("kind", ["png", "jpg", "sequence", "mp4v", "MJPG"])
def test_crops_have_the_colour_of_what_was_boxed(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "in"
    if kind == "sequence":
        put_images(source / "north" / "img1")
        put_rows(source / "north" / "gt" / "gt.txt")
        (source / "north" / "seqinfo.ini").write_text("[Sequence]\nframeRate=20\n")
    else:
        put_rows(source / "north.txt")
        if kind in ("png", "jpg"):
            put_images(source / "north", kind)
        else:
            put_video(source / ("north.mp4" if kind == "mp4v" else "north.avi"), kind)
    crops = crop_tracks(source, tmp_path / "out")
    assert crops.cameras == (CameraCrops("north", 3, len(ROWS), FRAMES, 0, 0, (), ()),)
    check_colours(tmp_path / "out" / "north", *{"png": (0, 4), "jpg": (2, 16), "sequence": (2, 16)}.get(kind, (3, 40)))
    seconds = kind in ("sequence", "mp4v", "MJPG")
    expected = [(row[0] - 1) / 20 if seconds else row[0] for row in ROWS]
    assert [float(row["time"]) for row in table_of(crops)] == pytest.approx(expected)
    assert crops.note.startswith("Time is in seconds" if seconds else "No frame rate is known: the frame number")


def test_the_table_is_the_text_file_row_by_row(tmp_path: Path) -> None:
    text = put_camera(
        tmp_path / "in", "no,rth", [*ROWS[::-1], (2, 9, -3.25, 5.5, 20.75, 30, -1), (2, 3, 0, 0, 9, 9, 0)]
    )
    crops = crop_tracks(tmp_path / "in", tmp_path / "out", rate=12.5)
    assert crops.note == "Time is in seconds, (frame - 1) / rate, at 12.5 frames per second."
    expected = []
    for line in text.read_text().splitlines():
        frame, track, x, y, width, height, confidence = (float(cell) for cell in line.split(",")[:7])
        if confidence != 0:
            path = f"no,rth/{int(track):06d}/{int(frame):06d}.jpg"
            sure = "" if confidence == -1 else confidence
            expected.append((int(frame), int(track), path, (frame - 1) / 12.5, x, y, width, height, sure))
    found = [
        (
            int(row["frame"]),
            int(row["track"]),
            row["path"],
            *(float(row[name]) for name in ("time", "x", "y", "width", "height")),
            float(row["confidence"]) if row["confidence"] else "",
        )
        for row in table_of(crops)
    ]
    assert found == sorted(expected)
    assert {row["camera"] for row in table_of(crops)} == {"no,rth"}
    assert (crops.cameras[0].ignored, crops.cameras[0].clipped) == (1, 1)


def test_the_table_is_read_as_a_data_set(tmp_path: Path) -> None:
    for number, name in enumerate(("cam2", "cam10", "cam1")):
        put_camera(tmp_path / "in", name, ROWS[number:])
    crops = crop_tracks(tmp_path / "in", tmp_path / "out", rate=4)
    assert [camera.name for camera in crops.cameras] == ["cam1", "cam2", "cam10"]
    dataset = read(tmp_path / "out")
    assert sorted(dataset.camera_names) == sorted(("cam1", "cam2", "cam10"))
    images = dataset.train
    assert set(images.identity.tolist()) == {-1}
    assert len(images) == 3 * len(ROWS) - 3
    for path, camera, track, time in zip(images.paths, images.camera, images.track, images.time, strict=True):
        name, track_name, frame_name = Path(path).relative_to(tmp_path / "out").with_suffix("").parts
        assert (dataset.camera_names[camera], track, time) == (name, int(track_name), (int(frame_name) - 1) / 4)


def test_results_go_back_to_mot_text_from_the_table(tmp_path: Path) -> None:
    text = put_camera(tmp_path / "in", "north", [(*row[:2], row[2] + 0.37, *row[3:]) for row in ROWS])
    crops = crop_tracks(tmp_path / "in", tmp_path / "out")
    tracks = read_mot(text)
    rows = table_of(crops)
    box = np.array([[float(row[name]) for name in ("x", "y", "width", "height")] for row in rows])
    assert np.array_equal(box, tracks.box)
    assert [(int(row["frame"]), int(row["track"])) for row in rows] == list(
        zip(tracks.frame.tolist(), tracks.track.tolist(), strict=True)
    )
    write_mot(tmp_path / "results.txt", replace(tracks, track=tracks.track + 100, box=box))
    assert np.array_equal(read_mot(tmp_path / "results.txt").track, tracks.track + 100)


def test_frame_rates_must_be_comparable(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "north")
    for name, rate in (("east", "20"), ("west", "25")):
        put_images(tmp_path / "in" / name / "img1", "png")
        put_rows(tmp_path / "in" / f"{name}.txt")
        (tmp_path / "in" / name / "seqinfo.ini").write_text(f"[Sequence]\nframeRate={rate}\n")
    with pytest.raises(ReaderError, match="No frame rate is known for 'north', but for other cameras"):
        crop_tracks(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "at 10 frames per second" in crop_tracks(tmp_path / "in", tmp_path / "out", rate=10).note
    (tmp_path / "in" / "north.txt").unlink()
    crops = crop_tracks(tmp_path / "in", tmp_path / "out")
    assert "at 20 to 25 frames per second" in crops.note
    assert {(row["camera"], row["time"]) for row in table_of(crops) if row["frame"] == "6"} == {
        ("east", "0.25"),
        ("west", "0.2"),
    }


# ---- what is wrong


def outcome(folder: Path, out: Path, error: type[InputError]) -> tuple[str, CameraCrops]:
    """The sentence of on_error="raise", and what on_error="skip" makes of the only camera."""
    with pytest.raises(error) as caught:
        crop_tracks(folder, out)
    assert type(caught.value) is error
    assert not (out / "table.csv").exists()
    assert not list(out.glob("*") if out.exists() else [])
    crops = crop_tracks(folder, out, on_error="skip")
    assert len(table_of(crops)) == crops.cameras[0].boxes == len(list(out.rglob("*.jpg")))
    return str(caught.value), crops.cameras[0]


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "north", [*ROWS, (1, 8, 0, 0, 0, 5, 1), (2, 8, 0, 0, 5, -5, 1), (0, 9, 0, 0, 5, 5, 1)])
    sentence, camera = outcome(tmp_path / "in", tmp_path / "out", ReaderError)
    assert "3 of 21 rows" in sentence
    assert (camera.tracks, camera.boxes, camera.empty) == (3, len(ROWS), (8, 9))
    assert sorted(each.count for each in camera.left_out) == [1, 2]


def test_boxes_outside_the_picture(tmp_path: Path) -> None:
    rows = [(2, 5, WIDTH, 0, 9, 9, 1), (3, 6, -20, 0, 21.4, 9, 1), (3, 7, -20, 0, 22, 9, 1), (4, 8, 0, 71, 9, 9, 1)]
    put_camera(tmp_path / "in", "north", [row for row in ROWS if row[:2] != (2, 5)] + rows)
    sentence, camera = outcome(tmp_path / "in", tmp_path / "out", ReaderError)
    for part in (
        "north.txt, frame 2, track 5: fewer than 2 pixels",
        "9 x 9 at (128, 0)",
        "picture 128 x 72",
        " 2 more",
    ):
        assert part in sentence
    assert (camera.boxes, camera.clipped, camera.empty) == (len(ROWS), 1, (6, 8))
    (left_out,) = camera.left_out
    assert (left_out.count, left_out.first) == (3, "frame 2, track 5")
    crop = cv2.imread(str(tmp_path / "out" / "north" / "000007" / "000003.jpg"))
    assert crop.shape[:2] == (9, 2)


def test_frames_that_are_missing_in_a_folder(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "north", [*ROWS, (FRAMES + 2, 4, 0, 0, 9, 9, 1)])
    (tmp_path / "in" / "north" / "000003.png").unlink()
    sentence, camera = outcome(tmp_path / "in", tmp_path / "out", ImageError)
    assert "north has no frame 3" in sentence
    assert "frame 3, track 1 and 3 more" in sentence
    assert (camera.frames, camera.boxes, camera.empty) == (FRAMES - 1, len(ROWS) - 3, (4,))
    (left_out,) = camera.left_out
    assert (left_out.reason, left_out.count) == ("the footage has no such frame", 4)


def test_a_video_that_ends_before_the_tracks(tmp_path: Path) -> None:
    put_rows(tmp_path / "in" / "north.txt")
    put_video(tmp_path / "in" / "north.avi", "MJPG", FRAMES - 2)
    sentence, camera = outcome(tmp_path / "in", tmp_path / "out", ImageError)
    assert "north.avi ends after frame 4" in sentence
    assert "frame 5, track 1 and 5 more" in sentence
    assert (camera.frames, camera.boxes, camera.left_out[0].count) == (FRAMES - 2, len(ROWS) - 6, 6)


def test_a_frame_that_does_not_decode(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "north")
    (tmp_path / "in" / "north" / "000004.png").write_bytes(b"no image")
    sentence, camera = outcome(tmp_path / "in", tmp_path / "out", ImageError)
    assert "000004.png" in sentence
    assert "3 rows in frame 4" in sentence
    assert (camera.frames, camera.boxes, camera.empty) == (FRAMES - 1, len(ROWS) - 3, ())
    assert (camera.left_out[0].reason, camera.left_out[0].count) == ("the frame cannot be decoded", 3)


def test_a_broken_camera_is_found_before_anything_is_decoded(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "east")
    put_camera(tmp_path / "in", "west", [(99, 1, 0, 0, 9, 9, 1)])
    with pytest.raises(ImageError, match="west"):
        crop_tracks(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_to_cut(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "north", [(1, 1, 500, 500, 9, 9, 1)])
    with pytest.raises(ReaderError, match=r"No box can be cut out\. north: fewer than 2 pixels"):
        crop_tracks(tmp_path / "in", tmp_path / "out", on_error="skip")
    put_camera(tmp_path / "other", "north", [])
    with pytest.raises(ReaderError, match="No box can be cut out"):
        crop_tracks(tmp_path / "other", tmp_path / "out2", on_error="skip")


def test_a_camera_without_a_crop_stays_in_the_report(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "east")
    put_camera(tmp_path / "in", "west", [])
    crops = crop_tracks(tmp_path / "in", tmp_path / "out", on_error="skip")
    assert [(camera.name, camera.boxes) for camera in crops.cameras] == [("east", len(ROWS)), ("west", 0)]


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("rate", (0, -1, float("nan"), float("inf"), True, "25")),
        ("quality", (0, 101, 9.5, True)),
        ("on_error", ("no",)),
    ],
)
def test_options_out_of_range(tmp_path: Path, option: str, values: tuple[object, ...]) -> None:
    put_camera(tmp_path / "in", "north")
    for value in values:
        with pytest.raises(InputError, match=f"{option} must be .*; got {value!r}"):
            crop_tracks(tmp_path / "in", tmp_path / "out", **{option: value})


# ---- stop, go on, and other input


@pytest.fixture
def two_cameras(tmp_path: Path) -> Path:
    put_camera(tmp_path / "in", "cam1")
    put_camera(tmp_path / "in", "cam2", ROWS[4:])
    return tmp_path / "in"


def test_progress_counts_frames(two_cameras: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    crop_tracks(two_cameras, tmp_path / "out", progress=lambda *counts: seen.append(counts))
    assert seen == [(done, 11) for done in range(1, 12)]
    seen.clear()
    crop_tracks(two_cameras, tmp_path / "out", progress=lambda *counts: seen.append(counts))
    assert seen == [(6, 11), (11, 11)]


@pytest.mark.parametrize("at", range(1, 12))
def test_a_stop_costs_one_camera(two_cameras: Path, tmp_path: Path, at: int) -> None:
    whole = crop_tracks(two_cameras, tmp_path / "whole", rate=5)

    def stop(done: int, total: int) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crop_tracks(two_cameras, tmp_path / "out", rate=5, progress=stop)
    assert [path.name for path in (tmp_path / "out").iterdir()] == (["cam1"] if at > 6 else [])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cam1").rglob("*")}
    (tmp_path / "out" / ".cam2.part" / "000001").mkdir(parents=True)  # what is left of a process that was killed
    (tmp_path / "out" / ".cam2.part" / "000001" / "000001.jpg").write_bytes(b"half")
    again = crop_tracks(two_cameras, tmp_path / "out", rate=5)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "whole")
    assert again.cameras == whole.cameras
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_going_on_says_the_same_as_one_run(two_cameras: Path, tmp_path: Path) -> None:
    put_rows(two_cameras / "cam1.txt", [*ROWS, (3, 9, -90, 0, 9, 9, 1), (3, 8, -5, 0, 9, 9, 1), (1, 7, 0, 0, 0, 0, 1)])
    first = crop_tracks(two_cameras, tmp_path / "out", on_error="skip")
    assert first.cameras[0].empty == (7, 9)
    files = files_in(tmp_path / "out")
    assert crop_tracks(two_cameras, tmp_path / "out", on_error="skip") == first
    assert files_in(tmp_path / "out") == files


def test_what_is_left_out_can_be_skipped_after_a_refusal_but_not_forgotten(two_cameras: Path, tmp_path: Path) -> None:
    put_rows(two_cameras / "cam2.txt", [*ROWS, (3, 9, -90, 0, 9, 9, 1)])
    with pytest.raises(ReaderError, match=r"cam2\.txt, frame 3, track 9"):
        crop_tracks(two_cameras, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cam1"]
    crop_tracks(two_cameras, tmp_path / "out", on_error="skip")
    with pytest.raises(InputError, match=r"cam2 was cut with on_error='skip'.*frame 3, track 9"):
        crop_tracks(two_cameras, tmp_path / "out")


def test_another_rate_changes_only_the_table(two_cameras: Path, tmp_path: Path) -> None:
    crop_tracks(two_cameras, tmp_path / "out", rate=5)
    before = files_in(tmp_path / "out")
    crop_tracks(two_cameras, tmp_path / "out", rate=10)
    after = files_in(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"table.csv"}


def test_other_input_or_options_are_refused(two_cameras: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crop_tracks(two_cameras, out)
    before = files_in(out)
    (two_cameras / "cam1" / ".DS_Store").write_bytes(b"no frame")
    crop_tracks(two_cameras, out)
    with pytest.raises(InputError, match="cam1 was cut from something else: quality was 95 and is 80"):
        crop_tracks(two_cameras, out, quality=80)
    (two_cameras / "cam2" / "000099.png").write_bytes(b"")
    with pytest.raises(InputError, match="cam2 was cut from something else: footage was"):
        crop_tracks(two_cameras, out)
    (two_cameras / "cam2" / "000099.png").unlink()
    put_rows(two_cameras / "cam1.txt", ROWS[1:])
    with pytest.raises(InputError, match="cam1 was cut from something else: tracks was"):
        crop_tracks(two_cameras, out)
    assert files_in(out) == before
    shutil.rmtree(out / "cam1")
    shutil.rmtree(out / "cam2")
    with pytest.raises(InputError, match=r"already holds a table\.csv of something else"):
        crop_tracks(two_cameras, out)


@pytest.mark.parametrize("record", [None, "no JSON", "[]", "{}", '{"made_from": 3}'])
def test_a_folder_that_is_not_ours_is_refused(two_cameras: Path, tmp_path: Path, record: str | None) -> None:
    (tmp_path / "out" / "cam1").mkdir(parents=True)
    if record is not None:
        (tmp_path / "out" / "cam1" / "crops.json").write_text(record)
    with pytest.raises(InputError, match=r"cam1 exists and is no folder of crops"):
        crop_tracks(two_cameras, tmp_path / "out")


def test_out_that_is_a_file_is_a_sentence(two_cameras: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="cannot be read or written"):
        crop_tracks(two_cameras, tmp_path / "out")


def test_the_quality_is_the_jpegs_and_colours_keep_their_resolution(tmp_path: Path) -> None:
    put_camera(tmp_path / "in", "north")
    for quality in (20, 95):
        crop_tracks(tmp_path / "in", tmp_path / str(quality), quality=quality)
        with Image.open(tmp_path / str(quality) / "north" / "000001" / "000001.jpg") as crop:
            # The first step of libjpeg's table for brightness is 16 at quality 50.
            assert crop.quantization[0][0] == {20: 40, 95: 2}[quality]
            assert {layer[1:3] for layer in crop.layer} == {(1, 1)}
