"""Video data sets, made up as they are unpacked: who is where by plain loops, and what is wrong said in a sentence."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from reunite.errors import InputError, ReaderError
from reunite.images.readers import read
from reunite.images.splits import divide_identities
from reunite.types import Dataset, Images

Row = tuple[str, int, int, str]
"""Path relative to the data set, identity, camera, part."""

NUMBERS = [np.float64, np.int32, np.uint16]
"""MATLAB saves whole doubles as the smallest type that holds them, so any of these may come."""


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def parts_of(dataset: Dataset) -> dict[str, Images]:
    return {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}


def rows_of(dataset: Dataset, home: Path) -> list[Row]:
    return sorted(
        (Path(path).relative_to(home).as_posix(), identity, camera, part)
        for part, images in parts_of(dataset).items()
        for path, identity, camera in zip(
            images.paths.tolist(), images.identity.tolist(), images.camera.tolist(), strict=True
        )
    )


def tracklets_of(dataset: Dataset, home: Path) -> list[list[str]]:
    """Frames of each (camera, track), whatever part they are in."""
    frames = defaultdict(set)
    for images in parts_of(dataset).values():
        for path, camera, track in zip(images.paths.tolist(), images.camera, images.track, strict=True):
            assert track >= 0
            frames[int(camera), int(track)].add(Path(path).relative_to(home).as_posix())
    return sorted(sorted(each) for each in frames.values())


@pytest.fixture(params=[".", "data set Ω"], ids=["itself", "in a folder"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a test unpacks a data set; it then reads `tmp_path`, which is this folder or the one around it."""
    folder = tmp_path / request.param
    folder.mkdir(exist_ok=True)
    return folder


# ---- MARS

Track = tuple[int, int, int]
"""Identity, camera, frames."""

TRAIN: list[Track] = [(1, 1, 3), (1, 1, 1), (1, 6, 2), (3, 2, 4)]
TEST: list[Track] = [(-1, 1, 2), (-1, 3, 1), (0, 2, 3), (2, 1, 2), (2, 4, 1), (2, 4, 3), (4, 5, 2), (6, 6, 1)]
QUERY = [4, 7]
"""From 1: a track of identity 2, and the only one of identity 4, which has no match."""


def mars_names(tracks: list[Track]) -> list[list[str]]:
    """File names of each tracklet, T counting those of one identity and camera."""
    seen: dict[tuple[int, int], int] = defaultdict(int)
    names = []
    for identity, camera, frames in tracks:
        seen[identity, camera] += 1
        start = f"{'00-1' if identity == -1 else f'{identity:04d}'}C{camera}T{seen[identity, camera]:04d}"
        names.append([f"{start}F{frame + 1:03d}.jpg" for frame in range(frames)])
    return names


def put_mars(
    home: Path, train: list[Track] = TRAIN, test: list[Track] = TEST, query: list[int] = QUERY, number: type = np.int32
) -> None:
    (home / "info").mkdir(parents=True, exist_ok=True)
    for half, tracks in (("train", train), ("test", test)):
        names = mars_names(tracks)
        table, last = [], 0
        for (identity, camera, frames), tracklet in zip(tracks, names, strict=True):
            table.append([last + 1, last + frames, identity, camera])
            last += frames
            touch(home / f"bbox_{half}", *(f"{name[:4]}/{name}" for name in tracklet))
        (home / "info" / f"{half}_name.txt").write_text("".join(f"{name}\n" for each in names for name in each))
        put_matrix(home / "info" / f"tracks_{half}_info.mat", f"track_{half}_info", np.array(table, dtype=number))
    put_matrix(home / "info" / "query_IDX.mat", "query_IDX", np.array([query], dtype=number))


def put_matrix(path: Path, variable: str, value: object, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {variable: value}, **options)


def mars_oracle(train: list[Track], test: list[Track], query: list[int]) -> list[Row]:
    rows = []
    for half, tracks in (("train", train), ("test", test)):
        for place, ((identity, camera, _), names) in enumerate(zip(tracks, mars_names(tracks), strict=True)):
            part = "train" if half == "train" else "query" if place + 1 in query else "gallery"
            rows += [(f"bbox_{half}/{name[:4]}/{name}", identity, camera, part) for name in names]
    return sorted(rows)


