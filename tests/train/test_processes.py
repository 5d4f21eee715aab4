"""Several processes are one: the same losses, labels, weights and memories. Processes are real, on the CPU (gloo)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator

from oracles import small_runs
from oracles.small_runs import RECIPES, images_of, outcome

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def launched(processes: int, *arguments: object) -> subprocess.Popen[str]:
    """`torchrun` with so many processes on this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    program = [str(each) for each in arguments]
    return subprocess.Popen(
        [*command, *program], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("walkers")
    images_of("", place), images_of("tracklets", place)
    return place


@pytest.fixture(scope="module")
def two(folder, tmp_path_factory) -> Path:
    """What two processes make of every recipe."""
    out = tmp_path_factory.mktemp("two")
    job = launched(2, small_runs.__file__, folder, out, *RECIPES)
    printed, _ = job.communicate(timeout=500)
    assert job.returncode == 0, printed
    return out


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).max(initial=0))


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_do_what_one_does(folder, two, name):
    """Every step's loss within 1e-5, the same labels; weights and memories as near as Adam leaves rounding."""
    expected = outcome(name, folder, Accelerator(cpu=True))
    first, second = (np.load(two / f"{name} {rank}.npz") for rank in range(2))
    assert first.files == second.files == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(first[key], second[key], err_msg=f"{key}: the two processes differ")
        if key.startswith("labels"):
            np.testing.assert_array_equal(first[key], value)
        elif key.startswith("losses"):
            assert len(value) >= 4 and largest_difference(first[key], value) < 1e-5, key
        else:
            assert first[key].shape == value.shape and largest_difference(first[key], value) < 5e-4, key


def test_too_few_clusters_are_the_same_error_everywhere(two):
    """Told once: the other process knows that it need not."""
    assert [(two / f"error {rank}.txt").read_text() for rank in range(2)] == [
        "ClusteringError False",
        "ClusteringError True",
    ]


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc, which only Linux has")
def test_a_process_that_is_killed_ends_the_job_with_a_sentence(folder, tmp_path):
    """Within a minute, and the run goes on from its last checkpoint afterwards."""
    arguments = ["-m", "reunite", "train", "cluster-contrast-small", folder / "data", "--out", tmp_path / "run"]
    changes = (
        "rounds=200",
        "clusterer.k1=8",
        "clusterer.k2=3",
        "clusterer.min_samples=3",
        "encoder.image_size=(32, 16)",
    )
    settings = ["--device", "cpu", *(each for change in changes for each in ("--set", change))]
    job = launched(2, *arguments, *settings)
    checkpoints = tmp_path / "run" / "checkpoints"
    deadline = time.monotonic() + 120
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())) and time.monotonic() < deadline:
        assert job.poll() is None, job.stdout and job.stdout.read()
        time.sleep(0.1)
    victim = children(job.pid)[1]
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    printed, _ = job.communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert job.returncode != 0
    assert "another process of this job has ended" in printed or "Signal 9" in printed, printed
