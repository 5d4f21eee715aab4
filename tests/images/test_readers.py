"""Every layout is recognised, with and without a folder around it, and whatever is not is refused with a sentence."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from reunite.errors import ReaderError
from reunite.images.layouts import IMAGE_EXTENSIONS, NamePattern, image_files, pattern_listing
from reunite.images.public import PUBLIC
from reunite.images.readers import read
from reunite.types import Images

PNG = cv2.imencode(".png", np.zeros((4, 2, 3), np.uint8))[1].tobytes()


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PNG)


def places(images: Images, folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in images.paths]


@pytest.fixture(params=[".", "data set Ω"], ids=["itself", "in a folder"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a test unpacks a data set; it then reads `tmp_path`, which is this folder or the one around it."""
    folder = tmp_path / request.param
    folder.mkdir(exist_ok=True)
    return folder


MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c6s2_000451_01.jpg"],
    "query": ["0001_c1s1_001051_00.jpg"],
    "bounding_box_test": ["-1_c1s1_000401_03.jpg", "0000_c2s1_000051_04.jpg", "0001_c3s1_000551_01.jpg"],
}


# ---- published layouts


def test_market1501(tmp_path: Path, home: Path) -> None:
    for folder, names in MARKET.items():
        put(home / folder, *names)
        (home / folder / "Thumbs.db").write_bytes(b"")
        (home / folder / ".hidden.jpg").write_bytes(b"")
    put(home / "gt_bbox", "0001_c1s1_001051_00.jpg")
    dataset = read(tmp_path)
    assert dataset.name == "Market-1501"
    assert dataset.train.identity.tolist() == [2, 7]
    assert dataset.train.camera.tolist() == [1, 6]
    assert places(dataset.query, home) == ["query/0001_c1s1_001051_00.jpg"]
    assert dataset.gallery.identity.tolist() == [-1, 0, 1]
    assert dataset.gallery.camera.tolist() == [1, 2, 3]
    assert dataset.identity_names == dataset.camera_names == ()
    assert dataset.note.startswith("The split published with Market-1501")
    assert ("data set Ω" in dataset.note) == (home != tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "camera"),
    [
        ("DukeMTMC-reID", "0005_c{}_f0046182.jpg", [2, 8]),
        ("PersonX", "0005_c{}s36_42.jpg", [3, 12]),
        ("repacked", "0005_c{}_0_17.png", [1, 15]),
    ],
)
def test_layouts_like_market1501_are_told_by_their_names(
    tmp_path: Path, name: str, file: str, camera: list[int]
) -> None:
    home = tmp_path / "repacked"
    for folder in MARKET:
        put(home / folder, *(file.format(number) for number in camera))
    dataset = read(home)
    assert dataset.name == name
    assert dataset.gallery.camera.tolist() == [
        number for _, number in sorted((file.format(each), each) for each in camera)
    ]
    assert dataset.train.identity.tolist() == [5, 5]


@pytest.mark.parametrize(("version", "folders"), [("V1", ("train", "test")), ("V2", ("mask_train_v2", "mask_test_v2"))])
def test_msmt17(tmp_path: Path, home: Path, version: str, folders: tuple[str, str]) -> None:
    lists = {
        "list_train.txt": (folders[0], {"0001/0001_000_01_0303morning_0008_0.jpg": 1}),
        "list_val.txt": (folders[0], {"0000/0000_001_15_0303noon_0008_0.jpg": 0}),
        "list_query.txt": (folders[1], {"0000/0000_002_03_0303morning_0008_0.jpg": 0}),
        "list_gallery.txt": (folders[1], {"0000/0000_003_04_0303night_0008_0.jpg": 0, "0009/0009_9_5_x.jpg": 12}),
    }
    for name, (folder, lines) in lists.items():
        put(home / folder, *lines, "0003/0003_000_01_not_listed.jpg")
        (home / name).write_text("".join(f"{file} {identity}\n" for file, identity in lines.items()))
    dataset = read(tmp_path)
    assert dataset.name == f"MSMT17_{version}"
    assert dataset.train.identity.tolist() == [0, 1]
    assert dataset.train.camera.tolist() == [15, 1]
    assert dataset.query.camera.tolist() == [3]
    assert dataset.gallery.identity.tolist() == [0, 12]
    assert dataset.gallery.camera.tolist() == [4, 5]


