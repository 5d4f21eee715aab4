"""`python -m benchmarks.train` at its smallest: what it prints hangs together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from benchmarks import train as program
from reunite.losses import ClusterMemory, InstanceMemory
from reunite.model import EncoderSpec

CPU = torch.device("cpu")
IMAGES = 320
RATE = 1e12  # operations per second, made up


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two rounds of two steps, batches of 8 x 8 images of 64 x 32."""
    encoder = replace(program.SMALL, image_size=(64, 32))
    recipe = replace(program.small(rounds=2, iterations=2), encoder=encoder)
    images = program.coloured_noise(tmp_path_factory.mktemp("images"), IMAGES, 64, 32)
    return program.measured(recipe, images, Accelerator(cpu=True), rate=RATE)


def test_clusters_are_found_for_whole_batches(measured):
    assert [len(found.tracklets) for found in measured.rounds] == [IMAGES, IMAGES]
    assert all(found.clusters.count >= 8 for found in measured.rounds)


def test_stages_sum_up(measured):
    for found in measured.rounds:
        parts = sum(found.seconds[name] for name in ("data", "forward", "backward", "update", "keep"))
        assert found.seconds["train"] == pytest.approx(parts, abs=0.004)  # each is rounded to a millisecond
        assert found.images_per_second * found.seconds["train"] == pytest.approx(2 * 64, rel=0.02)


def test_shares_are_of_operations_in_seconds(measured):
    for found in measured.rounds:
        spent = found.seconds["forward"] + found.seconds["backward"]
        share = measured.share(found, "forward", "backward")
        assert share * spent * RATE == pytest.approx(measured.operations * 2 * 64, rel=0.02)
        assert 0 < measured.share(found, "train") <= share < 1


def test_operations_are_those_of_the_convolutions(measured):
    """A multiplication and an addition are two; backward is twice forward, but nobody asks for the gradient of pixels."""
    encoder, counted = measured.rounds[-1].encoder.eval(), []

    def count(layer: nn.Conv2d, given: tuple[torch.Tensor], made: torch.Tensor) -> None:
        height, width = layer.kernel_size
        forward = 2 * made.numel() * layer.in_channels // layer.groups * height * width
        counted.append(forward * (3 if counted else 2))

    hooks = [each.register_forward_hook(count) for each in encoder.modules() if isinstance(each, nn.Conv2d)]
    with torch.no_grad():
        encoder(torch.zeros(1, 64, 32, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    loss = 2 * 2 * measured.rounds[-1].clusters.count * encoder.dimensions  # the memory has no gradient
    assert measured.operations == sum(counted) + loss


def test_the_table_shows_every_round(measured):
    lines = measured.lines()
    assert len({len(line) for line in lines}) == 1
    cells = {row[1].strip(): row[2:-1] for row in (line.split("|") for line in lines[2:])}
    assert all(len(row) == 2 for row in cells.values())
    for place, found in enumerate(measured.rounds):
        assert float(cells["train"][place].split()[0]) == pytest.approx(found.seconds["train"], abs=0.006)
        assert float(cells["of train: backward"][place].split()[0]) == pytest.approx(
            found.seconds["backward"], abs=0.006
        )
        assert 0 <= float(cells["share waiting for data"][place].split()[0]) <= 100
        embedded = float(cells["images/s, embedding"][place].replace(",", ""))
        assert embedded * found.seconds["embed"] == pytest.approx(IMAGES, abs=0.51 * found.seconds["embed"] + 1e-6)
    assert "peak memory, device" not in cells


@pytest.mark.parametrize("images", [1_000, 1_013])  # whole clusters, and one of 13
def test_memories_hold_what_they_say(images):
    clusters, dimensions = -(-images // 20), 64
    small = program.memory_of(ClusterMemory(), images, dimensions, CPU)
    large = program.memory_of(InstanceMemory(), images, dimensions, CPU)
    assert small.held == clusters * dimensions * 4
    of_labels = (images + clusters) * 8
    assert large.held == images * dimensions * 4 + clusters * dimensions * 4 + of_labels
    assert small.seconds > 0 and large.seconds > 0


def test_batches_are_of_clusters():
    for rows in program._batches(1_013, 51):
        clusters, counts = (rows // 20).unique(return_counts=True)
        assert len(clusters) == 16 and (counts == 16).all() and rows.max() < 1_013


def test_beginning_an_instance_memory_needs_copies_of_all_embeddings():
    images, dimensions = 20_000, 256
    found = program.memory_of(InstanceMemory(), images, dimensions, CPU)
    of_embeddings = images * dimensions * 4
    assert np.isnan(found.begin) or of_embeddings < found.begin < (program.COPIES - 1) * of_embeddings


def test_a_memory_that_does_not_fit_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(program, "available_bytes", lambda: 4 * 64 * 2_000)
    cluster, instance = program.memories([1_000], 64, CPU)
    assert cluster[0] == "ClusterMemory, 50 rows" and cluster[-1].endswith("s")
    assert instance[:2] == ["InstanceMemory, 1,000 rows", "1,000"] and instance[2:5] == ["", "", ""]
    assert instance[-1].startswith("begin needs")


def test_the_program_prints_its_table(capsys, monkeypatch):
    monkeypatch.setattr(program, "SMALL", EncoderSpec("conv4", pretrained=False, image_size=(32, 32), last_stride=2))
    monkeypatch.setattr(program, "matrix_rate", lambda device, bfloat16: RATE)
    program.main(["--rounds", "1", "--iterations", "1", "--images", "160"])
    printed = capsys.readouterr().out
    assert "8 x 8 a batch, 1 steps a round, 160 images, float32" in printed
    assert "matrix rate 1,000 GFLOP/s" in printed and "| images/s, training" in printed


def test_the_program_prints_memories(capsys):
    program.main(["--memories", "--sizes", "400", "800", "--dimensions", "32"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| Cluster", "| Instance"))]
    assert [row.split("|")[1].strip() for row in rows] == [
        "ClusterMemory, 20 rows",
        "InstanceMemory, 400 rows",
        "ClusterMemory, 40 rows",
        "InstanceMemory, 800 rows",
    ]


def test_full_is_the_published_size():
    recipe = program.full(rounds=3, iterations=200)
    assert (recipe.encoder.backbone, recipe.encoder.last_stride, recipe.encoder.image_size) == (
        "resnet50",
        1,
        (256, 128),
    )
    assert (recipe.batches.identities, recipe.batches.images, recipe.bn_group_size) == (16, 16, 64)
