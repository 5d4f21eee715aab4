"""Embeddings kept by file: against embedding everything at once, whatever happens to the folder in between."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite.cli import folder_embeddings
from reunite.cli.encoders import NamedEncoder
from reunite.cli.folder_embeddings import _Store, below, embed_folder, file_keys
from reunite.errors import ImageError
from reunite.images import read
from reunite.model import Encoder, embed


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    network = Encoder("conv4", pretrained=False, pooling="avg", neck="none", image_size=(16, 8), last_stride=2)
    return NamedEncoder.of(network, "conv4", "ours")


@pytest.fixture
def folder(tmp_path):
    return add(tmp_path / "data", range(7))


@pytest.fixture
def embedded_files(monkeypatch):
    """Names of the files that went through `embed`, and how often."""
    seen: Counter[str] = Counter()

    def watched(encoder, images, **options):
        seen.update(os.path.basename(path) for path in images.paths.tolist())
        return embed(encoder, images, **options)

    monkeypatch.setattr(folder_embeddings, "embed", watched)
    return seen


def add(folder: Path, numbers) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (20, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), pixels)
    return folder


def found_in(folder, encoder, out):
    found = embed_folder(encoder, read(folder).train, out, root=folder)
    if len(found.images):
        assert found.embeddings.flags.c_contiguous
        expected = embed(encoder.encoder, found.images, progress=False)
        np.testing.assert_allclose(found.embeddings, expected, atol=1e-6)
        assert {*found.images.paths, *found.left_out.paths} == {*read(folder).train.paths}
    return found


def test_all_are_embedded_once_and_found_again(folder, encoder, tmp_path, embedded_files):
    first = found_in(folder, encoder, tmp_path / "out")
    assert (first.computed, len(first.left_out), sum(embedded_files.values())) == (7, 0, 7)
    again = found_in(folder, encoder, tmp_path / "out")
    assert again.computed == 0
    assert sum(embedded_files.values()) == 7
    assert np.array_equal(first.embeddings, again.embeddings)
    assert isinstance(again.embeddings, np.memmap)


def test_a_folder_that_grew_shrank_and_changed_costs_what_is_new(folder, encoder, tmp_path, embedded_files):
    found_in(folder, encoder, tmp_path / "out")
    embedded_files.clear()
    add(folder, [8, 9])
    (folder / "003.png").unlink()
    (folder / "000.png").write_bytes((folder / "005.png").read_bytes() + b"longer")
    found = found_in(folder, encoder, tmp_path / "out")
    assert embedded_files == Counter({"000.png": 1, "008.png": 1, "009.png": 1})
    assert found.computed == 3
    folder = folder.rename(tmp_path / "moved")
    assert found_in(folder, encoder, tmp_path / "out").computed == 0


def test_a_change_of_time_alone_embeds_again(folder, encoder, tmp_path):
    found_in(folder, encoder, tmp_path / "out")
    os.utime(folder / "002.png", (1, 1))
    assert found_in(folder, encoder, tmp_path / "out").computed == 1


def test_a_stop_costs_one_part_even_if_the_folder_grew_in_between(
    folder, encoder, tmp_path, monkeypatch, embedded_files
):
    monkeypatch.setattr(folder_embeddings, "PART", 2)
    monkeypatch.setattr(folder_embeddings, "BLOCK", 2)
    calls = 0

    def stops(done, total):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_folder(encoder, read(folder).train, tmp_path / "out", root=folder, progress=stops)
    (tmp_path / "out" / f".embeddings.{encoder.mark}" / ".x.npy.1.part").write_bytes(b"killed")
    embedded_files.clear()
    add(folder, [900, 901])
    found = found_in(folder, encoder, tmp_path / "out")
    assert found.computed == 5  # 7 + 2, of which two parts of two were done
    assert sum(embedded_files.values()) == 5
    files = sorted(path.name for path in (tmp_path / "out" / f".embeddings.{encoder.mark}").iterdir())
    assert len(files) == 2
    assert files[0].endswith(".keys.npy")


def test_progress_counts_what_was_there_already(folder, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_embeddings, "PART", 2)
    found_in(folder, encoder, tmp_path / "out")
    add(folder, range(10, 15))
    seen = []
    images = read(folder).train
    embed_folder(encoder, images, tmp_path / "out", root=folder, progress=lambda *count: seen.append(count))
    assert seen == [(9, 12), (11, 12), (12, 12)]


def test_unreadable_images_are_named_and_tried_again(folder, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_embeddings, "PART", 2)  # parts of nothing but unreadable files
    for name in ("000 b.png", "000 c.png", "zero.jpg"):
        (folder / name).write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    found = found_in(folder, encoder, tmp_path / "out")
    assert len(found.images) == found.computed == 7
    reasons = {Path(image.path).name: image.reason for image in found.unreadable}
    assert list(reasons) == ["000 b.png", "000 c.png", "gone.jpg", "text.png", "zero.jpg"]
    assert reasons["zero.jpg"] == "the file is empty (0 bytes)"
    assert reasons["gone.jpg"] == "there is no such file"
    assert reasons["text.png"].startswith("it is not an image")
    again = found_in(folder, encoder, tmp_path / "out")
    assert (again.computed, again.unreadable) == (0, found.unreadable)
    (folder / "zero.jpg").write_bytes((folder / "001.png").read_bytes())
    assert found_in(folder, encoder, tmp_path / "out").computed == 1


def test_none_readable_is_a_sentence_with_the_first_reasons(encoder, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"None of the 5 images can be read: .*0\.jpg \(the file is empty") as error:
        embed_folder(encoder, read(folder).train, tmp_path / "out", root=folder)
    assert "3.jpg" not in str(error.value)


def test_embeddings_of_another_encoder_go_when_new_ones_are_done(folder, encoder, tmp_path):
    found_in(folder, encoder, tmp_path / "out")
    other = Encoder("conv4", pretrained=False, pooling="avg", neck="none", image_size=(16, 16), last_stride=2)
    other = NamedEncoder.of(other, "other", "ours")
    assert found_in(folder, other, tmp_path / "out").computed == 7
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f".embeddings.{other.mark}"]


def test_names_with_any_bytes(encoder, tmp_path):
    folder = tmp_path / "ünï cöde"
    add(folder, [1])
    (folder / "001.png").rename(folder / "a b.png")
    try:
        (folder / os.fsdecode(b"\xff.png")).write_bytes((folder / "a b.png").read_bytes())
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    found = found_in(folder, encoder, tmp_path / "out")
    assert len(found.images) == 2
    assert found_in(folder, encoder, tmp_path / "out").computed == 0


def test_files_are_told_apart_by_place_size_and_time(tmp_path):
    for name in ("a/x", "b/x", "a/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"same")
        os.utime(tmp_path / name, (5, 5))
    paths = [str(tmp_path / name) for name in ("a/x", "b/x", "a/y")]
    keys = file_keys(paths, tmp_path)
    assert len(set(keys.tolist())) == 3
    (tmp_path / "a/x").write_bytes(b"longer")
    os.utime(tmp_path / "a/x", (5, 5))
    os.utime(tmp_path / "b/x", (6, 5))
    os.utime(tmp_path / "a/y", (5, 6))
    assert (file_keys(paths, tmp_path) == keys).tolist() == [False, True, False]


def test_paths_below_a_folder_or_the_folder_of_a_table(tmp_path):
    inside, outside = str(tmp_path / "a" / "b.jpg"), str(tmp_path.parent / "b.jpg")
    (tmp_path / "table.csv").write_text("")
    assert below(tmp_path, [inside, outside, f"{tmp_path}b/c.jpg"]) == ["a/b.jpg", outside, f"{tmp_path}b/c.jpg"]
    assert below(tmp_path / "table.csv", [inside]) == ["a/b.jpg"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True), min_size=1, max_size=6))
def test_the_store_is_a_dictionary(tmp_path_factory, wanted):
    folder = tmp_path_factory.mktemp("store")
    known: set[int] = set()
    for numbers in wanted:
        store = _Store(folder, 2)  # as by a new call
        keys = np.array(numbers, np.uint64)
        assert store.has(keys).tolist() == [number in known for number in numbers]
        for number in numbers:
            if number not in known:
                store.add(np.array([number], np.uint64), np.array([[number, -number]], np.float32))
        joined = store.joined(keys)
        assert joined.tolist() == [[number, -number] for number in numbers]
        known = set(numbers)
