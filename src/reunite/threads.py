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
from threadpoolctl import threadpool_limits

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
    of_torch = torch.get_num_threads()
    of_numba = numba.get_num_threads()
    if (
        torch.get_num_threads() != of_torch
    ):  # numba's first answer starts its OpenMP layer, which tells torch's its number
        torch.set_num_threads(of_torch)
    return int(min(of_torch, of_numba))


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
    """Within, all calls of the same thread share their threads, which saves starting new ones for thousands of calls.

    Products of torch that such a thread computes run in this thread alone.
    """
    held: ThreadPoolExecutor | None = getattr(_current, "pool", None)
    if held is not None:
        yield held
        return
    with ThreadPoolExecutor(thread_count(), initializer=_multiply_alone) as pool:
        _current.pool = pool
        try:
            yield pool
        finally:
            _current.pool = None


_changing = threading.Lock()


def _multiply_alone() -> None:
    """One thread for products of torch in this thread. Torch also takes it for those to come, who get theirs back at once."""
    with _changing:
        others = torch.get_num_threads()
        torch.set_num_threads(1)
        restore = threading.Thread(target=torch.set_num_threads, args=(others,))
        restore.start()
        restore.join()


_multiplying: list[threadpool_limits] = []
_users = 0


@contextmanager
def blas_on_one_thread() -> Iterator[None]:
    """Within, NumPy multiplies in the thread that asks for it, in the whole process; nested and concurrent use is fine."""
    global _users
    with _changing:
        _users += 1
        if _users == 1:
            _multiplying.append(threadpool_limits(1, "blas"))
    try:
        yield
    finally:
        with _changing:
            _users -= 1
            if _users == 0:
                _multiplying.pop().restore_original_limits()


def per_thread(make: Callable[[], T]) -> Callable[[], T]:
    """A function that gives each thread what `make()` made for it, once: scratch, for kernels that leave it as it was."""
    local = threading.local()

    def mine() -> T:
        if not hasattr(local, "made"):
            local.made = make()
        return cast(T, local.made)

    return mine
