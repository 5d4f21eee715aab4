"""MARS (Zheng et al. 2016): tracklets are ranges of rows in a list of file names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from reunite.errors import ReaderError
from reunite.images.splits import Listing, counted, first_three
from reunite.images.video.folders import half_a_layout
from reunite.images.video.matlab import read_matrix
from reunite.types import UNKNOWN

FOLDERS = ("bbox_train", "bbox_test")
LISTS = ("train_name.txt", "test_name.txt", "tracks_train_info.mat", "tracks_test_info.mat", "query_IDX.mat")

JUNK = "00-1"
"""How a file name writes identity -1."""

FOLDER_LETTERS = 4
"""An image lies in the folder that the first four letters of its name say."""

NAME = re.compile(r"(?P<identity>\d{4}|00-1)C(?P<camera>\d+)T\d")


@dataclass(frozen=True)
class Tracks:
    """One half of MARS as it is on disk.

    Attributes:
        folder: bbox_train or bbox_test.
        names: file names, without their folder.
        table: first and last row of `names` (from 1, both belong), identity and camera of each tracklet.
        source: the file that `table` comes from, for messages.
    """

    folder: Path
    names: list[str]
    table: Int64[np.ndarray, "tracks 4"]
    source: Path


def is_mars(folder: Path) -> bool:
    """Whether one of its image folders is there; `mars_listing` then says what is missing."""
    return any((folder / name).is_dir() for name in FOLDERS)


def mars_listing(folder: Path) -> Listing:
    """The frames of MARS: 8,298 tracklets to train, 1,980 query and 10,200 gallery tracklets; 6 cameras.

    `info/query_IDX.mat` numbers the query tracklets, all other test tracklets are gallery. Identity 0 is a distractor
    and -1 is junk; both stay in the gallery, where scoring ignores junk (published counts of 9,330 gallery tracklets
    leave it out). 28 queries of 14 identities have no match in the gallery; scoring skips and counts them.

    The number of a tracklet is its row in `tracks_train_info.mat`, and those of `tracks_test_info.mat` count on from
    there. Frames that belong to no tracklet are left out.

    Raises:
        ReaderError: something is missing, tracklets point outside the list of names or backwards, a file name
            contradicts the identity or camera of its tracklet, or frames that are listed do not exist.
    """
    info = folder / "info"
    entries = [folder / name for name in FOLDERS] + [info / name for name in LISTS]
    missing = [entry.relative_to(folder).as_posix() for entry in entries if not entry.exists()]
    if missing:
        raise half_a_layout("MARS", folder, missing)
    train, test = _tracks(folder, "train"), _tracks(folder, "test")
    query = _queries(info / "query_IDX.mat", len(test.table))
    parts = ["train"] * len(train.table) + ["query" if is_query else "gallery" for is_query in query]
    paths: list[str] = []
    identity: list[str] = []
    camera: list[str] = []
    track: list[str] = []
    split: list[str] = []
    number = 0
    for half in (train, test):
        files = _paths(half)
        for first, last, person, place in half.table.tolist():
            frames = last - first + 1
            paths += files[first - 1 : last]
            identity += [str(person)] * frames
            camera += [str(place)] * frames
            track += [str(number)] * frames
            split += [parts[number]] * frames
            number += 1
        loose = [files[row] for row in np.flatnonzero(~_in_a_track(half)).tolist()]
        paths += loose
        for column in (identity, camera, track, split):
            column += [""] * len(loose)
    junk = int((test.table[~query, 2] == UNKNOWN).sum())
    origin = (
        f"The split published with MARS: {counted(len(train.table), 'tracklet')} to train, {int(query.sum()):,} query "
        f"and {int((~query).sum()):,} gallery tracklets, {junk:,} of these junk"
    )
    return Listing("MARS", paths, identity, camera, track, split=split, origin=origin)


def _tracks(folder: Path, half: str) -> Tracks:
    """Names and tracklets of train or test, checked against each other and against what is on disk."""
    info = folder / "info"
    source = info / f"tracks_{half}_info.mat"
    table = read_matrix(source, f"track_{half}_info", (None, 4))
    lines = (info / f"{half}_name.txt").read_text(encoding="utf-8-sig", errors="surrogateescape").rstrip().splitlines()
    tracks = Tracks(folder / f"bbox_{half}", [line.strip() for line in lines], table, source)
    _check_ranges(tracks)
    _check_names(tracks)
    _check_files(tracks, info / f"{half}_name.txt")
    return tracks


def _check_ranges(tracks: Tracks) -> None:
    first, last = tracks.table[:, 0], tracks.table[:, 1]
    bad = np.flatnonzero((first < 1) | (last > len(tracks.names)) | (first > last))
    if len(bad):
        row = int(bad[0])
        raise ReaderError(
            f"{tracks.source} has {counted(len(bad), 'tracklet')} outside the {counted(len(tracks.names), 'name')} of the "
            f"list or backwards; the first is row {row + 1}, from {first[row]:,} to {last[row]:,}. "
            "Unpack the data set again."
        )


def _check_names(tracks: Tracks) -> None:
    """Every name says the identity and camera of its tracklet, or says nothing about them."""
    wrong = []
    for first, last, identity, camera in tracks.table.tolist():
        start = f"{_written(identity)}C{camera}T"
        others = [name for name in tracks.names[first - 1 : last] if not name.startswith(start)]
        for name in others:
            tells = NAME.match(name)
            if tells and (tells["identity"], int(tells["camera"])) != (_written(identity), camera):
                wrong.append(f"{name} (identity {identity}, camera {camera})")
    if wrong:
        raise ReaderError(
            f"{tracks.source} contradicts {counted(len(wrong), 'file name')} about identity or camera: "
            f"{first_three(wrong)}. Unpack the data set again."
        )


def _check_files(tracks: Tracks, source: Path) -> None:
    folders = {name[:FOLDER_LETTERS] for name in tracks.names}
    # A set of names per folder takes seconds where asking for each of a million files takes minutes.
    there = {name: _names_in(tracks.folder / name) for name in folders}
    missing = [name for name in tracks.names if name not in there[name[:FOLDER_LETTERS]]]
    if missing:
        raise ReaderError(
            f"{source} lists {counted(len(tracks.names), 'image')}, of which {len(missing):,} cannot be found in "
            f"{tracks.folder}: {first_three(missing)}. Unpack the data set again."
        )


def _queries(path: Path, tracks: int) -> Bool[np.ndarray, " tracks"]:
    """True for the test tracklets that are queries."""
    rows = read_matrix(path, "query_IDX", (1, None))[0]
    outside = rows[(rows < 1) | (rows > tracks)]
    if len(outside):
        raise ReaderError(
            f"{path} names {counted(len(outside), 'query')} outside the {counted(tracks, 'test tracklet')}; the first is "
            f"{outside[0]}. Unpack the data set again."
        )
    query = np.zeros(tracks, dtype=np.bool_)
    query[rows - 1] = True
    return query


def _in_a_track(tracks: Tracks) -> Bool[np.ndarray, " names"]:
    steps = np.zeros(len(tracks.names) + 1, dtype=np.int64)
    np.add.at(steps, tracks.table[:, 0] - 1, 1)
    np.add.at(steps, tracks.table[:, 1], -1)
    return np.cumsum(steps)[:-1] > 0


def _paths(tracks: Tracks) -> list[str]:
    return [f"{tracks.folder}{os.sep}{name[:FOLDER_LETTERS]}{os.sep}{name}" for name in tracks.names]


def _names_in(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()


def _written(identity: int) -> str:
    return JUNK if identity == UNKNOWN else f"{identity:04d}"