@pytest.mark.parametrize("number", [np.float64, np.int32])
def test_mars(tmp_path: Path, home: Path, number: type) -> None:
    put_mars(home, number=number)
    touch(home, "bbox_test/0000/Thumbs.db", "readme.txt")
    dataset = read(tmp_path)
    assert dataset.name == "MARS"
    assert rows_of(dataset, home) == mars_oracle(TRAIN, TEST, QUERY)
    folders = {"train": TRAIN, "test": TEST}
    assert tracklets_of(dataset, home) == sorted(
        [f"bbox_{half}/{name[:4]}/{name}" for name in names]
        for half, tracks in folders.items()
        for names in mars_names(tracks)
    )
    assert dataset.identity_names == dataset.camera_names == ()
    origin = "The split published with MARS: 4 tracklets to train, 2 query and 6 gallery tracklets, 2 of these junk"
    assert dataset.note == f"{origin}{'' if home == tmp_path else ' (in data set Ω)'}."


def test_mars_without_junk_as_uint16(tmp_path: Path) -> None:
    test = TEST[2:]  # unsigned numbers have no -1
    put_mars(tmp_path, test=test, query=[2, 5], number=np.uint16)
    assert loadmat(tmp_path / "info" / "query_IDX.mat")["query_IDX"].dtype == np.uint16
    assert rows_of(read(tmp_path), tmp_path) == mars_oracle(TRAIN, test, [2, 5])


def test_mars_tracklets_are_numbered_by_their_rows(tmp_path: Path) -> None:
    put_mars(tmp_path)
    dataset = read(tmp_path)
    assert dataset.train.track.tolist() == [0, 0, 0, 1, 2, 2, 3, 3, 3, 3]
    assert dataset.query.track.tolist() == [4 + 3] * 2 + [4 + 6] * 2


def test_mars_frames_of_no_tracklet_are_left_out_and_counted(tmp_path: Path) -> None:
    put_mars(tmp_path)
    put_matrix(tmp_path / "info" / "tracks_train_info.mat", "track_train_info", np.array([[1, 3, 1, 1], [5, 6, 1, 6]]))
    dataset = read(tmp_path)
    names = [name for tracklet in mars_names(TRAIN) for name in tracklet]
    assert [Path(path).name for path in dataset.train.paths] == names[:3] + names[4:6]
    assert dataset.note.endswith("; 5 unassigned images left out.")


