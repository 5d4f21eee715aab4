"""Files of pairs: many forms of the same three pairs, and what is said about those that make no sense."""

import csv
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite.cli.constraint_file import Said, gather_constraints, read_constraints, write_constraints
from reunite.cli.image_names import ImageNames
from reunite.errors import InputError
from reunite.identities.constraints import Constraints

FILES = ["day 1/a.jpg", "day 1/b.jpg", "day 2/a.jpg", "c.jpg", "day 2/ü, d.jpg"]
PAIRS = [(0, 3, 1), (1, 2, 0), (3, 4, 1)]  # (row, row, same)


@pytest.fixture
def names(tmp_path):
    (tmp_path / "crops").mkdir()
    return ImageNames.of([str(tmp_path / "crops" / file) for file in FILES], tmp_path / "crops")


def written(path, text):
    path.write_text(text, "utf-8")
    return path


def rows_of(said, names):
    return [(names.names.index(each.first), names.names.index(each.second), int(each.same)) for each in said]


def same_pairs(said, names):
    return {(*sorted(pair[:2]), pair[2]) for pair in rows_of(said, names)} == set(PAIRS)


WORDS = [
    ("first,second,relation", "same", "different"),
    ("a,b,relation", "same", "different"),
    ("A , B, Relation", "Same", " DIFFERENT "),
    ("path_a,path_b,same", "1", "0"),
    ("image1,image2,same", "yes", "No"),
    ("one,other,same", "TRUE", "False"),
    ("first,second,same", "same", "different"),
    ("", "same", "different"),
]


@pytest.mark.parametrize(("header", "same", "different"), WORDS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_forms_of_a_csv_file(tmp_path, names, header, same, different, separator):
    lines = [header.replace(",", separator)] if header else []
    for a, b, relation in PAIRS:
        lines.append(separator.join([f'"{FILES[a]}"', f'"{FILES[b]}"', same if relation else different]))
    file = written(tmp_path / "pairs.csv", "\ufeff" + "\r\n".join(lines) + "\r\n\r\n")
    said = read_constraints(file, names)
    assert same_pairs(said, names) and len(said) == 3
    assert [each.source for each in said] == [f"line {k + bool(header) + 1} of {file}" for k in range(3)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("same", [True, False, True]),
        ("same", [1, 0, 1]),
        ("same", [1.0, 0.0, 1.0]),
        ("relation", ["same", "different", "same"]),
    ],
)
def test_a_parquet_file_with_other_columns(tmp_path, names, name, values):
    columns = {
        "score": [0.5, None, 1.0],
        "b": [FILES[3], FILES[2], FILES[4]],
        name: values,
        "a": [FILES[0], FILES[1], FILES[3]],
    }
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    said = read_constraints(tmp_path / "pairs.parquet", names)
    assert same_pairs(said, names) and said[1].source.startswith("row 1 of ")


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("day 1/b.jpg", 1),
        ("./day 1/../day 1/b.jpg", 1),
        ("day 1\\b.jpg", 1),
        ("b.jpg", 1),
        ("  b.jpg ", 1),
        ("crops/day 1/b.jpg", 1),
        ("c.jpg", 3),
        ("day 1/a.jpg", 0),
        ("a.jpg", -2),
        ("1/b.jpg", -1),
        ("B.jpg", -1),
        ("day 3/b.jpg", -1),
        ("/day 1/b.jpg", -1),
        ("", -1),
    ],
)
def test_what_a_path_may_be(names, text, row):
    assert names.find([text]).tolist() == [row]
    assert names.exactly([text]).tolist() == [row if text in FILES else -1]


def test_absolute_paths_and_images_outside_the_folder(tmp_path, names):
    assert names.find([str(tmp_path / "crops" / file) for file in FILES]).tolist() == [0, 1, 2, 3, 4]
    assert names.find([str(tmp_path / "other" / "c.jpg")]).tolist() == [-1]
    table = written(tmp_path / "crops" / "table.csv", "path")
    elsewhere = ImageNames.of([str(tmp_path / "x" / "e.jpg"), str(tmp_path / "crops" / "c.jpg")], table)
    assert elsewhere.names == (str(tmp_path / "x" / "e.jpg"), "c.jpg")
    assert elsewhere.find([str(tmp_path / "x" / "e.jpg"), "e.jpg", "../x/e.jpg", "c.jpg"]).tolist() == [0, 0, 0, 1]
    root = ImageNames.of(["/a.jpg", "/b/a.jpg"], os.sep)
    assert root.names == ("a.jpg", "b/a.jpg") and root.find(["/a.jpg", "a.jpg", "/b/a.jpg"]).tolist() == [0, 0, 1]