@pytest.mark.parametrize("with_lists", [True, False])
def test_veri776(tmp_path: Path, home: Path, with_lists: bool) -> None:
    parts = {"train": ["0002_c002_00030600_0.jpg"], "query": ["0005_c019_0_0.jpg"], "test": ["0005_c020_0_1.jpg"]}
    for part, names in parts.items():
        put(home / f"image_{part}", *names, "0770_c001_0_0.jpg")
        if with_lists:
            (home / f"name_{part}.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(names).encode() + b"\r\n\r\n")
    dataset = read(tmp_path)
    assert dataset.name == "VeRi-776"
    assert len(dataset.train) == len(dataset.query) == len(dataset.gallery) == (1 if with_lists else 2)
    assert (dataset.train.identity[0], dataset.train.camera[0]) == (2, 2)
    assert dataset.gallery.camera[0] == 20


def test_names_that_do_not_match_are_counted(tmp_path: Path) -> None:
    for folder, names in MARKET.items():
        put(tmp_path / folder, *names)
    put(tmp_path / "query", "a.jpg", "b.jpg", "c.png", "d.jpg")
    with pytest.raises(ReaderError) as caught:
        read(tmp_path)
    assert "does not fit 4 of 10 file names" in str(caught.value)
    assert "'query/a.jpg', 'query/b.jpg', 'query/c.png', ..." in str(caught.value)
    assert "table.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("there", "looks_like"),
    [
        (["bounding_box_train"], "Market-1501 but lacks bounding_box_test, query"),
        (["image_test", "image_train", "name_train.txt"], "VeRi-776 but lacks image_query"),
        (["mask_train_v2", "mask_test_v2", "list_train.txt"], "MSMT17_V2 but lacks list_gallery.txt, list_query.txt, "),
    ],
)
def test_half_a_layout_is_not_taken_for_identity_folders(tmp_path: Path, there: list[str], looks_like: str) -> None:
    put(tmp_path / "data", *(name if name.endswith("txt") else f"{name}/1.jpg" for name in there))
    for path in (tmp_path, tmp_path / "data"):
        with pytest.raises(ReaderError, match=rf"data looks like {re.escape(looks_like)}"):
            read(path)


def test_listed_files_that_do_not_exist_are_counted(tmp_path: Path) -> None:
    for name in ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt"):
        (tmp_path / name).write_text("0000/0000_001_15_0303noon_0008_0.jpg 0\n")
    put(tmp_path, "train/x.jpg", "test/x.jpg")
    with pytest.raises(
        ReaderError, match=r"list_train\.txt lists 1 image, of which 1 cannot be found in .*train: '0000/"
    ):
        read(tmp_path)


def test_a_published_layout_without_images(tmp_path: Path) -> None:
    for folder in MARKET:
        (tmp_path / folder).mkdir()
    with pytest.raises(ReaderError, match="holds no images"):
        read(tmp_path)


def test_a_pattern_of_ones_own(tmp_path: Path) -> None:
    mine = NamePattern("Mine", r"(?P<identity>[a-z]+)-(?P<track>t\d)", train="a", query="b", gallery="b")
    put(tmp_path, "a/cat-t1-0.jpg", "b/dog-t2-1.jpg")
    listing = pattern_listing(mine, tmp_path)
    assert listing.identity == ("cat", "dog", "dog")
    assert listing.track == ("t1", "t2", "t2")
    assert listing.camera == ("", "", "")


def test_declarations_are_sound() -> None:
    for layout in PUBLIC:
        assert {"camera", "identity"} <= set(re.compile(layout.pattern).groupindex)
    assert len({(layout.name, layout.entries) for layout in PUBLIC}) == len(PUBLIC)


# ---- folders


def test_split_folders(tmp_path: Path, home: Path) -> None:
    put(home, "train/anna/1.jpg", "train/bob/deep/er/1.JPG", "query/cleo/1.png", "gallery/cleo/2.webp", "gallery/3.png")
    put(home, "Val/anna/9.jpg", "val/anna/8.jpg")
    dataset = read(tmp_path)
    assert places(dataset.train, home) == ["train/anna/1.jpg", "train/bob/deep/er/1.JPG"]
    assert dataset.identity_names == ("anna", "bob", "cleo")
    assert dataset.train.identity.tolist() == [0, 1]
    assert dataset.query.identity.tolist() == [2]
    assert dataset.gallery.identity.tolist() == [-1, 2]
    assert dataset.note.startswith("The folders Val, gallery, query, train and val")
    assert "2 validation images left out" in dataset.note


def test_train_and_test_folders(tmp_path: Path, home: Path) -> None:
    put(home, "train/1/a.jpg", "test/0002/a.jpg", "test/0002/b.jpg")
    dataset = read(tmp_path)
    assert dataset.name == home.name
    assert dataset.train.identity.tolist() == [1]
    assert dataset.query.identity.tolist() == dataset.gallery.identity.tolist() == [2, 2]


def test_query_without_gallery(tmp_path: Path) -> None:
    put(tmp_path, "train/1/a.jpg", "query/2/a.jpg")
    with pytest.raises(ReaderError, match="1 query image but no gallery"):
        read(tmp_path)


def test_identity_folders(tmp_path: Path) -> None:
    put(tmp_path, *(f"{identity}/{place}.jpg" for identity in "abcd" for place in ("1", "x/y/2")), "stray.jpg")
    dataset = read(tmp_path)
    assert dataset.identity_names == tuple("abcd")
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (5, 4, 4)
    assert dataset.train.identity.tolist().count(-1) == 1
    assert not set(dataset.train.identity) & set(dataset.query.identity)
    assert read(tmp_path, split_seed=0).query.paths.tolist() == dataset.query.paths.tolist()
    assert {tuple(read(tmp_path, split_seed=seed).query.identity) for seed in range(8)} > {
        tuple(dataset.query.identity)
    }


