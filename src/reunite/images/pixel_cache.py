"""Decoded pixels in one file, for images that do not fit into memory: written once, read by whoever comes later.

The file holds the pixels of all images, row after row, then a CRC-32 of each row (uint32, little-endian), then a JSON
record of what it was made from and which images are broken, then a CRC-32 of these two.

It is read and written with ordinary calls at a place, not through a mapping. The pages are the system's in both cases, so
memory is the same; but a full disk, a bad sector or a file cut short is an error of a call here, where a mapping ends the
process, the first touch of a page costs no fault, and the process does not look as large as the file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import sys
import weakref
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import cv2
import numpy as np
import PIL
import simplejpeg
from jaxtyping import Bool, Int64, UInt8, UInt32

from reunite.images import decoding

if sys.platform != "win32":
    import fcntl

FORMAT = 1

SPARED = 2**30
"""Bytes of the disk that are left to others: checkpoints are worth more than this file."""


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """A finished file, open for reading. The system keeps its pages in memory while there is room.

    Attributes:
        descriptor: of the file, closed when this is no longer used.
        sums: CRC-32 of each image's pixels when they were written.
        checked: images whose pixels were compared with their sum; changes as images are read.
        reasons: why an image could not be decoded, or None.
    """

    descriptor: int
    sums: UInt32[np.ndarray, " n"]
    checked: Bool[np.ndarray, " n"]
    reasons: tuple[str | None, ...]

    def __post_init__(self) -> None:
        weakref.finalize(self, os.close, self.descriptor)

    def copy(self, rows: Int64[np.ndarray, " b"], out: UInt8[np.ndarray, "b height width 3"]) -> list[int]:
        """Copies the images at these rows, within range, into `out`; gives the places in `out` that are damaged.

        Each image is compared with its sum the first time it is read, which costs less than reading all of the file
        when it is opened, and nothing later. From any thread.
        """
        return [place for place, row in enumerate(rows.tolist()) if not self._copy(row, out[place])]

    def _copy(self, row: int, image: np.ndarray) -> bool:
        try:
            whole = os.preadv(self.descriptor, [image.data], row * image.size) == image.size
        except OSError:
            return False
        if whole and not self.checked[row]:
            self.checked[row] = whole = zlib.crc32(image.data) == self.sums[row]
        return whole


@dataclass(frozen=True)
class PixelCache:
    """Where the pixels of these images at this size are kept, and what they must have been made from.

    Attributes:
        path: one for each list of file names and size, so data sets may share a folder, and a new file replaces an old.
        content: changes with the size or a time of any image, and with what decodes them.
        shape: (n, height, width, 3).
    """

    path: Path
    content: str
    shape: tuple[int, int, int, int]

    @classmethod
    def of(cls, folder: Path, names: Sequence[str], size: tuple[int, int]) -> PixelCache:
        """The file for these images. Contents of images are not read: size, mtime and ctime stand for them.

        The ctime is there because a tool that copies files and their mtimes, or `chmod`, moves nothing else.
        """
        what = hashlib.sha256(f"{size[0]} {size[1]}\n".encode())
        content = hashlib.sha256(_decoder().encode())
        for name in names:
            what.update(f"{os.path.abspath(name)!r}\n".encode())  # repr: one line for any name, of any characters
            try:
                found = os.stat(name)
                seen = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n"
            except (OSError, ValueError):  # ValueError: a name with a zero byte in it
                seen = "missing\n"
            content.update(seen.encode())
        return cls(
            folder / f"pixels-{what.hexdigest()[:16]}-{size[0]}x{size[1]}.bin",
            f"{what.hexdigest()} {content.hexdigest()}",
            (len(names), size[0], size[1], 3),
        )

    @property
    def bytes(self) -> int:
        """What the pixels take."""
        return math.prod(self.shape)

    def find(self) -> StoredPixels | None:
        """The file, if it is there, whole, and made from these images; otherwise None, whatever is there instead."""
        count = self.shape[0]
        try:
            with open(self.path, "rb") as file:
                file.seek(self.bytes)
                tail = file.read()
                if tail[-4:] != zlib.crc32(tail[:-4]).to_bytes(4, "little"):
                    return None
                record = json.loads(tail[4 * count : -4])
                if (record["format"], record["content"]) != (FORMAT, self.content):
                    return None
                reasons: list[str | None] = [None] * count
                for row, reason in record["broken"]:
                    reasons[row] = reason
                sums = np.frombuffer(tail, "<u4", count)
                return _stored(os.dup(file.fileno()), sums, reasons)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """A new file in the making; nothing of it is left unless it is finished within the block."""
        draft = Draft(self)
        try:
            yield draft
        finally:
            draft.close()


class Draft:
    """A file in the making, under a name of its own. What goes wrong with the disk is told in `failure`, not raised.

    The file is locked while its process lives. A process that was killed leaves its draft, and whoever makes the next one
    in the same folder removes it; drafts of the living are left alone.
    """

    def __init__(self, cache: PixelCache):
        self.failure: str | None = None
        self._cache = cache
        self._sums = np.zeros(cache.shape[0], "<u4")
        self._path = cache.path.with_name(f".{cache.path.name}.{secrets.token_hex(8)}.part")
        self._descriptor: int | None = None
        try:
            self._begin()
        except OSError as error:
            self._fail(error)
            self.close()

    def put(self, row: int, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
        """Writes one image; from any thread. After a failure this does nothing."""
        if self.failure is not None:
            return
        data = np.ascontiguousarray(pixels).reshape(-1).data
        self._sums[row] = zlib.crc32(data)
        try:
            self._write(data, row * len(data))
        except OSError as error:
            self._fail(error)

    def finish(self, reasons: Sequence[str | None]) -> StoredPixels | None:
        """Completes the file with why images were not put, and gives it its name; None after a failure.

        What is given stays of use even if another process that makes the same file removes this one at once.
        """
        if self.failure is not None or self._descriptor is None:
            return None
        broken = [(row, reason) for row, reason in enumerate(reasons) if reason is not None]
        record = {"format": FORMAT, "content": self._cache.content, "broken": broken}
        tail = self._sums.tobytes() + json.dumps(record).encode()
        try:
            self._write(memoryview(tail + zlib.crc32(tail).to_bytes(4, "little")), self._cache.bytes)
            # Without this, a machine that loses power may keep the name and the length, and lose the pixels.
            os.fsync(self._descriptor)
            os.replace(self._path, self._cache.path)
            return _stored(os.dup(self._descriptor), self._sums, reasons)
        except OSError as error:
            self._fail(error)
            return None

    def close(self) -> None:
        """Gives back what is held. No thread may be putting."""
        if self._descriptor is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _begin(self) -> None:
        folder, needed = self._cache.path.parent, self._cache.bytes
        if sys.platform == "win32" or not hasattr(os, "preadv"):
            self.failure = "this system cannot read and write at a place in a file"
            return
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        self._cache.path.unlink(missing_ok=True)  # it was of no use, and there may be no room for two
        free = shutil.disk_usage(folder).free
        if free < needed + SPARED:
            self.failure = (
                f"{folder} has {free / 1e9:.1f} GB free, and {(needed + SPARED) / 1e9:.1f} GB are asked for "
                f"({needed / 1e9:.1f} GB of pixels, and {SPARED / 1e9:.1f} GB that are left to others)"
            )
            return
        while self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            with suppress(OSError):  # a file system without locks: drafts of the killed stay there
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if not os.fstat(self._descriptor).st_nlink:  # taken for abandoned before it was locked
                os.close(self._descriptor)
                self._descriptor = None
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._descriptor, 0, needed)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # not on this file system: `put` finds out
                    raise

    def _write(self, data: memoryview, at: int) -> None:
        assert self._descriptor is not None
        while data:
            done = os.pwrite(self._descriptor, data, at)
            data, at = data[done:], at + done

    def _fail(self, error: OSError) -> None:
        self.failure = f"{self._cache.path} cannot be written ({error.strerror or error})"


def _stored(descriptor: int, sums: np.ndarray, reasons: Sequence[str | None]) -> StoredPixels:
    return StoredPixels(descriptor, sums.astype(np.uint32), np.zeros(len(sums), bool), tuple(reasons))


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(".pixels-*.part"):
        with suppress(OSError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while the process that makes it lives
            path.unlink()


@once
def _decoder() -> str:
    """What pixels depend on besides the image: other versions may round differently."""
    ours = hashlib.sha256(Path(decoding.__file__).read_bytes()).hexdigest()
    return f"{ours} simplejpeg {simplejpeg.__version__} cv2 {cv2.__version__} Pillow {PIL.__version__}\n"