def test_mars_names_that_tell_nothing_are_believed(tmp_path: Path) -> None:
    put_mars(tmp_path)
    names = tmp_path / "info" / "train_name.txt"
    names.write_text(names.read_text().replace("0003C2T0001F001.jpg", "frameA.jpg").replace("\n", "\r\n") + "\r\n\r\n")
    touch(tmp_path, "bbox_train/fram/frameA.jpg")
    assert ("bbox_train/fram/frameA.jpg", 3, 2, "train") in rows_of(read(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "missing",
    [
        "bbox_train",
        "bbox_test",
        "info",
        "info/train_name.txt",
        "info/test_name.txt",
        "info/tracks_train_info.mat",
        "info/tracks_test_info.mat",
        "info/query_IDX.mat",
    ],
)
def test_half_of_mars(tmp_path: Path, home: Path, missing: str) -> None:
    put_mars(home)
    gone = home / missing
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(ReaderError, match=f"looks like MARS but lacks {missing}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("row", "tracks", "place"),
    [
        ([0, 3, 1, 1], 1, "row 2, from 0 to 3"),
        ([8, 11, 3, 2], 1, "row 2, from 8 to 11"),
        ([5, 4, 1, 1], 2, "row 2, from 5 to 4"),
    ],
)
def test_mars_tracklets_that_point_nowhere(tmp_path: Path, row: list[int], tracks: int, place: str) -> None:
    put_mars(tmp_path)
    table = np.array([[1, 3, 1, 1], *[row] * tracks, [5, 6, 1, 6]])
    put_matrix(tmp_path / "info" / "tracks_train_info.mat", "track_train_info", table)
    with pytest.raises(
        ReaderError, match=f"tracks_train_info.mat has {tracks} tracklets? outside the 10 names .*{place}"
    ):
        read(tmp_path)


@pytest.mark.parametrize("row", [[4, 4, 2, 1], [4, 4, -1, 1], [4, 4, 1, 2], [4, 5, 1, 1]])
def test_mars_names_that_contradict_the_table(tmp_path: Path, row: list[int]) -> None:
    put_mars(tmp_path)
    put_matrix(tmp_path / "info" / "tracks_train_info.mat", "track_train_info", np.array([[1, 3, 1, 1], row]))
    name = "0001C6T0001F001" if row[1] == 5 else "0001C1T0002F001"
    with pytest.raises(
        ReaderError,
        match=f"contradicts 1 file name .*'{name}.jpg .identity {row[2]}, camera {row[3]}.'",
    ):
        read(tmp_path)


def test_mars_junk_that_is_named_otherwise(tmp_path: Path) -> None:
    put_mars(tmp_path)
    file = tmp_path / "info" / "tracks_test_info.mat"
    table = loadmat(file)["track_test_info"]
    table[0, 2] = 0
    put_matrix(file, "track_test_info", table)
    with pytest.raises(ReaderError, match=r"contradicts 2 file names .*'00-1C1T0001F001.jpg .identity 0, camera 1"):
        read(tmp_path)


def test_mars_listed_frames_that_are_missing(tmp_path: Path) -> None:
    put_mars(tmp_path)
    (tmp_path / "bbox_test" / "0002" / "0002C4T0002F002.jpg").rename(
        tmp_path / "bbox_test" / "0004" / "0002C4T0002F002.jpg"
    )
    shutil.rmtree(tmp_path / "bbox_test" / "00-1")
    with pytest.raises(
        ReaderError, match=r"test_name.txt lists 15 images, of which 4 cannot be found .*'00-1C1T0001F001.jpg', "
    ):
        read(tmp_path)


@pytest.mark.parametrize("query", [[0, 4], [9, 4], [-1, 4]])
def test_mars_queries_that_are_no_tracklet(tmp_path: Path, query: list[int]) -> None:
    put_mars(tmp_path, query=query)
    with pytest.raises(
        ReaderError, match=f"query_IDX.mat names 1 query outside the 8 test tracklets; the first is {query[0]}"
    ):
        read(tmp_path)


def test_matlab_7_3(tmp_path: Path) -> None:
    put_mars(tmp_path)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "info" / "tracks_train_info.mat").write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ReaderError, match=r"tracks_train_info\.mat is a file of MATLAB 7\.3 .*-v7"):
        read(tmp_path)


def test_a_matlab_file_without_the_variable(tmp_path: Path) -> None:
    put_mars(tmp_path)
    put_matrix(tmp_path / "info" / "query_IDX.mat", "idx", np.ones((1, 2)))
    with pytest.raises(ReaderError, match=r"query_IDX\.mat holds no variable query_IDX"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("file", "variable", "shape"),
    [("tracks_test_info", "track_test_info", (8, 3)), ("query_IDX", "query_IDX", (2, 1))],
)
def test_mars_tables_of_another_shape(tmp_path: Path, file: str, variable: str, shape: tuple[int, int]) -> None:
    put_mars(tmp_path)
    put_matrix(tmp_path / "info" / f"{file}.mat", variable, np.ones(shape))
    with pytest.raises(ReaderError, match=rf"{variable} in .* got shape \({shape[0]}, {shape[1]}\)"):
        read(tmp_path)


# ---- DukeMTMC-VideoReID

DUKE = {
    "train": ["0001/0001/{0001}{C6}{F0001}{X30823}", "0001/0001/{0001}{C6}{F0002}{X30835}", "0003/0001/{0003}{C6}{F0001}{X7}"],
    "query": ["0002/0004/{0002}{C1}{F0001}{X9}", "0002/0004/{0002}{C1}{F0002}{X21}"],
    "gallery": [
        "0002/0004/{0002}{C1}{F0001}{X9}",
        "0002/0004/{0002}{C1}{F0002}{X21}",
        "0002/0005/{0002}{C8}{F0003}{X5}",
        "0002/0006/{0002}{C8}{F0001}{X900}",
        "7005/0001/{7005}{C7}{F0001}{X77}",
    ],
}  # fmt: skip


