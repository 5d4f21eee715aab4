"""Tables: what is written is read back, and what cannot be understood is refused with a sentence."""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite.errors import ReaderError
from reunite.images.readers import read
from reunite.types import Dataset


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def write_csv(path: Path, rows: Sequence[Sequence[object]], separator: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return path


def read_rows(folder: Path, *rows: Sequence[object]) -> Dataset:
    """Read a table.csv of these rows, the first being the header; the files named by the first column exist."""
    put(folder, *(str(row[0]) for row in rows[1:]))
    return read(write_csv(folder / "table.csv", rows))


def refusal(folder: Path, *rows: Sequence[object]) -> str:
    with pytest.raises(ReaderError) as caught:
        read_rows(folder, *rows)
    return str(caught.value)


# ---- round trips

words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), max_size=12)
labels = st.one_of(st.just(""), st.integers(0, 99).map(str), words)
rows_of_a_table = st.lists(
    st.tuples(words, labels, st.one_of(st.none(), st.floats(-1e9, 1e9)), st.sampled_from(["train", "test", "val"])),
    min_size=1,
    max_size=8,
).filter(lambda rows: any(row[3] != "val" for row in rows))


def check_round_trip(rows: list[tuple[str, str, float | None, str]], write: Callable[[Path, dict], Path]) -> None:
    """Write a table of `rows`, read it, and compare every cell of every image."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        columns = {
            "path": [f"é {number}/{number}{word}" for number, (word, *_) in enumerate(rows)],
            "identity": [row[1] for row in rows],
            "time": [row[2] for row in rows],
            "split": [row[3] for row in rows],
        }
        put(folder, *columns["path"])
        dataset = read(write(folder, columns))
    texts = {text.strip() for text in columns["identity"]}
    for part, values in (("train", {"train"}), ("query", {"test"}), ("gallery", {"test"})):
        images = getattr(dataset, part)
        expected = {str(folder / columns["path"][row]): row for row, cells in enumerate(rows) if cells[3] in values}
        assert images.paths.tolist() == sorted(expected)
        for path, identity, time in zip(images.paths, images.identity, images.time, strict=True):
            _, text, seconds, _ = rows[expected[path]]
            assert math.isnan(time) if seconds is None else time == seconds
            if dataset.identity_names:
                assert (dataset.identity_names[identity] if identity >= 0 else "") == text.strip()
            else:
                assert identity == (int(text) if text.strip() else -1)
    assert set(dataset.identity_names) == (texts - {""} if dataset.identity_names else set())


@given(rows_of_a_table, st.sampled_from([",", ";", "\t"]), st.sampled_from(["utf-8", "utf-8-sig"]))
@settings(deadline=None, max_examples=40)
def test_csv_round_trip(rows: list[tuple[str, str, float | None, str]], separator: str, encoding: str) -> None:
    def write(folder: Path, columns: dict[str, list]) -> Path:
        cells = zip(*columns.values(), strict=True)
        written = [["" if cell is None else cell for cell in row] for row in cells]
        return write_csv(folder / "any.csv", [list(columns), *written], separator, encoding)

    check_round_trip(rows, write)


@given(rows_of_a_table)
@settings(deadline=None, max_examples=40)
def test_parquet_round_trip(rows: list[tuple[str, str, float | None, str]]) -> None:
    def write(folder: Path, columns: dict[str, list]) -> Path:
        typed = {**columns, "time": pa.array(columns["time"], pa.float64())}
        pyarrow.parquet.write_table(pa.table(typed), folder / "any.parquet")
        return folder / "any.parquet"

    check_round_trip(rows, write)


# ---- cells


def test_only_paths_are_needed(tmp_path: Path) -> None:
    dataset = read_rows(tmp_path, ["path", "weather"], ["b.jpg", "rain"], ["a.jpg", "sun"])
    assert dataset.name == tmp_path.name
    assert dataset.train.paths.tolist() == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    assert {*dataset.train.identity, *dataset.train.camera, *dataset.train.track} == {-1}
    assert "No identity is known" in dataset.note


def test_all_columns(tmp_path: Path) -> None:
    dataset = read_rows(
        tmp_path,
        ["path", "split", "time", "track", "camera", "identity"],
        ["a.jpg", "Train", 1.5, "t2", "north", 7],
        ["b.jpg", "test", "", "", "", ""],
        ["c.jpg", "test", 3, "t1", "east", 3],
    )
    assert dataset.camera_names == ("east", "north")
    assert dataset.identity_names == ()
    assert dataset.train.identity.tolist() == [7]
    assert dataset.train.camera.tolist() == [1]
    assert dataset.train.track.tolist() == [1]
    assert dataset.query.identity.tolist() == [-1, 3]
    assert dataset.query.camera.tolist() == [-1, 0]
    assert np.array_equal(dataset.gallery.time, [np.nan, 3.0], equal_nan=True)
    assert dataset.note == "The split column of table.csv."


def test_a_cell_may_be_quoted_and_hold_separators(tmp_path: Path) -> None:
    dataset = read_rows(tmp_path, ["path", "identity"], ["a,b;\t\n.jpg", 'the "big", one\nof two'])
    assert dataset.train.paths.tolist() == [str(tmp_path / "a,b;\t\n.jpg")]
    assert dataset.identity_names == ('the "big", one\nof two',)


def test_spaces_around_names_and_cells_do_not_count(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "table.csv").write_text("path, identity, split\na.jpg, 3, train\n")
    assert read(tmp_path).train.identity.tolist() == [3]


def test_paths_may_be_absolute_or_written_on_windows(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/a.jpg", "here/in/b.jpg", "here/c.jpg")
    table = write_csv(
        tmp_path / "here" / "list.csv", [["path"], [tmp_path / "elsewhere/a.jpg"], [r"in\b.jpg"], ["../here/./c.jpg"]]
    )
    dataset = read(table)
    assert dataset.name == "list"
    assert [path.removeprefix(f"{tmp_path}/") for path in dataset.train.paths] == [
        "elsewhere/a.jpg",
        "here/c.jpg",
        "here/in/b.jpg",
    ]


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["0.25", "", "1e3"], [0.25, np.nan, 1000.0]),
        (["1970-01-02", "", "1970-01-01T00:01:00Z"], [86400.0, np.nan, 60.0]),
        (["1970-01-01 00:00:01.5", "1970-01-01T02:00:00+02:00", "nan"], [1.5, 0.0, np.nan]),
    ],
)
def test_times(tmp_path: Path, cells: list[str], seconds: list[float]) -> None:
    if "nan" in cells:
        cells = ["" if cell == "nan" else cell for cell in cells]
    rows = [[f"{row}.jpg", cell] for row, cell in enumerate(cells)]
    assert np.array_equal(read_rows(tmp_path, ["path", "time"], *rows).train.time, seconds, equal_nan=True)


def test_parquet_types(tmp_path: Path) -> None:
    """Integers with gaps are floats in pandas; strings may be categories or bytes; times may be instants."""
    put(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    noon = datetime(2024, 5, 31, 12, tzinfo=UTC)
    table = pa.table(
        {
            "path": pa.array([b"a.jpg", b"b.jpg", b"c.jpg"], pa.binary()),
            "identity": pa.array([1.0, float("nan"), 3.0]),
            "camera": pa.array(["x", None, "y"]).dictionary_encode(),
            "track": pa.array([5, None, 6], pa.int32()),
            "time": pa.array([noon, None, noon], pa.timestamp("ns", "Europe/Amsterdam")),
            "embedding": pa.array([[1.0], [2.0], [3.0]]),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "table.parquet")
    images = read(tmp_path).train
    assert images.identity.tolist() == [1, -1, 3]
    assert images.camera.tolist() == [0, -1, 1]
    assert images.track.tolist() == [5, -1, 6]
    assert np.array_equal(images.time, [noon.timestamp(), np.nan, noon.timestamp()], equal_nan=True)


def test_parquet_dates(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    pyarrow.parquet.write_table(pa.table({"path": ["a.jpg"], "time": [date(1970, 1, 3)]}), tmp_path / "x.pq")
    assert read(tmp_path / "x.pq").train.time.tolist() == [172800.0]


# ---- refusals


def test_a_missing_path_column_lists_what_is_there(tmp_path: Path) -> None:
    message = refusal(tmp_path, ["filename", "pid"], ["a.jpg", 1])
    assert "no column path" in message
    assert "Columns found: filename, pid; expected: path and any of identity, camera" in message
    assert "Rename the column that holds the file names to path" in message


@pytest.mark.parametrize(
    ("written", "ours"),
    [("pid", "identity"), ("label", "identity"), ("name", "identity"), ("Identity", "identity"), ("camid", "camera")],
)
def test_a_column_under_another_name_is_not_guessed_at(tmp_path: Path, written: str, ours: str) -> None:
    message = refusal(tmp_path, ["path", written], ["a.jpg", 1])
    assert f"a column {written!r} but none named {ours}" in message
    assert f"Columns found: path, {written}; expected" in message
    assert f"Rename {written!r} to {ours}" in message


def test_another_name_beside_ours_is_an_extra_column(tmp_path: Path) -> None:
    dataset = read_rows(tmp_path, ["path", "identity", "name"], ["a.jpg", 4, "x"])
    assert dataset.train.identity.tolist() == [4]


def test_missing_files_are_counted_and_the_first_three_named(tmp_path: Path) -> None:
    put(tmp_path, "here.jpg")
    table = write_csv(tmp_path / "t.csv", [["path"], ["here.jpg"], ["1.jpg"], ["2.jpg"], ["3.jpg"], ["4.jpg"], [""]])
    with pytest.raises(
        ReaderError, match=r"lists 6 images, of which 5 cannot be found: '1.jpg', '2.jpg', '3.jpg', \.\.\."
    ):
        read(table)


def test_unknown_split_values(tmp_path: Path) -> None:
    message = refusal(tmp_path, ["path", "split"], ["a.jpg", "training"], ["b.jpg", "train"], ["c.jpg", "1"])
    assert "2 unknown values in the column split: '1', 'training'. Use train, query" in message


@pytest.mark.parametrize("cells", [["soon", "1"], ["5", "2024-05-31"], ["inf", "1"]])
def test_times_that_cannot_be_understood(tmp_path: Path, cells: list[str]) -> None:
    message = refusal(tmp_path, ["path", "time"], ["a.jpg", cells[0]], ["b.jpg", cells[1]])
    assert "in the column time that cannot be understood" in message
    assert repr(cells[0]) in message


def test_duplicates(tmp_path: Path) -> None:
    assert "train lists 1 file more than once" in refusal(tmp_path, ["path"], ["a.jpg"], ["./a.jpg"])


def test_twice_the_same_column(tmp_path: Path) -> None:
    assert "more than one column 'camera'" in refusal(tmp_path, ["path", "camera", "camera"], ["a.jpg", 1, 2])


def test_tables_without_rows(tmp_path: Path) -> None:
    assert "has no rows" in refusal(tmp_path, ["path", "identity"])
    (tmp_path / "table.csv").write_bytes(b"")
    with pytest.raises(ReaderError, match="is empty"):
        read(tmp_path)
    pyarrow.parquet.write_table(pa.table({"path": pa.array([], pa.string())}), tmp_path / "none.parquet")
    with pytest.raises(ReaderError, match="has no rows"):
        read(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ragged.csv", b"path,identity\na.jpg,1,2\n"),
        ("latin1.csv", b"path,identity\nM\xfcller.jpg,1\n"),
        ("latin1_header.csv", b"path,identity,stra\xdfe\na.jpg,1,x\n"),
        ("excel.csv", "path,identity\na.jpg,1\n".encode("utf-16")),
        ("image.csv", bytes(range(256)) * 500),
        ("long.csv", b"path," + b"x" * 200_000),
        ("text.parquet", b"path,identity\na.jpg,1\n"),
        ("empty.parquet", b""),
        ("cut.parquet", b"PAR1" + b"\0" * 40 + b"PAR1"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReaderError, match=r"cannot be read as a (UTF-8 CSV|Parquet) table: .+\. Save it as"):
        read(tmp_path / name)


# ---- real tables


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "train", "test", "identities", "cameras"),
    [("omniglot", 3080, 1760, 242, 20), ("vehicle2cam", 1014, 120, 567, 2)],
)
def test_the_shared_tables(
    shared: Callable[[str], Path], name: str, train: int, test: int, identities: int, cameras: int
) -> None:
    dataset = read(shared(f"data/{name}"))
    assert dataset.name == name
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (train, test, test)
    assert len(dataset.identity_names) == identities
    assert len({*dataset.train.camera, *dataset.query.camera}) == cameras
    assert not set(dataset.train.identity) & set(dataset.query.identity)
