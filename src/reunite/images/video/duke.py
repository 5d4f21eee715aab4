"""DukeMTMC-VideoReID (Wu et al. 2018): folders of identities that hold folders of tracklets."""

from __future__ import annotations

import os
import re
from pathlib import Path

from reunite.errors import ReaderError
from reunite.images.layouts import IMAGE_EXTENSIONS, image_files
from reunite.images.splits import Listing, counted, first_three
from reunite.images.video.folders import half_a_layout, refuse_empty, subfolders

NAME = "DukeMTMC-VideoReID"
PARTS = ("train", "query", "gallery")

FRAME = re.compile(
    r"(?P<folder>\d+)/(?P<tracklet>[^/]+)/"
    r"(?P<identity>\d+)(?P<separator>_?)C(?P<camera>\d+)(?P=separator)F\d+(?P=separator)X\d+\."
)
"""Identity, tracklet, and a name in the first form (0001C6F0099X30823.jpg) or the later (0001_C6_F0099_X30823.jpg)."""


def is_duke_video(folder: Path) -> bool:
    """Whether the first image of a part lies and is named as in this data set; no other folder train does so."""
    return any(FRAME.match(_first_image(folder / part)) for part in PARTS)


def duke_video_listing(folder: Path) -> Listing:
    """The frames of DukeMTMC-VideoReID: 2,196 tracklets to train, 702 query, 2,636 gallery tracklets; 8 cameras.

    The gallery also holds 408 identities without a query. The data set was withdrawn by its authors; this is for those
    who hold it. A tracklet folder of the same identity and name in query and gallery is the same tracklet.

    Raises:
        ReaderError: a part is missing, images that lie or are named otherwise, a name that contradicts its identity
            folder or the camera of the other frames, or a tracklet without frames.
    """
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise half_a_layout(NAME, folder, missing)
    rows: list[tuple[str, str, str, str, str]] = []
    strange: list[str] = []
    wrong: list[str] = []
    numbers: dict[tuple[int, str], int] = {}
    tracklets = dict.fromkeys(PARTS, 0)
    for part in PARTS:
        files = image_files(folder / part)
        refuse_empty(folder / part, _tracklet_folders(folder / part), files)
        cameras: dict[tuple[int, str], str] = {}
        for file in files:
            frame = FRAME.match(file)
            if frame is None:
                strange.append(f"{part}/{file}")
                continue
            tracklet = (int(frame["folder"]), frame["tracklet"])
            if (
                int(frame["identity"]) != tracklet[0]
                or cameras.setdefault(tracklet, frame["camera"]) != frame["camera"]
            ):
                wrong.append(f"{part}/{file}")
            number = numbers.setdefault(tracklet, len(numbers))
            path = os.path.join(folder, part, *file.split("/"))
            rows.append((path, str(tracklet[0]), frame["camera"], str(number), part))
        tracklets[part] = len(cameras)
    if strange:
        raise ReaderError(
            f"{counted(len(strange), 'image')} in {folder} cannot be of {NAME}, whose images are "
            f"identity/tracklet/0001C6F0099X30823.jpg: {first_three(strange)}. Move these files away, or describe the "
            "images in a table.csv with the columns path, identity, camera, track and split."
        )
    if wrong:
        raise ReaderError(
            f"{counted(len(wrong), 'file name')} in {folder} contradict the identity of their folder or the camera of "
            f"their tracklet: {first_three(wrong)}. Unpack the data set again."
        )
    paths, identity, camera, track, split = zip(*rows, strict=True)
    counts = ", ".join(f"{counted(tracklets[part], 'tracklet')} in {part}" for part in PARTS)
    return Listing(
        NAME, paths, identity, camera, track, split=split, origin=f"The split published with {NAME}: {counts}"
    )


def _tracklet_folders(part: Path) -> list[str]:
    return [f"{identity}/{tracklet}" for identity in subfolders(part) for tracklet in subfolders(part / identity)]


def _first_image(part: Path) -> str:
    """The first image two folders below `part`, relative to it. Looks no further than it must; "" if there is none."""
    for identity in subfolders(part):
        tracklets = subfolders(part / identity)
        for tracklet in tracklets:
            names = [name for name in os.listdir(part / identity / tracklet) if not name.startswith(".")]
            images = [name for name in names if os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS]
            if images:
                return f"{identity}/{tracklet}/{min(images)}"
        if not tracklets:
            return ""
    return ""
