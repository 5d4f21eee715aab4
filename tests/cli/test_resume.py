"""A run that is killed, again and again, ends where one that ran through ends: the same bytes."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from oracles import dies
from reunite import render_walkers
from reunite.train.checkpoint import Checkpoint

STAGES = ("embedding", "clustering", "step", "writing", "testing")
KILLS = int(os.environ.get("REUNITE_KILLS", "3"))
"""How often the run is killed. REUNITE_KILLS=20 takes two minutes."""

QUICK = (
    "--device", "cpu", "--evaluate-every", "1", "--checkpoint-minutes", "0", "--set", "rounds=4",
    "--set", "encoder.image_size=(32, 16)", "--set", "batches.iterations=4", "--set", "batches.identities=4",
    "--set", "batches.images=4", "--set", "clusterer.k1=8", "--set", "clusterer.min_samples=3", "--set", "clusterer.k2=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walkers") / "data"
    render_walkers(folder, identities=24, cameras=2, images=4, seed=0)
    return folder


def left_by(run: Path) -> dict[str, object]:
    """Weights, labels and scores of a run, without what the clock and the machine say."""
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    told = ("seconds_", "peak_", "images_per_second")
    return {
        "weights": sorted((run / "checkpoints").iterdir())[-1].read_bytes(),
        "labels": [each.read_bytes() for each in sorted((run / "labels").iterdir())],
        "scores": [{name: value for name, value in line.items() if not name.startswith(told)} for line in lines],
        "before": (run / "before.json").read_bytes(),
    }


def program(stage: str, count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, dies.__file__, stage, str(count), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_killed_at_random_moments_it_ends_in_the_same_place(walkers, tmp_path):
    """Each kill hits the run that the one before left; a moment that never comes lets it end early, which is checked."""
    train = ("train", "cluster-contrast-small", walkers)
    whole = program("nothing", 0, *train, "--out", tmp_path / "whole", *QUICK)
    assert whole.returncode == 0, whole.stderr
    expected = left_by(tmp_path / "whole")
    chance = random.Random(0)
    deaths: dict[str, int] = dict.fromkeys(STAGES, 0)
    out = tmp_path / "killed"
    for kill in range(KILLS):
        stage = STAGES[kill % len(STAGES)]
        most = {"step": 6, "writing": 6}.get(stage, 1 if kill else 2)
        ended = program(stage, chance.randint(1, most), *train, "--out", out, *QUICK)
        assert ended.returncode in (-9, 0), ended.stderr
        deaths[stage] += ended.returncode == -9
        if ended.returncode == 0 or kill % 10 == 9:  # so that late kills do not all meet a finished run
            last = program("nothing", 0, *train, "--out", out, *QUICK)
            assert last.returncode == 0 and left_by(out) == expected
            out = tmp_path / f"killed{kill}"
    last = program("nothing", 0, *train, "--out", out, *QUICK)
    assert last.returncode == 0, last.stderr
    assert left_by(out) == expected
    assert not list(out.rglob("*.part")), "what killed processes left is removed"
    assert sum(deaths.values()) >= KILLS * 3 // 4, deaths


def test_a_learning_rate_that_explodes_names_round_step_and_the_last_good_checkpoint(walkers, tmp_path):
    ended = program("nothing", 0, "train", "cluster-contrast-small", walkers, "--out", tmp_path / "run", *QUICK, "--set",
                    "optimizer.lr=1e20")  # fmt: skip
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    found = re.search(
        r"Round (\d+), step (\d+): (?:the loss is|weights are no longer).*The last good checkpoint is (\S+)\.$", line
    )
    assert found, line
    assert Checkpoint.load(Path(found.group(3))).number <= int(found.group(1))
