"""The text files of trackers (MOTChallenge): which box shows which track in which frame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Bool, Float64, Int64

from reunite.errors import InputError, ReaderError
from reunite.files import replacing

FEWEST_VALUES = 6
"""Frame, id, x, y, width and height; a row may end there."""

BIGGEST_NUMBER = 2**53
"""Frames and ids below it are exact, however a file writes them ("3", "3.0", "3.000e+00")."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LeftOut:
    """Rows that cannot be used for one and the same reason.

    Attributes:
        reason: what is wrong with them.
        count: how many there are.
        first: where the first of them is.
    """

    reason: str
    count: int
    first: str

    def __str__(self) -> str:
        more = f" and {self.count - 1:,} more" if self.count > 1 else ""
        return f"{self.reason}: {self.first}{more}"


@dataclass(frozen=True, eq=False)
class MotTracks:
    """What a tracker says about one camera: n rows in ascending order of frame and, within a frame, of track.

    Attributes:
        frame: number of the frame, from 1, (n,) int64.
        track: number that the tracker gave, 0 or more, (n,) int64. No track has two rows in one frame.
        box: x and y of the top left corner, width and height in pixels, (n, 4) float64.
        confidence: of the detection, (n,) float64; NaN unknown.
        ignored: rows with confidence 0, by which ground truth says "do not consider"; they are in no other count.
        left_out: rows that could not be used, by reason.
        empty: tracks of the file of which every row was left out.
    """

    frame: Int64[np.ndarray, " n"]
    track: Int64[np.ndarray, " n"]
    box: Float64[np.ndarray, "n 4"]
    confidence: Float64[np.ndarray, " n"]
    ignored: int = 0
    left_out: tuple[LeftOut, ...] = ()
    empty: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.frame)
        shapes = [column.shape for column in (self.frame, self.track, self.box, self.confidence)]
        if shapes != [(n,), (n,), (n, 4), (n,)]:
            raise InputError(f"frame, track and confidence must have shape (n,), box (n, 4); got {shapes}.")

    def __len__(self) -> int:
        return len(self.frame)


def read_mot(path: str | Path, *, on_error: Literal["raise", "skip"] = "raise") -> MotTracks:
    """Read the output of a tracker, or ground truth, for one camera.

    A row is `frame,id,x,y,width,height[,confidence[,...]]`: frames count from 1, the box is in pixels with (0, 0) at
    the top left corner of the picture. Confidence -1, an empty cell and "nan" are unknown; further columns are
    ignored. Values are separated by commas, or by spaces and tabs where the file has no comma. Spaces around
    values, blank lines and a byte order mark do not count.

    MOTChallenge itself calls the first pixel 1, but most trackers call it 0, and files do not tell. We read 0, and a
    box is at most one pixel off.

    Args:
        path: the text file.
        on_error: "raise" refuses a file with rows that cannot be used; "skip" leaves these rows out and says so in
            `left_out`. Of two rows of one track in one frame the first is kept.

    Raises:
        ReaderError: no such file, or on_error is "raise" and there is no row, or there are rows with a value that is
            missing or not a number, a frame below 1, a track below 0, a size of zero or less, or a track that is
            already in this frame.
    """
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error must be 'raise' or 'skip'; got {on_error!r}.")
    path = Path(path)
    text = _content(path)
    values = _values(text)
    considered = values[:, 6] != 0
    fine = considered.copy()
    left_out = []
    for reason, wrong in _problems(values):
        rows = np.flatnonzero(fine & wrong)
        if len(rows):
            left_out.append(LeftOut(reason, len(rows), _line(text, int(rows[0]))))
            fine[rows] = False
    kept = _ascending(values, fine)
    again = kept[1:][(values[kept[1:], :2] == values[kept[:-1], :2]).all(axis=1)]
    if len(again):
        fine[again] = False
        kept = kept[fine[kept]]
        first = _line(text, int(again.min()))
        left_out.append(LeftOut("the track is already in this frame", len(again), first))
    if on_error == "raise":
        _refuse(path, left_out, int(considered.sum()), len(values))
    frame, track = values[kept, :2].astype(np.int64).T
    named = values[considered & _is_track(values[:, 1]), 1].astype(np.int64)
    return MotTracks(
        frame=frame.copy(),
        track=track.copy(),
        box=values[kept, 2:6],
        confidence=np.where(values[kept, 6] == -1, np.nan, values[kept, 6]),
        ignored=int((~considered).sum()),
        left_out=tuple(left_out),
        empty=tuple(np.setdiff1d(named, track).tolist()),
    )


def write_mot(path: str | Path, tracks: MotTracks) -> None:
    """Write rows as `frame,id,x,y,width,height,confidence,-1,-1,-1`, as MOTChallenge takes results.

    To write results, pass `dataclasses.replace(tracks, track=...)` with the identity found for each row. Nothing is
    rounded, unknown confidence is written as -1, and the rows keep their order. The file appears when it is complete.
    """
    unknown = np.full(len(tracks), -1, np.int64)
    columns = [tracks.frame, tracks.track, *tracks.box.T, np.nan_to_num(tracks.confidence, nan=-1.0), *[unknown] * 3]
    table = pa.table({str(place): np.ascontiguousarray(column) for place, column in enumerate(columns)})
    with replacing(Path(path)) as temporary:
        pyarrow.csv.write_csv(table, temporary, pyarrow.csv.WriteOptions(include_header=False))