def put_duke(home: Path, separator: str = "") -> list[Row]:
    """Make it, and list what is to be found."""
    rows = []
    for part, files in DUKE.items():
        for template in files:
            name = template.replace("}{", separator).replace("{", "").replace("}", "") + ".jpg"
            identity, camera = template.split("/")[0], template.partition("{C")[2][0]
            touch(home / part, name)
            rows.append((f"{part}/{name}", int(identity), int(camera), part))
    return sorted(rows)


@pytest.mark.parametrize("separator", ["", "_"], ids=["first form", "later form"])
def test_duke_video(tmp_path: Path, home: Path, separator: str) -> None:
    rows = put_duke(home, separator)
    touch(home, "train/.DS_Store", "train/0001/0001/Thumbs.db", "LICENSE.txt")
    dataset = read(tmp_path)
    assert dataset.name == "DukeMTMC-VideoReID"
    assert rows_of(dataset, home) == rows
    shared = [path for path, *_ in rows if "/0002/0004/" in path]
    tracklets = tracklets_of(dataset, home)
    assert sorted(map(len, tracklets)) == [1, 1, 1, 1, 2, 4]
    assert shared in tracklets  # in query and gallery: the same tracklet
    counts = "2 tracklets in train, 1 tracklet in query, 4 tracklets in gallery"
    assert dataset.note.startswith(f"The split published with DukeMTMC-VideoReID: {counts}")


@pytest.mark.parametrize("missing", ["train", "query", "gallery"])
def test_half_of_duke_video(tmp_path: Path, home: Path, missing: str) -> None:
    put_duke(home)
    shutil.rmtree(home / missing)
    with pytest.raises(ReaderError, match=f"looks like DukeMTMC-VideoReID but lacks {missing}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gallery/0002/0005/0003C8F0009X5.jpg", "1 file name in .* contradict.*'gallery/0002/0005/0003C8F0009X5.jpg'"),
        ("query/0002/0004/0002C2F0009X5.jpg", "1 file name in .* contradict.*'query/0002/0004/0002C2F0009X5.jpg'"),
        ("train/0001/0001/0001C6_F0009X5.jpg", "1 image in .* cannot be of DukeMTMC-VideoReID.*0001C6_F0009X5"),
        ("train/0001/0001/a.png", "1 image in .* cannot be of DukeMTMC-VideoReID"),
        ("train/0001/0001C6F0009X5.jpg", "1 image in .* cannot be of DukeMTMC-VideoReID"),
        ("train/0001/0009/Thumbs.db", "train has 1 tracklet folder without images: '0001/0009'"),
    ],
)
def test_duke_video_with_something_wrong(tmp_path: Path, file: str, message: str) -> None:
    put_duke(tmp_path)
    touch(tmp_path, file)
    with pytest.raises(ReaderError, match=message):
        read(tmp_path)


# ---- iLIDS-VID

PERSONS = [f"person{number:03d}" for number in (1, 2, 4, 5, 9, 12, 319)]
SPLITS = np.array([np.random.default_rng(seed).permutation(len(PERSONS)) + 1 for seed in range(10)])
SPLIT_FILE = "train-test people splits/train_test_splits_ilidsvid.mat"


def put_ilids(home: Path) -> None:
    for place, person in enumerate(PERSONS):
        for camera in (1, 2):
            frames = range(317, 317 + (place + camera) % 3 + 1)
            touch(home / "sequences" / f"cam{camera}", *(f"{person}/cam{camera}_{person}_{f:05d}.png" for f in frames))


