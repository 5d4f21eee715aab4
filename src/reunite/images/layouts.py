"""Layouts that are told by folders and file names: a pattern, folders of a split, identity folders, a flat folder."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reunite.errors import ReaderError
from reunite.images.splits import Listing, counted, first_three

IMAGE_EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What counts as an image, in lower case; upper case counts as well. Other files are ignored."""

SPLIT_FOLDERS = {
    "train": "train",
    "query": "query",
    "gallery": "gallery",
    "test": "test",
    "val": "val",
    "valid": "val",
}
"""Folder names, in lower case, that say which part of the split they hold."""


@dataclass(frozen=True)
class NamePattern:
    """A published data set whose file names tell identity and camera. Adding one is writing its declaration.

    Attributes:
        name: as printed; empty takes the name of the folder.
        pattern: regular expression for the beginning of a file name, with groups `identity`, `camera`, `track`
            (all optional). Identity -1 is junk.
        train, query, gallery: the folder of each part.
        train_lists, query_lists, gallery_lists: text files beside the folders that name the images of a part, one
            path per line relative to its folder, optionally followed by a space and the identity (which then counts
            in place of the file name's). Without lists a part is every image in its folder.
    """

    name: str
    pattern: str
    train: str
    query: str
    gallery: str
    train_lists: tuple[str, ...] = ()
    query_lists: tuple[str, ...] = ()
    gallery_lists: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """(part, folder, lists) of train, query and gallery."""
        return (
            ("train", self.train, self.train_lists),
            ("query", self.query, self.query_lists),
            ("gallery", self.gallery, self.gallery_lists),
        )

    @property
    def entries(self) -> frozenset[str]:
        """Names that must be present in a folder of this layout."""
        return frozenset(name for _, folder, lists in self.parts for name in (folder, *lists))


def image_files(folder: Path) -> list[str]:
    """Images in `folder` at any depth: paths relative to it with forward slashes, in plain string order.

    Names that begin with a dot are skipped, links to folders are followed.

    Raises:
        ReaderError: a link that leads back into a folder above it.
        OSError: a folder cannot be listed.
    """
    found = []
    pending = [("", frozenset([_inode(folder)]))]
    while pending:
        prefix, above = pending.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    inode = _inode(Path(entry.path))
                    if inode in above:
                        raise ReaderError(f"{entry.path} is a link to a folder above it, without end. Remove the link.")
                    pending.append((f"{prefix}{entry.name}/", above | {inode}))
                elif os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS:
                    found.append(prefix + entry.name)
    return sorted(found)


def best_pattern(layouts: Sequence[NamePattern], folder: Path) -> NamePattern | None:
    """The layout whose folders and lists are all in `folder`; of several, the one that asks for most of these.

    Market-1501, DukeMTMC-reID and others ask for the same folders. Only names tell them apart: the layout counts that
    matches most names of training images, and of equals the first.

    Raises:
        ReaderError: folders of a layout are there, but not all of them. Read as anything else, their names would
            become identities.
    """
    present = set(os.listdir(folder))
    fitting = [layout for layout in layouts if layout.entries <= present]
    if not fitting:
        _refuse_half_a_layout(layouts, folder, present)
        return None

    def fit(layout: NamePattern) -> tuple[int, int]:
        files = _part_files(folder, layout.train, layout.train_lists)
        matches = [file for file, _ in files if re.match(layout.pattern, os.path.basename(file))]
        return len(layout.entries), len(matches)

    return max(fitting, key=fit)


def pattern_listing(layout: NamePattern, folder: Path) -> Listing:
    """The images of `folder`, labelled by their names.

    Raises:
        ReaderError: names that do not match, listed files that do not exist, or no images.
    """
    pattern = re.compile(layout.pattern)
    rows: list[tuple[str, str, str, str, str]] = []
    unmatched = []
    for part, inside, lists in layout.parts:
        for file, listed_identity in _part_files(folder, inside, lists):
            match = pattern.match(os.path.basename(file))
            if match is None:
                unmatched.append(f"{inside}/{file}")
                continue
            tells = {group: text or "" for group, text in match.groupdict().items()}
            identity = listed_identity or tells.get("identity", "")
            path = os.path.join(folder, inside, *file.split("/"))
            rows.append((path, identity, tells.get("camera", ""), tells.get("track", ""), part))
    name = layout.name or folder.name
    if unmatched:
        raise ReaderError(
            f"The pattern of {name}, {layout.pattern!r}, does not fit {len(unmatched):,} of "
            f"{counted(len(rows) + len(unmatched), 'file name')} in {folder}: {first_three(unmatched)}. Move these "
            "files away, or describe the images in a table.csv with the columns path, identity, camera and split."
        )
    if not rows:
        raise no_images(folder)
    paths, identity_texts, camera, track, split = zip(*rows, strict=True)
    origin = f"The split published with {layout.name}" if layout.name else f"The folders {_names(layout.entries)}"
    return Listing(name, paths, identity_texts, camera, track, split=split, origin=origin)


