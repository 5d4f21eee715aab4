from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reunite.losses.cluster import ClusterLoss
from reunite.losses.identity import IdentityLoss
from reunite.losses.instance_memory import InstanceMemory
from reunite.losses.memory import ClusterMemory
from reunite.losses.protocol import Begins, Updates, ask, asked
from reunite.losses.repelled import RepelledTable
from reunite.losses.support_neighbor import SupportNeighborLoss
from reunite.losses.triplet import BatchHardTripletLoss
from reunite.losses.weighted_sum import WeightedSum

OFFERED = {"rows": torch.tensor([3]), "pooled": torch.tensor([4]), "host_labels": None}


class Outside(nn.Module):
    """A loss by somebody who never heard of ours."""

    def forward(self, embeddings: Tensor, labels: Tensor, pooled: Tensor | None = None) -> Any:
        return embeddings, labels, pooled

    def update(self, embeddings: Tensor, labels: Tensor, *, rows: Tensor) -> Any:
        return embeddings, labels, rows


def plain(embeddings: Tensor, labels: Tensor) -> Any:
    return embeddings, labels


def test_only_what_is_named_is_passed():
    one, two = torch.tensor([1]), torch.tensor([2])
    assert asked(plain, OFFERED) == {}
    assert asked(Outside(), OFFERED) == {"pooled": OFFERED["pooled"]}
    assert asked(Outside().update, OFFERED) == {"rows": OFFERED["rows"]}
    assert ask(plain, one, two, **OFFERED) == (one, two)
    assert ask(Outside(), one, two, **OFFERED) == (one, two, OFFERED["pooled"])
    assert ask(Outside().update, one, two, **OFFERED) == (one, two, OFFERED["rows"])
    assert ask(Outside(), one, two) == (one, two, None)


def test_what_is_not_at_hand_is_passed_as_none():
    assert asked(ClusterMemory().update, OFFERED) == {"host_labels": None}


def test_a_module_is_called_with_its_hooks():
    loss, seen = Outside(), []
    loss.register_forward_hook(lambda module, arguments, result: seen.append(len(result)))
    ask(loss, torch.ones(1), torch.ones(1), **OFFERED)
    assert seen == [3]


def test_a_verb_that_takes_anything_is_given_nothing_it_does_not_name():
    assert asked(lambda embeddings, labels, **anything: None, OFFERED) == {}


@pytest.mark.parametrize(
    ("loss", "begins", "updates"),
    [
        (ClusterMemory(), True, True),
        (RepelledTable(), True, True),
        (InstanceMemory(), True, True),
        (IdentityLoss(), True, False),
        (WeightedSum([ClusterLoss()]), True, True),
        (ClusterLoss(), False, False),
        (BatchHardTripletLoss(), False, False),
        (SupportNeighborLoss(), False, False),
        (Outside(), False, True),
        (nn.CrossEntropyLoss(), False, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_verbs_are_found_by_their_names_and_nothing_is_inherited(loss, begins, updates):
    assert isinstance(loss, Begins) == begins
    assert isinstance(loss, Updates) == updates
    assert Begins not in type(loss).__mro__
    assert Updates not in type(loss).__mro__


@pytest.mark.parametrize(
    "loss", [ClusterMemory(), RepelledTable(), InstanceMemory(), IdentityLoss()], ids=lambda each: type(each).__name__
)
def test_what_our_losses_name_is_what_the_loop_offers(loss):
    """A parameter without default that nobody offers could never be filled."""
    begun = {"embeddings", "labels", "previous"}
    assert set(asked(loss.begin, dict.fromkeys([*begun, "centroids"]))) == set(loss.begin.__annotations__) - {"return"}
    if isinstance(loss, Updates):
        offered = dict.fromkeys(["embeddings", "labels", "host_labels", "rows", "embedding", "pooled"])
        assert set(asked(loss.update, offered)) == set(loss.update.__annotations__) - {"return"}
