"""Video of two cameras: a folder per camera, in it a folder of frames per person. One is query, the other gallery."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from reunite.errors import InputError, ReaderError
from reunite.images.layouts import image_files, no_images
from reunite.images.splits import FEWEST_IDENTITIES, Listing, counted, divide_identities, first_three
from reunite.images.video.folders import half_a_layout, refuse_empty, subfolders


@dataclass(frozen=True)
class CameraPair:
    """A data set of two cameras.

    Attributes:
        name: as printed.
        folder: the folder that holds a folder per camera.
        cameras: the folders of the query camera and of the gallery camera.
        person: regular expression for a person's folder; its digits are the number.
        split: file with the splits, beside `folder` or one folder above.
    """

    name: str
    folder: str
    cameras: tuple[str, str]
    person: str
    split: str

    def home(self, folder: Path) -> Path | None:
        """What holds `self.folder` with at least one camera, if it is `folder` or the one around it."""
        homes = (folder, folder.parent) if folder.name == self.folder else (folder,)
        for home in homes:
            if any((home / self.folder / camera).is_dir() for camera in self.cameras):
                return home
        return None


@dataclass(frozen=True)
class Division:
    """Who is for training and who for testing, by folder name, and the beginning of the sentence about it."""

    train: Set[str]
    test: Set[str]
    origin: str


@dataclass(frozen=True)
class Shots:
    """A data set of two cameras as it is on disk.

    Attributes:
        layout: which data set.
        home: the folder that holds `layout.folder`.
        files: images of each camera, `person/image` relative to its folder.
    """

    layout: CameraPair
    home: Path
    files: tuple[list[str], list[str]]

    @classmethod
    def read(cls, layout: CameraPair, home: Path) -> Shots:
        """List the images.

        Raises:
            ReaderError: a camera is missing, holds no images or anything but persons' folders, or one of these is empty.
        """
        folders = [home / layout.folder / camera for camera in layout.cameras]
        missing = [f"{layout.folder}/{folder.name}" for folder in folders if not folder.is_dir()]
        if missing:
            raise half_a_layout(layout.name, home, missing)
        query, gallery = (_camera_files(layout, folder) for folder in folders)
        return cls(layout, home, (query, gallery))

    @cached_property
    def frames(self) -> tuple[Counter[str], Counter[str]]:
        """How many frames each person has in the query camera and in the gallery camera."""
        query, gallery = (Counter(file.partition("/")[0] for file in files) for files in self.files)
        return query, gallery

    @property
    def split_file(self) -> Path | None:
        """Where the splits are, if they are there: beside the folder of cameras, or where the data set was unpacked."""
        files = [folder / self.layout.split for folder in (self.home, self.home.parent)]
        return next((file for file in files if file.is_file()), None)

    def listing(self, division: Division) -> Listing:
        """Rows of all frames; who is neither in train nor in test has no part.

        A person has one tracklet per camera, which has the person's number.
        """
        rows: list[tuple[str, str, str, str, str]] = []
        for camera, files, part in zip(self.layout.cameras, self.files, ("query", "gallery"), strict=True):
            folder = self.home / self.layout.folder / camera
            for file in files:
                person, _, image = file.partition("/")
                number = str(person_number(person))
                split = "train" if person in division.train else part if person in division.test else ""
                rows.append((str(folder / person / image), number, camera, number, split))
        paths, identity, cameras, track, splits = zip(*rows, strict=True)
        return Listing(self.layout.name, paths, identity, cameras, track, split=splits, origin=division.origin)


def person_number(person: str) -> int:
    """The number in the name of a person's folder."""
    return int(re.sub(r"\D", "", person))


def stated_division(layout: CameraPair, persons: list[str], split_seed: int) -> Division:
    """The rule for data without a split (see `divide_identities`), for persons instead of images.

    Raises:
        InputError: a negative seed.
    """
    numbers = np.array([person_number(person) for person in persons], dtype=np.int64)
    is_test = divide_identities(numbers, split_seed)
    if len(persons) < FEWEST_IDENTITIES:
        few = f"{counted(len(persons), 'identity')} cannot be divided ({FEWEST_IDENTITIES} are needed)"
        return Division(frozenset(persons), frozenset(), f"{few}: all are in train")
    test = {person for person, chosen in zip(persons, is_test.tolist(), strict=True) if chosen}
    query, gallery = layout.cameras
    origin = (
        f"No split is given: seed {split_seed} put {len(persons) - len(test):,} of {len(persons):,} identities into "
        f"train and {len(test):,} into test, with query {query} and gallery {gallery}"
    )
    return Division(set(persons) - test, test, origin)


def published_division(
    layout: CameraPair, file: Path, splits: int, split_seed: int, train: Set[str], test: Set[str]
) -> Division:
    """Split number `split_seed` of those in `file`."""
    query, gallery = layout.cameras
    origin = f"Split {split_seed} of the {splits:,} in {file.name}, with query {query} and gallery {gallery}"
    return Division(train, test, origin)


def check_split_number(file: Path, splits: int, split_seed: int) -> None:
    """Whether there is a split of that number.

    Raises:
        InputError: there is not.
    """
    if not 0 <= split_seed < splits:
        raise InputError(f"split_seed must be 0 to {splits - 1}, one of the splits in {file}; got {split_seed}.")


def _camera_files(layout: CameraPair, folder: Path) -> list[str]:
    files = image_files(folder)
    persons = subfolders(folder)
    strange = [person for person in persons if not re.fullmatch(layout.person, person)]
    strange += [file for file in files if file.count("/") != 1]
    if strange:
        raise ReaderError(
            f"{folder} must hold a folder per person, as {layout.name} does, with the images in it; "
            f"{counted(len(strange), 'name')} cannot be that: {first_three(strange)}. Move these away, or describe the "
            "images in a table.csv with the columns path, identity, camera, track and split."
        )
    if not files:
        raise no_images(folder)
    refuse_empty(folder, persons, files)
    return files
