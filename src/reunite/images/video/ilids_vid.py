"""iLIDS-VID (Wang et al. 2014): ten published splits in a MATLAB file."""

from __future__ import annotations

from pathlib import Path

from reunite.errors import ReaderError
from reunite.images.splits import Listing, counted, first_three
from reunite.images.video.camera_pairs import (
    CameraPair,
    Division,
    Shots,
    check_split_number,
    published_division,
    stated_division,
)
from reunite.images.video.matlab import read_matrix

ILIDS_VID = CameraPair(
    name="iLIDS-VID",
    folder="sequences",
    cameras=("cam1", "cam2"),
    person="person[0-9]{1,18}",
    split="train-test people splits/train_test_splits_ilidsvid.mat",
)


def ilids_vid_listing(home: Path, split_seed: int) -> Listing:
    """The frames of iLIDS-VID: 300 persons, each with one tracklet in cam1 (query) and one in cam2 (gallery).

    Split number `split_seed` of the published ten is used, from 0: a row of `ls_set` is a permutation of the persons'
    places, from 1, in the sorted list of their folders; its first half is for testing. Without the file the identities
    are divided by `divide_identities`.

    Args:
        home: the folder that holds `sequences`.
        split_seed: number of the split, or seed of the division.

    Raises:
        ReaderError: a camera is missing, a person is in one camera only, a folder is no person or has no frames, or
            the file of splits is not what it should be.
        InputError: no split of that number.
    """
    shots = Shots.read(ILIDS_VID, home)
    query, gallery = shots.frames
    alone = sorted(query.keys() ^ gallery.keys())
    if alone:
        raise ReaderError(
            f"{home / ILIDS_VID.folder} has {counted(len(alone), 'person')} in one camera only: {first_three(alone)}. "
            "In iLIDS-VID all are in both; unpack the data set again."
        )
    persons = sorted(query)
    if shots.split_file is None:
        return shots.listing(stated_division(ILIDS_VID, persons, split_seed))
    return shots.listing(_division(shots.split_file, persons, split_seed))


def _division(file: Path, persons: list[str], split_seed: int) -> Division:
    table = read_matrix(file, "ls_set", (None, None))
    check_split_number(file, len(table), split_seed)
    if table.shape[1] != len(persons):
        raise ReaderError(
            f"{file} divides {counted(table.shape[1], 'person')}, but there are folders of {len(persons):,}. "
            "Unpack the data set again."
        )
    places = table[split_seed].tolist()
    if sorted(places) != list(range(1, len(persons) + 1)):
        raise ReaderError(
            f"Split {split_seed} in {file} must hold each number from 1 to {len(persons):,} once, and does not. "
            "Unpack the data set again."
        )
    half = len(places) // 2
    test, train = ({persons[place - 1] for place in part} for part in (places[:half], places[half:]))
    return published_division(ILIDS_VID, file, len(table), split_seed, train, test)
