from __future__ import annotations

import dataclasses
import errno
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from reunite.errors import RunError, TrainingError
from reunite.images.tracklets import each_alone
from reunite.model import Encoder, EncoderSpec
from reunite.recipes import cluster_contrast_small
from reunite.train import Round
from reunite.train.checkpoint import Checkpoint, Unfinished
from reunite.train.run import Run, training_units
from reunite.types import Images

SPEC = EncoderSpec("conv4", pretrained=False, image_size=(32, 16), last_stride=2)
RECIPE = dataclasses.replace(cluster_contrast_small(), encoder=SPEC)
FACTS = {"path": "somewhere", "name": "small"}


def made(number: int, paths=("a.jpg", "b é.jpg", "c\nd.jpg")) -> Round:
    torch.manual_seed(number)
    encoder = SPEC.build()
    optimizer = torch.optim.Adam(encoder.parameters())
    encoder(torch.rand(2, 3, 32, 16)).sum().backward()
    optimizer.step()
    labels = np.array([0, 0, -1])
    seconds = {"embed": 1.0, "cluster": 2.0, "train": 3.0}
    rows = np.eye(3, 4, dtype=np.float32)
    return Round(
        number, encoder, each_alone(Images.of(paths)), (), rows, labels, 0.5, 1e-3, seconds, nn.Identity(), optimizer
    )


def test_a_saved_run_opens_with_everything(tmp_path):
    run = Run.create(tmp_path / "run", RECIPE, seed=3, data="abc", facts=FACTS)
    rounds = [made(0), made(1)]
    for each in rounds:
        run.save(each, {"mAP": 0.25 * each.number})
    opened = Run.open(tmp_path / "run")
    assert [line["round"] for line in opened.history()] == [0, 1]
    assert (
        opened.history()[1] | {"mAP": 0.25, "clusters": 1, "noise": 1, "images": 3, "loss": 0.5} == opened.history()[1]
    )
    assert np.array_equal(opened.labels(1), rounds[1].labels)
    batch = torch.rand(2, 3, 32, 16)
    assert torch.equal(opened.encoder()(batch), rounds[1].encoder.eval()(batch))
    assert opened.spec == SPEC
    assert not list((tmp_path / "run").rglob("*.part"))