@pytest.mark.parametrize("identities", [1, 3])
def test_few_identity_folders_are_all_for_training(tmp_path: Path, identities: int) -> None:
    put(tmp_path, *(f"{identity}/1.jpg" for identity in range(identities)))
    dataset = read(tmp_path)
    assert dataset.train.identity.tolist() == list(range(identities))
    assert len(dataset.query) == len(dataset.gallery) == 0
    assert "cannot be divided" in dataset.note


def test_flat_folder(tmp_path: Path) -> None:
    put(tmp_path, "b b.jpg", "ü.PNG", "B.tiff", "a10.gif", "a9.bmp")
    (tmp_path / "notes.txt").write_text("")
    dataset = read(str(tmp_path))
    assert places(dataset.train, tmp_path) == ["B.tiff", "a10.gif", "a9.bmp", "b b.jpg", "ü.PNG"]
    assert set(dataset.train.identity) == {-1}
    assert len(dataset.query) == len(dataset.gallery) == 0
    assert "No identity is known" in dataset.note


def test_one_image_is_a_data_set(tmp_path: Path) -> None:
    put(tmp_path, "only.jpg")
    assert len(read(tmp_path).train) == 1


def test_nothing_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert len(read(tmp_path).train) == 1


@pytest.mark.parametrize("extension", [*IMAGE_EXTENSIONS, ".JPG", ".Png"])
def test_extensions(tmp_path: Path, extension: str) -> None:
    put(tmp_path, f"a{extension}", "a.txt", "jpg", "._a.jpg", ".cache/a.jpg")
    assert image_files(tmp_path) == [f"a{extension}"]


def test_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a/1.jpg", "a-b/1.jpg", "a/10.jpg", "a/2.jpg", "é/1.jpg", "z.jpg"]
    put(tmp_path, *names)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: Path) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert image_files(tmp_path) == sorted(names)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "store", "1.jpg")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "anna").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "anna too").symlink_to(tmp_path / "store")
    assert image_files(tmp_path / "data") == ["anna too/1.jpg", "anna/1.jpg"]


# ---- which layout wins


def test_a_table_comes_first(tmp_path: Path) -> None:
    put(tmp_path, "train/1/a.jpg", "test/2/b.jpg")
    (tmp_path / "table.csv").write_text("path\ntrain/1/a.jpg\n")
    assert len(read(tmp_path).train) == 1


def test_two_tables_are_one_too_many(tmp_path: Path) -> None:
    put(tmp_path, "table.csv", "table.parquet")
    with pytest.raises(ReaderError, match=r"holds both table\.csv and table\.parquet"):
        read(tmp_path)


def test_two_data_sets_in_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "one/train/1/a.jpg", "one/test/1/a.jpg", "two/table.csv", "three/a.jpg")
    with pytest.raises(ReaderError, match=r"holds 2 data sets: one, two\. Pass one"):
        read(tmp_path)


# ---- never a crash, always a sentence


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(
        ReaderError, match=f"no file or folder .*the nearest folder that exists is {re.escape(str(tmp_path))}"
    ):
        read(tmp_path / "no" / "where")


@pytest.mark.parametrize(("name", "advice"), [("a.zip", "Pass a folder of images"), ("a.JPG", "Pass the folder that")])
def test_a_file_of_another_kind(tmp_path: Path, name: str, advice: str) -> None:
    put(tmp_path, name)
    with pytest.raises(ReaderError, match=rf"{name} is neither a folder nor a table .*{advice}"):
        read(tmp_path / name)


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"looked at any depth for files ending in \.bmp, .*found no files at all"):
        read(tmp_path)
    put(tmp_path, "deep/1.heic", "deep/2.HEIC", "readme.txt", "LICENSE")
    with pytest.raises(ReaderError, match=r"found 2 \.heic, 1 .*files without extension"):
        read(tmp_path)


@pytest.mark.parametrize("function", ["scandir", "listdir"])
def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    put(tmp_path, "a/1.jpg")

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, function, refuse)
    with pytest.raises(ReaderError, match=f"{re.escape(str(tmp_path))} cannot be read: Permission denied"):
        read(tmp_path)


def test_a_table_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "table.csv")

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ReaderError, match=r"table\.csv cannot be read: Permission denied"):
        read(tmp_path)


def test_a_link_without_end(tmp_path: Path) -> None:
    put(tmp_path, "a/b/1.jpg", "c/1.jpg")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    with pytest.raises(ReaderError, match=r"up is a link to a folder above it"):
        read(tmp_path)


def test_a_link_to_itself(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    with pytest.raises(ReaderError, match=r"self cannot be read: .*no link points to itself"):
        read(tmp_path)
    with pytest.raises(ReaderError, match=r"self"):
        read(tmp_path / "self")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg"))).write_bytes(b"")
    images = read(tmp_path).train
    assert os.path.exists(images.paths[0])


def test_a_name_too_long(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="cannot be read: File name too long"):
        read(tmp_path / ("x" * 5000))


@pytest.mark.parametrize("path", ["~nobody-of-this-name/data", "a\0b"])
def test_paths_that_cannot_be(path: str) -> None:
    with pytest.raises(ReaderError):
        read(path)
