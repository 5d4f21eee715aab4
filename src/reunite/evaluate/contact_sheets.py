"""Contact sheets: one JPEG for each individual, with its pictures in a grid, for whoever prefers files to a page."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from PIL import Image, ImageDraw, ImageFont

from reunite.errors import ImageError, InputError
from reunite.evaluate.folder_choice import by_confidence
from reunite.evaluate.folder_story import FolderStory
from reunite.evaluate.identity_pictures import spread
from reunite.evaluate.page import number
from reunite.images.decoding import decode_within
from reunite.threads import thread_count

MOST_SHEETS = 1_000
"""Sheets that are written, those of the largest groups: 100,000 images may have 20,000 groups, most of them of two."""

MOST_PICTURES = 100
"""Pictures on a sheet; of more, evenly spread ones from the most to the least confident."""

SIDE, GAP, STRIP, MARGIN = 128, 6, 34, 12
"""Longest side of a picture, space between pictures, height of the caption, and space around, in pixels."""

LEAST_WIDTH = 420
"""Of a sheet, so that its caption has room."""

PAPER, INK, MUTED, GREY, DOUBT = (250, 250, 248), (28, 32, 36), (93, 101, 110), (150, 150, 150), (185, 58, 46)

Progress = Callable[[int, int], None]


def write_contact_sheets(
    story: FolderStory, folder: Path, *, most: int = MOST_SHEETS, progress: Progress | None = None
) -> tuple[int, ...]:
    """One sheet, such as 000123.jpg, for each individual of two images or more; 123 is its number.

    Pictures keep their proportions and stand from the most to the least confident; doubtful ones have a red frame, and one
    that cannot be read is a grey box. The caption says how many images there are, how many are on the sheet, and from which
    cameras. The whole folder is replaced at once, so sheets of an earlier result never stay among the new ones.

    Args:
        story: whose individuals.
        folder: for the sheets, and for nothing else.
        most: sheets that are written, largest groups first.
        progress: told how many sheets are written, and of how many.

    Returns:
        Numbers of the individuals that have a sheet, the largest group first.

    Raises:
        InputError: the folder holds something else than sheets, which would be lost.
    """
    _check_replaceable(folder)
    places = story.groups.by_size[story.groups.sizes[story.groups.by_size] > 1][:most].tolist()
    labels = tuple(int(label) for label in story.groups.labels[places])
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*.sheets"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.sheets")
    temporary.mkdir()
    try:
        with ThreadPoolExecutor(thread_count(), "reunite-sheets") as pool:
            files = [temporary / sheet_file(label) for label in labels]
            for done, _ in enumerate(pool.map(lambda at: _write(story, *at), zip(places, files, strict=True)), 1):
                if progress is not None:
                    progress(done, len(files))
        _take_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return labels


def sheet_file(label: int) -> str:
    """Name of an individual's sheet."""
    return f"{label:06d}.jpg"


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} must be a folder for contact sheets; it is a file. Move it away.")
    others = (
        [each.name for each in folder.iterdir() if not re.fullmatch(r"\d{6,}\.jpg", each.name)]
        if folder.is_dir()
        else []
    )
    if others:
        raise InputError(
            f"{folder} holds {number(len(others), 'entry', 'entries')} that are not contact sheets (the first is "
            f"{min(others)}), and would be replaced as a whole. Move them away, or choose another folder."
        )


def _take_place(temporary: Path, folder: Path) -> None:
    """The new folder in place of the old one, which comes back where that fails."""
    if not folder.exists():
        os.rename(temporary, folder)
        return
    old = temporary.with_name(f".{folder.name}.{os.getpid()}.old.sheets")
    os.rename(folder, old)
    try:
        os.rename(temporary, folder)
    except OSError:
        os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class Grid:
    """Where pictures of a sheet stand: columns, and the size of a cell in pixels."""

    columns: int
    cell: tuple[int, int]

    @classmethod
    def of(cls, sizes: list[tuple[int, int]]) -> Grid:
        """The grid of pictures of these sizes, (width, height), about a third wider than high."""
        width, height = (max(size[axis] for size in sizes) for axis in (0, 1))
        columns = max(1, min(len(sizes), round((len(sizes) * (height + GAP) / (width + GAP) * 4 / 3) ** 0.5)))
        return cls(columns, (width, height))

    def size(self, count: int) -> tuple[int, int]:
        """Width and height of a sheet with this many pictures."""
        rows = -(-count // self.columns)
        width = self.columns * (self.cell[0] + GAP) - GAP + 2 * MARGIN
        return max(LEAST_WIDTH, width), rows * (self.cell[1] + GAP) - GAP + 2 * MARGIN + STRIP

    def corner(self, place: int, size: tuple[int, int]) -> tuple[int, int]:
        """Left and top of a picture of this size in the middle of its cell."""
        left = MARGIN + place % self.columns * (self.cell[0] + GAP) + (self.cell[0] - size[0]) // 2
        return left, MARGIN + STRIP + place // self.columns * (self.cell[1] + GAP) + (self.cell[1] - size[1]) // 2


def _write(story: FolderStory, place: int, file: Path) -> None:
    rows = spread(by_confidence(story, place), MOST_PICTURES)
    pictures = [_picture(str(story.images.paths[row])) for row in rows]
    grid = Grid.of([picture.size for picture in pictures])
    sheet = Image.new("RGB", grid.size(len(rows)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for at, (row, picture) in enumerate(zip(rows, pictures, strict=True)):
        left, top = grid.corner(at, picture.size)
        sheet.paste(picture, (left, top))
        if story.doubtful[row]:
            pen.rectangle(
                (left - 2, top - 2, left + picture.width + 1, top + picture.height + 1), outline=DOUBT, width=2
            )
    _write_caption(pen, story, place, len(rows), sheet.width - MARGIN)
    sheet.save(file, "JPEG", quality=85)


def _write_caption(pen: ImageDraw.ImageDraw, story: FolderStory, place: int, shown: int, right: int) -> None:
    name, large, small = (
        f"individual {story.groups.labels[place]}",
        ImageFont.load_default(17),
        ImageFont.load_default(14),
    )
    pen.text((MARGIN, MARGIN), name, INK, large)
    start = MARGIN + pen.textlength(name, large) + 14
    text = caption(story, story.groups.rows(place), shown, lambda text: start + pen.textlength(text, small) <= right)
    pen.text((start, MARGIN + 3), text, MUTED, small)


def caption(
    story: FolderStory, rows: Int64[np.ndarray, " m"], shown: int, fits: Callable[[str], bool] = lambda text: True
) -> str:
    """Number of images, and of those from each camera as far as that fits; else only how many cameras there are."""
    images = number(len(rows), "image") if shown == len(rows) else f"{shown} of {number(len(rows), 'image')}"
    codes, counts = np.unique(story.camera[rows], return_counts=True)
    if not (codes >= 0).any():
        return images
    order = np.argsort(-counts, kind="stable")
    each = ", ".join(f"{story.camera_name(int(codes[at]))}: {counts[at]:,}" for at in order)
    long, short = f"{images}   {each}", f"{images}   {number(int((codes >= 0).sum()), 'camera')}"
    return next((text for text in (long, short) if fits(text)), images)


def _picture(path: str) -> Image.Image:
    try:
        return Image.fromarray(decode_within(path, (SIDE, SIDE)))
    except (ImageError, OSError):
        return Image.new("RGB", (SIDE // 2, SIDE), GREY)
