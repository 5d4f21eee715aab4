"""A fingerprint tells whether two runs saw the same images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from reunite.errors import ReaderError
from reunite.images.fingerprint import fingerprint
from reunite.types import Images


def some_images(folder: Path) -> Images:
    paths = [folder / name for name in ("one/ä 1.png", "one/2.png", "two/3.png")]
    for size, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return Images.of([str(path) for path in paths], identity=[1, 1, 2], camera=[0, 1, 0])


def test_moving_a_data_set_changes_nothing(tmp_path: Path) -> None:
    here, there = some_images(tmp_path / "a"), some_images(tmp_path / "b" / "c")
    assert fingerprint(here) == fingerprint(there)
    assert len(fingerprint(here)) == 16
    assert int(fingerprint(here), 16) >= 0


def test_every_fact_and_the_order_count(tmp_path: Path) -> None:
    images = some_images(tmp_path)
    others = [
        Images.of(images.paths, identity=[1, 1, 3], camera=images.camera),
        Images.of(images.paths, identity=images.identity, camera=[0, 1, 1]),
        images.take(np.array([1, 0, 2])),
        images.take(np.array([0, 1])),
        images.take(np.array([], dtype=np.int64)),
    ]
    before = [fingerprint(each) for each in (images, *others)]
    Path(images.paths[0]).write_bytes(b"longer")
    resized = fingerprint(images)
    shutil.move(tmp_path / "two", tmp_path / "three")
    moved = Images.of(
        [*images.paths[:2], str(tmp_path / "three/3.png")], identity=images.identity, camera=images.camera
    )
    assert len({*before, resized, fingerprint(moved)}) == len(before) + 2


def test_a_file_that_went_missing_is_named(tmp_path: Path) -> None:
    images = some_images(tmp_path)
    Path(images.paths[1]).unlink()
    with pytest.raises(ReaderError, match=r"2\.png cannot be read"):
        fingerprint(images)
