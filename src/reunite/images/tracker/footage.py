"""Where the tracks and the pictures of each camera are, and the frames of a camera one after the other."""

from __future__ import annotations

import configparser
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol

import cv2
import numpy as np

from reunite.errors import ImageError, ReaderError
from reunite.images.decoding import Pixels8, decode
from reunite.images.layouts import IMAGE_EXTENSIONS
from reunite.images.splits import counted, first_three
from reunite.images.tracker.mot import looks_like_mot

VIDEO_EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
SEQUENCE = "img1"
"""The folder of frames in a sequence of MOTChallenge; seqinfo.ini lies beside it."""

HIGHEST_RATE = 1000.0
"""Frames per second. Files with a broken header announce the ticks of their clock, 90,000 and the like."""

WANTED = (
    f"NAME.txt beside a folder NAME of images or a video NAME ({', '.join(VIDEO_EXTENSIONS)}), or a sequence NAME "
    f"with NAME/{SEQUENCE} and NAME/gt/gt.txt, NAME/tracks.txt or another .txt"
)


@dataclass(frozen=True)
class CameraFiles:
    """One camera: its name, the text file of its tracks, and its folder of frames or its video."""

    name: str
    tracks: Path
    footage: Path


class MissingFrame(ImageError):
    """The footage has no such frame."""


@dataclass(frozen=True)
class Frame:
    """One frame, not decoded yet, so that any thread may do it. `load` raises ImageError where it cannot."""

    number: int
    load: Callable[[], Pixels8]


class Footage(Protocol):
    """What `open_footage` returns. Frames count from 1."""

    def absent(self, wanted: Iterable[int]) -> list[int]:
        """Those of `wanted` that are known not to be there before anything is read."""
        ...

    def frames(self, wanted: Iterable[int]) -> Iterator[Frame]:
        """The wanted frames in ascending order, each once; one that is not there raises MissingFrame when loaded."""
        ...


