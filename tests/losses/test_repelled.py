from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import memory as oracle
from reunite.errors import InputError
from reunite.losses.repelled import RepelledTable
from reunite.types import Clusters

ANGLES = np.deg2rad([0, 10, 41, 101, 150, 163, 215, 232, 304])
NINE = torch.from_numpy(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1))
NINE_LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
STARTS = ["centroids", "zeros", "stale"]


def means(embeddings: np.ndarray, labels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([embeddings[labels == label].mean(axis=0) for label in range(labels.max() + 1)]))


def begun(start: str, embeddings: np.ndarray, labels: np.ndarray, previous: np.ndarray, **more: float) -> RepelledTable:
    loss = RepelledTable(start=start, **more)
    loss.begin(means(embeddings, labels), torch.from_numpy(embeddings), torch.from_numpy(previous))
    return loss


def merged(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit rows of 6 identities, stored by identity; their classes after a merge that took 5 % of these, and before it."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((6, 8)).repeat(20, axis=0) + 0.2 * rng.standard_normal((120, 8))
    previous = np.arange(120) // 2
    absorbed = 1 + 2 * rng.choice(30, 3, replace=False)  # into the class before, of the same identity
    return (
        rows / np.linalg.norm(rows, axis=1, keepdims=True),
        previous - np.isin(np.arange(60), absorbed).cumsum()[previous],
        previous,
    )


def test_nine_points_in_the_plane_by_hand():
    """Golden values: BUC's table from zeros, after one pass over nine unit vectors in order."""
    loss = RepelledTable(start="zeros", momentum=0.5)
    loss.begin(torch.stack([NINE[label == NINE_LABELS].mean(dim=0) for label in range(3)]))
    assert loss(NINE, NINE_LABELS).item() == pytest.approx(np.log(3), abs=1e-12)  # no class has a direction yet
    loss.update(NINE, NINE_LABELS)
    expected = [[0.920505, 0.390731], [-0.811574, 0.584250], [-0.108867, -0.994056]]
    np.testing.assert_allclose(loss.memory, expected, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 30),
    momentum=st.floats(0, 0.99),
    temperature=st.floats(0.05, 2),
    start=st.sampled_from(STARTS),
)
def test_equals_the_definition_in_loops(seed, size, momentum, temperature, start):
    images, labels, previous = merged(seed)
    loss = begun(start, images, labels, previous, temperature=temperature, momentum=momentum)
    table = oracle.table_start(start, images, labels, previous)
    np.testing.assert_allclose(loss.memory, table, atol=1e-12)
    for step in range(2):
        embeddings, own, _ = oracle.batch(seed + step, size, labels.max() + 1, 8)
        expected = oracle.table_loss(embeddings, own, table, temperature)
        given_ = torch.from_numpy(embeddings), torch.from_numpy(own)
        assert loss(*given_).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
        loss.update(*given_)
        table = oracle.table_update(table, embeddings, own, momentum)
        np.testing.assert_allclose(loss.memory, table, atol=1e-9)


def test_embeddings_are_taken_as_they_come():
    """Dropout after the norm makes training vectors longer than one, and the loss and the table must see that."""
    loss = RepelledTable(momentum=0.5)
    loss.begin(torch.eye(2))
    long = torch.tensor([[3.0, 4.0]])
    assert loss(long, torch.tensor([0])) != loss(long / 5, torch.tensor([0]))
    loss.update(long, torch.tensor([0]))
    np.testing.assert_allclose(loss.memory[0], np.array([4, 4]) / np.sqrt(32), atol=1e-6)


def test_gradient_equals_finite_differences():
    embeddings, labels, centroids = map(torch.from_numpy, oracle.batch(3, 6, 3, 4))
    loss = RepelledTable(temperature=0.2)
    loss.begin(centroids)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (embeddings.requires_grad_(),))


def test_from_zeros_the_first_visit_sets_a_row_and_visited_rows_are_unit():
    embeddings, labels, centroids = oracle.batch(0, 40, 12, 16)
    labels %= 9
    given_ = torch.from_numpy(embeddings).float(), torch.from_numpy(labels)
    loss = RepelledTable(start="zeros")
    loss.begin(torch.from_numpy(centroids).float())
    assert not loss.memory.any()
    for image in range(len(labels)):
        new = labels[image] not in labels[:image]
        loss.update(given_[0][image : image + 1], given_[1][image : image + 1])
        if new:
            np.testing.assert_allclose(loss.memory[labels[image]], oracle.unit(embeddings[image]), atol=1e-6)
    visited = torch.from_numpy(np.unique(labels))
    np.testing.assert_allclose(loss.memory[visited].norm(dim=1), 1, atol=1e-6)
    assert not loss.memory[9:].any()


