from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import memory as oracle
from reunite.errors import InputError
from reunite.losses.instance_memory import InstanceMemory


def round_of(seed: int, images: int = 30, clusters: int = 5, dimensions: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Images of any length, and clusters of any size, with some noise."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.append(np.arange(clusters), rng.integers(-1, clusters, images - clusters)))
    return rng.standard_normal((images, dimensions)) * rng.uniform(0.1, 3, (images, 1)), owner


def begun(images: np.ndarray, owner: np.ndarray, **more: float) -> InstanceMemory:
    loss = InstanceMemory(**more)
    centroids = torch.zeros(owner.max() + 1, images.shape[1], dtype=torch.float64)
    loss.begin(centroids, torch.from_numpy(images), torch.from_numpy(owner))
    return loss


def batch_of(seed: int, owner: np.ndarray, size: int, dimensions: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, labels and rows of a batch; with few images and many draws, rows repeat."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(np.flatnonzero(owner >= 0)[:12], size)
    return rng.standard_normal((size, dimensions)), owner[rows], rows


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 30),
    momentum=st.floats(0, 0.99),
    temperature=st.floats(0.05, 2),
)
def test_equals_the_definition_in_loops_over_several_steps(seed, size, momentum, temperature):
    images, owner = round_of(seed)
    loss = begun(images, owner, temperature=temperature, momentum=momentum)
    entries = np.array([oracle.unit(vector) for vector in images])
    np.testing.assert_allclose(loss.memory, entries, atol=1e-12)
    for step in range(3):
        embeddings, labels, rows = batch_of(seed + step, owner, size)
        given_ = torch.from_numpy(embeddings), torch.from_numpy(labels)
        expected = oracle.instance_loss(embeddings, labels, entries, owner, temperature)
        assert loss(*given_).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
        loss.update(*given_, torch.from_numpy(rows))
        entries = oracle.instance_update(entries, embeddings, rows, momentum)
        np.testing.assert_allclose(loss.memory, entries, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(loss.memory, axis=1), 1, atol=1e-12)


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_means_stay_the_means_of_the_entries_over_many_updates(dtype, digits):
    images, owner = round_of(1)
    loss = InstanceMemory()
    loss.begin(torch.zeros(5, 6, dtype=dtype), torch.from_numpy(images).to(dtype), torch.from_numpy(owner))
    for step in range(300):
        embeddings, labels, rows = map(torch.from_numpy, batch_of(step, owner, 1 + step % 20))
        loss.update(embeddings.to(dtype), labels, rows)
    for cluster in range(5):
        mean = loss.memory[torch.from_numpy(owner == cluster)].mean(dim=0)
        np.testing.assert_allclose(loss.means[cluster], mean, atol=digits)
    np.testing.assert_allclose(loss.memory.norm(dim=1), 1, atol=1e-6)


def test_entries_of_other_images_stay_as_they_are():
    images, owner = round_of(2)
    loss = begun(images, owner)
    before = loss.memory.clone()
    embeddings, labels, rows = map(torch.from_numpy, batch_of(0, owner, 4))
    loss.update(embeddings, labels, rows)
    moved = (loss.memory != before).any(dim=1)
    assert set(torch.nonzero(moved).flatten().tolist()) == set(rows.tolist())


def test_noise_belongs_to_no_cluster():
    images, owner = round_of(3)
    assert (owner < 0).any()
    other = images.copy()
    other[owner < 0] = np.random.default_rng(9).standard_normal(((owner < 0).sum(), 6))
    embeddings, labels, _ = map(torch.from_numpy, batch_of(0, owner, 8))
    assert torch.equal(begun(images, owner)(embeddings, labels), begun(other, owner)(embeddings, labels))


def test_gradient_equals_finite_differences():
    images, owner = round_of(4)
    embeddings, labels, _ = map(torch.from_numpy, batch_of(1, owner, 6))
    loss = begun(images, owner, temperature=0.2)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (embeddings.requires_grad_(),))


