"""Tables of images: every image once, read back as other programs read them."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from reunite.cli.folder_embeddings import FolderEmbeddings
from reunite.cli.image_tables import ImageIdentities, write_image_tables
from reunite.errors import InputError
from reunite.types import Images

WHO = ImageIdentities(
    np.array([4, -1, 4]), np.array([0.98765, 0.0, 0.5]), np.array([7, -1, 7]), np.array([0.25, 0, 1 / 3])
)


def embedded(root, names=("b.jpg", 'a, "b".jpg', "c/ü 1.jpg"), lost=(), reasons=(), **columns):
    images = Images.of([str(root / name) for name in (*names, *lost)], **columns)
    rows = np.arange(len(images)) < len(names)
    nothing = np.empty((len(names), 2), np.float32)
    return FolderEmbeddings(images.take(rows), nothing, images.take(~rows), reasons, 0)


def both(folder):
    with open(folder / "identities.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)), pq.read_table(folder / "identities.parquet").to_pylist()


def test_rows_are_in_order_of_path_and_say_who(tmp_path):
    write_image_tables(embedded(tmp_path), WHO, tmp_path / "out", root=tmp_path)
    text, rows = both(tmp_path / "out")
    assert list(text[0]) == list(rows[0])
    assert list(rows[0]) == ["path", "identity", "confidence", "second_best", "margin", "noise", "unreadable"]
    assert [list(row.values()) for row in rows] == [
        ['a, "b".jpg', -1, 0.0, -1, 0.0, 1, ""],
        ["b.jpg", 4, 0.9876, 7, 0.25, 0, ""],
        ["c/ü 1.jpg", 4, 0.5, 7, 0.3333, 0, ""],
    ]
    assert [[row["path"], int(row["identity"]), float(row["margin"]), row["unreadable"]] for row in text] == [
        [row["path"], row["identity"], row["margin"], row["unreadable"]] for row in rows
    ]


def test_unreadable_images_are_rows_with_the_reason(tmp_path):
    given = embedded(
        tmp_path, lost=("bad.jpg", "zero.jpg"), reasons=("it is a directory", "the file is empty (0 bytes)")
    )
    write_image_tables(given, WHO, tmp_path, root=tmp_path)
    text, rows = both(tmp_path)
    assert [row["path"] for row in rows] == ['a, "b".jpg', "b.jpg", "bad.jpg", "c/ü 1.jpg", "zero.jpg"]
    assert list(rows[2].values()) == ["bad.jpg", -1, 0.0, -1, 0.0, 0, "it is a directory"]
    assert text[4]["unreadable"] == rows[4]["unreadable"] == "the file is empty (0 bytes)"


def test_camera_track_and_time_only_where_known(tmp_path):
    known = {"camera": [1, -1, 0, 1], "track": [5, -1, 6, 7], "time": [0.5, np.nan, 2, 3]}
    given = embedded(tmp_path, lost=("z.jpg",), reasons=("empty",), **known)
    write_image_tables(given, WHO, tmp_path, root=tmp_path, camera_names=("north", "süd"))
    text, rows = both(tmp_path)
    assert [(row["camera"], row["track"], row["time"]) for row in rows] == [
        (None, None, None), ("süd", 5, 0.5), ("north", 6, 2.0), ("süd", 7, 3.0),
    ]  # fmt: skip
    assert (text[0]["camera"], text[0]["track"], text[0]["time"]) == ("", "", "")
    write_image_tables(given, WHO, tmp_path, root=tmp_path)
    assert [row["camera"] for row in both(tmp_path)[1]] == [None, "1", "0", "1"]


def test_paths_elsewhere_are_whole_and_odd_bytes_are_escaped(tmp_path):
    given = embedded(tmp_path, names=("b.jpg", "../elsewhere.jpg", "\udcff.jpg"))
    (tmp_path / "nothing in it").mkdir()
    write_image_tables(given, WHO, tmp_path, root=tmp_path / "nothing in it")
    assert [row["path"] for row in both(tmp_path)[1]] == sorted(
        [f"{tmp_path}/b.jpg", f"{tmp_path}/../elsewhere.jpg", f"{tmp_path}/\\udcff.jpg"]
    )


def test_columns_of_another_length_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"columns of one length; got .*'margin': 2"):
        ImageIdentities(WHO.labels, WHO.confidence, WHO.second_best, WHO.margin[:2])
    with pytest.raises(InputError, match="an identity for each of 1 images; got 3"):
        write_image_tables(embedded(tmp_path, names=("a.jpg",)), WHO, tmp_path, root=tmp_path)
    assert not list(tmp_path.iterdir())