def test_stale_rows_are_the_means_of_the_old_classes_and_noise_is_none():
    embeddings, labels, previous = merged(1)
    loss = begun("stale", embeddings, labels, previous)
    assert loss.memory.shape == (previous.max() + 1, 8)
    assert len(loss.memory) > labels.max() + 1
    for old, row in enumerate(loss.memory):
        np.testing.assert_allclose(row, oracle.unit(embeddings[previous == old].mean(axis=0)), atol=1e-12)
    noisy = np.append(previous, [-1, -1])
    more = begun("stale", np.vstack([embeddings, embeddings[:2]]), np.append(labels, [0, 0]), noisy)
    assert torch.equal(more.memory, loss.memory)


@pytest.mark.parametrize("start", STARTS)
def test_only_the_leak_depends_on_how_images_are_stored(start):
    """Leak detector: the row that an image's class meets must not depend on their order, which is that of identities."""
    embeddings, labels, previous = merged(2)

    def met(order: np.ndarray) -> tuple[np.ndarray, float]:
        """The row each image meets, and how close it is to the image's identity."""
        codes = [Clusters.of(each[order]).labels for each in (labels, previous)]
        loss = begun(start, embeddings[order], *codes)
        rows = loss.memory[torch.from_numpy(codes[0])].numpy()[np.argsort(order)]
        centres = embeddings.reshape(6, 20, 8).mean(axis=1).repeat(20, axis=0)
        return rows, float((rows * centres).sum(axis=1).mean())

    stored, leaked = met(np.arange(len(labels)))
    shuffled = [met(np.random.default_rng(seed).permutation(len(labels))) for seed in range(20)]
    if start != "stale":
        for rows, _ in shuffled:
            np.testing.assert_allclose(rows, stored, atol=1e-12)
        return
    assert all(np.abs(rows - stored).max() > 0.1 for rows, _ in shuffled)
    assert leaked > np.mean([left for _, left in shuffled]) + 0.2


def test_forward_is_pure_and_inputs_stay_as_they_are():
    embeddings, labels, centroids = map(torch.from_numpy, oracle.batch(0, 12, 4, 8))
    kept = embeddings.clone(), labels.clone(), centroids.clone()
    loss = RepelledTable()
    loss.begin(centroids)
    table = loss.memory.clone()
    assert torch.equal(loss(embeddings, labels), loss(embeddings, labels))
    assert torch.equal(table, loss.memory)
    loss.update(embeddings, labels)
    assert not torch.equal(table, loss.memory)
    assert all(map(torch.equal, kept, (embeddings, labels, centroids)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_give_a_finite_float32_loss(dtype):
    embeddings, labels, centroids = map(torch.from_numpy, oracle.batch(4, 16, 5, 32))
    loss = RepelledTable()
    loss.begin(centroids.float())
    half = embeddings.to(dtype)
    expected = loss(half.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, labels)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.equal(value, expected)
    loss.update(half, labels)
    assert loss.memory.dtype == torch.float32
    np.testing.assert_allclose(loss.memory.norm(dim=1), 1, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_extremes_stay_finite(scale):
    loss = RepelledTable(start="zeros")
    loss.begin(torch.eye(3))
    embeddings = torch.full((6, 3), scale, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    for _ in range(2):
        value = loss(embeddings, labels)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(embeddings.grad).all()
        loss.update(embeddings.detach(), labels)
        assert torch.isfinite(loss.memory).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"temperature": 0}, "temperature"), ({"momentum": 1.0}, "momentum"), ({"start": "ones"}, "'ones'")],
)
def test_bad_settings_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        RepelledTable(**arguments)


def test_bad_calls_say_what_to_do():
    loss = RepelledTable()
    ones, own = torch.ones(2, 3), torch.tensor([0, 1])
    for call in (loss, loss.update):
        with pytest.raises(InputError, match="begin\\(centroids\\)"):
            call(ones, own)
    with pytest.raises(InputError, match="centroids"):
        loss.begin(torch.empty(0, 3))
    loss.begin(torch.eye(3))
    for call in (loss, loss.update):
        with pytest.raises(InputError, match="0 to 2"):
            call(ones, torch.tensor([0, 3]))
        with pytest.raises(InputError, match=r"Noise \(-1\)"):
            call(ones, torch.tensor([0, -1]))
        with pytest.raises(InputError, match="shape"):
            call(torch.ones(2, 4), own)
    with pytest.raises(InputError, match="batch is empty"):
        loss(ones[:0], own[:0])


def test_stale_says_what_it_needs():
    loss = RepelledTable(start="stale")
    with pytest.raises(InputError, match="previous=labels"):
        loss.begin(torch.eye(3), torch.eye(3))
    with pytest.raises(InputError, match="3 embeddings; got 2"):
        loss.begin(torch.eye(3), torch.eye(3), torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"as many old classes as new ones.* 2 and 3"):
        loss.begin(torch.eye(3), torch.eye(3), torch.tensor([0, 1, 1]))
