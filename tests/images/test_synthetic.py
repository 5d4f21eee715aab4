"""Rendered walkers: same arguments, same bytes; the split as documented; nothing half-done."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from reunite.errors import InputError
from reunite.images import read, render_walkers, synthetic
from reunite.types import Dataset, Images

SMALL = {"identities": 6, "cameras": 2, "images": 3, "seed": 5}
NAME = re.compile(r"(\d{4})_c(\d)s([12])_(\d{6})_00\.jpg")


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    folder = tmp_path_factory.mktemp("walkers") / "small"
    return folder, render_walkers(folder, **SMALL)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pictures(images: Images) -> list[np.ndarray]:
    return [cv2.imread(path) for path in images.paths.tolist()]


def test_same_arguments_same_bytes(walkers, tmp_path):
    render_walkers(tmp_path / "again", **SMALL)
    assert files(tmp_path / "again") == files(walkers[0])


def test_another_seed_gives_other_pictures(walkers, tmp_path):
    other = render_walkers(tmp_path / "other", **{**SMALL, "seed": 6})
    drawn = {Path(path).read_bytes() for path in walkers[1].train.paths.tolist()}
    assert not drawn & {Path(path).read_bytes() for path in other.train.paths.tolist()}


def test_more_cameras_or_identities_leave_the_others_as_they_were(walkers, tmp_path):
    render_walkers(tmp_path / "more", **{**SMALL, "identities": 8, "cameras": 3})
    before, after = (
        {Path(name).name: content for name, content in files(folder).items() if name.endswith(".jpg")}
        for folder in (walkers[0], tmp_path / "more")
    )
    assert before.items() <= after.items()


def test_layout_and_split(walkers):
    folder, dataset = walkers
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [synthetic.TRAIN, synthetic.QUERY, synthetic.GALLERY, "README.txt", "walkers.json"]
    )
    assert "Nobody shown here exists" in (folder / "README.txt").read_text()
    assert dataset.name == "walkers" and "drawn at random" in dataset.note
    parts = {"bounding_box_train": dataset.train, "query": dataset.query, "bounding_box_test": dataset.gallery}
    for name, images in parts.items():
        paths = images.paths.tolist()
        assert paths == sorted(str(path) for path in (folder / name).iterdir())
        told = [NAME.fullmatch(Path(path).name).groups() for path in paths]
        assert images.identity.tolist() == [int(identity) for identity, *_ in told]
        assert images.camera.tolist() == [int(camera) for _, camera, *_ in told]
    train, test = set(dataset.train.identity.tolist()), set(dataset.query.identity.tolist())
    assert train | test == set(range(1, 7)) and not train & test and len(train) == 3
    pairs = list(zip(dataset.query.identity.tolist(), dataset.query.camera.tolist(), strict=True))
    assert sorted(pairs) == sorted((identity, camera) for identity in test for camera in (1, 2))
    assert len(dataset.train) == 18 and len(dataset.gallery) == 12


def test_every_file_decodes_at_the_size_asked_for(walkers, tmp_path):
    assert all(image.shape == (128, 64, 3) for image in pictures(walkers[1].train))
    for height, width in ((64, 32), (96, 96), (40, 100)):
        odd = render_walkers(tmp_path / f"{height}x{width}", 4, 1, 2, size=(height, width))
        assert all(image.shape == (height, width, 3) for image in pictures(odd.train) + pictures(odd.gallery))


def test_one_picture_per_camera_is_query_and_gallery(tmp_path):
    dataset = render_walkers(tmp_path / "one", 5, 9, 1)
    assert len(dataset.train) == 18 and len(dataset.query) == len(dataset.gallery) == 27
    assert set(dataset.query.camera.tolist()) == set(range(1, 10))
    again = render_walkers(tmp_path / "one", 5, 9, 1)
    assert again.query.paths.tolist() == dataset.query.paths.tolist()


def test_a_rendering_is_reused(walkers):
    folder, dataset = walkers
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = render_walkers(folder, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert again.gallery.paths.tolist() == dataset.gallery.paths.tolist()
    assert read(folder).train.paths.tolist() == dataset.train.paths.tolist()
    with pytest.raises(InputError, match="another rendering"):
        render_walkers(folder, **{**SMALL, "images": 4})


def test_a_rendering_by_another_version_is_not_reused(tmp_path):
    render_walkers(tmp_path / "walkers", 4, 1, 2)
    record = tmp_path / "walkers" / "walkers.json"
    arguments = json.loads(record.read_text())
    assert arguments == {
        "identities": 4,
        "cameras": 1,
        "images": 2,
        "seed": 0,
        "height": 128,
        "width": 64,
        "renderer": 1,
    }
    record.write_text(json.dumps({**arguments, "renderer": 0}))
    with pytest.raises(InputError, match="another rendering"):
        render_walkers(tmp_path / "walkers", 4, 1, 2)


def test_a_folder_with_other_content_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is no rendering of walkers"):
        render_walkers(tmp_path, **SMALL)
    (tmp_path / "walkers.json").write_text("[1")
    with pytest.raises(InputError, match="Pass a folder that does not exist yet"):
        render_walkers(tmp_path, **SMALL)
    with pytest.raises(InputError, match="is no rendering"):
        render_walkers(tmp_path / "mine.txt", **SMALL)
    assert files(tmp_path) == {"mine.txt": b"mine", "walkers.json": b"[1"}


def test_a_rendering_with_a_missing_picture_is_not_reused(tmp_path):
    dataset = render_walkers(tmp_path / "walkers", 4, 1, 2)
    Path(dataset.train.paths.tolist()[0]).unlink()
    with pytest.raises(InputError, match=r"should hold 8 pictures but holds 7"):
        render_walkers(tmp_path / "walkers", 4, 1, 2)


def test_an_interrupted_rendering_leaves_nothing(tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_walkers(tmp_path / "walkers", progress=interrupt, **SMALL)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "walkers").mkdir()
    assert len(render_walkers(tmp_path / "walkers", **SMALL).train) == 18


def test_progress_counts_up_to_all_pictures(tmp_path):
    calls = []
    render_walkers(tmp_path / "walkers", progress=lambda done, total: calls.append((done, total)), **SMALL)
    assert calls == [(done, 36) for done in range(6, 37, 6)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"identities": 3},
        {"identities": 6.5},
        {"cameras": 0},
        {"cameras": 10},
        {"images": 0},
        {"images": True},
        {"seed": -1},
        {"size": (16, 64)},
        {"size": (128, 5000)},
        {"size": (128,)},
        {"size": 128},
    ],
)
def test_bad_arguments_are_named(wrong, tmp_path):
    name = "(height|width|size)" if "size" in wrong else next(iter(wrong))
    with pytest.raises(InputError, match=f"^{name} must be"):
        render_walkers(tmp_path / "walkers", **{**SMALL, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_one_identity_wears_the_same_colours(tmp_path):
    """Mean colours of the upper and the lower body are nearer within an identity than across, from camera to camera."""
    train = render_walkers(tmp_path / "walkers", 24, 3, 2, seed=1).train
    chest, legs = (np.s_[35:55, 24:40], np.s_[75:100, 26:38])
    colours = np.array([[image[box].mean(axis=(0, 1)) for box in (chest, legs)] for image in pictures(train)])
    flat = colours.reshape(len(train), -1)
    distance = np.linalg.norm(flat[:, None] - flat, axis=2)
    same = train.identity[:, None] == train.identity
    elsewhere = train.camera[:, None] != train.camera
    assert distance[same & elsewhere].mean() < 0.6 * distance[~same & elsewhere].mean()