def pair_oracle(home: Path, cameras: list[Path], train: set[str], test: set[str]) -> list[Row]:
    rows = []
    for camera, folder in enumerate(cameras):
        for person in sorted(train | test):
            part = "train" if person in train else ("query", "gallery")[camera]
            number = int("".join(letter for letter in person if letter.isdigit()))
            rows += [(f.relative_to(home).as_posix(), number, camera, part) for f in (folder / person).glob("*.png")]
    return sorted(rows)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("split_seed", [0, 9])
@pytest.mark.parametrize("inside", ["", "i-LIDS-VID"])
def test_ilids_vid(tmp_path: Path, number: type, split_seed: int, inside: str) -> None:
    put_ilids(tmp_path / inside)
    touch(tmp_path / inside, "images/cam1/person001/one.png", "sequences/cam1/.thumbs/one.png")
    put_matrix(tmp_path / SPLIT_FILE, "ls_set", SPLITS.astype(number))
    cameras = [tmp_path / inside / "sequences" / camera for camera in ("cam1", "cam2")]
    row = SPLITS[split_seed]
    test, train = {PERSONS[place - 1] for place in row[:3]}, {PERSONS[place - 1] for place in row[3:]}
    for path in {tmp_path, tmp_path / inside, tmp_path / inside / "sequences"}:
        dataset = read(path, split_seed)
        assert dataset.name == "iLIDS-VID"
        assert dataset.camera_names == ("cam1", "cam2")
        assert rows_of(dataset, tmp_path) == pair_oracle(tmp_path, cameras, train, test)
        assert sorted(map(len, tracklets_of(dataset, tmp_path))) == sorted(
            len(list(camera.joinpath(person).iterdir())) for camera in cameras for person in PERSONS
        )
        said = f"Split {split_seed} of the 10 in train_test_splits_ilidsvid.mat, with query cam1 and gallery cam2"
        assert dataset.note.startswith(said)


def test_ilids_vid_without_its_splits(tmp_path: Path, home: Path) -> None:
    put_ilids(home)
    numbers = np.array([int(person[6:]) for person in PERSONS])
    for split_seed in (0, 1, 12):
        chosen = divide_identities(numbers, split_seed)
        test = {person for person, is_test in zip(PERSONS, chosen, strict=True) if is_test}
        dataset = read(tmp_path, split_seed)
        cameras = [home / "sequences" / camera for camera in ("cam1", "cam2")]
        assert rows_of(dataset, home) == pair_oracle(home, cameras, set(PERSONS) - test, test)
        assert dataset.note.startswith(
            f"No split is given: seed {split_seed} put 4 of 7 identities into train and 3 into test, with query cam1 "
            "and gallery cam2"
        )
    with pytest.raises(InputError, match="split_seed must be 0 or more; got -1"):
        read(tmp_path, -1)


def test_few_persons_are_all_for_training(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sequences/cam{camera}/person00{person}/1.png" for camera in (1, 2) for person in (1, 2, 3)))
    dataset = read(tmp_path)
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (6, 0, 0)
    assert dataset.note == (
        "3 identities cannot be divided (4 are needed): all are in train; query and gallery are empty."
    )


@pytest.mark.parametrize("split_seed", [-1, 10])
def test_ilids_vid_has_ten_splits(tmp_path: Path, split_seed: int) -> None:
    put_ilids(tmp_path)
    put_matrix(tmp_path / SPLIT_FILE, "ls_set", SPLITS)
    with pytest.raises(InputError, match=f"split_seed must be 0 to 9, one of the splits in .*; got {split_seed}"):
        read(tmp_path, split_seed)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (SPLITS[:, :-1], "divides 6 persons, but there are folders of 7"),
        (np.where(SPLITS == 7, 8, SPLITS), "Split 0 in .* must hold each number from 1 to 7 once"),
        (np.where(SPLITS == 7, 1, SPLITS), "Split 0 in .* must hold each number from 1 to 7 once"),
        (SPLITS - 1, "Split 0 in .* must hold each number from 1 to 7 once"),
    ],
)
def test_ilids_vid_with_wrong_splits(tmp_path: Path, table: np.ndarray, message: str) -> None:
    put_ilids(tmp_path)
    put_matrix(tmp_path / SPLIT_FILE, "ls_set", table)
    with pytest.raises(ReaderError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("gone", "added", "message"),
    [
        ("sequences/cam1", None, "looks like iLIDS-VID but lacks sequences/cam1"),
        ("sequences/cam2", None, "looks like iLIDS-VID but lacks sequences/cam2"),
        ("sequences/cam2/person319", None, "has 1 person in one camera only: 'person319'"),
        (None, "sequences/cam1/person400/x.txt", "cam1 has 1 tracklet folder without images: 'person400'"),
        (None, "sequences/cam1/somebody/x.png", "cam1 must hold a folder per person, .*1 name cannot .*'somebody'"),
        (None, "sequences/cam1/x.png", "cam1 must hold a folder per person, .*1 name cannot .*'x.png'"),
        (None, "sequences/cam1/person001/y/x.png", "1 name cannot .*'person001/y/x.png'"),
    ],
)
def test_ilids_vid_with_something_wrong(tmp_path: Path, gone: str | None, added: str | None, message: str) -> None:
    put_ilids(tmp_path)
    if gone:
        shutil.rmtree(tmp_path / gone)
    if added:
        touch(tmp_path, added)
    with pytest.raises(ReaderError, match=message):
        read(tmp_path)