def test_forward_is_pure_and_inputs_stay_as_they_are():
    images, owner = round_of(5)
    kept = images.copy(), owner.copy()
    loss = begun(images, owner)
    batch = tuple(map(torch.from_numpy, batch_of(2, owner, 10)))
    batch_kept = tuple(each.clone() for each in batch)
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    assert torch.equal(loss(*batch[:2]), loss(*batch[:2]))
    assert all(torch.equal(value, loss.state_dict()[name]) for name, value in state.items())
    loss.update(*batch)
    assert not torch.equal(state["memory"], loss.memory)
    assert not torch.equal(state["means"], loss.means)
    assert all(map(torch.equal, batch, batch_kept))
    assert all(map(np.array_equal, kept, (images, owner)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_give_a_finite_float32_loss(dtype):
    images, owner = round_of(6)
    loss = begun(images, owner).float()
    embeddings, labels, rows = map(torch.from_numpy, batch_of(3, owner, 10))
    half = embeddings.to(dtype)
    expected = loss(half.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, labels)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.equal(value, expected)
    loss.update(half, labels, rows)
    assert loss.memory.dtype == loss.means.dtype == torch.float32
    np.testing.assert_allclose(loss.memory.norm(dim=1), 1, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_extremes_stay_finite(scale, dtype):
    images, owner = round_of(7)
    loss = begun(images, owner, temperature=0.01).float()
    embeddings = torch.full((8, 6), scale).clamp(max=torch.finfo(dtype).max).to(dtype).requires_grad_()
    _, labels, rows = map(torch.from_numpy, batch_of(4, owner, 8))
    loss(embeddings, labels).backward()
    assert torch.isfinite(embeddings.grad).all()
    loss.update(embeddings.detach(), labels, rows)
    assert torch.isfinite(loss.memory).all()
    assert torch.isfinite(loss.means).all()


@pytest.mark.parametrize(("arguments", "words"), [({"temperature": 0}, "temperature"), ({"momentum": 1.0}, "momentum")])
def test_bad_settings_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        InstanceMemory(**arguments)


def test_beginning_says_what_it_needs():
    loss = InstanceMemory()
    rows, owner = torch.eye(3), torch.tensor([0, 1, -1])
    with pytest.raises(InputError, match="begin\\(centroids, embeddings, labels\\)"):
        loss.begin(torch.eye(2, 3))
    with pytest.raises(InputError, match="centroids"):
        loss.begin(torch.empty(0, 3), rows, owner)
    for centroids, embeddings, labels in (
        (torch.eye(3), rows, owner),
        (torch.eye(1, 3), rows, owner),
        (torch.eye(2, 3), rows[:2], owner),
        (torch.eye(2, 4), rows, owner),
        (torch.eye(2, 3), rows[:0], owner[:0]),
    ):
        with pytest.raises(InputError, match="Expected embeddings of shape"):
            loss.begin(centroids, embeddings, labels)


def test_bad_calls_say_what_to_do_and_move_nothing():
    loss = InstanceMemory()
    ones, own, rows = torch.ones(2, 3), torch.tensor([0, 1]), torch.tensor([0, 1])
    with pytest.raises(InputError, match="begin\\(centroids\\)"):
        loss(ones, own)
    loss.begin(torch.eye(2, 3), torch.eye(3), torch.tensor([0, 1, -1]))
    memory = loss.memory.clone()
    with pytest.raises(InputError, match="update\\(embeddings, labels, rows\\)"):
        loss.update(ones, own)
    for call in (lambda labels: loss(ones, labels), lambda labels: loss.update(ones, labels, rows)):
        with pytest.raises(InputError, match="0 to 1"):
            call(torch.tensor([0, 2]))
    for wrong in ([0], [0, 3], [-1, 0]):
        with pytest.raises(InputError, match="positions of the batch's 2 images among the round's 3"):
            loss.update(ones, own, torch.tensor(wrong))
    with pytest.raises(InputError, match="noise"):
        loss.update(ones, own, torch.tensor([0, 2]))
    assert torch.equal(loss.memory, memory)
