"""What the readers of video data sets share: folders of tracklets, and the error for half a data set."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from reunite.errors import ReaderError
from reunite.images.splits import counted, first_three


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted; hidden ones are skipped. None if it is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def refuse_empty(folder: Path, tracklets: Collection[str], files: Sequence[str]) -> None:
    """Every tracklet has a frame.

    Args:
        folder: where `tracklets` and `files` are relative to.
        tracklets: folders, each of one tracklet.
        files: images.

    Raises:
        ReaderError: some folders hold no image.
    """
    empty = sorted(set(tracklets) - {file.rpartition("/")[0] for file in files})
    if empty:
        raise ReaderError(
            f"{folder} has {counted(len(empty), 'tracklet folder')} without images: {first_three(empty)}. "
            "Unpack the data set again, or remove these folders."
        )


def half_a_layout(name: str, folder: Path, missing: Sequence[str]) -> ReaderError:
    """The error for a folder that can only be `name`, but is not complete."""
    return ReaderError(
        f"{folder} looks like {name} but lacks {', '.join(sorted(missing))}. Add what is missing, or pass one of the "
        "folders in it to read its images without this split."
    )
