from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import metric_losses as oracle
from reunite.errors import InputError
from reunite.losses.cluster import ClusterLoss

ANGLES = np.deg2rad([0, 10, 41, 101, 150, 163, 215, 232, 304])
NINE = torch.from_numpy(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1))
NINE_LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
FORMS = st.fixed_dictionaries(
    {
        "margin": st.sampled_from([0, 0.3, 10.0]),
        "squared": st.booleans(),
        "reduction": st.sampled_from(["mean", "sum"]),
        "normalize": st.booleans(),
        "intra": st.sampled_from(["max", "mean"]),
        "inter": st.sampled_from(["min", "mean"]),
    }
)


def uneven(seed: int = 0, size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Identities of three, one, two and two images, out of order."""
    rows = np.random.default_rng(seed).standard_normal((8, size))
    return torch.from_numpy(rows), torch.tensor([7, -1, 3, 7, 3, 0, 7, 0])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"margin": 1.0}, 0.241966),
        ({"margin": 1.0, "reduction": "sum"}, 0.725899),
        ({"margin": 0.3}, 0.0),
        ({"margin": 1.0, "squared": True}, 0.0),
        ({"margin": 10.0}, 10 + (0.411246 + 0.618836 + 0.856785 - 1.570266 - 2 * 1.374861) / 3),
        ({"margin": 10.0, "squared": True}, 10 + (0.169123 + 0.382958 + 0.734081 - 2.465736 - 2 * 1.890243) / 3),
    ],
)
def test_nine_points_in_the_plane_by_hand(form, expected):
    assert ClusterLoss(**form)(NINE, NINE_LABELS).item() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=150)
@given(batch=oracle.batches(), form=FORMS, detach_centroid=st.booleans())
def test_equals_the_definition_in_loops(batch, form, detach_centroid):
    rows, labels = batch
    expected = oracle.cluster(rows.tolist(), labels.tolist(), **form)
    value = ClusterLoss(**form, detach_centroid=detach_centroid)(rows, labels)
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(batch=oracle.batches(), seed=st.integers(0, 1000))
def test_the_order_of_the_batch_does_not_matter(batch, seed):
    rows, labels = batch
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    loss = ClusterLoss(margin=10.0)
    assert loss(rows[order], labels[order]).item() == pytest.approx(loss(rows, labels).item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("intra", ["max", "mean"])
@pytest.mark.parametrize("inter", ["min", "mean"])
def test_gradient_equals_finite_differences(squared, normalize, intra, inter):
    rows, labels = uneven()
    loss = ClusterLoss(2.0, squared, "sum", normalize, intra=intra, inter=inter)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (rows.requires_grad_(),))


def crossed() -> tuple[torch.Tensor, torch.Tensor]:
    """Identity 0 on the first axis around the origin, with two images equally far out; identity 1 up the second axis."""
    rows = torch.tensor([[-1.0, 0.0], [0.0, 10.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    return rows, torch.tensor([0, 1, 0, 0])


def test_of_equally_far_images_the_first_gets_the_gradient():
    rows, labels = crossed()
    ClusterLoss(margin=100.0, reduction="sum")(rows, labels).backward()
    # farthest: (1 - 1/3) u, the other members: -u / 3, with u = (-1, 0); both identities push the means apart
    np.testing.assert_allclose(rows.grad, [[-2 / 3, 2 / 3], [0, -2], [1 / 3, 2 / 3], [1 / 3, 2 / 3]], atol=1e-12)


def test_detached_centroids_move_the_farthest_image_only():
    rows, labels = crossed()
    ClusterLoss(margin=100.0, reduction="sum", detach_centroid=True)(rows, labels).backward()
    np.testing.assert_allclose(rows.grad, [[-1, 0], [0, 0], [0, 0], [0, 0]], atol=1e-12)


def test_forward_is_pure_and_inputs_stay_as_they_are():
    rows, labels = uneven()
    kept = rows.clone(), labels.clone()
    loss = ClusterLoss()
    assert torch.equal(loss(rows, labels), loss(rows, labels))
    assert torch.equal(rows, kept[0])
    assert torch.equal(labels, kept[1])
    assert not loss.state_dict()


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_one_identity_gives_a_zero_that_can_be_differentiated(scale):
    rows = (torch.eye(4) * scale).requires_grad_()
    value = ClusterLoss()(rows, torch.full((4,), 5))
    value.backward()
    assert value.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("inter", ["min", "mean"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["identical", "large", "zeros"])
def test_extremes_stay_finite(squared, inter, normalize, dtype, kind):
    rows = {
        "identical": torch.ones(6, 64),
        "large": torch.randn(6, 64, generator=torch.Generator().manual_seed(0)).mul(1e4),
        "zeros": torch.zeros(6, 64),
    }[kind]
    rows = rows.to(dtype).requires_grad_()
    value = ClusterLoss(1.0, squared, normalize=normalize, inter=inter)(rows, torch.tensor([0, 1, 2, 0, 1, 2]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(rows.grad).all()


def test_means_close_to_each_other_and_far_from_the_origin_keep_their_gap():
    """Rows at scale 1e4 in float32, two identities 0.5 apart: their gap on the distance matrix is off by more than 0.5."""
    rows, labels = uneven(size=64)
    rows = (rows * 1e4).round().float()
    rows[2] = rows[4] = rows[1]
    rows[[2, 4], 0] += 0.5
    rows, labels = rows[[1, 2, 4]], labels[[1, 2, 4]]
    assert ClusterLoss(margin=1.0)(rows, labels).item() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_give_a_float32_loss(dtype):
    rows, labels = uneven(size=32)
    value = ClusterLoss(margin=5.0)(rows.to(dtype), labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(ClusterLoss(margin=5.0)(rows, labels).item(), rel=0.02)


def test_autocast_changes_nothing():
    rows, labels = uneven(size=32)
    for inter in ("min", "mean"):
        loss = ClusterLoss(margin=5.0, inter=inter)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = loss(rows.float(), labels)
        assert torch.equal(inside, loss(rows.float(), labels))


def test_memory_does_not_grow_with_the_square_of_the_batch():
    """A batch by batch matrix of these images would need 160 GB."""
    rows = torch.linspace(0, 1, 200_000)[:, None].requires_grad_()
    value = ClusterLoss()(rows, torch.arange(200_000) // 100_000)
    value.backward()
    assert value.item() == pytest.approx(0.25 - 0.5 + 0.3, abs=1e-5)


def test_training_with_it_separates_identities():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(12, 8, generator=generator).requires_grad_()
    labels = torch.arange(12) % 4
    loss, optimizer = ClusterLoss(margin=1.0), torch.optim.Adam([rows], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(rows, labels).backward()
        optimizer.step()
    assert loss(rows, labels).item() == 0


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"margin": -1}, "margin"),
        ({"margin": math.nan}, "margin"),
        ({"reduction": "none"}, "reduction must be one of mean, sum; got 'none'"),
        ({"intra": "min"}, "intra must be one of max, mean"),
        ({"inter": "max"}, "inter must be one of min, mean"),
    ],
)
def test_bad_settings_are_named(form, words):
    with pytest.raises(InputError, match=words):
        ClusterLoss(**form)


def test_bad_batches_are_named():
    with pytest.raises(InputError, match="labels"):
        ClusterLoss()(torch.ones(2, 3), torch.tensor([0.0, 1.0]))