def test_cameras_without_images(tmp_path: Path) -> None:
    for camera in ("cam1", "cam2"):
        (tmp_path / "sequences" / camera).mkdir(parents=True)
    with pytest.raises(ReaderError, match="cam1 holds no images"):
        read(tmp_path)


# ---- PRID2011

FRAMES = {
    "person_0001": (22, 30),
    "person_0002": (25, 22),
    "person_0003": (21, 40),
    "person_0004": (40, 21),
    "person_0005": (22, 22),
    "person_0006": (1, 0),
    "person_0199": (0, 25),
    "person_0200": (23, 23),
    "person_0201": (30, 30),
    "person_0385": (30, 0),
    "person_0749": (0, 30),
}
"""Frames in cam_a and cam_b. From 201 on the same number is two persons."""

LONG = {"person_0001", "person_0002", "person_0005", "person_0200"}


def put_prid(home: Path, frames: dict[str, tuple[int, int]] = FRAMES) -> list[Path]:
    cameras = [home / "multi_shot" / camera for camera in ("cam_a", "cam_b")]
    for person, counts in frames.items():
        for camera, count in zip(cameras, counts, strict=True):
            touch(camera / person, *(f"{frame + 1:04d}.png" for frame in range(count)))
    touch(home, "single_shot/cam_a/person_0001.png", "readme.txt")
    return cameras


@pytest.mark.parametrize("inside", ["", "prid_2011"])
def test_prid2011(tmp_path: Path, inside: str) -> None:
    cameras = put_prid(tmp_path / inside)
    for split_seed in (0, 1):
        chosen = divide_identities(np.array([1, 2, 5, 200]), split_seed)
        test = {person for person, is_test in zip(sorted(LONG), chosen, strict=True) if is_test}
        dataset = read(tmp_path, split_seed)
        assert dataset.name == "PRID2011"
        assert dataset.camera_names == ("cam_a", "cam_b")
        assert rows_of(dataset, tmp_path) == pair_oracle(tmp_path, cameras, LONG - test, test)
        assert sorted(map(len, tracklets_of(dataset, tmp_path))) == sorted(
            count for person in LONG for count in FRAMES[person]
        )
        unused = sum(sum(counts) for person, counts in FRAMES.items() if person not in LONG)
        where = f" (in {inside})" if inside else ""
        assert dataset.note == (
            f"No split is given: seed {split_seed} put 2 of 4 identities into train and 2 into test, with query cam_a "
            "and gallery cam_b; 2 persons with 21 frames or fewer and 6 seen by one camera left out"
            f"{where}; {unused} unassigned images left out."
        )


