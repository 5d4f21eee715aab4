from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import metric_losses as oracle
from reunite.errors import InputError
from reunite.losses.triplet import BatchHardTripletLoss

ANGLES = np.deg2rad([0, 10, 41, 101, 150, 163, 215, 232, 304])
NINE = torch.from_numpy(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1))
NINE_LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
MARGINS = st.one_of(st.just("soft"), st.sampled_from([0, 0.3, 5.0]))


def uneven(seed: int = 0, size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Identities of three, one, two and two images, out of order."""
    rows = np.random.default_rng(seed).standard_normal((8, size))
    return torch.from_numpy(rows), torch.tensor([7, -1, 3, 7, 3, 0, 7, 0])


@pytest.mark.parametrize(("margin", "expected"), [(0.5, 0.492310), ("soft", 0.700442)])
def test_nine_points_in_the_plane_by_hand(margin, expected):
    loss = BatchHardTripletLoss(margin=margin)
    assert loss(NINE, NINE_LABELS).item() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(batch=oracle.batches(), margin=MARGINS, normalize=st.booleans(), detach_gallery=st.booleans())
def test_equals_the_definition_in_loops(batch, margin, normalize, detach_gallery):
    rows, labels = batch
    loss = BatchHardTripletLoss(margin, normalize, detach_gallery)
    expected = oracle.batch_hard_triplet(rows.tolist(), labels.tolist(), margin, normalize)
    assert loss(rows, labels).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(batch=oracle.batches(), seed=st.integers(0, 1000))
def test_the_order_of_the_batch_does_not_matter(batch, seed):
    rows, labels = batch
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    loss = BatchHardTripletLoss(margin="soft")
    assert loss(rows[order], labels[order]).item() == pytest.approx(loss(rows, labels).item(), rel=1e-12)


@pytest.mark.parametrize("margin", [2.0, "soft"])
@pytest.mark.parametrize("normalize", [False, True])
def test_gradient_equals_finite_differences(margin, normalize):
    rows, labels = uneven()
    loss = BatchHardTripletLoss(margin, normalize)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (rows.requires_grad_(),))


def test_detached_gallery_moves_anchors_only():
    """On a line: each anchor goes towards its farthest positive and away from its nearest negative, a third of a step."""
    rows = torch.tensor([[0.0], [1.0], [5.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 1])
    two_sided = BatchHardTripletLoss(margin=10.0)(rows, labels)
    one_sided = BatchHardTripletLoss(margin=10.0, detach_gallery=True)(rows, labels)
    assert one_sided.item() == two_sided.item() == pytest.approx((6 + 7 + 6) / 3)
    (gradient,) = torch.autograd.grad(one_sided, rows)
    # anchor 0: -1 from its positive, +1 from its negative; anchor 1: +1, +1; anchor 2: its positive is itself, -1
    np.testing.assert_allclose(gradient, [[0], [2 / 3], [-1 / 3]], atol=1e-7)
    (gradient,) = torch.autograd.grad(two_sided, rows)
    np.testing.assert_allclose(gradient, [[0 + -1 / 3], [2 / 3 + 1 / 3 + 1 / 3], [-1 / 3 - 2 / 3]], atol=1e-7)


def test_forward_is_pure_and_inputs_stay_as_they_are():
    rows, labels = uneven()
    kept = rows.clone(), labels.clone()
    loss = BatchHardTripletLoss()
    assert torch.equal(loss(rows, labels), loss(rows, labels))
    assert torch.equal(rows, kept[0])
    assert torch.equal(labels, kept[1])
    assert not loss.state_dict()


@pytest.mark.parametrize("margin", [0.3, "soft"])
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_one_identity_gives_a_zero_that_can_be_differentiated(margin, scale):
    rows = (torch.eye(4) * scale).requires_grad_()
    value = BatchHardTripletLoss(margin)(rows, torch.full((4,), 5))
    value.backward()
    assert value.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


@pytest.mark.parametrize("margin", [0.3, "soft"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["identical", "large", "zeros"])
def test_extremes_stay_finite(margin, normalize, dtype, kind):
    rows = {
        "identical": torch.ones(6, 64),
        "large": torch.randn(6, 64, generator=torch.Generator().manual_seed(0)).mul(1e4),
        "zeros": torch.zeros(6, 64),
    }[kind]
    rows = rows.to(dtype).requires_grad_()
    value = BatchHardTripletLoss(margin, normalize)(rows, torch.tensor([0, 1, 2, 0, 1, 2]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(rows.grad).all()


def test_far_from_the_origin_the_value_keeps_its_digits():
    """Rows at scale 1e4 in float32: the distance matrix alone would be wrong by more than the margin."""
    rows, labels = uneven(size=64)
    rows[3] = rows[0] + 1e-4
    rows = (rows * 1e4).float()
    expected = oracle.batch_hard_triplet(rows.tolist(), labels.tolist(), 1e6)
    assert BatchHardTripletLoss(1e6)(rows, labels).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_give_a_float32_loss(dtype):
    rows, labels = uneven(size=32)
    value = BatchHardTripletLoss()(rows.to(dtype), labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(BatchHardTripletLoss()(rows, labels).item(), rel=0.02)


def test_autocast_changes_nothing():
    rows, labels = uneven(size=32)
    loss = BatchHardTripletLoss("soft")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(rows.float(), labels)
    assert torch.equal(inside, loss(rows.float(), labels))


def test_training_with_it_separates_identities():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(12, 8, generator=generator).requires_grad_()
    labels = torch.arange(12) % 4
    loss, optimizer = BatchHardTripletLoss(margin=1.0), torch.optim.Adam([rows], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(rows, labels).backward()
        optimizer.step()
    assert loss(rows, labels).item() == 0


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf, "hard", None])
def test_bad_margins_are_named(margin):
    with pytest.raises(InputError, match="margin"):
        BatchHardTripletLoss(margin)


def test_bad_batches_are_named():
    with pytest.raises(InputError, match="labels"):
        BatchHardTripletLoss()(torch.ones(2, 3), torch.tensor([0, 1, 2]))