def natural(name: str) -> tuple[list[str | int], str]:
    """Key to sort by with numbers as numbers: cam2 before cam10."""
    parts = re.split("([0-9]+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def find_cameras(folder: str | Path) -> list[CameraFiles]:
    """The cameras in a folder, in natural order of their names; camera i of the list is called camera i + 1.

    A camera NAME is a text file of tracks and its footage:

    1. NAME.txt beside a folder NAME of images, or beside a video NAME.mp4, .avi, .mov, .mkv, .m4v or .webm;
    2. a sequence of MOTChallenge: NAME/img1 with images, and NAME/gt/gt.txt, NAME/tracks.txt or another text file
       with rows of tracks in NAME, or NAME.txt beside NAME. `folder` itself may be the only sequence.

    Text files of another kind (their first row is no row of tracks), videos and folders without a text file, and
    hidden files are passed over.

    Raises:
        ReaderError: no camera; tracks without footage; a sequence without tracks; or a camera with two files of tracks
            or two kinds of footage.
    """
    root = Path(os.path.abspath(os.path.expanduser(folder)))
    if not root.is_dir():
        raise ReaderError(f"There is no folder {root}. Pass the folder that holds tracks and footage: {WANTED}.")
    try:
        if (root / SEQUENCE).is_dir():
            return [camera for camera in [_camera(root, root.name, [])] if camera is not None]
        files = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
        names = {file.stem for file in files if _is_text(file)}
        names |= {file.name for file in files if (file / SEQUENCE).is_dir()}
        found = [_camera(root / name, name, files) for name in sorted(names, key=natural)]
    except OSError as error:
        raise ReaderError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from error
    cameras = [camera for camera in found if camera is not None]
    negative = [camera.name for camera in cameras if re.fullmatch(r"\s*-[0-9]+(\.0+)?\s*", camera.name)]
    if negative:  # in a table, -1 is an unknown camera
        raise ReaderError(f"A camera must not be called {negative[0]!r}, a negative number. Rename its files.")
    if not cameras:
        here = f"It holds {first_three([file.name for file in files])}" if files else "It is empty"
        raise ReaderError(f"{root} holds no camera. {here}; looked for {WANTED}.")
    return cameras


def is_footage(folder: Path) -> bool:
    """Whether a folder holds a tracker's output: a text file with rows of tracks, or a sequence of MOTChallenge."""
    if not folder.is_dir():
        return False
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    sequence = (folder / SEQUENCE).is_dir() or any((entry / SEQUENCE).is_dir() for entry in entries)
    return sequence or any(_is_text(entry) and looks_like_mot(entry) for entry in entries)


def frame_rate(footage: Path) -> float | None:
    """Frames per second as a video, or the seqinfo.ini of a sequence, tells it; None where nothing does.

    A video whose rate varies tells its average, and its times are then only roughly right.

    Raises:
        ReaderError: a seqinfo.ini that cannot be understood, or a video that does not open.
    """
    if not footage.is_dir():
        capture = _opened(footage)
        announced = float(capture.get(cv2.CAP_PROP_FPS))
        capture.release()
        return announced if 0 < announced <= HIGHEST_RATE else None
    info = footage.parent / "seqinfo.ini"
    if footage.name != SEQUENCE or not info.is_file():
        return None
    try:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read(info, encoding="utf-8-sig")
        text = parser.get("Sequence", "frameRate", fallback="")
        rate = float(text) if text else None
    except (configparser.Error, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ReaderError(f"{info} cannot be read: {reason}. Correct it, or remove it and pass rate.") from error
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise ReaderError(f"{info} gives frameRate {text}; it must be above 0. Correct it, or remove it and pass rate.")
    return rate


def open_footage(path: str | Path) -> Footage:
    """The frames of a camera: a folder of images, or a video.

    In a folder, the frame number is the name of an image where all names are numbers (plus one where the smallest is
    0), else its place in the natural order of names. It is decoded by `reunite.images.decoding.decode`.

    A video is read by OpenCV from the first frame on, never by seeking, which is not exact in most formats. Frames
    that are not wanted are passed over. OpenCV turns pictures upright, and silently drops packets that it cannot
    decode, so that frames are numbered as by any tracker that reads with it.

    Raises:
        ReaderError: a folder without images or with two images of one number, or a video that does not open.
    """
    path = Path(path)
    return _FrameFolder(path) if path.is_dir() else _Video(path)


class _FrameFolder:
    def __init__(self, folder: Path) -> None:
        names = sorted(images_in(folder), key=natural)
        if not names:
            raise ReaderError(f"{folder} holds no images ({', '.join(IMAGE_EXTENSIONS)}). Put the frames there.")
        self.folder = folder
        self.files = dict(enumerate(names, start=1))
        stems = [os.path.splitext(name)[0] for name in names]
        if all(re.fullmatch("[0-9]+", stem) for stem in stems):
            numbers = [int(stem) for stem in stems]
            first = 1 if min(numbers) == 0 else 0
            self.files = {number + first: name for number, name in zip(numbers, names, strict=True)}
            twice = [name for number, name in zip(numbers, names, strict=True) if self.files[number + first] != name]
            if twice:
                other = self.files[int(os.path.splitext(twice[0])[0]) + first]
                raise ReaderError(
                    f"{folder} holds {twice[0]} and {other}: two images of one frame ({len(twice):,} such). Keep one."
                )

    def absent(self, wanted: Iterable[int]) -> list[int]:
        return [number for number in wanted if number not in self.files]

    def frames(self, wanted: Iterable[int]) -> Iterator[Frame]:
        for number in sorted(set(wanted)):
            if number in self.files:
                yield Frame(number, partial(decode, self.folder / self.files[number]))
            else:
                yield Frame(number, partial(_refuse, MissingFrame(self._missing(number))))

    def _missing(self, number: int) -> str:
        return (
            f"{self.folder} has no frame {number}: its {counted(len(self.files), 'image')} are frames "
            f"{min(self.files)} to {max(self.files)}"
        )


class _Video:
    def __init__(self, file: Path) -> None:
        self.file = file
        _opened(file).release()

    def absent(self, wanted: Iterable[int]) -> list[int]:
        return []  # many formats only announce a guess of how many frames they hold

    def frames(self, wanted: Iterable[int]) -> Iterator[Frame]:
        capture = _opened(self.file)
        at = 0
        ended = False
        try:
            for number in sorted(set(wanted)):
                while at < number and not ended:
                    ended = not capture.grab()
                    at += not ended
                if number < 1 or at != number:
                    what = "begins with frame 1" if number < 1 else f"ends after frame {at}"
                    yield Frame(number, partial(_refuse, MissingFrame(f"{self.file} {what}")))
                    continue
                there, pixels = capture.retrieve()
                if there:
                    yield Frame(number, partial(_rgb, pixels))
                else:
                    yield Frame(number, partial(_refuse, ImageError(f"Cannot decode frame {number} of {self.file}.")))
        finally:
            capture.release()


def _rgb(pixels: np.ndarray) -> Pixels8:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _refuse(error: ImageError) -> NoReturn:
    raise error


def _opened(video: Path) -> cv2.VideoCapture:
    try:
        capture = cv2.VideoCapture(os.fspath(video))
    except cv2.error:
        capture = None
    if capture is None or not capture.isOpened():
        size = f"{video.stat().st_size:,} bytes" if video.is_file() else "no such file"
        raise ReaderError(
            f"{video} does not open as a video ({size}): it is damaged, or of a format that this OpenCV cannot read. "
            "Convert it to MP4 (H.264), or extract its frames into a folder of images."
        )
    return capture


def images_in(folder: Path) -> list[str]:
    """Names of the images directly in a folder, in any order; hidden files do not count."""
    return [
        entry.name
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS
    ]


def _is_text(file: Path) -> bool:
    return file.suffix.lower() == ".txt" and file.is_file()


def _camera(folder: Path, name: str, beside: list[Path]) -> CameraFiles | None:
    """The camera of this name, where `folder` is its folder and `beside` are the files beside it; None if none is."""
    tracks = [file for file in beside if _is_text(file) and file.stem == name]
    footage = [file for file in beside if file.suffix.lower() in VIDEO_EXTENSIONS and file.stem == name]
    if (folder / SEQUENCE).is_dir():
        inside = [file for file in sorted(folder.iterdir()) if _is_text(file) and not file.name.startswith(".")]
        ours = [file for file in inside if file.name == "tracks.txt" or looks_like_mot(file)]
        tracks += [file for file in (folder / "gt" / "gt.txt",) if file.is_file()] + ours
        footage.append(folder / SEQUENCE)
    elif folder.is_dir() and images_in(folder):
        footage.append(folder)
    if not tracks:
        raise ReaderError(
            f"{folder / SEQUENCE} has frames but no tracks: looked for gt/gt.txt, tracks.txt or another .txt with rows "
            f"of tracks in {folder}, and for {name}.txt beside it. Add the output of the tracker, or move the folder."
        )
    if not footage:
        if not looks_like_mot(tracks[0]):
            return None
        raise ReaderError(
            f"{tracks[0]} lists tracks, but their frames are missing: looked beside it for a folder {name} with images "
            f"or {SEQUENCE}, and for a video {name} ({', '.join(VIDEO_EXTENSIONS)}). Add one of them, or move the file."
        )
    for kind, candidates in (("files of tracks", tracks), ("kinds of footage", footage)):
        if len(candidates) > 1:
            listed = " and ".join(map(str, candidates))
            raise ReaderError(f"Camera {name} has {len(candidates)} {kind}: {listed}. Move away all but one.")
    return CameraFiles(name, tracks[0], footage[0])
