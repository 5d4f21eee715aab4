from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from oracles import memory as oracle
from reunite.errors import InputError
from reunite.losses.identity import IdentityLoss


def begun(classes: int = 4, dimensions: int = 5, **more: float) -> IdentityLoss:
    torch.manual_seed(0)
    loss = IdentityLoss(**more)
    loss.begin(torch.zeros(classes, dimensions, dtype=torch.float64))
    return loss


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 20),
    classes=st.integers(1, 8),
    label_smoothing=st.floats(0, 0.99),
)
def test_equals_the_definition_in_loops(seed, size, classes, label_smoothing):
    embeddings, labels, weight = oracle.batch(seed, size, classes, 5)
    loss = begun(classes, label_smoothing=label_smoothing)
    loss.weight.data.copy_(torch.from_numpy(weight))
    expected = oracle.smoothed_cross_entropy(embeddings, labels, weight, label_smoothing)
    value = loss(torch.from_numpy(embeddings), torch.from_numpy(labels))
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradients_of_embeddings_and_classifier_equal_finite_differences(label_smoothing):
    embeddings, labels, weight = map(torch.from_numpy, oracle.batch(0, 6, 4, 5))
    loss = begun(label_smoothing=label_smoothing)

    def value(rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return functional_call(loss, {"weight": matrix}, (rows, labels))

    assert torch.autograd.gradcheck(value, (embeddings.requires_grad_(), weight.requires_grad_()))


def test_an_untrained_classifier_knows_nothing():
    loss = IdentityLoss()
    loss.begin(torch.zeros(200, 300))
    assert isinstance(loss.weight, torch.nn.Parameter)
    assert loss.weight.requires_grad
    assert loss.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert abs(loss.weight.mean().item()) < 2e-5
    embeddings = torch.nn.functional.normalize(torch.ones(3, 300), dim=1)
    assert loss(embeddings, torch.tensor([0, 5, 199])).item() == pytest.approx(math.log(200), abs=0.01)


def test_the_classifier_is_kept_on_equal_labels_and_made_anew_on_others():
    loss = begun()
    labels = torch.tensor([0, 1, 2, 3, 3])
    centroids = torch.zeros(4, 5, dtype=torch.float64)
    first, values = loss.weight, loss.weight.detach().clone()

    loss.begin(centroids, labels, labels.clone())
    assert loss.weight is first
    loss.begin(centroids)
    assert loss.weight is first
    assert torch.equal(first, values)

    for previous in (torch.tensor([0, 1, 2, 3, 2]), torch.tensor([0, 1, 2, 3])):
        before = loss.weight
        loss.begin(centroids, labels, previous)
        assert loss.weight is not before
        assert loss.weight.shape == before.shape
        assert not torch.equal(loss.weight, before)

    for shape in ((3, 5), (4, 6)):
        loss.begin(torch.zeros(shape, dtype=torch.float64), labels, labels)
        assert loss.weight.shape == shape
    assert [name for name, _ in loss.named_parameters()] == ["weight"]


def test_a_plain_loop_learns_separable_identities():
    torch.manual_seed(0)
    centres = 2 * torch.eye(4)
    images = centres.repeat_interleave(16, dim=0) + 0.3 * torch.randn(64, 4)
    labels = torch.arange(4).repeat_interleave(16)
    network, loss = torch.nn.Linear(4, 8), IdentityLoss(label_smoothing=0.1)
    loss.begin(torch.zeros(4, 8))
    optimizer = torch.optim.SGD([*network.parameters(), *loss.parameters()], lr=0.2, momentum=0.9)
    values = []
    for _ in range(150):
        value = loss(network(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    smallest = oracle.surprise([math.log(0.925)] + 3 * [math.log(0.025)], 0) * 0.925 - 3 * 0.025 * math.log(0.025)
    assert values[0] == pytest.approx(math.log(4), abs=0.01)
    assert smallest < values[-1] < smallest + 0.1
    assert torch.equal((network(images) @ loss.weight.T).argmax(dim=1), labels)


def test_forward_is_pure_and_inputs_stay_as_they_are():
    embeddings, labels, _ = map(torch.from_numpy, oracle.batch(1, 12, 4, 5))
    kept = embeddings.clone(), labels.clone()
    loss = begun()
    weight = loss.weight.detach().clone()
    assert torch.equal(loss(embeddings, labels), loss(embeddings, labels))
    assert torch.equal(loss.weight, weight)
    assert all(map(torch.equal, kept, (embeddings, labels)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_give_a_finite_float32_loss(dtype):
    embeddings, labels, centroids = map(torch.from_numpy, oracle.batch(2, 16, 4, 32))
    loss = IdentityLoss()
    loss.begin(centroids.float())
    loss.weight.data.copy_(centroids)
    half = embeddings.to(dtype)
    expected = loss(half.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, labels)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.equal(value, expected)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_extremes_stay_finite(scale):
    loss = begun().float()
    embeddings = torch.full((4, 5), scale, requires_grad=True)
    value = loss(embeddings, torch.arange(4))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(loss.weight.grad).all()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_labels_may_be_any_integers(dtype):
    embeddings, labels, _ = map(torch.from_numpy, oracle.batch(3, 12, 4, 5))
    assert torch.equal(begun()(embeddings, labels.to(dtype)), begun()(embeddings, labels))


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, float("nan")])
def test_bad_settings_are_named(label_smoothing):
    with pytest.raises(InputError, match="label_smoothing"):
        IdentityLoss(label_smoothing)


def test_bad_calls_say_what_to_do():
    loss = IdentityLoss()
    ones = torch.ones(2, 5, dtype=torch.float64)
    with pytest.raises(InputError, match="begin\\(centroids\\)"):
        loss(ones, torch.tensor([0, 1]))
    with pytest.raises(InputError, match="centroids"):
        loss.begin(torch.empty(0, 5))
    loss = begun()
    with pytest.raises(InputError, match=r"shape \(2, 5\)"):
        loss(ones[:, :4], torch.tensor([0, 1]))
    for wrong in ([0, 4], [-1, 0]):
        with pytest.raises(InputError, match="0 to 3"):
            loss(ones, torch.tensor(wrong))
    with pytest.raises(InputError, match="batch is empty"):
        loss(ones[:0], torch.tensor([], dtype=torch.long))


def test_a_single_identity_is_certain():
    assert begun(1)(torch.ones(3, 5, dtype=torch.float64), torch.zeros(3, dtype=torch.long)).item() == 0
