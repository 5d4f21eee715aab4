"""Many image files decoded in threads, each handed over as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing

from reunite.images.decoding import Pixels8, Refused, read_pixels

Keep = Callable[[int, Pixels8], object]
"""Takes the pixels of one file, known by its number; called from any thread."""


def decode_all(
    names: list[str],
    size: tuple[int, int],
    workers: int,
    keep: Keep | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str | None]:
    """Decodes names[i] and calls keep(i, pixels), in threads; for each, the reason why it cannot be decoded, or None."""
    reasons: list[str | None] = [None] * len(names)

    def work(rows: range) -> int:
        for row in rows:
            try:
                pixels = read_pixels(names[row], size)
            except Refused as refused:
                reasons[row] = str(refused)
                continue
            if keep is not None:
                keep(row, pixels)
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
