"""TensorBoard gets what scores.jsonl has."""

from __future__ import annotations

import importlib.util

import pytest

from reunite.cli.board import write_board

LINE = {"round": 3, "loss": 0.5, "seconds_train": 2.0, "peak_memory": 1000, "mAP": 0.25, "note": "text"}


def test_a_round_becomes_a_point_on_every_curve(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is optional and not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_board(tmp_path / "board", LINE)
    write_board(tmp_path / "board", {**LINE, "round": 4, "loss": 0.25})
    log = EventAccumulator(str(tmp_path / "board")).Reload()
    assert set(log.Tags()["scalars"]) == {"loss", "seconds/train", "peak/memory", "mAP"}
    assert [(each.step, each.value) for each in log.Scalars("loss")] == [(3, 0.5), (4, 0.25)]


def test_without_tensorboard_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    write_board(tmp_path / "board", LINE)
    assert not (tmp_path / "board").exists()
