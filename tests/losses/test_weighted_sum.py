from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.cluster import ClusterLoss
from reunite.losses.identity import IdentityLoss
from reunite.losses.instance_memory import InstanceMemory
from reunite.losses.memory import ClusterMemory
from reunite.losses.repelled import RepelledTable
from reunite.losses.triplet import BatchHardTripletLoss
from reunite.losses.weighted_sum import WeightedSum

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


class Features:
    """A made-up batch as an encoder sees it, and the round it belongs to."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.embedding = torch.randn(6, 4, generator=generator, dtype=torch.float64)
        self.unit = nn.functional.normalize(self.embedding, dim=1)
        self.pooled = torch.randn(6, 9, generator=generator, dtype=torch.float64)
        self.all = torch.randn(12, 4, generator=generator, dtype=torch.float64)
        self.labels = torch.arange(12) % 3
        self.centroids = torch.stack([self.all[self.labels == label].mean(dim=0) for label in range(3)])

    def begin(self, loss: nn.Module, **more: Tensor) -> None:
        loss.begin(self.centroids, embeddings=self.all, labels=self.labels, previous=self.labels, **more)

    @property
    def more(self) -> dict[str, Tensor]:
        return {"embedding": self.embedding, "pooled": self.pooled}


class Recorder(nn.Module):
    """Writes down what each verb was given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, Any] = {}

    def begin(self, centroids: Tensor, labels: Tensor, previous: Tensor) -> None:
        self.calls["begin"] = centroids, labels, previous

    def forward(self, embeddings: Tensor, labels: Tensor, rows: Tensor | None = None) -> Tensor:
        self.calls["forward"] = embeddings, labels, rows
        return embeddings.sum()

    def update(self, embeddings: Tensor, labels: Tensor, rows: Tensor, host_labels: Tensor) -> None:
        self.calls["update"] = embeddings, labels, rows, host_labels


def same(given: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> bool:
    return len(given) == len(expected) and all(one is other for one, other in zip(given, expected, strict=True))


def test_value_and_gradient_are_the_sum_by_hand():
    batch = Features()
    identity, triplet, memory = IdentityLoss(), BatchHardTripletLoss(0.3), ClusterMemory(temperature=0.5)
    total = WeightedSum((identity, triplet, memory), (1.0, 0.5, 2.0), ("embedding", "pooled", "unit"))
    torch.manual_seed(0)
    batch.begin(total)
    unit, embedding, pooled = (each.requires_grad_() for each in (batch.unit, batch.embedding, batch.pooled))
    value = total(unit, LABELS, embedding=embedding, pooled=pooled)
    by_hand = identity(embedding, LABELS) + 0.5 * triplet(pooled, LABELS) + 2 * memory(unit, LABELS)
    assert value.item() == pytest.approx(by_hand.item(), rel=1e-12)
    parameters = (unit, embedding, pooled, identity.weight)
    for one, other in zip(
        torch.autograd.grad(value, parameters), torch.autograd.grad(by_hand, parameters), strict=True
    ):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert [name for name, _ in total.named_parameters()] == ["terms.0.weight"]


def test_weights_and_features_default_to_one_and_the_unit_embedding():
    batch = Features()
    losses = ClusterLoss(0.3), BatchHardTripletLoss(0.3)
    by_hand = losses[0](batch.unit, LABELS) + losses[1](batch.unit, LABELS)
    total = WeightedSum(losses)
    assert (total.losses, total.weights, total.features) == (losses, (1.0, 1.0), ("unit", "unit"))
    assert total(batch.unit, LABELS).item() == pytest.approx(by_hand.item(), rel=1e-12)


@pytest.mark.parametrize("feature", ["unit", "embedding"])
def test_every_verb_gets_its_feature_and_what_it_names(feature):
    batch, seen = Features(), Recorder()
    total = WeightedSum([seen], features=[feature])
    rows, host = torch.arange(6), LABELS.clone()
    batch.begin(total)
    total(batch.unit, LABELS, rows=rows, **batch.more)
    total.update(batch.unit, LABELS, rows=rows, host_labels=host, **batch.more)
    own = getattr(batch, feature)
    assert same(seen.calls["begin"], (batch.centroids, batch.labels, batch.labels))
    assert same(seen.calls["forward"], (own, LABELS, rows))
    assert same(seen.calls["update"], (own, LABELS, rows, host))


@pytest.mark.parametrize("make", [ClusterMemory, RepelledTable, InstanceMemory])
@pytest.mark.parametrize("feature", ["unit", "embedding"])
def test_a_memory_inside_a_sum_is_the_memory_alone(make, feature):
    batch, alone, inside = Features(), make(temperature=0.5), make(temperature=0.5)
    total = WeightedSum((BatchHardTripletLoss(), inside), (0.5, 1.0), ("pooled", feature))
    rows, own = torch.tensor([0, 3, 1, 4, 2, 5]), getattr(batch, feature)
    batch.begin(total)
    alone.begin(batch.centroids, *((batch.all, batch.labels) if make is InstanceMemory else ()))
    for _ in range(3):
        by_hand = 0.5 * BatchHardTripletLoss()(batch.pooled, LABELS) + alone(own, LABELS)
        assert total(batch.unit, LABELS, rows=rows, **batch.more).item() == pytest.approx(by_hand.item(), rel=1e-12)
        before = inside.memory.clone()
        total.update(batch.unit, LABELS, rows=rows, host_labels=LABELS, **batch.more)
        alone.update(own, LABELS, **({"rows": rows} if make is InstanceMemory else {}))
        assert torch.equal(inside.memory, alone.memory)
        assert not torch.equal(inside.memory, before)


def test_a_sum_in_a_sum_is_a_sum():
    batch, rows = Features(), torch.tensor([0, 3, 1, 4, 2, 5])
    inner = WeightedSum((BatchHardTripletLoss(), InstanceMemory(0.5)), (1.0, 2.0), ("pooled", "unit"))
    flat = WeightedSum((BatchHardTripletLoss(), InstanceMemory(0.5)), (3.0, 6.0), ("pooled", "unit"))
    values = []
    for total in (WeightedSum((inner,), (3.0,)), flat):
        batch.begin(total)
        total.update(batch.unit, LABELS, rows=rows, **batch.more)
        values.append(total(batch.unit, LABELS, **batch.more).item())
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_a_loss_with_weight_zero_is_left_out():
    batch, seen = Features(), Recorder()
    total = WeightedSum((seen, BatchHardTripletLoss()), (0.0, 1.0), ("pooled", "unit"))
    batch.begin(total)
    assert total(batch.unit, LABELS).item() == BatchHardTripletLoss()(batch.unit, LABELS).item()
    total.update(batch.unit, LABELS)
    assert seen.calls == {}


def test_a_missing_feature_is_asked_for_by_name():
    batch = Features()
    total = WeightedSum([ClusterMemory()], features=["embedding"])
    batch.begin(total)
    for call in (total, total.update):
        with pytest.raises(InputError, match="works on 'embedding': pass embedding="):
            call(batch.unit, LABELS)
    with pytest.raises(InputError, match="works on 'pooled': pass pooled="):
        WeightedSum([ClusterLoss()], features=["pooled"])(batch.unit, LABELS)


def test_what_starts_from_clusters_cannot_work_before_the_neck():
    for loss in (ClusterMemory(), IdentityLoss(), InstanceMemory(), RepelledTable()):
        with pytest.raises(InputError, match=f"{type(loss).__name__} starts from clusters"):
            WeightedSum([loss], features=["pooled"])


def test_half_precision_gives_a_finite_float32_loss():
    batch = Features()
    total = WeightedSum(
        (IdentityLoss(), BatchHardTripletLoss(0.3), ClusterMemory()), features=("embedding", "pooled", "unit")
    )
    total.begin(batch.centroids.float())
    half = {name: each.half() for name, each in batch.more.items()}
    value = total(batch.unit.half(), LABELS, **half)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)