def has_split_folders(folder: Path) -> bool:
    """Whether `folder` holds query and gallery, or train and another part, as folders."""
    parts = {part for part, _ in _split_folders(folder)}
    return {"query", "gallery"} <= parts or ("train" in parts and len(parts) > 1)


def split_listing(folder: Path) -> Listing:
    """Images of the folders train, query, gallery, test and val; identity is the first folder below these.

    Raises:
        ReaderError: no images.
    """
    rows = [
        (os.path.join(folder, name, *file.split("/")), _first_folder(file), part)
        for part, name in _split_folders(folder)
        for file in image_files(folder / name)
    ]
    if not rows:
        raise no_images(folder)
    paths, identity, split = zip(*rows, strict=True)
    used = [name for _, name in _split_folders(folder)]
    return Listing(folder.name, paths, identity, split=split, origin=f"The folders {_names(used)}")


def folder_listing(folder: Path) -> Listing:
    """Identity folders, or a flat folder: identity is the first folder below `folder`, unknown for images in it.

    Raises:
        ReaderError: no images.
    """
    files = image_files(folder)
    if not files:
        raise no_images(folder)
    paths = [os.path.join(folder, *file.split("/")) for file in files]
    return Listing(folder.name, paths, [_first_folder(file) for file in files])


def no_images(folder: Path) -> ReaderError:
    """The error for a folder without images, which says what was looked for and what is there."""
    kinds: Counter[str] = Counter()
    for _, _, files in os.walk(folder):
        kinds.update(os.path.splitext(name)[1].lower() or "files without extension" for name in files)
    found = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1])[:5])
    return ReaderError(
        f"{folder} holds no images: looked at any depth for files ending in {', '.join(IMAGE_EXTENSIONS)}; "
        f"found {found or 'no files at all'}. Pass the folder that holds the images, or a table that lists them."
    )


def _refuse_half_a_layout(layouts: Sequence[NamePattern], folder: Path, present: set[str]) -> None:
    begun = [layout for layout in layouts if {layout.train, layout.gallery} & present - SPLIT_FOLDERS.keys()]
    if begun:
        nearest = min(begun, key=lambda layout: len(layout.entries - present))
        raise ReaderError(
            f"{folder} looks like {nearest.name} but lacks {', '.join(sorted(nearest.entries - present))}. Add what "
            "is missing, or pass one of the folders in it to read its images without labels."
        )


def _part_files(folder: Path, inside: str, lists: tuple[str, ...]) -> list[tuple[str, str]]:
    """(file relative to its folder, identity if a list tells it) of one part."""
    if not lists:
        return [(file, "") for file in image_files(folder / inside)]
    files = []
    for name in lists:
        listed = _listed(folder / name)
        missing = [file for file, _ in listed if not os.path.isfile(folder / inside / file)]
        if missing:
            raise ReaderError(
                f"{folder / name} lists {counted(len(listed), 'image')}, of which {len(missing):,} cannot be found in "
                f"{folder / inside}: {first_three(missing)}. Unpack the data set again, or remove the lines."
            )
        files += listed
    return files


def _listed(path: Path) -> list[tuple[str, str]]:
    """Lines `image.jpg` or `image.jpg 12`; odd bytes survive as they do in file names."""
    rows = []
    for line in path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines():
        file, _, identity = line.strip().rpartition(" ")
        if file and re.fullmatch("-?[0-9]+", identity):
            rows.append((file.rstrip(), identity))
        elif line.strip():
            rows.append((line.strip(), ""))
    return rows


def _split_folders(folder: Path) -> list[tuple[str, str]]:
    """(part, folder name) for each folder named after a part, sorted."""
    names = sorted(name for name in os.listdir(folder) if name.lower() in SPLIT_FOLDERS)
    return [(SPLIT_FOLDERS[name.lower()], name) for name in names if (folder / name).is_dir()]


def _first_folder(file: str) -> str:
    return file.partition("/")[0] if "/" in file else ""


def _names(names: frozenset[str] | list[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}"


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
