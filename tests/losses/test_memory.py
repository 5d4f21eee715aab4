from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import memory as oracle
from reunite.errors import InputError
from reunite.losses import ClusterMemory

UPDATES = {"momentum": oracle.momentum_update, "hard": oracle.hard_update, "mean": oracle.mean_update}

ANGLES = np.deg2rad([0, 10, 41, 101, 150, 163, 215, 232, 304])
NINE = torch.from_numpy(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1))
NINE_LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])


def nine(update: str, temperature: float = 0.5) -> ClusterMemory:
    loss = ClusterMemory(temperature=temperature, momentum=0.1, update=update)
    loss.begin(torch.stack([NINE[label == NINE_LABELS].mean(dim=0) for label in range(3)]))
    return loss


def made(seed: int, batch: int, clusters: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((batch, size)), rng.standard_normal((clusters, size))
    return torch.from_numpy(draws[0]), torch.from_numpy(rng.integers(0, clusters, batch)), torch.from_numpy(draws[1])


def test_nine_points_in_the_plane_by_hand():
    """Golden values of nine unit vectors at known angles (three clusters of three), tau 0.5, m 0.1."""
    loss = nine("momentum")
    expected = [[0.957068, 0.289864], [-0.750263, 0.661139], [-0.371161, -0.928569]]
    np.testing.assert_allclose(loss.memory, expected, atol=1e-6)
    assert float(loss(NINE, NINE_LABELS)) == pytest.approx(0.203465, abs=1e-6)
    loss.update(NINE, NINE_LABELS)
    np.testing.assert_allclose(
        loss.memory, [[0.788710, 0.614766], [-0.947203, 0.320636], [0.471148, -0.882054]], atol=1e-6
    )
    hard = nine("hard")
    hard.update(NINE, NINE_LABELS)
    np.testing.assert_allclose(
        hard.memory, [[0.781123, 0.624377], [-0.251504, 0.967856], [0.485684, -0.874134]], atol=1e-6
    )


@pytest.mark.data
@pytest.mark.parametrize("update", ["momentum", "hard"])
def test_equals_the_published_code_over_six_steps(shared, update):
    golden = np.load(shared("golden/cluster_memory.npz"))
    loss = ClusterMemory(temperature=0.05, momentum=0.1, update=update)
    loss.begin(torch.from_numpy(golden[f"{update}_start"]))
    np.testing.assert_allclose(loss.memory, golden[f"{update}_start"], atol=1e-12)
    for step in range(6):
        embeddings = torch.from_numpy(golden[f"{update}_x"][step]).requires_grad_()
        labels = torch.from_numpy(golden[f"{update}_y"][step])
        value = loss(embeddings, labels)
        value.backward()
        loss.update(embeddings, labels)
        assert value.item() == pytest.approx(float(golden[f"{update}_loss"][step]), abs=1e-9)
        np.testing.assert_allclose(embeddings.grad, golden[f"{update}_grad"][step], atol=1e-9)
        np.testing.assert_allclose(loss.memory, golden[f"{update}_memory"][step], atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 40),
    clusters=st.integers(1, 8),
    momentum=st.floats(0, 0.99),
    update=st.sampled_from(sorted(UPDATES)),
)
def test_equals_the_definition_in_loops(seed, batch, clusters, momentum, update):
    embeddings, labels, centroids = made(seed, batch, clusters, 5)
    loss = ClusterMemory(temperature=0.1, momentum=momentum, update=update)
    loss.begin(centroids)
    start = loss.memory.numpy().copy()
    expected = oracle.loss(embeddings.numpy(), labels.numpy(), start, 0.1)
    assert loss(embeddings, labels).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    loss.update(embeddings, labels)
    moved = UPDATES[update](start, embeddings.numpy(), labels.numpy(), momentum)
    np.testing.assert_allclose(loss.memory, moved, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(loss.memory, axis=1), 1, atol=1e-12)


def test_gradient_equals_finite_differences():
    embeddings, labels, centroids = made(3, 6, 3, 4)
    loss = ClusterMemory(temperature=0.2)
    loss.begin(centroids)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (embeddings.requires_grad_(),))


def test_forward_is_pure_and_inputs_stay_as_they_are():
    embeddings, labels, centroids = made(0, 12, 4, 8)
    kept = embeddings.clone(), labels.clone(), centroids.clone()
    loss = ClusterMemory()
    loss.begin(centroids)
    memory = loss.memory.clone()
    assert torch.equal(loss(embeddings, labels), loss(embeddings, labels))
    assert torch.equal(memory, loss.memory)
    loss.update(embeddings, labels)
    assert all(torch.equal(before, after) for before, after in zip(kept, (embeddings, labels, centroids), strict=True))
    assert not torch.equal(memory, loss.memory)


