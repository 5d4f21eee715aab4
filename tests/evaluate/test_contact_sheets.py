"""Contact sheets: every picture where it belongs, nothing of an earlier result, nothing lost that is no sheet."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reunite.errors import InputError
from reunite.evaluate.contact_sheets import (
    DOUBT,
    GAP,
    GREY,
    MARGIN,
    MOST_PICTURES,
    PAPER,
    SIDE,
    STRIP,
    Grid,
    caption,
    write_contact_sheets,
)
from reunite.evaluate.folder_story import FolderStory
from reunite.types import Images

COLORS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]


def plain(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (64, 32)) -> str:
    """An image of one color."""
    assert cv2.imwrite(str(path), np.full((*size, 3), color[::-1], np.uint8))
    return str(path)


def story_of(
    paths: list[str],
    labels: list[int],
    confidence: list[float] | None = None,
    camera: list[int] | None = None,
    names: tuple[str, ...] = (),
) -> FolderStory:
    count = len(paths)
    sure = np.ones(count) if confidence is None else np.array(confidence)
    return FolderStory(
        "t", {}, Images.of(paths, camera=camera), names, np.array(labels), sure, np.full(count, -1), np.zeros(count)
    )


def read(sheet: Path) -> np.ndarray:
    """Pixels of a sheet, as whole numbers that may be subtracted."""
    with Image.open(sheet) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB")).astype(int)


def colors(sheet: Path, grid: Grid, count: int) -> list[int]:
    """Which color is in the middle of each cell; -1 for none of them."""
    pixels = read(sheet)
    found = []
    for place in range(count):
        left, top = grid.corner(place, (0, 0))
        away = [np.abs(pixels[top, left] - np.array(color)).sum() for color in COLORS]
        found.append(int(np.argmin(away)) if min(away) < 40 else -1)
    return found


def test_a_sheet_shows_its_individual_from_the_most_to_the_least_confident(tmp_path):
    paths = [plain(tmp_path / f"{place}.png", color) for place, color in enumerate(COLORS)]
    story = story_of([*paths, paths[0]], [123, 4, 123, 123, 4, 9], [0.6, 0.9, 0.8, 0.1, 0.95, 1])
    assert write_contact_sheets(story, tmp_path / "groups") == (123, 4)
    assert sorted(each.name for each in (tmp_path / "groups").iterdir()) == ["000004.jpg", "000123.jpg"]
    sheet = tmp_path / "groups" / "000123.jpg"
    grid = Grid.of([(32, 64)] * 3)
    assert colors(sheet, grid, 3) == [2, 0, 3]
    assert colors(tmp_path / "groups" / "000004.jpg", Grid.of([(32, 64)] * 2), 2) == [4, 1]
    # Only the third has a red frame.
    pixels = read(sheet)
    assert pixels.shape[1::-1] == grid.size(3)
    frames = []
    for place in range(3):
        left, top = grid.corner(place, (32, 64))
        frames.append(bool(np.abs(pixels[top + 32, left - 1] - np.array(DOUBT)).sum() < 120))
    assert frames == [False, False, True]


def test_proportions_are_kept_and_what_cannot_be_read_is_grey(tmp_path):
    wide, tall = plain(tmp_path / "w.png", COLORS[0], (40, 400)), plain(tmp_path / "t.jpg", COLORS[1], (2000, 500))
    story = story_of([wide, tall, str(tmp_path / "gone.png")], [0, 0, 0], [0.9, 0.8, 0.7])
    write_contact_sheets(story, tmp_path / "groups")
    pixels = read(tmp_path / "groups" / "000000.jpg")
    grid = Grid.of([(SIDE, 13), (32, SIDE), (SIDE // 2, SIDE)])
    for place, (color, (width, height)) in enumerate(
        ((COLORS[0], (128, 13)), (COLORS[1], (32, 128)), (GREY, (64, 128)))
    ):
        area = (np.abs(pixels - np.array(color)).sum(axis=2) < 60).sum()
        assert 0.85 < area / (width * height) < 1.1, place
        left, top = grid.corner(place, (0, 0))
        assert np.abs(pixels[top, left] - np.array(color)).sum() < 40


def test_large_groups_are_thinned_and_say_so(tmp_path):
    paths = [plain(tmp_path / f"{place}.png", color, (16, 16)) for place, color in enumerate(COLORS)]
    count = 3 * MOST_PICTURES
    story = story_of([paths[row % 5] for row in range(count)], [1] * count)
    write_contact_sheets(story, tmp_path / "groups")
    grid = Grid.of([(16, 16)] * MOST_PICTURES)
    assert read(tmp_path / "groups" / "000001.jpg").shape[1::-1] == grid.size(MOST_PICTURES)
    assert caption(story, np.arange(count), MOST_PICTURES) == "100 of 300 images"


def test_only_so_many_sheets_are_written_those_of_the_largest_groups(tmp_path):
    path = plain(tmp_path / "a.png", COLORS[0])
    labels = [0] * 2 + [1] * 4 + [2] * 3 + [3] * 3 + [4] + [-1] * 5
    told: list[tuple[int, int]] = []
    story = story_of([path] * len(labels), labels)
    written = write_contact_sheets(story, tmp_path / "g", most=3, progress=lambda *at: told.append(at))
    assert written == (1, 2, 3) and told == [(1, 3), (2, 3), (3, 3)]
    assert sorted(each.name for each in (tmp_path / "g").iterdir()) == ["000001.jpg", "000002.jpg", "000003.jpg"]


def test_without_groups_the_folder_is_empty(tmp_path):
    assert write_contact_sheets(story_of([], []), tmp_path / "deep" / "groups") == ()
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "groups"]
    assert list((tmp_path / "deep" / "groups").iterdir()) == []


def test_sheets_of_an_earlier_result_are_gone(tmp_path):
    path = plain(tmp_path / "a.png", COLORS[0])
    write_contact_sheets(story_of([path] * 4, [0, 0, 1, 1]), tmp_path / "groups")
    (tmp_path / ".groups.1.sheets").mkdir()  # of a process that was killed
    write_contact_sheets(story_of([path] * 4, [0, 0, 7, 7]), tmp_path / "groups")
    assert sorted(each.name for each in (tmp_path / "groups").iterdir()) == ["000000.jpg", "000007.jpg"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.png", "groups"]


def test_what_fails_leaves_the_earlier_sheets(tmp_path, monkeypatch):
    path = plain(tmp_path / "a.png", COLORS[0])
    write_contact_sheets(story_of([path] * 2, [5, 5]), tmp_path / "groups")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="no space left"):
        write_contact_sheets(story_of([path] * 2, [6, 6]), tmp_path / "groups")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.png", "groups"]
    assert [each.name for each in (tmp_path / "groups").iterdir()] == ["000005.jpg"]


def test_where_the_new_folder_cannot_take_its_place_the_old_one_stays(tmp_path, monkeypatch):
    path = plain(tmp_path / "a.png", COLORS[0])
    write_contact_sheets(story_of([path] * 2, [5, 5]), tmp_path / "groups")
    rename, calls = os.rename, []

    def second_fails(*names: object) -> None:
        calls.append(names)
        if len(calls) == 2:
            raise OSError("busy")
        rename(*names)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="busy"):
        write_contact_sheets(story_of([path] * 2, [6, 6]), tmp_path / "groups")
    assert [each.name for each in (tmp_path / "groups").iterdir()] == ["000005.jpg"]


@pytest.mark.parametrize("other", ["holiday.jpg", "12.jpg", "000001.png", "notes"])
def test_a_folder_with_something_else_is_refused(tmp_path, other):
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / other).mkdir()
    with pytest.raises(InputError, match=rf"1 entry .*the first is {other}.*Move them away"):
        write_contact_sheets(story_of([], []), tmp_path / "groups")
    assert (tmp_path / "groups" / other).is_dir()


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "groups").write_text("mine")
    with pytest.raises(InputError, match="it is a file"):
        write_contact_sheets(story_of([], []), tmp_path / "groups")
    assert (tmp_path / "groups").read_text() == "mine"


def test_the_caption_names_cameras_as_far_as_they_fit():
    story = story_of(["a"] * 5, [1] * 5, camera=[2, 0, 2, -1, 2], names=("gate", "hall", "yard"))
    rows = np.arange(5)
    assert caption(story, rows, 5) == "5 images   yard: 3, unknown camera: 1, gate: 1"
    assert caption(story, rows, 5, lambda text: len(text) < 25) == "5 images   2 cameras"
    assert caption(story, rows, 5, lambda text: False) == "5 images"
    assert caption(story_of(["a"] * 2, [1, 1]), np.arange(2), 2) == "2 images"


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(1, SIDE), st.integers(1, SIDE)), min_size=1, max_size=MOST_PICTURES))
def test_pictures_lie_on_the_sheet_and_never_touch(sizes):
    grid = Grid.of(sizes)
    width, height = grid.size(len(sizes))
    taken = np.zeros((height, width), bool)
    for place, size in enumerate(sizes):
        left, top = grid.corner(place, size)
        assert left >= MARGIN and top >= MARGIN + STRIP
        assert left + size[0] <= width - MARGIN and top + size[1] <= height - MARGIN
        assert not taken[top - GAP // 2 : top + size[1], left - GAP // 2 : left + size[0]].any()
        taken[top : top + size[1], left : left + size[0]] = True


def test_the_paper_is_light_and_the_caption_dark(tmp_path):
    path = plain(tmp_path / "a.png", COLORS[2])
    write_contact_sheets(story_of([path] * 2, [1, 1]), tmp_path / "groups")
    pixels = read(tmp_path / "groups" / "000001.jpg").mean(axis=2)
    assert pixels[:MARGIN].min() > 0.9 * min(PAPER) and pixels[MARGIN : MARGIN + STRIP].min() < 90