def test_losses_of_pytorch_metric_learning_fit_in():
    theirs = pytest.importorskip("pytorch_metric_learning.losses")
    batch = Features()
    triplet, proxies = theirs.TripletMarginLoss(margin=0.3), theirs.ProxyAnchorLoss(num_classes=3, embedding_size=4)
    proxies.double()
    total = WeightedSum((triplet, proxies, IdentityLoss()), (1.0, 0.5, 1.0), ("pooled", "unit", "embedding"))
    torch.manual_seed(0)
    batch.begin(total)
    by_hand = (
        triplet(batch.pooled, LABELS) + 0.5 * proxies(batch.unit, LABELS) + total.losses[2](batch.embedding, LABELS)
    )
    value = total(batch.unit, LABELS, rows=torch.arange(6), **batch.more)
    assert value.item() == pytest.approx(by_hand.item(), rel=1e-12)
    value.backward()
    assert proxies.proxies.grad.any()
    total.update(batch.unit, LABELS, rows=torch.arange(6), **batch.more)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((),), "one or more torch modules"),
        ((ClusterLoss(),), "a tuple of torch modules; got one ClusterLoss"),
        (((torch.sum,),), "one or more torch modules"),
        (((ClusterLoss(),), (1.0, 2.0)), "1 losses need as many weights and features; got 2 and 1"),
        (((ClusterLoss(), ClusterLoss()), None, ("unit",)), "got 2 and 1"),
        (((ClusterLoss(),), (-1.0,)), "weights must be 0 or more"),
        (((ClusterLoss(),), (float("nan"),)), "weights must be 0 or more"),
        (((ClusterLoss(), ClusterLoss()), (0.0, 0.0)), "not all 0"),
        (((ClusterLoss(),), None, ("raw",)), "'unit' or 'embedding' or 'pooled'; got \\('raw',\\)"),
    ],
)
def test_bad_settings_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        WeightedSum(*arguments)
