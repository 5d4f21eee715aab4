"""From the output of a tracker to a data set: every box is cut out of its frame and listed in a table."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Int64

from reunite.errors import ImageError, InputError, ReaderError
from reunite.files import replacing
from reunite.images.splits import counted, first_three
from reunite.images.tracker.cutting import FEWEST_PIXELS, Cut, clip_boxes, crop_path, cut_frames
from reunite.images.tracker.footage import (
    CameraFiles,
    Footage,
    MissingFrame,
    find_cameras,
    frame_rate,
    images_in,
    open_footage,
)
from reunite.images.tracker.mot import LeftOut, MotTracks, read_mot

TABLE = "table.csv"
RECORD = "crops.json"
FORMAT = 1
"""Raised whenever the same input gives other crops; those of an older format are then not taken for the present."""

MISSING = "the footage has no such frame"
BROKEN = "the frame cannot be decoded"
OUTSIDE = f"fewer than {FEWEST_PIXELS} pixels of the box's width or height are in the picture"
SKIP = "leave such boxes out with on_error='skip' (--on-error skip)"
COLUMNS = ("path", "camera", "track", "time", "frame", "x", "y", "width", "height", "confidence")


@dataclass(frozen=True)
class CameraCrops:
    """What became of the tracks of one camera.

    Attributes:
        name: of the camera.
        tracks: tracks that have a crop.
        boxes: crops.
        frames: frames decoded.
        ignored: rows with confidence 0, not to be considered.
        clipped: crops that are smaller than their box, because part of it is outside the picture.
        left_out: rows that have no crop though they should, by reason; none with on_error="raise".
        empty: tracks of which every row was left out, so that the table does not hold them.
    """

    name: str
    tracks: int
    boxes: int
    frames: int
    ignored: int
    clipped: int
    left_out: tuple[LeftOut, ...]
    empty: tuple[int, ...]


@dataclass(frozen=True)
class Crops:
    """A folder of crops: its table, what became of each camera (in natural order), and what time means."""

    table: Path
    cameras: tuple[CameraCrops, ...]
    note: str


@dataclass(frozen=True, eq=False)
class _Plan:
    """One camera, read and checked as far as that goes without decoding."""

    files: CameraFiles
    tracks: MotTracks
    footage: Footage
    target: Path
    made_from: dict[str, Any]
    frames: int


def crop_tracks(
    folder: str | Path,
    out: str | Path,
    *,
    rate: float | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    quality: int = 95,
    progress: Callable[[int, int], None] | None = None,
) -> Crops:
    """Cut every box of every camera in `folder` out of its frame, into a folder that `reunite.images.read` reads.

    The crop of a track in a frame is `out/CAMERA/TRACK/FRAME.jpg`, the numbers with at least six digits: the pixels
    of the box, whose edges are rounded to whole pixels, as far as they are in the picture. `out/table.csv` lists them
    with path, camera (its name), track and time, and with frame, x, y, width, height (the box as the tracker gave it)
    and confidence, so that results can be written as MOT text again. Every frame is decoded once, memory does not
    grow with their number, and JPEGs keep full colour resolution (4:4:4), since frames have mostly lost half of theirs.

    Time is (frame - 1) / rate in seconds: the cameras are taken to start at the same moment. Where no rate is known,
    the frame number counts as time, which `Crops.note` says.

    A camera is cut under a temporary name and renamed when complete, and the table is written last. After a stop,
    the same call goes on with the cameras that are not complete. A folder that was cut from other files (told by size
    and time of change) or with another quality is refused, not mixed.

    Args:
        folder: tracks and footage of one or more cameras; see `reunite.images.tracker.footage.find_cameras`.
        out: folder for the crops; created.
        rate: frames per second of all cameras; None takes what videos and seqinfo.ini tell.
        on_error: "raise" stops at rows that cannot be used; "skip" leaves them out, counts them by reason and names
            the tracks that end up empty.
        quality: of the JPEGs, 1 to 100.
        progress: called in the caller's thread with the number of frames cut and of all that have a box.

    Raises:
        ReaderError: what `find_cameras`, `read_mot`, `frame_rate` and `open_footage` refuse; a box outside the
            picture with on_error "raise"; some cameras with and some without a frame rate; or nothing to cut at all.
        ImageError: a frame that is missing or does not decode, with on_error "raise".
        InputError: an argument out of range, or a folder that holds something else.
    """
    _check(rate, on_error, quality)
    target = Path(os.path.abspath(os.path.expanduser(out)))
    try:
        plans = [_plan(files, target, on_error, quality) for files in find_cameras(folder)]
        rates = _rates(plans, rate)
        records = [_record(plan, on_error) for plan in plans]
        if (target / TABLE).exists() and not any(records):
            raise InputError(f"{target} already holds a {TABLE} of something else. Pass another folder for the crops.")
        total = sum(plan.frames for plan in plans)
        done = 0
        for plan, record in zip(plans, records, strict=True):
            if not record:
                _cut_camera(plan, on_error, quality, progress, done, total)
            done += plan.frames
            if record and progress is not None:
                progress(done, total)
        return _finished(target, plans, rates, on_error)
    except OSError as error:
        raise InputError(
            f"{error.filename or target} cannot be read or written: {error.strerror or error}. "
            "Check permissions and free space; the same call then goes on where this one stopped."
        ) from error


def _check(rate: object, on_error: object, quality: object) -> None:
    number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    if rate is not None and not (number and math.isfinite(rate) and rate > 0):  # type: ignore[arg-type, operator]
        raise InputError(f"rate must be frames per second, above 0; got {rate!r}.")
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error must be 'raise' or 'skip'; got {on_error!r}.")
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise InputError(f"quality must be a whole number from 1 to 100; got {quality!r}.")


def _plan(files: CameraFiles, out: Path, on_error: Literal["raise", "skip"], quality: int) -> _Plan:
    tracks = read_mot(files.tracks, on_error=on_error)
    footage = open_footage(files.footage)
    numbers = np.unique(tracks.frame).tolist()
    absent = footage.absent(numbers)
    if absent and on_error == "raise":
        rows = np.flatnonzero(np.isin(tracks.frame, absent))
        raise ImageError(_no_frame(files, tracks, rows, f"{files.footage} has no frame {absent[0]}"))
    made_from = {
        "format": FORMAT,
        "quality": quality,
        "tracks": _stamp(files.tracks),
        "footage": _stamp(files.footage),
    }
    return _Plan(files, tracks, footage, out / files.name, made_from, len(numbers))


def _stamp(path: Path) -> dict[str, Any]:
    """What tells a file, or a folder of images, from another without reading it."""
    stats = [(path / name).stat() for name in images_in(path)] if path.is_dir() else [path.stat()]
    return {
        "name": path.name,
        "files": len(stats),
        "bytes": sum(each.st_size for each in stats),
        "changed": max(each.st_mtime_ns for each in stats),
    }


def _rates(plans: list[_Plan], rate: float | None) -> list[float | None]:
    """Frames per second of each camera: all known or all unknown, since times are compared between cameras."""
    rates = [frame_rate(plan.files.footage) if rate is None else float(rate) for plan in plans]
    unknown = [plan.files.name for plan, each in zip(plans, rates, strict=True) if each is None]
    if unknown and len(unknown) < len(plans):
        raise ReaderError(
            f"No frame rate is known for {first_three(unknown)}, but for other cameras it is, and times in frames and "
            "in seconds do not compare. Pass rate (frames per second), or put a seqinfo.ini beside img1."
        )
    return rates


def _record(plan: _Plan, on_error: str) -> dict[str, Any]:
    """What a complete camera folder says of itself; empty where the camera is still to be cut.

    Raises:
        InputError: the folder is not ours, was cut from something else, or lacks what on_error="raise" would refuse.
    """
    if not os.path.lexists(plan.target):
        return {}
    advice = "Pass another folder for the crops, or delete this one to cut it again."
    try:
        record: dict[str, Any] = json.loads((plan.target / RECORD).read_text(encoding="utf-8"))
        before = [(key, record["made_from"][key], now) for key, now in plan.made_from.items()]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{plan.target} exists and is no folder of crops (it has no {RECORD} of ours). {advice}"
        ) from None
    other = [f"{key} was {was} and is {now}" for key, was, now in before if was != now]
    if other:
        raise InputError(f"{plan.target} was cut from something else: {'; '.join(other)}. {advice}")
    if on_error == "raise" and record["left_out"]:
        reasons = "; ".join(str(LeftOut(**each)) for each in record["left_out"])
        raise InputError(
            f"{plan.target} was cut with on_error='skip' and lacks boxes. {reasons}. "
            "Pass it (--on-error skip) again, or correct the input and delete this folder."
        )
    return record


def _cut_camera(
    plan: _Plan,
    on_error: str,
    quality: int,
    progress: Callable[[int, int], None] | None,
    done: int,
    total: int,
) -> None:
    """Write the folder of one camera, under a temporary name until it is complete."""
    temporary = plan.target.with_name(f".{plan.target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir(parents=True)
    missed: dict[str, list[int]] = {}
    frames = clipped = 0
    try:
        with closing(cut_frames(plan.footage, plan.tracks, temporary, quality)) as cuts:
            for cut in cuts:
                reason = OUTSIDE if cut.error is None else MISSING if isinstance(cut.error, MissingFrame) else BROKEN
                rows = (cut.rows.start + np.flatnonzero(~cut.kept)).tolist()
                if rows and on_error == "raise":
                    raise _refusal(plan, cut, rows[0])
                if rows:
                    missed.setdefault(reason, []).extend(rows)
                frames += cut.error is None
                clipped += cut.clipped
                done += 1
                if progress is not None:
                    progress(done, total)
        left_out = [LeftOut(reason, len(rows), _place(plan.tracks, rows[0])) for reason, rows in missed.items()]
        record = {
            "made_from": plan.made_from,
            "frames": frames,
            "clipped": clipped,
            "left_out": [asdict(each) for each in left_out],
            "rows_left_out": sorted(row for rows in missed.values() for row in rows),
        }
        (temporary / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
        temporary.rename(plan.target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _place(tracks: MotTracks, row: int) -> str:
    return f"frame {tracks.frame[row]}, track {tracks.track[row]}"


def _no_frame(files: CameraFiles, tracks: MotTracks, rows: Int64[np.ndarray, " m"], what: str) -> str:
    more = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
    return (
        f"{what}, where {files.tracks} has a box: {_place(tracks, int(rows[0]))}{more} without a frame. "
        f"Add the frames, correct the rows (frames count from 1), or {SKIP}."
    )


def _refusal(plan: _Plan, cut: Cut, row: int) -> InputError:
    """The error for the first row, in order of frames, that has no crop."""
    tracks = plan.tracks
    if isinstance(cut.error, MissingFrame):
        beyond = np.flatnonzero(tracks.frame >= cut.frame)
        return ImageError(_no_frame(plan.files, tracks, beyond, str(cut.error)))
    if cut.error is not None:
        count = counted(int((~cut.kept).sum()), "row")
        return ImageError(f"{cut.error} {plan.files.tracks} has {count} in frame {cut.frame}. Replace it, or {SKIP}.")
    height, width = cut.size
    others = int((~clip_boxes(tracks.box, height, width)[2]).sum()) - 1
    more = f" {others:,} more of this camera would not be in a picture of this size." if others else ""
    x, y, box_width, box_height = (f"{value:g}" for value in tracks.box[row])
    return ReaderError(
        f"{plan.files.tracks}, {_place(tracks, row)}: {OUTSIDE}. The box is {box_width} x {box_height} at ({x}, {y}), "
        f"the picture {width} x {height}.{more} Correct the rows, or {SKIP}."
    )


def _finished(target: Path, plans: list[_Plan], rates: list[float | None], on_error: str) -> Crops:
    """Count, and write the table; all folders are complete."""
    cameras, tables = [], []
    for plan, rate in zip(plans, rates, strict=True):
        record = _record(plan, on_error)
        tracks = plan.tracks
        kept = np.delete(np.arange(len(tracks)), record["rows_left_out"])
        present = np.unique(tracks.track[kept])
        cameras.append(
            CameraCrops(
                name=plan.files.name,
                tracks=len(present),
                boxes=len(kept),
                frames=record["frames"],
                ignored=tracks.ignored,
                clipped=record["clipped"],
                left_out=(*tracks.left_out, *(LeftOut(**each) for each in record["left_out"])),
                empty=tuple(sorted({*tracks.empty, *np.setdiff1d(tracks.track, present).tolist()})),
            )
        )
        tables.append(_rows(plan.files.name, tracks, kept, rate))
    if not any(camera.boxes for camera in cameras):
        reasons = "; ".join(f"{camera.name}: {each}" for camera in cameras for each in camera.left_out)
        raise ReaderError(f"No box can be cut out. {reasons or 'The files of tracks have no rows to consider'}.")
    table = pa.concat_tables(tables)
    with replacing(target / TABLE) as temporary, temporary.open("wb") as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=False))
    return Crops(target / TABLE, tuple(cameras), _note(rates))


def _rows(name: str, tracks: MotTracks, kept: Int64[np.ndarray, " m"], rate: float | None) -> pa.Table:
    frame, track = tracks.frame[kept], tracks.track[kept]
    paths = [f"{name}/{crop_path(*pair)}" for pair in zip(track.tolist(), frame.tolist(), strict=True)]
    time = frame.astype(np.float64) if rate is None else (frame - 1) / rate
    confidence = pa.array(tracks.confidence[kept], pa.float64(), from_pandas=True)  # NaN becomes an empty cell
    box = np.ascontiguousarray(tracks.box[kept].T)
    return pa.table(
        [
            pa.array(paths, pa.string()),
            pa.array([name] * len(paths), pa.string()),
            track,
            time,
            frame,
            *box,
            confidence,
        ],
        names=list(COLUMNS),
    )


def _note(rates: list[float | None]) -> str:
    known = sorted({rate for rate in rates if rate is not None})
    if not known:
        return "No frame rate is known: the frame number counts as time. Pass rate (frames per second) for seconds."
    spread = f"{known[0]:g}" if len(known) == 1 else f"{known[0]:g} to {known[-1]:g}"
    return f"Time is in seconds, (frame - 1) / rate, at {spread} frames per second."
