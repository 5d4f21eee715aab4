"""Image files to batches of pixels: each file is decoded once, and a broken one is named."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numpy.typing import NDArray

from reunite.errors import ImageError, InputError
from reunite.images.decoding import Refused, check_size, read_pixels

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
        store: all decoded images, (n, height, width, 3) uint8 RGB; None where they are decoded again at each reading.
    """

    paths: tuple[str, ...]
    size: tuple[int, int]
    readable: Bool[np.ndarray, " n"]
    broken: tuple[BrokenImage, ...]
    workers: int
    store: UInt8[np.ndarray, "n height width 3"] | None

    @property
    def cached(self) -> bool:
        """Whether decoded images are kept in memory. The pixels read are the same either way."""
        return self.store is not None

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Int64[np.ndarray, " b"]) -> UInt8[np.ndarray, "b height width 3"]:
        """The images at these rows, in that order, in an array of the caller's own.

        Raises:
            InputError: a row that is out of range or not readable.
            ImageError: a file that could be read when it was opened and cannot be read now.
        """
        rows = np.asarray(rows)
        self._check(rows)
        if self.store is not None:
            return self.store[rows]
        batch = np.empty((len(rows), *self.size, 3), np.uint8)
        names = [self.paths[row] for row in rows.tolist()]
        broken = _named(names, _decode_into(batch, names, self.size, self.workers))
        if broken:
            raise ImageError(
                f"{broken[0].path} could be read before and cannot now: {broken[0].reason}. "
                "Leave image files alone while they are in use, or allow enough memory to keep them decoded."
            )
        return batch

    def _check(self, rows: np.ndarray) -> None:
        if rows.ndim != 1 or (rows.dtype.kind not in "iu" and len(rows)):
            raise InputError(f"rows must be a vector of whole numbers; got {rows.dtype} of shape {rows.shape}.")
        outside = rows[(rows < 0) | (rows >= len(self.paths))]
        if len(outside):
            raise InputError(f"rows must be within 0 and {len(self.paths) - 1:,}; got {outside[0]}.")
        bad = rows[~self.readable[rows]]
        if len(bad):
            raise InputError(
                f"Row {bad[0]} ({self.paths[bad[0]]}) is not readable; take rows where `readable` is true."
            )


def open_images(
    paths: Sequence[str | Path] | NDArray[np.str_],
    size: tuple[int, int],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    memory: int = 4 * 2**30,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pixels:
    """Decodes every file once, in threads, and keeps the pixels if they fit into memory.

    Args:
        paths: n image files.
        size: (height, width) that every image is resized to; see `reunite.images.decoding.decode`.
        on_error: "raise" stops at files that cannot be read and names them; "skip" lists them in `Pixels.broken`.
        memory: bytes that decoded images may take, n * height * width * 3; beyond that none is kept.
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
    store = np.empty(shape, np.uint8) if np.prod(shape, dtype=np.float64) <= memory else None
    reasons = _decode_into(store, names, (height, width), threads, progress)
    broken = _named(names, reasons)
    if len(broken) == len(names) or (broken and on_error == "raise"):
        raise ImageError(_complaint(broken, len(names)))
    readable = np.array([reason is None for reason in reasons])
    return Pixels(tuple(names), (height, width), readable, tuple(broken), threads, store)


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
        reasons = _decode_into(pixels, batch, size, threads)
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


def _decode_into(
    out: np.ndarray | None,
    names: list[str],
    size: tuple[int, int],
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[str | None]:
    """Decodes names[i] into out[i], if there is an `out`; for each, the reason why that failed, or None."""
    reasons: list[str | None] = [None] * len(names)

    def work(rows: range) -> int:
        for row in rows:
            try:
                pixels = read_pixels(names[row], size)
            except Refused as refused:
                reasons[row] = str(refused)
                continue
            if out is not None:
                out[row] = pixels
        return len(rows)

    # Several files a task, because handing over a task costs as much as decoding a thumbnail.
    step = min(32, max(1, len(names) // (4 * workers)))
    tasks = [range(at, min(at + step, len(names))) for at in range(0, len(names), step)]
    done = 0
    with closing(_in_threads(work, tasks, workers)) as counts:
        for count in counts:
            done += count
            if progress is not None:
                progress(done, len(names))
    return reasons


def _in_threads(work: Callable[[range], int], tasks: list[range], workers: int) -> Generator[int, None, None]:
    """The result of each task as it comes. Where that is interrupted, tasks not begun are dropped."""
    if workers == 1 or len(tasks) <= 1:
        yield from map(work, tasks)
        return
    pool = ThreadPoolExecutor(min(workers, len(tasks)), "reunite-decode")
    try:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _named(names: list[str], reasons: list[str | None]) -> list[BrokenImage]:
    return [BrokenImage(name, reason) for name, reason in zip(names, reasons, strict=True) if reason is not None]


def _complaint(broken: list[BrokenImage], count: int) -> str:
    shown = "; ".join(f"{image.path} ({image.reason})" for image in broken[:3])
    more = f"; and {len(broken) - 3:,} more" if len(broken) > 3 else ""
    advice = (
        "None can be read: check the folder, or the column of file names."
        if len(broken) == count
        else 'Repair or remove them, or pass on_error="skip" (--on-error skip) to leave them out.'
    )
    return f"{len(broken):,} of {count:,} images cannot be read: {shown}{more}. {advice}"