@pytest.mark.parametrize("beside", [True, False])
def test_prid2011_with_splits(tmp_path: Path, beside: bool) -> None:
    cameras = put_prid(tmp_path / "prid_2011")
    splits = [
        {"train": ["person_0001"], "test": ["person_0002"]},
        {"train": ["person_0005", "person_0003"], "test": ["person_0200", "person_0001"]},
    ]
    (tmp_path / ("prid_2011" if beside else "") / "splits_prid2011.json").write_text(json.dumps(splits))
    for path in (tmp_path, tmp_path / "prid_2011", tmp_path / "prid_2011" / "multi_shot"):
        for split_seed, split in enumerate(splits):
            dataset = read(path, split_seed)
            train, test = set(split["train"]), set(split["test"])
            assert rows_of(dataset, tmp_path) == pair_oracle(tmp_path, cameras, train, test)
            said = f"Split {split_seed} of the 2 in splits_prid2011.json, with query cam_a and gallery cam_b; "
            others = {0: 4, 1: 2}[split_seed]
            left_out = f"{others} persons with no place in that split and 6 seen by one camera left out"
            assert dataset.note.startswith(said + left_out)
        with pytest.raises(InputError, match=r"split_seed must be 0 to 1, one of the splits in .*; got 2"):
            read(path, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{not json", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "must hold a list of splits"),
        ('{"train": ["person_0001"], "test": ["person_0002"]}', "must hold a list of splits"),
        ('[{"train": ["person_0001"]}]', "must have a test that lists folder names"),
        ('[{"train": [], "test": ["person_0002"]}]', "must have a train that lists folder names"),
        ('[{"train": [1], "test": [2]}]', "must have a train that lists folder names"),
        ('["person_0001"]', "must have a train that lists folder names"),
        ('[{"train": ["person_0201"], "test": ["person_0385", "person_0001"]}]', "names 2 folders .*'person_0201', "),
        (
            '[{"train": ["person_0001"], "test": ["person_0001"]}]',
            "has 1 person in train and in test: 'person_0001'",
        ),
    ],
)
def test_prid2011_with_wrong_splits(tmp_path: Path, text: str, message: str) -> None:
    put_prid(tmp_path)
    (tmp_path / "splits_prid2011.json").write_text(text)
    with pytest.raises(ReaderError, match=message):
        read(tmp_path)


def test_prid2011_with_something_wrong(tmp_path: Path) -> None:
    put_prid(tmp_path, {"person_0001": (21, 21)})
    with pytest.raises(ReaderError, match="has no person with more than 21 frames in both cameras"):
        read(tmp_path)
    (tmp_path / "multi_shot" / "cam_b" / "person_0002").mkdir()
    with pytest.raises(ReaderError, match="cam_b has 1 tracklet folder without images: 'person_0002'"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "multi_shot" / "cam_b")
    with pytest.raises(ReaderError, match="looks like PRID2011 but lacks multi_shot/cam_b"):
        read(tmp_path)


# ---- which layout wins


def test_a_table_comes_before_a_video_layout(tmp_path: Path) -> None:
    put_mars(tmp_path)
    (tmp_path / "table.csv").write_text(f"path\nbbox_train/0001/{mars_names(TRAIN)[0][0]}\n")
    assert len(read(tmp_path).train) == 1


def test_image_data_sets_are_not_video(tmp_path: Path) -> None:
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        touch(tmp_path / "market", f"{name}/0002_c1s1_000451_03.jpg")
    touch(tmp_path / "market", "info/query_IDX.mat")
    touch(tmp_path / "folders", "train/0001/0001C6F0099X30823.jpg", "test/0002/0002C6F0099X30823.jpg")
    touch(tmp_path / "deep", *(f"{part}/0001/0001/1.jpg" for part in ("train", "query", "gallery")))
    touch(tmp_path / "people", *(f"person{number:03d}/1.png" for number in range(4)), "sequences/1.png")
    names = {folder: read(tmp_path / folder).name for folder in ("market", "folders", "deep", "people")}
    assert names == {"market": "Market-1501", "folders": "folders", "deep": "deep", "people": "people"}


def test_two_video_data_sets_in_a_folder(tmp_path: Path) -> None:
    put_mars(tmp_path / "MARS")
    put_ilids(tmp_path / "i-LIDS-VID")
    with pytest.raises(ReaderError, match=r"holds 2 data sets: MARS, i-LIDS-VID. Pass one"):
        read(tmp_path)