def test_a_name_at_the_root_is_meant_rather_than_the_end_of_others(tmp_path):
    names = ImageNames.of([f"{tmp_path}/{file}" for file in ("x/a.jpg", "a.jpg", "y/a.jpg")], tmp_path)
    assert names.find(["a.jpg", "x/a.jpg"]).tolist() == [1, 0]


def test_unknown_images_are_counted_and_the_first_ones_shown(tmp_path, names):
    lines = ["a,b,relation", "day 1/b.jgp,c.jpg,same", "a.jpg,nothing at all,same", "c.jpg,b.jpg,same"]
    file = written(tmp_path / "pairs.csv", "\n".join([*lines, *["x.jpg,c.jpg,same"] * 5]))
    with pytest.raises(InputError) as caught:
        read_constraints(file, names)
    told = str(caught.value)
    assert (
        f"{file} must name images of {names.folder}; 7 of 8 lines do not: line 2, 'day 1/b.jgp' (did you mean " in told
    )
    assert (
        "'day 1/b.jpg'?); line 3, 'a.jpg' is the end of several paths; line 3, 'nothing at all'; line 5, 'x.jpg'"
        in told
    )
    assert "; and 4 more lines. Write paths relative" in told


def test_close_names_compare_as_many_parts_as_were_written(tmp_path):
    names = ImageNames.of([f"{tmp_path}/a/long/way/down/{k:05}.jpg" for k in range(9000)], tmp_path)
    assert names.close_to("04711.jpeg") == "a/long/way/down/04711.jpg"
    assert names.close_to("doom/04711.jpg") == "a/long/way/down/04711.jpg"
    assert names.close_to("completely different.png") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no pairs. A table of pairs has two columns"),
        ("first,second,relation\n", "has no pairs"),
        ("first,second\nc.jpg,b.jpg\n", "has the columns 'first', 'second'. A table of pairs"),
        ("first,second,other\nc.jpg,b.jpg,same\n", "has the columns 'first', 'second', 'other'"),
        (
            "first,second,third,same\nc.jpg,b.jpg,1,1\nc.jpg,b.jpg,\n",
            "in each line; 1 of 2 lines do not: line 3, 'c.jpg,b.jpg,'",
        ),
        ("x,y,z,same\nc.jpg,b.jpg,1,1\n", "has the columns 'x', 'y', 'z', 'same'"),
        ("a,b,first,second,same\n1,2,c.jpg,b.jpg,1\n", "has the columns"),
        ("a,b,relation,same\nc.jpg,b.jpg,same,1\n", "has the columns"),
        (
            "a,b,relation\nc.jpg,b.jpg,1\n",
            "one of same, different in each line; 1 of 1 lines do not: line 2, 'c.jpg,b.jpg,1'",
        ),
        ("c.jpg,b.jpg,1\n", "has the columns 'c.jpg', 'b.jpg', '1'"),
        (
            "a,b,same\nc.jpg,b.jpg,maybe\nc.jpg,,1\n,c.jpg,1\nc.jpg\n,,1",
            "5 of 5 lines do not: .*maybe.*; and 2 more lines",
        ),
        (
            "a,b,same\nc.jpg,b.jpg,1\nc.jpg,c.jpg,1\n",
            r"1 of 2 lines name one twice \(the first is line 3, 'c.jpg'\)",
        ),
        ("\0", "cannot be read as a table of pairs: it holds zero bytes"),
        (b"\xff\xfe", "cannot be read as a table of pairs: 'utf-8'"),
    ],
)
def test_refuses_what_makes_no_sense(tmp_path, names, content, message):
    file = tmp_path / "pairs.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read_constraints(file, names)


def test_files_that_are_not_there_or_damaged(tmp_path, names):
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(InputError, match="cannot be read as a table of pairs"):
            read_constraints(tmp_path / name, names)
    with pytest.raises(InputError, match=r"bad.parquet cannot be read as a table of pairs"):
        read_constraints(written(tmp_path / "bad.parquet", "no"), names)


def test_both_at_once_is_a_contradiction_with_both_lines(tmp_path, names):
    file = written(tmp_path / "pairs.csv", "a,b,relation\nc.jpg,b.jpg,same\nb.jpg,c.jpg,different\n")
    gathered = gather_constraints(file, None, names)
    with pytest.raises(InputError) as caught:
        Constraints.of(gathered.pairs, len(names), names=names.names, sources=gathered.sources)
    assert f"day 1/b.jpg and c.jpg are different (line 3 of {file}), but day 1/b.jpg = c.jpg (line 2 of {file})" in str(
        caught.value
    )


