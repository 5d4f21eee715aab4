"""Batch norm by groups, against separate networks that each see one group: what several GPUs do."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from reunite.errors import InputError
from reunite.model.batch_norm import group_batch_norm


def network() -> nn.Sequential:
    torch.manual_seed(0)
    # In float64: a product of twelve rows and three of four differ in the last bits of whatever precision there is.
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.BatchNorm1d(5)
    ).double()


def test_each_contiguous_group_is_normalised_as_if_alone():
    whole, inputs = network(), torch.randn(12, 3, 8, 8, dtype=torch.float64)
    alone = [copy.deepcopy(whole)(chunk) for chunk in inputs.split(4)]
    together = group_batch_norm(copy.deepcopy(whole), 4)(inputs)
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)
    assert not torch.allclose(together, whole(inputs), atol=1e-3), "one group of twelve is something else"


def test_gradients_equal_those_of_the_separate_networks():
    inputs = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    separate, grouped = network(), group_batch_norm(network(), 4)
    torch.cat([separate(chunk) for chunk in inputs.split(4)]).pow(3).sum().backward()
    grouped(inputs).pow(3).sum().backward()
    for mine, theirs in zip(grouped.parameters(), separate.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("running", ["first", "mean"])
def test_running_statistics(running):
    inputs = torch.randn(12, 3, 8, 8, dtype=torch.float64) * torch.arange(1, 13).view(12, 1, 1, 1)
    grouped = group_batch_norm(network(), 4, running)
    grouped(inputs)
    replicas = [network() for _ in range(3)]
    for replica, chunk in zip(replicas, inputs.split(4), strict=True):
        replica(chunk)
    kept = replicas[:1] if running == "first" else replicas
    for place in (1, 5):
        expected = torch.stack([replica[place].running_var for replica in kept]).mean(dim=0)
        torch.testing.assert_close(grouped[place].running_var, expected)
        assert int(grouped[place].num_batches_tracked) == 1


def test_evaluation_and_names_are_those_of_the_plain_network():
    plain, grouped = network(), group_batch_norm(network(), 4)
    assert plain.state_dict().keys() == grouped.state_dict().keys()
    inputs = torch.randn(6, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(plain.eval()(inputs), grouped.eval()(inputs))
    assert torch.equal(copy.deepcopy(grouped)(inputs), grouped(inputs))


def test_a_batch_that_fits_one_group_is_untouched():
    inputs = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(network()(inputs), group_batch_norm(network(), 64)(inputs))


def test_timm_layers_that_join_norm_and_activation_are_grouped_too():
    plain = timm.create_model("mobilenetv2_050", num_classes=0, pretrained=False)
    inputs = torch.randn(4, 3, 64, 64)
    expected = torch.cat([copy.deepcopy(plain)(chunk) for chunk in inputs.split(2)])
    torch.testing.assert_close(group_batch_norm(plain, 2)(inputs), expected)


@pytest.mark.parametrize(("size", "running", "words"), [(1, "first", "at least 2"), (4, "last", "bn_running")])
def test_bad_settings_are_named(size, running, words):
    with pytest.raises(InputError, match=words):
        group_batch_norm(network(), size, running)
