"""Text files of trackers: the fast way against a loop over the lines, and what is wrong is named with its line."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reunite.errors import InputError, ReaderError
from reunite.images.tracker.mot import MotTracks, looks_like_mot, read_mot, write_mot

Row = tuple[int, int, float, float, float, float, float]


def put(folder: Path, text: str | bytes, name: str = "north.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows_of(tracks: MotTracks) -> list[Row]:
    """The rows as tuples, unknown confidence as -1."""
    confidence = np.nan_to_num(tracks.confidence, nan=-1.0).tolist()
    return [
        (frame, track, *box, sure)
        for frame, track, box, sure in zip(
            tracks.frame.tolist(), tracks.track.tolist(), tracks.box.tolist(), confidence, strict=True
        )
    ]


def number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def oracle(text: str) -> tuple[list[Row], int, int]:
    """Rows kept, ignored and left out, told line by line."""
    kept: dict[tuple[float, float], Row] = {}
    ignored = left_out = 0
    for line in text.splitlines():
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")] if "," in text else line.split()
        values = [number(cell) for cell in cells[:6]]
        seventh = cells[6] if len(cells) > 6 else ""
        sure = -1.0 if seventh in ("", "nan") else number(seventh)
        if sure == 0:
            ignored += 1
            continue
        usable = len(values) == 6 and all(map(math.isfinite, values)) and math.isfinite(sure)
        if usable:
            frame, track, _, _, width, height = values
            usable = frame % 1 == 0 and track % 1 == 0 and frame >= 1 and track >= 0 and width > 0 and height > 0
            usable = usable and (frame, track) not in kept
        if usable:
            kept[frame, track] = (int(frame), int(track), *values[2:], sure)
        else:
            left_out += 1
    return [kept[key] for key in sorted(kept)], ignored, left_out


# ---- what is read

cells = st.one_of(
    st.integers(-2, 12).map(str),
    st.floats(-50, 50).map(repr),
    st.sampled_from(["", " ", "x", "nan", "inf", "1_0", "1e400", "3.0", " 4 ", "0", "-1", "5.5"]),
)
good_rows = st.tuples(
    st.integers(1, 5), st.integers(0, 5), st.floats(-9, 9), st.floats(-9, 9), st.floats(0.1, 9), st.floats(0.1, 9)
).map(lambda row: [repr(value) for value in row])
any_rows = st.one_of(
    good_rows,
    st.tuples(
        good_rows, st.sampled_from(["0", "1", "-1", "0.5", "", "nan", "0.0", "x"]), st.lists(cells, max_size=3)
    ).map(lambda parts: [*parts[0], parts[1], *parts[2]]),
    st.lists(cells, min_size=1, max_size=9),
)


def check_against_the_oracle(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        tracks = read_mot(put(Path(name), text), on_error="skip")
    kept, ignored, left_out = oracle(text.replace("1_0", "x"))
    assert rows_of(tracks) == kept
    assert (tracks.ignored, sum(each.count for each in tracks.left_out)) == (ignored, left_out)
    assert not set(tracks.empty) & set(tracks.track.tolist())


@given(st.lists(good_rows, max_size=12), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans(), st.sampled_from("01"))
@settings(deadline=None, max_examples=60)
def test_rows_of_one_length_are_the_oracles(rows: list[list[str]], end: str, longer: bool, sure: str) -> None:
    tail = [sure, "-1", "car"] if longer else []
    check_against_the_oracle(end.join(",".join(row + tail) for row in rows) + end)


@example([["0"], ["1", " 4 ", "0", "0", "1", "1"]], "\n")  # a first row without a comma in a file with commas
@given(st.lists(any_rows, max_size=12), st.sampled_from(["\n", "\r\n", "\n \n"]))
@settings(deadline=None, max_examples=200)
def test_any_rows_are_the_oracles(rows: list[list[str]], end: str) -> None:
    check_against_the_oracle(end.join(",".join(row) for row in rows) + "," + end)


EXPECTED = [(1, 2, 10.5, 20.0, 30.0, 40.0, -1.0), (1, 7, 1.0, 2.0, 3.0, 4.0, 0.5), (12, 2, -5.0, 6.0, 7.0, 8.0, 1.0)]


@pytest.mark.parametrize(
    "text",
    [
        "12,2,-5,6,7,8,1\n1,7,1,2,3,4,.5\n1,2,10.5,20,30,40,-1",
        "\ufeff1,7,1,2,3,4,.5\n12,2,-5,6,7,8,1\n1,2,10.5,20,30,40,\n",
        "1, 2, 10.5, 20, 30, 40, -1, -1, -1\r\n\r\n1, 7, 1, 2, 3, 4, 0.5, 0, 0\r\n12, 2, -5, 6, 7, 8, 1, 0, 0\r\n",
        "  \n1,7,1,2,3,4,.5\n\n12,2,-5,6,7,8,1\n1,2,10.5,20,30,40\n\n",
        "1 7 1 2 3 4 .5\n12  2 -5 6 7 8 1  \n\n  1 2 10.5 20 30 40 -1\n",
        "1\t7\t1\t2\t3\t4\t.5\r\n12\t2\t-5\t6\t7\t8\t1\r\n1\t2\t10.5\t20\t30\t40\tnan\r\n",
        "1.0,7.0,1,2,3,4,.5,car\n1.2e1,2.000,-5,6,7,8,1,\"a\n+1,2,10.5,20,30,40,nan,'b\n",
        "12,2,-5,6,7,8,1\r1,7,1,2,3,4,.5\r1,2,10.5,20,30,40,-1",
    ],
)
def test_ways_of_writing_the_same(tmp_path: Path, text: str) -> None:
    tracks = read_mot(put(tmp_path, text))
    assert rows_of(tracks) == EXPECTED
    assert math.isnan(tracks.confidence[0])
    assert (tracks.frame.dtype, tracks.track.dtype, tracks.box.dtype) == (np.int64, np.int64, np.float64)
    assert (tracks.ignored, tracks.left_out, tracks.empty) == (0, (), ())


def test_confidence_zero_is_ignored_even_where_the_row_is_wrong(tmp_path: Path) -> None:
    tracks = read_mot(put(tmp_path, "1,1,0,0,5,5,1\n1,2,0,0,5,5,0\n0,-3,0,0,0,0,0\n1,1,0,0,5,5,0.0\n"))
    assert rows_of(tracks) == [(1, 1, 0.0, 0.0, 5.0, 5.0, 1.0)]
    assert (tracks.ignored, tracks.left_out, tracks.empty) == (3, (), ())


# ---- what is refused

PROBLEMS = {
    "a value is missing or not a number": "3,5,left,0,5,5,1",
    "frame or track is not a whole number": "3,5.5,0,0,5,5,1",
    "the frame is below 1": "0,5,0,0,5,5,1",
    "the track is below 0": "3,-1,0,0,5,5,1",
    "width or height is zero or less": "3,5,0,0,5,-2,1",
    "the track is already in this frame": "1,1,9,9,5,5,1",
}
GOOD = "1,1,0,0,5,5,1\n"


@pytest.mark.parametrize(("reason", "line"), PROBLEMS.items())
def test_a_wrong_row_is_named_and_can_be_left_out(tmp_path: Path, reason: str, line: str) -> None:
    path = put(tmp_path, f"{GOOD}\n2,1,0,0,5,5,1\n{line}\n{line}\n")
    with pytest.raises(ReaderError) as caught:
        read_mot(path)
    for part in (str(path), "2 of 4 rows", reason, f"line 4 ({line!r}) and 1 more", "on_error='skip'"):
        assert part in str(caught.value)
    tracks = read_mot(path, on_error="skip")
    assert rows_of(tracks) == [(1, 1, 0.0, 0.0, 5.0, 5.0, 1.0), (2, 1, 0.0, 0.0, 5.0, 5.0, 1.0)]
    assert [(each.count, each.reason.startswith(reason)) for each in tracks.left_out] == [(2, True)]


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ReaderError) as caught:
        read_mot(put(tmp_path, GOOD + "\n".join(PROBLEMS.values())))
    assert all(reason in str(caught.value) for reason in PROBLEMS)
    assert "6 of 7 rows" in str(caught.value)


@pytest.mark.parametrize(
    "line", ["1,2,3,4,5", "1,2,3,4,5,", "1,2,3,4,5,inf", "1,2,3,4,5,6,sure", "9e99,2,3,4,5,6", "9e999,2,3,4,5,6"]
)
def test_values_that_are_no_numbers(tmp_path: Path, line: str) -> None:
    for text in (line, GOOD + line, line + "\n" + GOOD):
        with pytest.raises(ReaderError, match=r"number: line \d \("):
            read_mot(put(tmp_path, text))


def test_of_two_rows_of_a_track_in_a_frame_the_first_in_the_file_stays(tmp_path: Path) -> None:
    path = put(tmp_path, "2,1,9,9,5,5\n1,1,3,3,5,5\n2,1,8,8,5,5\n1,1,4,4,5,5\n1,1,5,5,5,5\n")
    tracks = read_mot(path, on_error="skip")
    assert [(row[0], row[2]) for row in rows_of(tracks)] == [(1, 3.0), (2, 9.0)]
    assert (tracks.left_out[0].count, tracks.left_out[0].first) == (3, "line 3 ('2,1,8,8,5,5')")


def test_tracks_without_any_row_left_are_named(tmp_path: Path) -> None:
    path = put(tmp_path, "1,9,0,0,0,5,1\n1,4,0,0,5,5,1\n2,4,0,0,0,5,1\n0,3,0,0,5,5,1\n1,6,0,0,5,5,0\n1,-2,0,0,5,5,1")
    assert read_mot(path, on_error="skip").empty == (3, 9)


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="no rows of tracks: it is empty"):
        read_mot(put(tmp_path, "\ufeff \n\n"))
    with pytest.raises(ReaderError, match="all 2 rows have confidence 0"):
        read_mot(put(tmp_path, "1,1,0,0,5,5,0\n2,1,0,0,5,5,0\n"))
    assert len(read_mot(put(tmp_path, ""), on_error="skip")) == 0


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"absent\.txt cannot be read.*No such file"):
        read_mot(tmp_path / "absent.txt")
    with pytest.raises(ReaderError, match="cannot be read"):
        read_mot(tmp_path)
    with pytest.raises(ReaderError, match="not a number: line 1"):
        read_mot(put(tmp_path, GOOD.encode("utf-16")))
    with pytest.raises(InputError, match="on_error"):
        read_mot(put(tmp_path, GOOD), on_error="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "tracks"),
    [
        (GOOD, True),
        ("\n\n1 2 3 4 5 6", True),
        ("\ufeff1,2,3,4,5,6.5,x", True),
        ("", False),
        ("frame,id,x,y,w,h", False),
        ("1,2,3", False),
        ("Filmed on 1, 2, 3, 4, 5 and 6 May.", False),
    ],
)
def test_what_looks_like_tracks(tmp_path: Path, text: str, tracks: bool) -> None:
    assert looks_like_mot(put(tmp_path, text)) == tracks


# ---- what is written

finite = st.floats(-1e6, 1e6)
sizes = st.floats(1e-3, 1e6)
written_rows = st.dictionaries(
    st.tuples(st.integers(1, 10**12), st.integers(0, 10**12)),
    st.tuples(finite, finite, sizes, sizes, st.one_of(st.none(), st.floats(0.001, 1))),
    min_size=1,
    max_size=9,
)


@given(written_rows)
@settings(deadline=None, max_examples=60)
def test_written_and_read_again(rows: dict[tuple[int, int], tuple[float, ...]]) -> None:
    keys = sorted(rows)
    tracks = MotTracks(
        frame=np.array([frame for frame, _ in keys]),
        track=np.array([track for _, track in keys]),
        box=np.array([rows[key][:4] for key in keys]),
        confidence=np.array([math.nan if rows[key][4] is None else rows[key][4] for key in keys]),
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "results" / "north.txt"
        write_mot(path, tracks)
        assert [file.name for file in path.parent.iterdir()] == ["north.txt"]
        again = read_mot(path)
    assert rows_of(again) == rows_of(tracks)


def test_results_are_the_same_rows_with_other_ids(tmp_path: Path) -> None:
    tracks = read_mot(put(tmp_path, "2,1,0.25,1,5,5,0.5\n1,1,0,-1,5,5,-1\n1,4,0,0,5,6\n"))
    write_mot(tmp_path / "out.txt", replace(tracks, track=np.array([8, 3, 8])))
    assert [line.split(",") for line in (tmp_path / "out.txt").read_text().splitlines()] == [
        ["1", "8", "0", "-1", "5", "5", "-1", "-1", "-1", "-1"],
        ["1", "3", "0", "0", "5", "6", "-1", "-1", "-1", "-1"],
        ["2", "8", "0.25", "1", "5", "5", "0.5", "-1", "-1", "-1"],
    ]
    with pytest.raises(InputError, match="shape"):
        replace(tracks, track=np.array([8, 3]))