def looks_like_mot(path: Path) -> bool:
    """Whether the first row of a file is a row of tracks; a text file of another kind is told by this."""
    with path.open("rb") as file:
        row = _first_row(_without_spaces(file.read(4096).removeprefix(BOM)))
    return bool(np.isfinite(_cells(row)[:FEWEST_VALUES]).all())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(BOM)
    except OSError as error:
        reason = error.strerror or error
        raise ReaderError(f"{path} cannot be read as a text file of tracks: {reason}. Check the name.") from error


def _values(text: bytes) -> Float64[np.ndarray, "rows 7"]:
    """The first seven values of every row that is not blank; NaN for what is missing or not a number."""
    text = _without_spaces(text)
    first = _first_row(text)
    count = min(first.count(b",") + 1, 7)
    try:
        table = _table(text, count) if count >= FEWEST_VALUES else None
    except pa.ArrowException:  # rows of different lengths, or a value that is not a number
        table = None
    if table is None:
        return np.array([_cells(line) for line in text.splitlines() if line.strip()], dtype=np.float64).reshape(-1, 7)
    values = np.full((table.num_rows, 7), np.nan)
    for place in range(count):
        values[:, place] = table.column(place).to_numpy()
    return values


def _table(text: bytes, count: int) -> pa.Table:
    names = [f"f{place}" for place in range(count)]
    return pyarrow.csv.read_csv(
        pa.BufferReader(text),
        read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True),
        parse_options=pyarrow.csv.ParseOptions(quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.float64()), include_columns=names, null_values=[""]
        ),
    )


def _first_row(text: bytes) -> bytes:
    return next((line for line in text[: 1 << 16].splitlines() if line.strip()), b"")


def _without_spaces(text: bytes) -> bytes:
    """The same lines separated by commas."""
    if b"," in text:
        return text
    return b"\n".join([b",".join(line.split()) for line in text.splitlines()])


def _cells(line: bytes) -> list[float]:
    """The seven values of one row: what Arrow makes of a whole file, where it can."""
    cells = line.split(b",")[:7]
    numbers = [_number(cell) for cell in cells[:6]]
    unknown = len(cells) < 7 or cells[6].strip().lower() in (b"", b"nan")
    confidence = float("nan") if unknown else _number(cells[6])
    if not unknown and confidence != confidence:
        confidence = float("inf")  # NaN stands for unknown, so that what is no number needs another sign
    return numbers + [float("nan")] * (6 - len(numbers)) + [confidence]


def _number(cell: bytes) -> float:
    try:
        return float("nan") if b"_" in cell else float(cell)
    except ValueError:
        return float("nan")


def _is_track(number: Float64[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    return (number >= 0) & (number < BIGGEST_NUMBER) & (np.floor(number) == number)


def _problems(values: Float64[np.ndarray, "rows 7"]) -> Iterator[tuple[str, Bool[np.ndarray, " rows"]]]:
    """Reasons, and for each the rows it applies to. NaN fits none but the first."""
    pair, size = values[:, :2], values[:, 4:6]
    numbers = np.isfinite(values[:, :6]).all(axis=1) & ~np.isinf(values[:, 6])
    yield "a value is missing or not a number", ~numbers
    whole = (np.abs(pair) < BIGGEST_NUMBER) & (np.floor(pair) == pair)
    yield "frame or track is not a whole number", ~whole.all(axis=1)
    yield "the frame is below 1, the first frame", values[:, 0] < 1
    yield "the track is below 0, as in detections that were not tracked", values[:, 1] < 0
    yield "width or height is zero or less", np.asarray((size <= 0).any(axis=1))


def _ascending(values: Float64[np.ndarray, "rows 7"], fine: Bool[np.ndarray, " rows"]) -> Int64[np.ndarray, " n"]:
    """The rows that are fine in order of frame, track and place in the file."""
    rows = np.flatnonzero(fine)
    return rows[np.lexsort((values[rows, 1], values[rows, 0]))]


def _line(text: bytes, row: int) -> str:
    """Where a row is and what it holds: `line 12 ('3,5,10,20,0,40,1')`."""
    lines = text.splitlines()
    number = [place for place, line in enumerate(lines) if line.strip()][row]
    shown = lines[number][:80].decode("utf-8", "replace").strip()
    return f"line {number + 1:,} ({shown!r})"


def _refuse(path: Path, left_out: Sequence[LeftOut], considered: int, rows: int) -> None:
    """Raises ReaderError if a row was left out, or if none is there to consider."""
    name = os.fspath(path)
    if left_out:
        count = sum(each.count for each in left_out)
        raise ReaderError(
            f"{name} has {count:,} of {rows:,} rows that cannot be used. {'; '.join(map(str, left_out))}. "
            "A row is frame,id,x,y,width,height,confidence. Correct these rows, or leave them out with "
            "on_error='skip' (--on-error skip)."
        )
    if not considered:
        found = f"all {rows:,} rows have confidence 0, which means that they are not to be considered" if rows else ""
        raise ReaderError(
            f"{name} has no rows of tracks: {found or 'it is empty'}. "
            "Run the tracker on this camera, or remove the file."
        )
