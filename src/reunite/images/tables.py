"""Tables of images, CSV or Parquet: one row per image."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from reunite.errors import ReaderError
from reunite.images.splits import Listing, counted, first_three

COLUMNS = ("path", "identity", "camera", "track", "time", "split")
CSV_EXTENSIONS = (".csv", ".tsv")
PARQUET_EXTENSIONS = (".parquet", ".pq")
SEPARATORS = (",", ";", "\t")

LONGEST_HEADER = 1 << 16
"""Bytes of the first line that are looked at: a file that is no table may be one endless line."""

SPLIT_VALUES = {
    "train": "train",
    "query": "query",
    "gallery": "gallery",
    "test": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "": "",
}

LOOKALIKES = {
    "identity": ("label", "name", "pid"),
    "camera": ("cam", "camid", "camera_id"),
    "track": ("tracklet", "track_id"),
    "time": ("timestamp",),
    "split": ("subset",),
}
"""What others call our columns. Guessing would now and then be wrong, and ignoring them would hide labels: we ask."""


def read_table(path: Path) -> Listing:
    """The images of a table with the columns path, identity, camera, track, time and split (all but path optional).

    Paths are relative to the table's folder, or absolute; backslashes are taken for slashes where only that finds the
    file. Identity, camera and track are whole numbers or names. Time is in seconds or an ISO timestamp (then seconds
    since 1970; UTC where no zone is given). Split is train, query, gallery, test (every test image is a query against
    all others) or val, which is left out. An empty cell, and -1, is unknown. Spaces around a cell, except in path,
    and columns of other names do not count.

    A CSV file is UTF-8 text, with or without a byte order mark, separated by commas, semicolons or tabs.

    Raises:
        ReaderError: no path column, a column that looks like a misnamed one of ours, no rows, files that do not
            exist, a split or time that cannot be understood, or a file that is not a table.
    """
    path = Path(os.path.abspath(path))
    is_parquet = path.suffix.lower() in PARQUET_EXTENSIONS
    with path.open("rb") as file:
        try:
            columns = _parquet_columns(path, file) if is_parquet else _csv_columns(path, file)
        # An OSError in here is Arrow's for a damaged file; one from opening passes on.
        except (pa.ArrowException, UnicodeDecodeError, csv.Error, OSError) as error:
            kind = "Parquet" if is_parquet else "UTF-8 CSV"
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ReaderError(f"{path} cannot be read as a {kind} table: {reason}. Save it as {kind} again.") from error
    files = columns.pop("path")
    if not files:
        raise ReaderError(f"{path} has no rows below its header. Add one row per image, or pass the folder of images.")
    cells = {name: [text.strip() for text in texts] for name, texts in columns.items()}
    return Listing(
        name=path.parent.name if path.stem == "table" else path.stem,
        paths=_existing(path, files),
        identity=cells.get("identity", ()),
        camera=cells.get("camera", ()),
        track=cells.get("track", ()),
        time=_seconds(path, cells.get("time", ())),
        split=_split(path, cells.get("split", ())),
        origin=f"The split column of {path.name}",
    )


def _csv_columns(path: Path, file: BinaryIO) -> dict[str, list[str]]:
    header, separator = _header(path, file.readline(LONGEST_HEADER))
    wanted = _wanted(path, header)
    file.seek(0)
    table = pyarrow.csv.read_csv(
        file,
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={written: pa.string() for written in wanted.values()},
            include_columns=list(wanted.values()),
            strings_can_be_null=False,
        ),
    )
    return {name: table.column(written).to_pylist() for name, written in wanted.items()}


def _header(path: Path, first: bytes) -> tuple[list[str], str]:
    """Column names as written, and the separator: the one that shows a path column, else the one that shows most."""
    line = first.decode("utf-8-sig")
    if "\0" in line:
        raise csv.Error("it holds zero bytes, which text does not")
    if not line.strip():
        raise ReaderError(f"{path} is empty. The first line of a table names its columns: {', '.join(COLUMNS)}.")
    headers = {separator: next(csv.reader([line], delimiter=separator)) for separator in SEPARATORS}

    def clarity(separator: str) -> tuple[bool, int]:
        names = [name.strip() for name in headers[separator]]
        return "path" in names, len(names)

    separator = max(SEPARATORS, key=clarity)
    return headers[separator], separator


def _parquet_columns(path: Path, file: BinaryIO) -> dict[str, list[str]]:
    parquet = pyarrow.parquet.ParquetFile(file)
    wanted = _wanted(path, parquet.schema_arrow.names)
    table = parquet.read(columns=list(wanted.values()))
    return {name: _texts(table.column(written)) for name, written in wanted.items()}


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Parquet cells as they would be written in a CSV file; instants become seconds."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = column.cast(pa.string())
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        instants = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
        return ["" if us is None else repr(us / 1e6) for us in instants.cast(pa.int64()).to_pylist()]
    return ["" if cell is None or cell != cell else _text(cell) for cell in column.to_pylist()]


def _text(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _wanted(path: Path, header: Sequence[str]) -> dict[str, str]:
    """Our name -> name as written (spaces around it do not count), for the columns of ours that are there."""
    names = [name.strip() for name in header]
    found = f"Columns found: {', '.join(names)}; expected: path and any of {', '.join(COLUMNS[1:])}."
    twice = sorted({name for name in COLUMNS if names.count(name) > 1})
    if twice:
        raise ReaderError(f"{path} has more than one column {twice[0]!r}. {found} Remove or rename one of them.")
    if "path" not in names:
        raise ReaderError(f"{path} has no column path. {found} Rename the column that holds the file names to path.")
    for name, others in LOOKALIKES.items():
        misnamed = [other for other in names if other.lower() in (name, *others) and other != name]
        if misnamed and name not in names:
            raise ReaderError(
                f"{path} has a column {misnamed[0]!r} but none named {name}. {found} Rename {misnamed[0]!r} to {name}, "
                "or, if it is something else, rename it so that it cannot be mistaken."
            )
    return {name: header[names.index(name)] for name in COLUMNS if name in names}


def _existing(table: Path, files: Sequence[str]) -> list[str]:
    """Absolute paths of `files`, all of which exist."""
    paths = []
    missing = []
    for file in files:
        choices = [file, file.replace("\\", "/")] if "\\" in file else [file]
        absolute = [os.path.abspath(os.path.join(table.parent, choice)) for choice in choices]
        there = next((path for path in absolute if os.path.isfile(path)), None)
        if there is None:
            missing.append(file)
        else:
            paths.append(there)
    if missing:
        raise ReaderError(
            f"{table} lists {counted(len(files), 'image')}, of which {len(missing):,} cannot be found: "
            f"{first_three(missing)}. Paths are relative to {table.parent} or absolute; correct or remove these rows."
        )
    return paths


def _split(table: Path, cells: Sequence[str]) -> list[str]:
    unknown = sorted({cell for cell in cells if cell.lower() not in SPLIT_VALUES})
    if unknown:
        raise ReaderError(
            f"{table} has {counted(len(unknown), 'unknown value')} in the column split: {first_three(unknown)}. "
            "Use train, query, gallery, test (both query and gallery) or val (left out)."
        )
    return [SPLIT_VALUES[cell.lower()] for cell in cells]


def _seconds(table: Path, cells: Sequence[str]) -> list[float]:
    seconds = [_number(cell) for cell in cells]
    if any(cell and number is None for cell, number in zip(cells, seconds, strict=True)):
        seconds = [_instant(cell) for cell in cells]
    bad = [cell for cell, number in zip(cells, seconds, strict=True) if cell and number is None]
    if bad:
        raise ReaderError(
            f"{table} has {counted(len(bad), 'cell')} in the column time that cannot be understood: "
            f"{first_three(bad)}. Give all of them in seconds, or all as ISO timestamps such as 2024-05-31T18:30:00Z."
        )
    return [float("nan") if number is None else number for number in seconds]


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return None if number in (float("inf"), float("-inf")) else number


def _instant(cell: str) -> float | None:
    try:
        instant = datetime.fromisoformat(cell)
    except ValueError:
        return None
    # A time without a zone must not depend on where the reader's computer stands.
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