def test_updating_before_backward_is_refused_by_pytorch_instead_of_bending_the_gradient():
    embeddings, labels, centroids = made(1, 8, 3, 4)
    loss = ClusterMemory()
    loss.begin(centroids)
    value = loss(embeddings.requires_grad_(), labels)
    loss.update(embeddings, labels)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_a_memory_can_start_from_one_image_of_each_cluster():
    embeddings, labels, _ = made(5, 30, 4, 6)
    labels[:3] = -1
    inside = labels >= 0
    centroids = torch.stack([embeddings[labels == label].mean(dim=0) for label in range(4)])
    found = []
    for seed in (0, 0, 1, 2):
        loss = ClusterMemory(start="random", seed=seed)
        loss.begin(centroids, embeddings, labels)
        unit = torch.nn.functional.normalize(embeddings, dim=1)
        for label, row in enumerate(loss.memory):
            assert (unit[inside & (labels == label)] - row).norm(dim=1).min() < 1e-12
        found.append(loss.memory.clone())
    assert torch.equal(found[0], found[1])
    assert any(not torch.equal(found[0], other) for other in found[2:])
    with pytest.raises(InputError, match="begin\\(centroids, embeddings, labels\\)"):
        loss.begin(centroids)
    with pytest.raises(InputError, match="labels name 4 clusters, centroids are 3"):
        loss.begin(centroids[:3], embeddings, labels)


@pytest.mark.parametrize("update", ["momentum", "hard", "mean", "random"])
def test_labels_on_the_host_do_the_same(update):
    embeddings, labels, centroids = made(6, 24, 5, 7)
    moved = []
    for more in ({}, {"host_labels": labels.clone()}):
        loss = ClusterMemory(update=update)
        loss.begin(centroids)
        loss.update(embeddings, labels, **more)
        moved.append(loss.memory)
    assert torch.equal(*moved)


def test_random_update_moves_each_row_towards_one_of_its_images_and_repeats_by_seed():
    embeddings, labels, centroids = made(2, 20, 3, 4)
    moved = []
    for seed in (0, 0, 1, 2, 3):
        loss = ClusterMemory(momentum=0.0, update="random", seed=seed)
        loss.begin(centroids)
        loss.update(embeddings, labels)
        unit = torch.nn.functional.normalize(embeddings, dim=1)
        for label in labels.unique():
            distances = (unit[labels == label] - loss.memory[label]).norm(dim=1)
            assert distances.min() < 1e-12
        moved.append(loss.memory)
    assert torch.equal(moved[0], moved[1])
    assert any(not torch.equal(moved[0], other) for other in moved[2:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_give_a_finite_float32_loss(dtype):
    embeddings, labels, centroids = made(4, 16, 5, 32)
    loss = ClusterMemory()
    loss.begin(centroids.float())
    value = loss(embeddings.to(dtype), labels)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert value.item() == pytest.approx(loss(embeddings.float(), labels).item(), rel=0.02)


def test_extremes_stay_finite():
    loss = ClusterMemory(temperature=0.01)
    loss.begin(torch.eye(3))
    same = torch.ones(6, 3, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    loss(same * 1e30, labels).backward()
    assert torch.isfinite(same.grad).all()
    loss.update(torch.zeros(6, 3), labels)
    assert torch.isfinite(loss.memory).all()


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"temperature": 0}, "temperature"),
        ({"momentum": 1.0}, "momentum"),
        ({"update": "median"}, "'median'"),
        ({"start": "zeros"}, "'zeros'"),
    ],
)
def test_bad_settings_are_named(settings_, words):
    with pytest.raises(InputError, match=words):
        ClusterMemory(**settings_)


def test_bad_calls_say_what_to_do():
    loss = ClusterMemory()
    with pytest.raises(InputError, match="begin"):
        loss(torch.ones(2, 3), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="centroids"):
        loss.begin(torch.empty(0, 3))
    loss.begin(torch.eye(3))
    with pytest.raises(InputError, match=r"Noise \(-1\)"):
        loss(torch.ones(2, 3), torch.tensor([0, -1]))
    with pytest.raises(InputError, match="rows of the memory"):
        loss(torch.ones(2, 3), torch.tensor([0, 3]))
    with pytest.raises(InputError, match="shape"):
        loss(torch.ones(2, 4), torch.tensor([0, 1]))
