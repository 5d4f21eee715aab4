"""From what a reader found to train, query and gallery: the rules, stated once for every layout."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from reunite.errors import InputError, ReaderError
from reunite.types import UNKNOWN, Dataset, Images

FEWEST_IDENTITIES = 4
"""Fewer identities are not divided: two to tell apart are needed in train, and two in test."""

LEFT_OUT = {"val": "validation", "": "unassigned"}
"""Split values that belong to no part. Reunite has no use for validation images, and says how many it left out."""

_WHOLE = re.compile(r"-?[0-9]{1,18}(\.0+)?")


@dataclass(frozen=True)
class Listing:
    """What a reader found, one row per image and in any order, before anything is decided.

    A column that nothing is known about may be left empty.

    Attributes:
        name: short name of the data set.
        paths: absolute file names.
        identity, camera, track: as written on disk; "" and "-1" are unknown.
        time: seconds; NaN unknown.
        split: train, query, gallery, test (both query and gallery), val or "" (neither is used).
        origin: where the split comes from, as the beginning of a sentence ("The split column of table.csv").
    """

    name: str
    paths: Sequence[str]
    identity: Sequence[str] = ()
    camera: Sequence[str] = ()
    track: Sequence[str] = ()
    time: Sequence[float] = ()
    split: Sequence[str] = ()
    origin: str = ""


def counted(number: int, noun: str) -> str:
    """`1 image`, `1,234 images`, `2 identities`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def first_three(names: Sequence[str]) -> str:
    """The first three of `names`, quoted so that spaces and odd characters show."""
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")


def coded(texts: Sequence[str], column: str) -> tuple[Int64[np.ndarray, " n"], tuple[str, ...]]:
    """Numbers for `texts`, and what the numbers are called (empty where they are the numbers on disk).

    Whole numbers keep their value ("0002" and "2.0" are 2). When any text is no whole number, or two texts would
    become the same number ("02" beside "2"), text number i in sorted order becomes i. "" and "-1" are -1, unknown.

    Raises:
        ReaderError: a number below -1.
    """
    known = sorted(set(texts) - {"", "-1"})
    numbers = [int(text.partition(".")[0]) for text in known if _WHOLE.fullmatch(text)]
    are_numbers = len(set(numbers)) == len(known)
    if are_numbers and min(numbers, default=0) < UNKNOWN:
        raise ReaderError(
            f"{column} holds {min(numbers)}; numbers must be 0 or more, and -1 stands for unknown. Renumber them."
        )
    value = dict(zip(known, numbers if are_numbers else range(len(known)), strict=True))
    codes = np.array([value.get(text, UNKNOWN) for text in texts], dtype=np.int64)
    return codes, () if are_numbers else tuple(known)


def divide_identities(identity: Int64[np.ndarray, " n"], split_seed: int) -> Bool[np.ndarray, " n"]:
    """True where an image belongs to the test half of the identities.

    The known identities in ascending order are permuted by `numpy.random.default_rng(split_seed)`; the first half
    (rounded up) is for training, the rest for testing. Images of unknown identity are for training.

    Raises:
        InputError: a negative seed.
    """
    if split_seed < 0:
        raise InputError(f"split_seed must be 0 or more; got {split_seed}.")
    known = np.unique(identity[identity != UNKNOWN])
    shuffled = np.random.default_rng(split_seed).permutation(known)
    return np.isin(identity, shuffled[(len(known) + 1) // 2 :])


def dataset_of(listing: Listing, split_seed: int = 0) -> Dataset:
    """The data set of a listing, every part sorted by path.

    A split that comes with the data is used as it is. Otherwise identities are divided by `divide_identities`, and
    every test image is a query against all others. Fewer than four identities, or none, are all for training.

    Raises:
        ReaderError: no image in any part, a query without a gallery, or the same file twice in one part.
        InputError: a negative seed.
    """
    order = sorted(range(len(listing.paths)), key=lambda row: listing.paths[row].replace(os.sep, "/"))
    identity, identity_names = coded(listing.identity, "identity")
    camera, camera_names = coded(listing.camera, "camera")
    track, _ = coded(listing.track, "track")
    images = Images.of(
        listing.paths,
        identity if listing.identity else None,
        camera if listing.camera else None,
        track if listing.track else None,
        listing.time or None,
    ).take(np.array(order, dtype=np.int64))
    if any(listing.split):
        parts, note = _given_split(listing, np.array(listing.split)[order])
    else:
        parts, note = _stated_split(images.identity, split_seed)
    for part, rows in parts.items():
        _refuse_duplicates(images.paths[rows].tolist(), part)
    train, query, gallery = (images.take(parts[part]) for part in ("train", "query", "gallery"))
    return Dataset(listing.name, train, query, gallery, identity_names, camera_names, note)


def _given_split(listing: Listing, split: np.ndarray) -> tuple[dict[str, np.ndarray], str]:
    """Rows of each part as the data says, and the sentence about it."""
    parts = {
        "train": split == "train",
        "query": (split == "query") | (split == "test"),
        "gallery": (split == "gallery") | (split == "test"),
    }
    size = {part: int(rows.sum()) for part, rows in parts.items()}
    if not any(size.values()):
        raise ReaderError(f"{listing.origin} leaves no image for train, query or gallery. Assign some images to them.")
    if bool(size["query"]) != bool(size["gallery"]):
        there, absent = ("query", "gallery") if size["query"] else ("gallery", "query")
        raise ReaderError(
            f"{listing.origin}: {counted(size[there], f'{there} image')} but no {absent}. Add {absent} images, "
            "or mark the images as test (both query and gallery)."
        )
    left_out = [
        f"{counted(int((split == value).sum()), f'{meaning} image')} left out"
        for value, meaning in LEFT_OUT.items()
        if (split == value).any()
    ]
    empty = [] if size["query"] else ["query and gallery are empty"]
    return parts, "; ".join([listing.origin, *left_out, *empty]) + "."


def _stated_split(identity: Int64[np.ndarray, " n"], split_seed: int) -> tuple[dict[str, np.ndarray], str]:
    """Rows of each part where the data says nothing, and the sentence about it."""
    count = len(np.unique(identity[identity != UNKNOWN]))
    unknown = int((identity == UNKNOWN).sum())
    test = divide_identities(identity, split_seed)
    if count == 0:
        test[:] = False
        note = "No identity is known: every image is in train, query and gallery are empty."
    elif count < FEWEST_IDENTITIES:
        test[:] = False
        note = (
            f"{counted(count, 'identity')} cannot be divided ({FEWEST_IDENTITIES} are needed): every image is in "
            "train, query and gallery are empty."
        )
    else:
        joined = f" {counted(unknown, 'image')} of unknown identity joined train." if unknown else ""
        note = (
            f"No split is given: seed {split_seed} put {(count + 1) // 2:,} of {count:,} identities into train and "
            f"{count // 2:,} into test, where every image is a query against all others.{joined}"
        )
    return {"train": ~test, "query": test, "gallery": test}, note


def _refuse_duplicates(paths: list[str], part: str) -> None:
    twice = [path for path, times in Counter(paths).items() if times > 1]
    if twice:
        raise ReaderError(
            f"{part} lists {counted(len(twice), 'file')} more than once: {first_three(twice)}. Keep one row for each."
        )
