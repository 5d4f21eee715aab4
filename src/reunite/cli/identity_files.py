"""What `reunite identify` leaves behind: a table of tracks, MOT text with global identities, a summary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reunite.cli.image_tables import write_both
from reunite.identities.summaries import Summaries
from reunite.identities.tracks import TrackIdentities
from reunite.images.tracker.footage import find_cameras
from reunite.images.tracker.mot import read_mot, write_mot
from reunite.images.tracklets import Tracklets
from reunite.types import NOISE


@dataclass(frozen=True, eq=False)
class Result:
    """Who is who among the tracks of a data set.

    Attributes:
        tracks: the m tracks that could be embedded. camera_names: what camera codes are called; may be empty.
        summaries, found: of these.
        left: (camera, track, frames) of tracks that could not be used: without a usable box, or a readable frame.
    """

    tracks: Tracklets
    camera_names: tuple[str, ...]
    summaries: Summaries
    found: TrackIdentities
    left: tuple[tuple[str, int, int], ...]

    def camera(self, code: int) -> str:
        """What a camera is called."""
        return self.camera_names[code] if self.camera_names and code >= 0 else str(code)


def write_tables(result: Result, folder: Path) -> None:
    """`identities.csv` and `identities.parquet`: every track of the input once, in order of camera and track."""
    heads, who = result.tracks.heads, result.found.identities
    columns: dict[str, list[Any]] = {
        "camera": [result.camera(code) for code in heads.camera.tolist()],
        "track": heads.track.tolist(),
        "identity": who.labels.tolist(),
        "confidence": [round(value, 4) for value in who.confidence.tolist()],
        "second_best": who.second_best.tolist(),
        "mixed": result.found.mixed.astype(np.int64).tolist(),
        "first_part": result.found.parts[:, 0].tolist(),
        "second_part": result.found.parts[:, 1].tolist(),
        "first_part_frames": np.where(result.found.mixed, result.summaries.place, 0).tolist(),
        "begin": result.summaries.begin.tolist(),
        "end": result.summaries.end.tolist(),
        "frames": result.tracks.lengths.tolist(),
        "path": [_from(folder, path) for path in heads.paths.tolist()],
    }
    for camera, track, frames in result.left:
        nothing = (camera, track, NOISE, 0.0, NOISE, 0, NOISE, NOISE, 0, float("nan"), float("nan"), frames, "")
        for column, value in zip(columns.values(), nothing, strict=True):
            column.append(value)
    table = pa.table(columns).sort_by([("camera", "ascending"), ("track", "ascending")])
    write_both(table, folder)


def _from(folder: Path, path: str) -> str:
    """A path inside `folder` relative to it, so that the folder may be moved; any other as it is."""
    absolute = folder.resolve()
    return Path(path).relative_to(absolute).as_posix() if Path(path).is_relative_to(absolute) else path


def write_identity_mot(result: Result, footage: Path, folder: Path) -> int:
    """The tracker's files with identities in place of track numbers, `folder/CAMERA.txt`; rows without one are left out.

    Returns:
        How many rows were left out.
    """
    heads, labels = result.tracks.heads, result.found.identities.labels
    known = {
        (result.camera(camera), track): label
        for camera, track, label in zip(heads.camera.tolist(), heads.track.tolist(), labels.tolist(), strict=True)
    }
    missing = 0
    for camera in find_cameras(footage):
        rows = read_mot(camera.tracks, on_error="skip")
        identity = np.array([known.get((camera.name, track), NOISE) for track in rows.track.tolist()], dtype=np.int64)
        kept = identity != NOISE
        missing += int((~kept).sum())
        folder.mkdir(parents=True, exist_ok=True)
        write_mot(
            folder / f"{camera.name}.txt",
            replace(
                rows,
                frame=rows.frame[kept],
                track=identity[kept],
                box=rows.box[kept],
                confidence=rows.confidence[kept],
            ),
        )
    return missing


def summary(result: Result, overlap: bool) -> dict[str, Any]:
    """The result in numbers, and what it was made from."""
    who = result.found.identities
    used = who.labels[who.labels != NOISE]
    cameras = [len(np.unique(result.summaries.camera[who.labels == label])) for label in np.unique(used)]
    return {
        "identities": len(cameras),
        "in_several_cameras": sum(count > 1 for count in cameras),
        "tracks": len(result.tracks) + len(result.left),
        "frames": len(result.tracks.rows),
        "mixed": int(result.found.mixed.sum()),
        "unusable": len(result.left),
        "overlap_rule": overlap,
        "overlapping_pairs": len(who.apart),
        "evidence": who.evidence.facts(),
    }
