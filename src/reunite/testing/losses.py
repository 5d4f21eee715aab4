"""What the training loop relies on when it calls a loss."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from reunite.losses.protocol import Begins, Updates, ask
from reunite.train.describe import arguments

CLASSES, DIMENSIONS = 5, 16
STEP = 1e-6
"""Of the finite differences, in float64."""


def check_loss(loss: nn.Module, *, half: bool = True) -> None:
    """Checks that a loss keeps the rules that `reunite.train` relies on.

    It gives a finite scalar with a finite gradient for batches of any composition, and at extremes; it is pure: the same
    number twice, nothing changed; the order of the batch does not matter; its gradient is that of its value; its settings
    can be read back, so that a recipe with it prints. One with a memory is begun and updated as the loop does it: updates
    move only rows of the batch, and rows that had unit length keep it.

    Args:
        loss: a torch module called as ``loss(embeddings, labels)``; it is copied, never changed.
        half: also call it with float16 and bfloat16 embeddings.

    Raises:
        AssertionError: a rule is broken; the message says which.
    """
    _check_settings(loss)
    for name, labels in _batches():
        _check_value(loss, name, _rows(len(labels)), labels)
    labels = dict(_batches())["unequal"]
    _check_pure(loss, _rows(len(labels)), labels)
    _check_order(loss, _rows(len(labels)), labels)
    _check_gradient(loss, _rows(len(labels)), labels)
    for name, rows in _extremes(len(labels), half):
        _check_value(loss, name, rows, labels)
    if isinstance(loss, Updates):
        _check_update(loss, _rows(len(labels)), labels)


def _check_settings(loss: nn.Module) -> None:
    try:
        again = type(loss)(**arguments(loss))
    except Exception as error:
        raise AssertionError(
            f"{type(loss).__name__} cannot be built from its own settings ({error}): the constructor must keep each argument "
            "under its own name, or in get_params()."
        ) from error
    # Modules among the settings are compared by the tests of their own.
    mine, theirs = (
        {name: value for name, value in arguments(each).items() if not _holds_modules(value)} for each in (loss, again)
    )
    assert mine == theirs, f"settings read back differ: {mine} became {theirs}"


def _check_value(loss: nn.Module, name: str, rows: Tensor, labels: Tensor) -> None:
    ready, rows = _begun(loss, rows), rows.clone().requires_grad_()
    value = _call(ready, rows, labels)
    assert value.ndim == 0 and value.is_floating_point(), (
        f"{name}: expected a floating scalar, got {value.dtype} {tuple(value.shape)}"
    )
    assert torch.isfinite(value), f"{name}: the loss is {value.item()}"
    assert value.requires_grad, (
        f"{name}: the loss is cut off from the embeddings; return embeddings.sum() * 0, not a new zero"
    )
    value.backward()
    assert rows.grad is None or torch.isfinite(rows.grad).all(), f"{name}: the gradient is not finite"


def _check_pure(loss: nn.Module, rows: Tensor, labels: Tensor) -> None:
    ready = _begun(loss, rows)
    inputs, state = (rows.clone(), labels.clone()), copy.deepcopy(ready.state_dict())
    first, second = _call(ready, rows, labels), _call(ready, rows, labels)
    assert torch.equal(first, second), f"two calls gave {first.item()} and {second.item()}: forward must be pure"
    assert torch.equal(rows, inputs[0]) and torch.equal(labels, inputs[1]), "the loss changed its inputs"
    after = ready.state_dict()
    changed = [name for name, value in state.items() if not torch.equal(value, after[name])]
    assert not changed, f"calling the loss changed {', '.join(changed)}: move memories in update(), not in forward()"


def _check_order(loss: nn.Module, rows: Tensor, labels: Tensor) -> None:
    ready = _begun(loss, rows)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    one, other = _call(ready, rows, labels).item(), _call(ready, rows[order], labels[order]).item()
    assert abs(one - other) <= 1e-5 * max(1.0, abs(one)), f"the order of the batch matters: {one} and {other}"


def _check_gradient(loss: nn.Module, rows: Tensor, labels: Tensor) -> None:
    ready, rows = _begun(loss, rows), rows.clone().requires_grad_()
    value = _call(ready, rows, labels)
    if value.dtype != torch.float64:
        return  # a loss that computes in float32 has no digits left for differences
    (gradient,) = torch.autograd.grad(value, rows)
    for seed in range(3):
        direction = torch.randn(rows.shape, dtype=rows.dtype, generator=torch.Generator().manual_seed(seed))
        ahead, behind = (_call(ready, rows.detach() + sign * STEP * direction, labels).item() for sign in (1, -1))
        slope, expected = (ahead - behind) / (2 * STEP), float((gradient * direction).sum())
        assert abs(slope - expected) <= 1e-5 * max(1.0, abs(slope)), (
            f"the gradient is not that of the value: along a direction it says {expected}, finite differences {slope}"
        )


def _check_update(loss: nn.Module, rows: Tensor, labels: Tensor) -> None:
    ready = _begun(loss, rows)
    present = labels[labels < 2]  # rows of other classes must stay
    batch = rows[labels < 2]
    kept, before = batch.clone(), copy.deepcopy(ready.state_dict())
    assert isinstance(ready, Updates)
    ask(ready.update, batch, present, rows=_members_of(present), embedding=batch, pooled=batch)
    assert torch.equal(batch, kept), "update changed the embeddings it was given"
    for name, value in ready.state_dict().items():
        assert torch.isfinite(value).all(), f"update left {name} not finite"
        if name.rpartition(".")[2] != "memory":
            continue
        if len(value) == CLASSES:
            assert torch.equal(value[2:], before[name][2:]), (
                f"update moved rows of {name} whose class is not in the batch"
            )
            assert not torch.equal(value[:2], before[name][:2]), f"update left {name} where it was"
        lengths = value.norm(dim=1)
        assert torch.isclose(lengths, torch.ones_like(lengths), atol=1e-5).logical_or(lengths == 0).all(), (
            f"rows of {name} must stay unit; their lengths are {lengths.min().item()} to {lengths.max().item()}"
        )


def _batches() -> Iterator[tuple[str, Tensor]]:
    yield "P x K", torch.arange(CLASSES).repeat_interleave(4)
    yield "unequal", torch.tensor([0, 1, 1, 2, 0, 2, 2, 2, 3, 4, 0, 4, 2, 1])
    yield "a single identity", torch.full((6,), 2)
    yield "a single image", torch.tensor([3])
    yield "one image of each identity", torch.arange(CLASSES)


def _extremes(count: int, half: bool) -> Iterator[tuple[str, Tensor]]:
    rows = _rows(count)
    yield "identical rows", rows[:1].repeat(count, 1)
    yield "far rows", rows * 1e4
    yield "rows of zeros", torch.zeros_like(rows)
    if half:
        yield "float16", rows.half()
        yield "bfloat16", rows.bfloat16()


def _rows(count: int) -> Tensor:
    return torch.randn(count, DIMENSIONS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _begun(loss: nn.Module, like: Tensor) -> nn.Module:
    """A copy of the loss, begun with made-up clusters of the kind of rows it will see."""
    ready = copy.deepcopy(loss)
    wide = torch.float64 if like.dtype == torch.float64 else torch.float32
    members = _rows(4 * CLASSES).to(wide)
    labels = torch.arange(CLASSES).repeat(4)
    if isinstance(ready, Begins):
        means = torch.stack([members[labels == label].mean(dim=0) for label in range(CLASSES)])
        ask(ready.begin, means, embeddings=members, labels=labels, previous=labels)
    return ready


def _call(loss: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    return ask(loss, rows, labels, rows=_members_of(labels), embedding=rows, pooled=rows)


def _members_of(labels: Tensor) -> Tensor:
    """Images of these classes among those that `_begun` begins with."""
    earlier = torch.tril(labels[:, None] == labels[None, :], diagonal=-1).sum(dim=1)
    return labels + CLASSES * (earlier % 4)


def _holds_modules(value: object) -> bool:
    return isinstance(value, nn.Module) or (isinstance(value, (tuple, list)) and any(map(_holds_modules, value)))
