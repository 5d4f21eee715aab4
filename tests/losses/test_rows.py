"""What all losses with a memory share: how rows move, what that costs, and that no device is waited for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from oracles import memory as oracle
from reunite.errors import InputError
from reunite.losses.identity import IdentityLoss
from reunite.losses.instance_memory import InstanceMemory
from reunite.losses.memory import ClusterMemory
from reunite.losses.protocol import ask
from reunite.losses.repelled import RepelledTable
from reunite.losses.rows import lowest_of_each, means_of_each, move_in_turn, softmax_loss, turns

ROWS = st.lists(st.integers(0, 6), max_size=30)
MEMORIES = [
    *(ClusterMemory(update=update) for update in ("momentum", "hard", "mean", "random")),
    RepelledTable(),
    InstanceMemory(),
]


def name_of(loss: torch.nn.Module) -> str:
    return type(loss).__name__ + getattr(loss, "update_rule", "").title()


def longs(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.long)


@settings(deadline=None, max_examples=100)
@given(rows=ROWS)
def test_turns_equal_the_plain_loop(rows):
    assert [turn.tolist() for turn in turns(longs(rows))] == oracle.turns(rows)


@settings(deadline=None, max_examples=50)
@given(rows=ROWS, momentum=st.floats(0, 0.99), seed=st.integers(0, 10**6))
def test_moving_in_turn_equals_moving_one_after_the_other(rows, momentum, seed):
    rng = np.random.default_rng(seed)
    memory, towards = rng.standard_normal((7, 4)), rng.standard_normal((len(rows), 4))
    moved = torch.from_numpy(memory.copy())
    move_in_turn(moved, longs(rows), torch.from_numpy(towards), momentum)
    np.testing.assert_allclose(moved, oracle.table_update(memory, towards, rows, momentum), atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(-2, 2)), max_size=30))
def test_the_lowest_of_each_row_is_the_first_of_equals(pairs):
    rows, keys = [row for row, _ in pairs], [float(key) for _, key in pairs]
    present, chosen = lowest_of_each(longs(rows), torch.tensor(keys))
    expected = {row: min((keys[at], at) for at in range(len(rows)) if rows[at] == row)[1] for row in set(rows)}
    assert present.tolist() == sorted(expected)
    assert dict(zip(present.tolist(), chosen.tolist(), strict=True)) == expected


def test_an_infinite_key_still_chooses_an_entry_of_its_own_row():
    keys = torch.tensor([1.0, torch.inf, torch.inf, 0.0])
    assert lowest_of_each(longs([0, 1, 1, 0]), keys)[1].tolist() == [3, 1]


@settings(deadline=None, max_examples=50)
@given(rows=ROWS, seed=st.integers(0, 10**6))
def test_means_of_each_equal_the_plain_loop(rows, seed):
    towards = np.random.default_rng(seed).standard_normal((len(rows), 3))
    present, means = means_of_each(longs(rows), torch.from_numpy(towards))
    assert present.tolist() == sorted(set(rows))
    for row, mean in zip(present.tolist(), means, strict=True):
        own = [towards[at] for at in range(len(rows)) if rows[at] == row]
        np.testing.assert_allclose(mean, sum(own) / len(own), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_the_softmax_loss_takes_labels_of_any_integers(dtype):
    embeddings, labels, rows = map(torch.from_numpy, oracle.batch(0, 12, 5, 4))
    assert torch.equal(softmax_loss(embeddings, labels.to(dtype), rows), softmax_loss(embeddings, labels, rows))
    with pytest.raises(InputError, match="batch is empty"):
        softmax_loss(embeddings[:0], labels[:0], rows)


def test_a_row_without_direction_hands_no_gradient_to_half_precision():
    """A dead embedding in float16: normalising it the usual way multiplies its gradient by 1e12, past what float16 holds."""
    for loss in (ClusterMemory(), InstanceMemory()):
        loss.begin(torch.eye(3), torch.eye(3), torch.arange(3))
        dead = torch.zeros(2, 3, dtype=torch.float16, requires_grad=True)
        loss(dead, torch.tensor([0, 1])).backward()
        assert not dead.grad.any()


# What a step costs -------------------------------------------------------------------------------------------------


class Recorder(TorchDispatchMode):
    """Counts operations, keeps the size of the largest tensor any of them made, and notes copies that wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.largest = 0
        self.waits: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        result = function(*arguments, **named)
        given_ = {each.untyped_storage()._cdata for each in tensors((arguments, named))}
        self.operations += 1
        for each in tensors(result):
            if each.untyped_storage()._cdata not in given_:
                self.largest = max(self.largest, each.untyped_storage().nbytes() // each.element_size())
        devices = {each.device for each in tensors((arguments, named, result))}
        if len(devices) > 1 and "_to_copy" in str(function) and not named.get("non_blocking"):
            self.waits.append(str(function))
        return result


def tensors(nested: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(nested) if isinstance(each, torch.Tensor)]


def made(loss: torch.nn.Module, clusters: int, images: int, dimensions: int) -> torch.nn.Module:
    """A loss like the given one, begun with clusters of equal size."""
    torch.manual_seed(0)
    fresh = type(loss)(**loss.get_params()) if isinstance(loss, ClusterMemory) else type(loss)()
    everything, owner = torch.randn(images, dimensions), torch.arange(images) % clusters
    ask(fresh.begin, torch.randn(clusters, dimensions), embeddings=everything, labels=owner)
    return fresh


def batch_for(size: int, each: int, dimensions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings, labels and rows of a batch with the same number of images of each cluster, and of each image."""
    labels = torch.arange(size) // each
    return torch.randn(size, dimensions), labels, labels


@pytest.mark.parametrize("loss", MEMORIES, ids=name_of)
def test_memory_of_a_step_is_batch_by_clusters_and_never_the_whole_table_again(loss):
    size, clusters, images, dimensions = 32, 100, 400, 64
    ready = made(loss, clusters, images, dimensions)
    embeddings, labels, rows = batch_for(size, 4, dimensions)
    with Recorder() as forward:
        ready(embeddings.requires_grad_(), labels).backward()
    assert size * clusters <= forward.largest <= max(size * clusters, size * dimensions)
    with Recorder() as update:
        ask(ready.update, embeddings.detach(), labels, host_labels=labels, rows=rows)
    assert 0 < update.largest <= size * dimensions < clusters * dimensions


def test_the_recorder_sees_a_copy_of_the_table():
    table = torch.randn(100, 64)
    with Recorder() as seen:
        table[:3] = table.clone()[:3]
    assert seen.largest == 6400


@pytest.mark.parametrize("loss", MEMORIES, ids=name_of)
def test_operations_of_an_update_do_not_grow_with_the_batch(loss):
    """They grow with the images of the most frequent cluster only, and with these only where one moves after the other."""
    counts = {}
    for size, each in ((64, 8), (512, 8), (512, 16)):
        ready = made(loss, 100, 100, 16)
        embeddings, labels, rows = batch_for(size, each, 16)
        with Recorder() as seen:
            ask(ready.update, embeddings, labels, host_labels=labels, rows=rows)
        counts[size, each] = seen.operations
    assert counts[64, 8] == counts[512, 8]
    in_turn = getattr(loss, "update_rule", "momentum") == "momentum"
    assert (counts[512, 16] > counts[512, 8]) == in_turn


@pytest.mark.parametrize("loss", MEMORIES, ids=name_of)
def test_updates_with_labels_on_the_host_never_wait_for_the_device(loss):
    """On the meta device there is nothing to look at: whatever reads a value, or copies one back, fails."""
    ready = made(loss, 10, 40, 16).to("meta")
    embeddings, labels, rows = batch_for(32, 4, 16)
    away = embeddings.to("meta"), labels.to("meta")
    with Recorder() as seen:
        ask(ready.update, *away, host_labels=labels, rows=rows)
    assert seen.operations > 0
    assert not seen.waits
    with pytest.raises(NotImplementedError, match="meta"):
        ask(ready.update, *away, rows=rows.to("meta"))


@pytest.mark.parametrize("loss", [*MEMORIES, IdentityLoss()], ids=name_of)
def test_the_loss_itself_never_waits_for_the_device(loss):
    """With tensors that only pretend to be on a GPU: reading a value fails, and so does mixing them with the host's."""
    begun = made(loss, 10, 40, 16)
    embeddings, labels, _ = batch_for(32, 4, 16)
    kept = begun.state_dict()
    with FakeTensorMode() as fake:
        state = {name: on_gpu(value) for name, value in kept.items()}
        away = on_gpu(embeddings), on_gpu(labels)
        value = functional_call(begun, state, away)
        assert value.device.type == "cuda"
        with pytest.raises(DataDependentOutputException):  # labels on the host are looked at
            functional_call(begun, state, (away[0], fake.from_tensor(labels)))


def on_gpu(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
