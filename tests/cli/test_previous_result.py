"""Earlier results: found again by path, or by file name where everything was moved."""

import json
import time

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from reunite.cli.image_names import ImageNames
from reunite.cli.previous_result import read_previous
from reunite.errors import InputError
from reunite.identities.numbering import keep_numbers


def result(folder, rows, form="parquet", **facts):
    folder.mkdir(exist_ok=True)
    table = pa.table({"path": [path for path, _ in rows], "identity": [number for _, number in rows]})
    if form == "parquet":
        pyarrow.parquet.write_table(table, folder / "identities.parquet")
    else:
        pyarrow.csv.write_csv(table, folder / "identities.csv")
    if facts:
        (folder / "summary.json").write_text(json.dumps(facts), "utf-8")
    return folder


def images(root, *files):
    return ImageNames.of([f"{root}/{file}" for file in files], root)


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("root", ["/data/here", "/data/moved"])
def test_images_are_matched_by_path_wherever_the_folder_is(tmp_path, form, root):
    rows = [("x/a.jpg", 4), ("x/b, c.jpg", -1), ("y/a.jpg", 2), ("y/gone.jpg", 9)]
    folder = result(tmp_path / "r", rows, form, largest_number=12)
    found = read_previous(folder, images(root, "y/a.jpg", "new.jpg", "x/b, c.jpg", "x/a.jpg"))
    assert found.identity.tolist() == [2, -1, -1, 4]
    assert (found.numbers.tolist(), found.largest, found.there, found.matched) == ([2, 4, 9], 12, 4, 3)
    assert found.line() == f"{folder}: 3 of its 4 images found again; 1 gone, 1 new image"


def test_by_file_name_only_where_no_path_agrees_and_one_file_has_it(tmp_path):
    rows = [("old/a.jpg", 0), ("old/b.jpg", 1), ("other/b.jpg", 2), ("old/c.jpg", 3)]
    folder = result(tmp_path / "r", rows)
    found = read_previous(folder, images("/data", "new/a.jpg", "new/b.jpg", "1/c.jpg", "2/c.jpg", "d.jpg"))
    assert found.identity.tolist() == [0, -1, -1, -1, -1]
    assert found.line().endswith(
        "1 of its 4 images found again, by file name, since no path agrees; 3 gone, 4 new images"
    )
    assert found.largest == 3
    one_agrees = read_previous(folder, images("/data", "new/a.jpg", "old/b.jpg"))
    assert one_agrees.identity.tolist() == [-1, 1] and not one_agrees.by_file_name


def test_nothing_in_common(tmp_path):
    found = read_previous(result(tmp_path / "r", [("a.jpg", 5)]), images("/data", "b.jpg"))
    assert found.identity.tolist() == [-1] and not found.by_file_name
    assert "0 of its 1 image found again; 1 gone, 1 new image" in found.line()
    numbered = keep_numbers([0], found.identity, numbers=found.numbers, largest=found.largest)
    assert (numbered.labels.tolist(), numbered.vanished.tolist()) == ([6], [5])


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_results_without_images_and_names_that_are_numbers(tmp_path, form):
    empty = read_previous(result(tmp_path / "empty", [], form), images("/data", "a"))
    assert (empty.identity.tolist(), empty.largest, empty.there) == ([-1], -1, 0)
    found = read_previous(result(tmp_path / "digits", [("007", 1), ("8", 0)], form), images("/data", "007", "7", "8"))
    assert found.identity.tolist() == [1, -1, 0]


def test_rows_without_a_path_do_not_count_as_images(tmp_path):
    found = read_previous(result(tmp_path / "r", [("", -1), ("", -1), ("a", 3)]), images("/data", "a"))
    assert (found.identity.tolist(), found.there) == ([3], 1)


def test_parquet_comes_before_csv_and_numbers_before_an_old_summary(tmp_path):
    folder = result(tmp_path / "r", [("a", 1)], "csv")
    result(folder, [("a", 7)], largest_number=3, other=[])
    found = read_previous(folder, images("/data", "a"))
    assert (found.identity.tolist(), found.largest) == ([7], 7)
    (folder / "summary.json").write_text('{"other": 1}', "utf-8")
    assert read_previous(folder, images("/data", "a")).largest == 7


def test_a_large_result_takes_seconds(tmp_path):
    files = [f"{k % 100}/{k:06}.jpg" for k in range(200_000)]
    folder = result(tmp_path / "r", [(file, k // 10) for k, file in enumerate(files)])
    names = images("/data", *files)
    start = time.perf_counter()
    found = read_previous(folder, names)
    assert time.perf_counter() - start < 5
    assert found.matched == 200_000 and found.largest == 19_999


def broken(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is no result of `reunite identify`: it has no identities.parquet or identities.csv"),
        ({"identities.parquet": b"no"}, "identities.parquet cannot be read as a table"),
        ({"identities.csv": b""}, "identities.csv cannot be read as a table"),
        ({"identities.csv": b"file,number\na,1\n"}, "it has no path and no identity"),
        ({"identities.csv": b"path,number\na,1\n"}, "it has no identity"),
        ({"identities.csv": b"path,identity\na,one\n"}, "identity in .*identities.csv must be whole numbers"),
        ({"identities.csv": b"path,identity\na,\nb,1\n"}, "must be whole numbers"),
        ({"identities.csv": b"path,identity\na,1\nb,1\na,1\n"}, "each image once; 'a' is there more than once"),
        ({"identities.csv": b"path,identity\na,1\n", "summary.json": b"{"}, "summary.json cannot be read"),
        ({"identities.csv": b"path,identity\na,1\n", "summary.json": b"[]"}, "summary.json cannot be read"),
        (
            {"identities.csv": b"path,identity\na,1\n", "summary.json": b'{"largest_number": "9"}'},
            "largest_number in .* must be a whole number; got '9'",
        ),
    ],
)
def test_refuses_what_is_no_result(tmp_path, files, message):
    for name, content in files.items():
        broken(tmp_path / "r", name, content)
    with pytest.raises(InputError, match=message):
        read_previous(tmp_path / "r", images("/data", "a"))
