"""Threads: as many as the user allows, inside the user's own, and on the other side of a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from oracles.features import people
from reunite.cluster.density import JaccardDBSCAN
from reunite.neighbors import nearest_neighbors
from reunite.threads import blas_on_one_thread, in_blocks, per_thread, same_threads, thread_count


def test_blocks_come_in_order_and_cover_everything() -> None:
    for count, size in ((0, 3), (1, 3), (10, 3), (12, 3)):
        blocks = in_blocks(count, size, lambda a, b: list(range(a, b)))
        assert [i for block in blocks for i in block] == list(range(count))
        assert all(len(block) == size for block in blocks[:-1])


@pytest.mark.parametrize("setting", [torch.set_num_threads, numba.set_num_threads])
def test_no_more_threads_than_any_library_was_told(setting) -> None:
    before = torch.get_num_threads(), numba.get_num_threads()
    try:
        setting(1)
        assert thread_count() == 1
        seen = set(in_blocks(50, 1, lambda a, b: threading.get_ident()))
        assert seen == {threading.get_ident()}, "one thread is the caller's own"
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])
    assert thread_count() == min(before)


def test_the_usual_environment_variable_is_honoured() -> None:
    script = "from reunite.threads import thread_count; print(thread_count())"
    output = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.strip() == "1"


def test_scratch_is_made_once_for_each_thread() -> None:
    made: list[object] = []
    mine = per_thread(lambda: made.append(object()) or made[-1])
    barrier = threading.Barrier(3)

    def twice() -> bool:
        first = mine()
        barrier.wait(timeout=30)  # all threads have one before any asks again
        return mine() is first

    with ThreadPoolExecutor(3) as pool:
        assert all(future.result() for future in [pool.submit(twice) for _ in range(3)])
    assert len(made) == 3


def test_calls_within_share_their_threads_and_give_them_back() -> None:
    with same_threads() as outer:
        with same_threads() as inner:
            assert inner is outer
        assert in_blocks(8, 1, lambda a, b: a) == list(range(8))
    with same_threads() as another:
        assert another is not outer


def test_threads_of_a_pool_multiply_alone_and_others_do_not() -> None:
    everyone = torch.get_num_threads()
    with same_threads() as pool:
        assert [*pool.map(lambda _: torch.get_num_threads(), range(20))] == [1] * 20
        assert [*pool.map(lambda _: thread_count(), range(4))] == [1] * 4, "and start no threads of their own"
        later: list[int] = []
        other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert later == [everyone]
    assert torch.get_num_threads() == everyone


def test_blas_is_given_back_when_the_last_leaves() -> None:
    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = threads()
    first, second = blas_on_one_thread(), blas_on_one_thread()
    first.__enter__(), second.__enter__()
    assert threads() == [1] * len(before)
    first.__exit__(None, None, None)
    assert threads() == [1] * len(before), "the second still needs it"
    second.__exit__(None, None, None)
    assert threads() == before
    with pytest.raises(ValueError, match="within"), blas_on_one_thread():
        raise ValueError("within")
    assert threads() == before


def test_an_error_in_a_thread_comes_out() -> None:
    def fails(a: int, b: int) -> None:
        if a == 3:
            raise ValueError("block three")

    with pytest.raises(ValueError, match="block three"):
        in_blocks(8, 1, fails)


def test_calls_from_many_threads_give_what_one_gives() -> None:
    sets = [people(400, seed=seed)[0] for seed in range(6)]

    def work(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return nearest_neighbors(rows, 9)[1], JaccardDBSCAN(k1=9, k2=3).fit_predict(rows)

    one_by_one = [work(rows) for rows in sets]
    with ThreadPoolExecutor(6) as pool:
        for here, there in zip(one_by_one, pool.map(work, sets), strict=True):
            np.testing.assert_array_equal(here[0], there[0])
            np.testing.assert_array_equal(here[1], there[1])


FORK = """
import os, sys
import numpy as np
import reunite
rows = np.random.default_rng(0).standard_normal((3000, 64)).astype(np.float32)
clusterers = [reunite.JaccardDBSCAN(), reunite.BottomUp(reunite.Dispersion()), reunite.AverageLinkage()]
def work():
    return [each.fit_predict(rows[:1500]) for each in clusterers] + [reunite.nearest_neighbors(rows, 30)[1]]
before = work()
child = os.fork()
if child == 0:
    os._exit(0 if all(map(np.array_equal, before, work())) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_process_can_go_on_working() -> None:
    """Threads do not survive a fork: a library that keeps a pool of them hangs in the child."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=300, check=False)
    assert done.returncode == 0


def test_a_search_leaves_the_number_of_torch_threads_as_it_was():
    """Where it differs from numba's, whose threading layer is not started before the first search."""
    program = (
        "import numpy, torch; from reunite import nearest_neighbors; torch.set_num_threads(1);"
        "rows = numpy.eye(200, 8, dtype='f4') + 0.1; nearest_neighbors(rows, 3); print(torch.get_num_threads())"
    )
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "2",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "1", done.stderr
