"""Schedules against the sentences they come from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reunite.errors import InputError
from reunite.train import SGD, Adam


def rates(optimizer, *epochs):
    return [optimizer.rate(epoch) for epoch in epochs]


def test_cluster_contrast_falls_every_twenty_epochs():
    assert rates(Adam(), 0, 19, 20, 39, 40) == pytest.approx([3.5e-4, 3.5e-4, 3.5e-5, 3.5e-5, 3.5e-6])
    assert rates(Adam(step=None), 0, 1000) == [3.5e-4, 3.5e-4]


def test_buc_falls_once_at_epoch_sixteen_of_the_first_round_and_stays_there():
    """Its later rounds begin at 0.01 for new layers and 0.001 for the backbone, which is where the first one ended."""
    sgd = SGD(lr=0.01, head_factor=10.0, step=(16,))
    assert rates(sgd, 0, 15, 16, 19, 20, 55) == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.001, 0.001])


def test_the_strong_baseline_warms_up_and_falls_twice():
    adam = Adam(lr=3.5e-4, step=(40, 70), warmup=10)
    assert rates(adam, 0, 5, 10, 39, 40, 70, 119) == pytest.approx(
        [3.5e-6, 3.5e-4 * (0.01 + 0.99 * 0.5), 3.5e-4, 3.5e-4, 3.5e-5, 3.5e-6, 3.5e-6]
    )


def test_support_neighbor_decays_from_epoch_76_to_a_thousandth():
    adam = Adam(lr=5e-5, step=None, decay=(76, 800))
    for epoch in (1, 75, 76, 400, 800):  # counted from 1, as its program does
        expected = 5e-5 if epoch < 76 else 5e-5 * 0.001 ** ((epoch + 1 - 76) / (800 + 1 - 76))
        assert adam.rate(epoch - 1) == pytest.approx(expected, rel=1e-12)
    assert adam.rate(799) == pytest.approx(5e-8)


@pytest.mark.parametrize("kind", [Adam, SGD])
def test_the_head_learns_faster_and_frozen_parameters_not_at_all(kind):
    backbone, head = nn.Linear(2, 2), nn.Linear(2, 2)
    backbone.bias.requires_grad_(False)
    optimizer = kind(lr=0.1, head_factor=10.0).build(backbone.parameters(), head.parameters())
    slow, fast = optimizer.param_groups
    assert (slow["lr"], fast["lr"]) == (0.1, 1.0)
    assert (slow["scale"], fast["scale"]) == (1.0, 10.0)
    assert [each is backbone.weight for each in slow["params"]] == [True]
    assert len(fast["params"]) == 2
    assert slow["weight_decay"] == fast["weight_decay"] == 5e-4


def test_sgd_is_torchs_with_nesterov_momentum():
    group = SGD().build(nn.Linear(2, 2).parameters()).param_groups[0]
    assert (group["momentum"], group["nesterov"], group["lr"]) == (0.9, True, 0.01)
    assert isinstance(SGD().build(nn.Linear(2, 2).parameters()), torch.optim.SGD)


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (Adam, {"lr": 0}, "lr > 0"),
        (Adam, {"head_factor": 0}, "head_factor > 0"),
        (Adam, {"step": 0}, "step must be epochs"),
        (Adam, {"step": (40, 20)}, "ascending"),
        (Adam, {"decay": (5, 4)}, "first <= last"),
        (Adam, {"warmup": -1}, "warmup"),
        (SGD, {"momentum": 1.0}, "momentum"),
        (SGD, {"momentum": 0.0}, "nesterov"),
    ],
)
def test_bad_settings_are_named(kind, settings, words):
    with pytest.raises(InputError, match=words):
        kind(**settings)
