from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import metric_losses as oracle
from reunite.errors import InputError
from reunite.losses.support_neighbor import SupportNeighborLoss

ANGLES = np.deg2rad([0, 10, 41, 101, 150, 163, 215, 232, 304])
NINE = torch.from_numpy(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1))
NINE_LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
SQUEEZES = ["range_all", "range_knn", "nearest", "pair", "none"]
SUPPORTS = ["strict", "topk"]


def uneven(seed: int = 0, size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Identities of three, one, two and two images, out of order."""
    rows = np.random.default_rng(seed).standard_normal((8, size))
    return torch.from_numpy(rows), torch.tensor([7, -1, 3, 7, 3, 0, 7, 0])


@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize(
    ("squeeze", "expected"),
    [("none", 0.301546), ("nearest", 0.345236), ("range_knn", 0.355679), ("range_all", 0.355679)],
)
def test_nine_points_in_the_plane_by_hand(squeeze, expected, support):
    loss = SupportNeighborLoss(neighbors=4, alpha=10, weight=0.1, squeeze=squeeze, support=support)
    assert loss(NINE, NINE_LABELS).item() == pytest.approx(expected, abs=1e-6)
    assert loss(5 * NINE, NINE_LABELS).item() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=200)
@given(
    batch=oracle.batches(repeated_rows=False),
    neighbors=st.integers(1, 22),
    alpha=st.sampled_from([1.0, 10.0, 50.0, 500.0]),
    weight=st.sampled_from([0, 0.1, 2.0]),
    squeeze=st.sampled_from(SQUEEZES),
    support=st.sampled_from(SUPPORTS),
)
def test_equals_the_definition_in_loops(batch, neighbors, alpha, weight, squeeze, support):
    rows, labels = batch
    loss = SupportNeighborLoss(neighbors, alpha, weight, squeeze, support)
    expected = oracle.support_neighbor(rows.tolist(), labels.tolist(), neighbors, alpha, weight, squeeze, support)
    assert loss(rows, labels).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    axes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12),
    neighbors=st.integers(1, 5),
    squeeze=st.sampled_from(SQUEEZES),
    support=st.sampled_from(SUPPORTS),
)
def test_equals_the_definition_where_distances_tie(axes, neighbors, squeeze, support):
    """Rows are unit vectors along the axes, so distances are 0 or sqrt(2) without rounding."""
    rows = torch.eye(4, dtype=torch.float64)[[axis for axis, _ in axes]]
    labels = torch.tensor([label for _, label in axes])
    loss = SupportNeighborLoss(neighbors, 3.0, 0.5, squeeze, support)
    expected = oracle.support_neighbor(rows.tolist(), labels.tolist(), neighbors, 3.0, 0.5, squeeze, support)
    assert loss(rows, labels).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(batch=oracle.batches(repeated_rows=False), seed=st.integers(0, 1000))
def test_the_order_of_the_batch_does_not_matter(batch, seed):
    rows, labels = batch
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    loss = SupportNeighborLoss(neighbors=4, alpha=10.0)
    assert loss(rows[order], labels[order]).item() == pytest.approx(loss(rows, labels).item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("squeeze", SQUEEZES)
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize("neighbors", [1, 3, 20])
def test_gradient_equals_finite_differences(squeeze, support, neighbors):
    rows, labels = uneven()
    loss = SupportNeighborLoss(neighbors, 5.0, 0.5, squeeze, support)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (rows.requires_grad_(),))


def test_what_is_outside_the_support_gets_no_gradient():
    """Two pairs and a loner around a circle: the loner is nobody's neighbor and, without a positive, no anchor."""
    angles = torch.deg2rad(torch.tensor([0.0, 10, 25, 40, 180], dtype=torch.float64))
    rows = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    SupportNeighborLoss(neighbors=2, squeeze="none")(rows, torch.tensor([0, 1, 0, 1, 2])).backward()
    assert torch.equal(rows.grad[4], torch.zeros(2, dtype=torch.float64))
    assert (rows.grad[:4].norm(dim=1) > 1e-3).all()


def test_forward_is_pure_and_inputs_stay_as_they_are():
    rows, labels = uneven()
    kept = rows.clone(), labels.clone()
    loss = SupportNeighborLoss()
    assert torch.equal(loss(rows, labels), loss(rows, labels))
    assert torch.equal(rows, kept[0])
    assert torch.equal(labels, kept[1])
    assert not loss.state_dict()


@pytest.mark.parametrize("squeeze", SQUEEZES)
@pytest.mark.parametrize("neighbors", [1, 10])
@pytest.mark.parametrize("count", [1, 5])
def test_no_positive_anywhere_gives_a_zero_that_can_be_differentiated(squeeze, neighbors, count):
    rows = (torch.eye(count, 6) * 1e30).requires_grad_()
    value = SupportNeighborLoss(neighbors=neighbors, squeeze=squeeze)(rows, torch.arange(count))
    value.backward()
    assert value.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


@pytest.mark.parametrize("squeeze", SQUEEZES)
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["identical", "large", "zeros", "one zero"])
def test_extremes_stay_finite(squeeze, support, dtype, kind):
    rows = {"identical": torch.ones(6, 64), "zeros": torch.zeros(6, 64)}.get(
        kind, torch.randn(6, 64, generator=torch.Generator().manual_seed(0)).mul(1e4)
    )
    if kind == "one zero":
        rows[0] = 0
    rows = rows.to(dtype).requires_grad_()
    loss = SupportNeighborLoss(neighbors=3, squeeze=squeeze, support=support)
    with torch.autograd.set_detect_anomaly(True):  # nothing is NaN on the way either, so users can look for theirs
        value = loss(rows, torch.tensor([0, 1, 2, 0, 1, 7]))
        value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_give_a_float32_loss(dtype):
    rows, labels = uneven(size=32)
    value = SupportNeighborLoss(neighbors=3)(rows.to(dtype), labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(SupportNeighborLoss(neighbors=3)(rows, labels).item(), rel=0.02)


def test_autocast_changes_nothing():
    rows, labels = uneven(size=32)
    loss = SupportNeighborLoss(neighbors=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(rows.float(), labels)
    assert torch.equal(inside, loss(rows.float(), labels))


def test_training_with_it_separates_identities():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(12, 8, generator=generator).requires_grad_()
    labels = torch.arange(12) % 4
    loss, optimizer = SupportNeighborLoss(neighbors=5, alpha=10), torch.optim.Adam([rows], lr=0.05)
    start = loss(rows, labels).item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(rows, labels).backward()
        optimizer.step()
    assert loss(rows, labels).item() < start / 20


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"neighbors": 0}, "neighbors >= 1"),
        ({"alpha": 0}, "alpha > 0"),
        ({"alpha": math.nan}, "alpha > 0"),
        ({"weight": -0.1}, "weight >= 0"),
        ({"squeeze": "range"}, "squeeze must be one of range_all, range_knn, nearest, pair, none; got 'range'"),
        ({"support": "all"}, "support must be one of strict, topk"),
    ],
)
def test_bad_settings_are_named(form, words):
    with pytest.raises(InputError, match=words):
        SupportNeighborLoss(**form)


def test_bad_batches_are_named():
    with pytest.raises(InputError, match="embeddings"):
        SupportNeighborLoss()(torch.ones(3), torch.tensor([0, 1, 2]))
