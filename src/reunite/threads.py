"""Compiled kernels that release the GIL, run block by block in as many threads as the user's settings allow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar, cast

import numba
import torch

T = TypeVar("T")

STARTED_IN = os.getpid()


def is_fork() -> bool:
    """Whether this process was forked from the one that imported this. Its OpenMP has lost its threads and waits for them.

    Products of torch would hang there; NumPy's do not, since OpenBLAS starts its threads again.
    """
    return os.getpid() != STARTED_IN


def thread_count() -> int:
    """Threads a call may use: the lesser of what torch and numba were told.

    torch follows `OMP_NUM_THREADS` and `torch.set_num_threads`, numba `NUMBA_NUM_THREADS` and `numba.set_num_threads`; both
    stay within the processors that the process may run on.
    """
    return int(min(torch.get_num_threads(), numba.get_num_threads()))


TASKS = 4
"""Tasks for each thread: enough to even out, few enough to cost nothing."""


def in_even_blocks(count: int, kernel: Callable[[int, int], T], least: int = 64) -> list[T]:
    """`in_blocks` of `TASKS` blocks for each thread, of at least `least`: for kernels that are called again and again."""
    return in_blocks(count, max(least, -(-count // (TASKS * thread_count()))), kernel)


def in_blocks(count: int, size: int, kernel: Callable[[int, int], T]) -> list[T]:
    """What `kernel(start, stop)` gives for each block of `size` out of `count`, in order. Blocks run in threads.

    The threads live as long as the call, or as `same_threads`: nothing is left behind that a fork could lose. One block, or
    one thread, runs in the caller's.
    """
    starts = range(0, count, size)
    threads = min(thread_count(), len(starts))
    if threads <= 1:
        return [kernel(start, min(start + size, count)) for start in starts]
    with same_threads() as pool:
        return list(pool.map(lambda start: kernel(start, min(start + size, count)), starts))


_current = threading.local()


@contextmanager
def same_threads() -> Iterator[ThreadPoolExecutor]:
    """Within, all calls of the same thread share their threads, which saves starting new ones for thousands of calls."""
    held: ThreadPoolExecutor | None = getattr(_current, "pool", None)
    if held is not None:
        yield held
        return
    with ThreadPoolExecutor(thread_count()) as pool:
        _current.pool = pool
        try:
            yield pool
        finally:
            _current.pool = None


def per_thread(make: Callable[[], T]) -> Callable[[], T]:
    """A function that gives each thread what `make()` made for it, once: scratch, for kernels that leave it as it was."""
    local = threading.local()

    def mine() -> T:
        if not hasattr(local, "made"):
            local.made = make()
        return cast(T, local.made)

    return mine
