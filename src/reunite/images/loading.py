"""Image files to batches of pixels: each file is decoded once where there is room to keep it, and a broken one is named."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numpy.typing import NDArray

from reunite.errors import ImageError, InputError
from reunite.images.decoding import Pixels8, check_size
from reunite.images.decoding_threads import Keep, decode_all
from reunite.images.pixel_cache import PixelCache, StoredPixels

Item = TypeVar("Item")


@dataclass(frozen=True)
class BrokenImage:
    """A file that could not be read as an image, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images at one size, ready to be read in batches; made by `open_images`. Rows are positions in its paths.

    Attributes:
        paths: file names, n.
        size: (height, width) of every image.
        readable: which rows can be read, (n,).
        broken: the others, in the order of the paths.
        workers: threads that decode.
        store: all decoded images in memory, (n, height, width, 3) uint8 RGB, or None.
        file: all decoded images in a file, or None.
        note: why the cache that was asked for could not be made, in a sentence or two for the user; otherwise None.
    """

    paths: tuple[str, ...]
    size: tuple[int, int]
    readable: Bool[np.ndarray, " n"]
    broken: tuple[BrokenImage, ...]
    workers: int
    store: UInt8[np.ndarray, "n height width 3"] | None = None
    file: StoredPixels | None = None
    note: str | None = None
    _lost: dict[str, BrokenImage] = field(default_factory=dict, repr=False)  # the only thing here that changes

    @property
    def kept(self) -> Literal["memory", "file", "no"]:
        """Where decoded images are; "no" decodes again at each reading. The pixels read are the same in all cases."""
        return "memory" if self.store is not None else "no" if self.file is None else "file"

    @property
    def lost(self) -> tuple[BrokenImage, ...]:
        """Files that `read_some` could not read although they were readable when opened: each once, as first noticed."""
        return tuple(self._lost.copy().values())

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Int64[np.ndarray, " b"]) -> UInt8[np.ndarray, "b height width 3"]:
        """The images at these rows, in that order, in an array of the caller's own.

        Raises:
            InputError: a row that is out of range or not readable.
            ImageError: a file that could be read when it was opened and cannot be read now.
        """
        batch, lost = self._read(rows)
        if lost:
            image = next(iter(lost.values()))
            raise ImageError(
                f"{image.path} could be read before and cannot now: {image.reason}. "
                "Leave image files alone while they are in use, or allow enough memory to keep them decoded."
            )
        return batch

    def read_some(
        self, rows: Int64[np.ndarray, " b"]
    ) -> tuple[UInt8[np.ndarray, "b height width 3"], Bool[np.ndarray, " b"]]:
        """As `read`, but goes on without files that cannot be read now, and notes them in `lost`. From any thread.

        Returns:
            The images, black where a file is lost, and which of them were read.

        Raises:
            InputError: a row that is out of range, or was not readable when the files were opened.
        """
        batch, lost = self._read(rows)
        was_read = np.ones(len(batch), bool)
        for place, image in lost.items():
            batch[place] = 0
            was_read[place] = False
            self._lost.setdefault(image.path, image)
        return batch, was_read

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, dict[int, BrokenImage]]:
        """The images, and at which places of the batch they could not be read."""
        rows = self._checked(rows)
        if self.store is not None:
            return self.store[rows], {}
        batch = np.empty((len(rows), *self.size, 3), np.uint8)
        # Rows of the file that are not what was written are decoded from the image, like all rows without a file.
        places = list(range(len(rows))) if self.file is None else self.file.copy(rows, batch)
        names = [self.paths[rows[place]] for place in places]

        def keep(number: int, pixels: Pixels8) -> None:
            batch[places[number]] = pixels

        reasons = decode_all(names, self.size, self.workers, keep)
        return batch, {
            place: BrokenImage(name, reason)
            for place, name, reason in zip(places, names, reasons, strict=True)
            if reason is not None
        }

    def _checked(self, rows: np.ndarray) -> Int64[np.ndarray, " b"]:
        rows = np.asarray(rows)
        if rows.ndim != 1 or (rows.dtype.kind not in "iu" and len(rows)):
            raise InputError(f"rows must be a vector of whole numbers; got {rows.dtype} of shape {rows.shape}.")
        outside = rows[(rows < 0) | (rows >= len(self.paths))]
        if len(outside):
            raise InputError(f"rows must be within 0 and {len(self.paths) - 1:,}; got {outside[0]}.")
        rows = rows.astype(np.int64, copy=False)
        bad = rows[~self.readable[rows]]
        if len(bad):
            raise InputError(
                f"Row {bad[0]} ({self.paths[bad[0]]}) is not readable; take rows where `readable` is true."
            )
        return rows


def open_images(
    paths: Sequence[str | Path] | NDArray[np.str_],
    size: tuple[int, int],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    memory: int = 4 * 2**30,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pixels:
    """Decodes every file once, in threads, and keeps the pixels in memory if they fit, or else in a file if there may be one.

    Args:
        paths: n image files.
        size: (height, width) that every image is resized to; see `reunite.images.decoding.decode`.
        on_error: "raise" stops at files that cannot be read and names them; "skip" lists them in `Pixels.broken`.
        memory: bytes that decoded images may take, n * height * width * 3; beyond that they are not kept in memory.
        cache: a folder for a file of the decoded images that are too many for `memory`. Whoever opens the same images at
            the same size again finds the file and decodes nothing: a run that is resumed, or other processes of the
            machine. Let one process open the images before the others do, or each will decode them. The file takes as many
            bytes as the pixels, stays there until somebody deletes it, and also remembers which images are broken. Where it
            cannot be made (no room, no permission) images are decoded again at each reading and `Pixels.note` says why.
        workers: threads that decode; None is one for each core this process may use.
        progress: called in the caller's thread with the number of files decoded and n.

    Raises:
        ImageError: files cannot be read and on_error is "raise", or none can be read at all.
        InputError: an argument out of range.
    """
    check_size(size)
    height, width = (int(side) for side in size)
    if on_error not in ("raise", "skip") or memory < 0 or (workers is not None and workers < 1):
        raise InputError(
            "Expected on_error 'raise' or 'skip', memory >= 0 bytes, and workers >= 1 or None; "
            f"got {on_error!r}, {memory!r}, {workers!r}."
        )
    names = [str(path) for path in (paths.tolist() if isinstance(paths, np.ndarray) else paths)]
    if not names:
        raise ImageError("No image files were given; expected at least one.")
    threads = available_cores() if workers is None else workers
    shape = (len(names), height, width, 3)
    store = np.empty(shape, np.uint8) if math.prod(shape) <= memory else None

    def verdicts(keep: Keep | None) -> list[str | None]:
        reasons = decode_all(names, (height, width), threads, keep, progress)
        _check_enough(names, reasons, on_error)
        return reasons

    file, note = None, None
    if store is not None or cache is None:
        reasons = verdicts(None if store is None else store.__setitem__)
    else:
        place = PixelCache.of(Path(cache), names, (height, width))
        file = place.find()
        if file is None:
            with place.draft() as draft:
                reasons = verdicts(draft.put)
                file = draft.finish(
                    reasons
                )  # not reached where an error is raised: the user may repair what is at fault
                note = None if file is not None else _without_cache(draft.failure)
        elif progress is not None:
            progress(len(names), len(names))
        if file is not None:
            reasons = list(file.reasons)
            _check_enough(names, reasons, on_error)
    readable = np.array([reason is None for reason in reasons])
    broken = tuple(_named(names, reasons))
    return Pixels(tuple(names), (height, width), readable, broken, threads, store, file, note)


def read_once(
    paths: Sequence[str] | NDArray[np.str_],
    size: tuple[int, int],
    batch_size: int,
    *,
    on_error: Literal["raise", "skip"] = "raise",
    workers: int | None = None,
) -> Iterator[tuple[UInt8[np.ndarray, "b height width 3"], Int64[np.ndarray, " b"]]]:
    """Decodes every file once, in order, and keeps none: memory is that of a batch.

    Yields:
        For each `batch_size` files the pixels of those that can be read, and their places in `paths`.

    Raises:
        ImageError: files cannot be read and on_error is "raise" (those of the first such batch are named), or none can be
            read at all.
    """
    names = [str(path) for path in paths]
    threads = available_cores() if workers is None else workers
    broken: list[BrokenImage] = []
    for at in range(0, len(names), batch_size):
        batch = names[at : at + batch_size]
        pixels = np.empty((len(batch), *size, 3), np.uint8)
        reasons = decode_all(batch, size, threads, pixels.__setitem__)
        readable = np.array([reason is None for reason in reasons])
        broken += _named(batch, reasons)
        seen = at + len(batch)
        if broken and (on_error == "raise" or len(broken) == len(names)):
            raise ImageError(_complaint(broken, len(names) if len(broken) == len(names) else seen))
        yield (pixels if readable.all() else pixels[readable]), at + np.flatnonzero(readable)


def available_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prefetch(iterable: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """The same items in the same order, made ahead in one background thread.

    The thread starts with the first item asked for. It ends with the iterable, with an error (raised again here, in
    its place), or when the consumer stops; closing the generator waits until the item being made is done.

    Args:
        iterable: consumed in the background thread only.
        depth: how many items may wait.

    Raises:
        InputError: a depth below 1.
    """
    if depth < 1:
        raise InputError(f"depth must be at least 1 item; got {depth}.")
    return _prefetched(iterable, depth)


def _prefetched(iterable: Iterable[Item], depth: int) -> Iterator[Item]:
    made: SimpleQueue[tuple[Literal["item"], Item] | tuple[Literal["end"], BaseException | None]] = SimpleQueue()
    room, stop = threading.Semaphore(depth), threading.Event()

    def make() -> None:
        try:
            source = iter(iterable)
            while room.acquire() and not stop.is_set():
                made.put(("item", next(source)))
        except StopIteration:
            made.put(("end", None))
        except BaseException as error:
            made.put(("end", error))

    # A daemon, so that a generator nobody closed cannot keep the program from ending.
    thread = threading.Thread(target=make, name="reunite-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            what = made.get()
            if what[0] == "end":
                if what[1] is not None:
                    raise what[1]
                return
            room.release()
            yield what[1]
    finally:
        stop.set()
        room.release()
        thread.join()


def _named(names: list[str], reasons: list[str | None]) -> list[BrokenImage]:
    return [BrokenImage(name, reason) for name, reason in zip(names, reasons, strict=True) if reason is not None]


def _check_enough(names: list[str], reasons: list[str | None], on_error: str) -> None:
    broken = _named(names, reasons)
    if len(broken) == len(names) or (broken and on_error == "raise"):
        raise ImageError(_complaint(broken, len(names)))


def _without_cache(failure: str | None) -> str:
    return f"Decoded images are not kept: {failure}. Each is decoded again whenever it is read, which takes longer."


def _complaint(broken: list[BrokenImage], count: int) -> str:
    shown = "; ".join(f"{image.path} ({image.reason})" for image in broken[:3])
    more = f"; and {len(broken) - 3:,} more" if len(broken) > 3 else ""
    advice = (
        "None can be read: check the folder, or the column of file names."
        if len(broken) == count
        else 'Repair or remove them, or pass on_error="skip" (--on-error skip) to leave them out.'
    )
    return f"{len(broken):,} of {count:,} images cannot be read: {shown}{more}. {advice}"
