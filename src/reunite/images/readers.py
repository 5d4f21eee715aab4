"""One call that recognises what is on disk and reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from reunite.errors import ReaderError
from reunite.images.layouts import (
    IMAGE_EXTENSIONS,
    best_pattern,
    folder_listing,
    has_split_folders,
    pattern_listing,
    split_listing,
)
from reunite.images.public import PUBLIC
from reunite.images.splits import Listing, dataset_of
from reunite.images.tables import CSV_EXTENSIONS, PARQUET_EXTENSIONS, read_table
from reunite.images.tracker.footage import is_footage
from reunite.images.video.recognise import video_reader
from reunite.types import Dataset

TABLES = ("table.csv", "table.parquet")


def read(path: str | Path, split_seed: int = 0) -> Dataset:
    """Read a data set from a folder or a table. Only names are read; no image is opened.

    Recognised, in this order, in the folder itself and then in the one folder inside it that qualifies:

    1. a CSV or Parquet table, or a folder that holds table.csv or table.parquet (columns path, identity, camera,
       track, time, split; all but path optional; see `reunite.images.tables.read_table`);
    2. the layouts of MARS, DukeMTMC-VideoReID, iLIDS-VID and PRID2011, whose images are the frames of tracklets
       (`Images.track`); `split_seed` says which of the splits that come with the last two (from 0);
    3. the layouts of Market-1501, DukeMTMC-reID, PersonX, MSMT17 (V1, V2) and VeRi-776, and what is packed like them;
    4. folders train and test, or query and gallery, that hold a folder per identity (val is left out);
    5. a folder per identity, with images at any depth below it;
    6. images without labels: all are in train, query and gallery are empty.

    Labelled images without a split are divided by identity: a permutation with `split_seed` puts half of the
    identities (rounded up) and all images of unknown identity into train; every image of the other half is a query
    against all the others. Fewer than four identities are not divided. `Dataset.note` says what happened.

    Every part is sorted by path as plain text, whatever the file system's order. Files count as images by extension
    (bmp, gif, jpeg, jpg, png, tif, tiff, webp, in any case); hidden and other files are ignored.

    Raises:
        ReaderError: nothing there, not readable, or not as described above; the message says what to do.
        InputError: a negative `split_seed`, or one above the splits that come with the data set.
    """
    root = Path(os.path.abspath(os.path.expanduser(path)))
    try:
        return dataset_of(_listing(root, split_seed), split_seed)
    except OSError as error:
        raise ReaderError(
            f"{error.filename or root} cannot be read: {error.strerror or error}. "
            "Check that it is there, that you have permission, and that no link points to itself."
        ) from error


def _listing(root: Path, split_seed: int) -> Listing:
    if not root.exists():
        nearest = next((above for above in root.parents if above.exists()), root)
        raise ReaderError(f"There is no file or folder {root} (the nearest folder that exists is {nearest}).")
    if not root.is_dir():
        return _file_listing(root)
    reader = _reader(root, split_seed)
    if reader is not None:
        return reader()
    inside = _readers_inside(root, split_seed)
    if len(inside) > 1:
        raise ReaderError(f"{root} holds {len(inside)} data sets: {', '.join(inside)}. Pass one of these folders.")
    for folder, reader_inside in inside.items():
        listing = reader_inside()
        return replace(listing, origin=f"{listing.origin} (in {folder})")
    if is_footage(root):  # its folders are cameras, and would be taken for identities
        raise ReaderError(
            f"{root} holds the output of a tracker and its footage. Cut the tracks out with `reunite crop {root} --out "
            "CROPS`, and pass CROPS."
        )
    return folder_listing(root)


def _file_listing(file: Path) -> Listing:
    extension = file.suffix.lower()
    if extension in CSV_EXTENSIONS + PARQUET_EXTENSIONS:
        return read_table(file)
    advice = "Pass the folder that holds it" if extension in IMAGE_EXTENSIONS else "Pass a folder of images or a table"
    raise ReaderError(
        f"{file} is neither a folder nor a table ({', '.join(CSV_EXTENSIONS + PARQUET_EXTENSIONS)}). {advice}."
    )


def _reader(folder: Path, split_seed: int) -> Callable[[], Listing] | None:
    """What reads `folder`, if it says by itself what it is (layouts 1 to 4)."""
    tables = [name for name in TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        raise ReaderError(f"{folder} holds both {' and '.join(tables)}. Pass the one to read.")
    if tables:
        return partial(read_table, folder / tables[0])
    video = video_reader(folder, split_seed)
    if video is not None:
        return video
    layout = best_pattern(PUBLIC, folder)
    if layout is not None:
        return partial(pattern_listing, layout, folder)
    return partial(split_listing, folder) if has_split_folders(folder) else None


def _readers_inside(root: Path, split_seed: int) -> dict[str, Callable[[], Listing]]:
    """The same for each folder in `root`: data sets are often unpacked into a folder of their own."""
    readers = {}
    for name in sorted(os.listdir(root)):
        if not name.startswith(".") and (root / name).is_dir():
            reader = _reader(root / name, split_seed)
            if reader is not None:
                readers[name] = reader
    return readers
