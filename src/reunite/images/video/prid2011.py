"""PRID2011 (Hirzer et al. 2011), multi shot: few of its persons are in both cameras, and no split was published."""

from __future__ import annotations

import json
from pathlib import Path

from reunite.errors import ReaderError
from reunite.images.splits import Listing, counted, first_three
from reunite.images.video.camera_pairs import (
    CameraPair,
    Division,
    Shots,
    check_split_number,
    person_number,
    published_division,
    stated_division,
)

PRID2011 = CameraPair(
    name="PRID2011",
    folder="multi_shot",
    cameras=("cam_a", "cam_b"),
    person="person_[0-9]{1,18}",
    split="splits_prid2011.json",
)

SHARED = 200
"""Persons up to this number are in both cameras; from there on a number means two different persons."""

LONGER_THAN = 21
"""Frames. Wang et al. 2014 use the 178 persons with more than these in both cameras."""


def prid2011_listing(home: Path, split_seed: int) -> Listing:
    """The frames of PRID2011: 385 persons in cam_a (query) and 749 in cam_b (gallery), of which 200 are in both.

    The usual protocol (Wang et al. 2014) takes the 178 persons with more than 21 frames in both cameras, half of them
    for training. `splits_prid2011.json` is used if it is there, a list of splits such as
    `{"train": ["person_0001"], "test": ["person_0002"]}` as torchreid has them, and `split_seed` says which one, from
    0. Without it these persons are divided by `divide_identities`. All others are left out.

    Args:
        home: the folder that holds `multi_shot`.
        split_seed: number of the split, or seed of the division.

    Raises:
        ReaderError: a camera is missing, nobody has enough frames, a folder is no person or has no frames, or the
            file of splits is not what it should be.
        InputError: no split of that number.
    """
    shots = Shots.read(PRID2011, home)
    query, gallery = shots.frames
    both = sorted(person for person in query.keys() & gallery.keys() if person_number(person) <= SHARED)
    if shots.split_file is None:
        long = [person for person in both if min(query[person], gallery[person]) > LONGER_THAN]
        if not long:
            raise ReaderError(
                f"{home / PRID2011.folder} has no person with more than {LONGER_THAN} frames in both cameras. Unpack "
                f"the data set again, or say in a file {PRID2011.split} beside it who is in train and in test."
            )
        division, reason = stated_division(PRID2011, long, split_seed), f"{LONGER_THAN} frames or fewer"
    else:
        division, reason = _division(shots.split_file, both, split_seed), "no place in that split"
    others = len(set(both) - division.train - division.test)
    single = len(query) + len(gallery) - 2 * len(both)
    left_out = f"{counted(others, 'person')} with {reason} and {single:,} seen by one camera left out"
    return shots.listing(Division(division.train, division.test, f"{division.origin}; {left_out}"))


def _division(file: Path, persons: list[str], split_seed: int) -> Division:
    try:
        splits = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ReaderError(f"{file} cannot be read as JSON: {str(error).rstrip('.')}. Correct or remove it.") from error
    if not isinstance(splits, list) or not splits:
        raise ReaderError(f"{file} must hold a list of splits, each with train and test. Correct or remove it.")
    check_split_number(file, len(splits), split_seed)
    train, test = (_names(file, splits[split_seed], side) for side in ("train", "test"))
    absent = sorted((train | test) - set(persons))
    if absent:
        raise ReaderError(
            f"Split {split_seed} in {file} names {counted(len(absent), 'folder')} of persons who are not in both "
            f"cameras: {first_three(absent)}. Correct or remove the file."
        )
    if train & test:
        raise ReaderError(
            f"Split {split_seed} in {file} has {counted(len(train & test), 'person')} in train and in test: "
            f"{first_three(sorted(train & test))}. Correct or remove the file."
        )
    return published_division(PRID2011, file, len(splits), split_seed, train, test)


def _names(file: Path, split: object, side: str) -> frozenset[str]:
    names = split.get(side) if isinstance(split, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ReaderError(
            f"A split in {file} must have a {side} that lists folder names such as 'person_0001'; one has not. "
            "Correct or remove the file."
        )
    return frozenset(names)