def test_equal_states_are_equal_files(tmp_path):
    for name in "abcdef":
        made(0).checkpoint().save(tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcdef"}) == 1


def test_a_checkpoint_brings_optimizer_and_weights_back(tmp_path):
    before = made(0)
    before.checkpoint().save(tmp_path / "c.safetensors")
    loaded, after = Checkpoint.load(tmp_path / "c.safetensors"), made(7)
    assert loaded.number == 0
    assert np.array_equal(loaded.labels, before.labels)
    loaded.restore(after.encoder, after.loss_module)
    loaded.restore_optimizer(after.optimizer)
    for one, other in zip(before.encoder.state_dict().values(), after.encoder.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    expected, found = before.optimizer.state_dict()["state"], after.optimizer.state_dict()["state"]
    assert all(torch.equal(expected[place][name], found[place][name]) for place in expected for name in expected[place])


def test_a_stop_between_scores_and_checkpoint_loses_only_that_round(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", RECIPE, seed=0, data="abc", facts=FACTS)
    run.save(made(0), {})

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run.save(made(1), {})
    monkeypatch.undo()
    assert [line["round"] for line in run.history()] == [0]
    assert run.checkpoint().number == 0
    run.save(made(1), {"mAP": 0.5})
    assert [line["round"] for line in run.history()] == [0, 1]


def test_the_same_run_is_continued_and_another_is_refused_with_the_difference(tmp_path):
    create = {"seed": 0, "data": "abc", "facts": FACTS}
    Run.create(tmp_path / "run", RECIPE, **create)
    assert Run.create(tmp_path / "run", RECIPE, **create).about["seed"] == 0
    with pytest.raises(RunError, match="another seed: it was '0', now it is '1'"):
        Run.create(tmp_path / "run", RECIPE, **create | {"seed": 1})
    with pytest.raises(RunError, match="another data"):
        Run.create(tmp_path / "run", RECIPE, **create | {"data": "abd"})
    with pytest.raises(RunError, match=r"it was 'rounds=20,', now it is 'rounds=21,'"):
        Run.create(tmp_path / "run", dataclasses.replace(RECIPE, rounds=21), **create)


def test_folders_that_are_no_runs_are_a_sentence(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path)
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(RunError, match="another --out"):
        Run.create(tmp_path, RECIPE, seed=0, data="", facts={})
    assert (tmp_path / "precious.txt").read_text() == "mine"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        Run.open(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RunError, match="format 99"):
        Run.open(tmp_path / "run")


def test_a_damaged_checkpoint_and_one_that_does_not_fit_are_a_sentence(tmp_path):
    run = Run.create(tmp_path / "run", RECIPE, seed=0, data="abc", facts=FACTS)
    with pytest.raises(RunError, match="no finished round"):
        run.encoder()
    run.save(made(0), {})
    other = Run(run.folder, {**run.about, "encoder": {**run.about["encoder"], "backbone": "resnet18"}})
    with pytest.raises(RunError, match="does not fit"):
        other.encoder()
    (path,) = (run.folder / "checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match="cannot be read"):
        run.encoder()


class Bomb:
    """Unpickling it would leave a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_a_bomb_a_flipped_bit_and_weights_that_are_no_numbers_are_refused(tmp_path):
    path = tmp_path / "00000.safetensors"
    made(0).checkpoint().save(path)
    whole = path.read_bytes()
    for at in (300, len(whole) // 2, len(whole) - 1):  # in the header, in a weight, in the last tensor
        flipped = bytearray(whole)
        flipped[at] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(RunError, match=r"damaged|cannot be read|format"):
            Checkpoint.load(path)
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(RunError, match="cannot be read"):
        Checkpoint.load(path)
    torch.save({"state": Bomb(tmp_path / "exploded")}, path)
    with pytest.raises(RunError, match="cannot be read"):
        Checkpoint.load(path)
    assert not (tmp_path / "exploded").exists()
    broken = made(0)
    state = broken.checkpoint()
    next(iter(state.tensors.values())).view(-1)[0] = torch.nan
    state.save(path)
    with pytest.raises(RunError, match=r"not numbers \(NaN or infinite: encoder"):
        Checkpoint.load(path)
    next(broken.encoder.parameters()).data.view(-1)[0] = torch.inf
    with pytest.raises(TrainingError, match="Round 0: weights are no longer numbers"):
        broken.checkpoint()


def unfinished(number: int, steps: int) -> Checkpoint:
    done = Unfinished(np.ones(steps, np.float32), np.eye(3, 4, dtype=np.float32), {"embed": 1.0})
    return dataclasses.replace(made(number).checkpoint(), unfinished=done)


def names(run: Run) -> list[str]:
    return sorted(each.name.split(".")[0] for each in (run.folder / "checkpoints").iterdir())


def test_the_last_two_checkpoints_and_the_last_finished_round_are_kept(tmp_path):
    run = Run.create(tmp_path / "run", RECIPE, seed=0, data="abc", facts=FACTS)
    run.keep(unfinished(0, 2))
    assert names(run) == ["00000-0000002"] and run.history() == []
    run.save(made(0), {})
    run.save(made(1), {})
    assert names(run) == ["00000", "00001"]
    for steps in (3, 6, 9):
        run.keep(unfinished(2, steps))
    assert names(run) == ["00001", "00002-0000006", "00002-0000009"]
    assert [line["round"] for line in run.history()] == [0, 1]
    latest = run.checkpoint()
    assert (latest.number, latest.step, latest.unfinished.seconds) == (2, 9, {"embed": 1.0})
    for one, other in zip(run.encoder().state_dict().values(), made(1).encoder.state_dict().values(), strict=True):
        assert torch.equal(one, other), "that of the last finished round"
    damaged = []
    (run.folder / "checkpoints" / "00002-0000009.safetensors").write_bytes(b"")
    assert run.checkpoint(damaged.append).step == 6
    assert len(damaged) == 1 and "00002-0000009" in damaged[0]
    with pytest.raises(RunError, match="cannot be read"):
        run.checkpoint()
    for each in (run.folder / "checkpoints").iterdir():
        each.write_bytes(b"")
    with pytest.raises(RunError, match="cannot be read"):
        run.checkpoint(damaged.append)


def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", RECIPE, seed=0, data="abc", facts=FACTS)
    run.save(made(0), {})

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules[Checkpoint.__module__], "save_file", full)
    with pytest.raises(
        RunError, match=r"no room for the checkpoint of round 1 in .* it goes on from 00000\.safetensors"
    ):
        run.save(made(1), {})
    assert names(run) == ["00000"] and run.checkpoint().number == 0
    monkeypatch.undo()
    run.save(made(1), {})
    assert [line["round"] for line in run.history()] == [0, 1]


def test_a_disk_that_is_really_full(tmp_path):
    """As the one before, on a file system of twelve megabytes: whatever the library that writes does about it."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        run = Run.create(small / "run", RECIPE, seed=0, data="abc", facts=FACTS)
        run.save(made(0), {})
        (small / "filler").write_bytes(bytes(shutil.disk_usage(small).free - 4096))
        with pytest.raises(RunError, match="no room"):
            run.save(made(1), {})
        assert run.checkpoint().number == 0
        (small / "filler").unlink()
        run.save(made(1), {})
        assert run.checkpoint().number == 1
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_training_units_come_back_in_their_order(tmp_path):
    run = Run.create(tmp_path / "run", RECIPE, seed=0, data="abc", facts=FACTS)
    run.save(made(0), {})
    images = Images.of(["x.jpg", "c\nd.jpg", "b é.jpg", "a.jpg"], identity=[9, 3, 2, 1])
    assert training_units(run, images).heads.identity.tolist() == [1, 2, 3]
    with pytest.raises(RunError, match="another data set"):
        training_units(run, Images.of(["a.jpg"]))


def test_the_encoder_of_a_run_needs_no_first_weights(tmp_path):
    spec = dataclasses.replace(SPEC, weights="gone.safetensors")
    run = Run.create(tmp_path / "run", dataclasses.replace(RECIPE, encoder=spec), seed=0, data="", facts=FACTS)
    run.save(made(0), {})
    assert isinstance(run.encoder(), Encoder)