def test_what_was_said_is_kept_and_a_change_of_mind_wins(tmp_path, names):
    kept = tmp_path / "result" / "constraints.csv"
    nothing = gather_constraints(None, kept, names)
    assert (nothing.said, nothing.pairs.shape, nothing.absent) == ((), (0, 3), 0)
    first = written(
        tmp_path / "1.csv", "a,b,relation\nc.jpg,b.jpg,same\nb.jpg,c.jpg,same\nc.jpg,day 1/a.jpg,different\n"
    )
    write_constraints(kept, gather_constraints(first, kept, names).said)
    with kept.open(encoding="utf-8", newline="") as lines:
        expected = [
            ["first", "second", "relation"],
            ["c.jpg", "day 1/a.jpg", "different"],
            ["c.jpg", "day 1/b.jpg", "same"],
        ]
        assert list(csv.reader(lines)) == expected

    second = written(tmp_path / "2.csv", "day 1/b.jpg,c.jpg,different\nday 2/a.jpg,c.jpg,same\n")
    gathered = gather_constraints(second, kept, names)
    assert gathered.overruled == (Said("c.jpg", "day 1/b.jpg", True, f"line 3 of {kept}"),)
    assert sorted(map(tuple, np.sort(gathered.pairs[:, :2]).tolist())) == [(0, 3), (1, 3), (2, 3)]
    assert dict(zip(gathered.sources, gathered.pairs[:, 2].tolist(), strict=True)) == {
        f"line 1 of {second}": 0,
        f"line 2 of {second}": 1,
        f"line 2 of {kept}": 0,
    }
    write_constraints(kept, gathered.said)
    assert gather_constraints(second, kept, names).overruled == ()
    assert len(gather_constraints(second, kept, names).pairs) == 3
    assert [each.name for each in kept.parent.iterdir()] == ["constraints.csv"]


def test_pairs_of_images_that_are_gone_wait_for_them(tmp_path, names):
    kept = tmp_path / "constraints.csv"
    write_constraints(kept, [Said("c.jpg", "gone.jpg", True, ""), Said("b.jpg", "c.jpg", False, "")])
    gathered = gather_constraints(None, kept, names)  # "b.jpg" is the end of another image's path, and not it
    assert len(gathered.pairs) == 0 and gathered.absent == 2
    write_constraints(kept, gathered.said)
    folder = tmp_path / "crops"
    back = ImageNames.of([str(folder / name) for name in ("gone.jpg", "c.jpg", "b.jpg")], folder)
    assert sorted(map(tuple, gather_constraints(None, kept, back).pairs.tolist())) == [(1, 0, 1), (2, 1, 0)]


TEXTS = st.text(st.sampled_from('aü,; "\t\n\r'), min_size=1, max_size=4).map(lambda text: f"x{text}.jpg")


@settings(max_examples=25, deadline=None)
@given(pairs=st.dictionaries(st.tuples(TEXTS, TEXTS).filter(lambda pair: pair[0] < pair[1]), st.booleans(), max_size=5))
def test_odd_names_come_back_as_they_were(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    files = sorted({file for pair in pairs for file in pair})
    names = ImageNames.of([f"{folder}/{file}" for file in files], folder)
    kept = folder / "constraints.csv"
    write_constraints(kept, [Said(*pair, same, "") for pair, same in pairs.items()])
    for said in (gather_constraints(None, kept, names).said, read_constraints(kept, names) if pairs else ()):
        assert {each.pair: each.same for each in said} == pairs
    with kept.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == len(pairs) + 1


def test_many_pairs_among_many_images_take_seconds(tmp_path):
    names = ImageNames.of([f"{tmp_path}/{k % 100}/{k:06}.jpg" for k in range(200_000)], tmp_path)
    lines = [f"{k:06}.jpg,{(k + 1) % 100}/{k + 1:06}.jpg,same" for k in range(0, 60_000, 2)]
    file = written(tmp_path / "pairs.csv", "\n".join(lines))
    start = time.perf_counter()
    gathered = gather_constraints(file, None, names)
    assert time.perf_counter() - start < 10
    assert (np.abs(np.diff(gathered.pairs[:, :2], axis=1)) == 1).all() and len(gathered.pairs) == 30_000
