"""Batch norm over groups of the batch, so that one process equals the several GPUs a method was published on.

Cluster Contrast was trained on four GPUs: a batch of 256 was normalised in four chunks of 64, each of four whole
clusters. Over all 256 at once the same recipe loses about 20 points of mAP on Market-1501 (issues 2, 14 and 17 of the
authors' repository), which makes the group size part of the method. So a group is the same images on any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reunite.errors import InputError

Running = Literal["first", "mean"]
Statistics = list[dict[str, Tensor]]
"""The buffers of every batch norm layer of a network, in order."""


@dataclass(frozen=True)
class Across:
    """Groups that several processes have rows of.

    Attributes:
        groups: rows of each group that this process has, (first, past).
        sizes: rows of each group in all processes together.
        rows: of this process.
        add: the sum of a tensor over processes, with its gradient.
    """

    groups: Sequence[tuple[int, int]]
    sizes: Sequence[int]
    rows: int
    add: Callable[[Tensor], Tensor]


class _Grouped(nn.Module):
    """Mixed into the class of a batch norm layer; parameters and their names stay what they were."""

    bn_group_size: int | None
    bn_running: Running
    bn_across: Across | None
    # of the class it is mixed into
    eps: float
    momentum: float | None
    num_batches_tracked: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training and self.bn_across is not None:
            return self._across(inputs, self.bn_across)
        whole = self.bn_group_size is None or not self.training
        chunks = (inputs,) if whole else inputs.split(self.bn_group_size)
        if len(chunks) == 1:
            return super().forward(inputs)
        if self.running_mean is None:
            return torch.cat([super(_Grouped, self).forward(chunk) for chunk in chunks])
        start = dict(self.named_buffers(recurse=False))
        outputs, statistics = [], []
        for chunk in chunks:
            # Fresh buffers for each chunk: autograd still holds those of the chunk before.
            self._buffers.update({name: value.clone() for name, value in start.items()})
            outputs.append(super().forward(chunk))
            statistics.append(dict(self.named_buffers(recurse=False)))
        for name, value in start.items():
            kept = [each[name] for each in statistics]
            value.copy_(kept[0] if self.bn_running == "first" else mean_of(kept))
        self._buffers.update(start)
        return torch.cat(outputs)

    def _across(self, inputs: Tensor, across: Across) -> Tensor:
        """The same where other processes have the rest of a group: means first, then squares around them, both summed."""
        frames = len(inputs) // max(across.rows, 1) or 1  # of a tracklet, all in the group of the tracklet
        parts = [inputs[frames * first : frames * past].float() for first, past in across.groups]
        rest = [0, *range(2, inputs.ndim)]
        shape = (1, -1) + (1,) * (inputs.ndim - 2)
        positions = inputs[0, 0].numel() if inputs.ndim > 2 else 1
        counts = inputs.new_tensor([frames * positions * size for size in across.sizes], dtype=torch.float32)[:, None]
        means = across.add(torch.stack([part.sum(rest) for part in parts])) / counts
        centered = [part - mean.view(shape) for part, mean in zip(parts, means, strict=True)]
        squares = across.add(torch.stack([part.square().sum(rest) for part in centered]))
        scales = torch.rsqrt(squares / counts + self.eps)
        normal = torch.cat([part * scale.view(shape) for part, scale in zip(centered, scales, strict=True)])
        if self.running_mean is not None:
            self._keep(means.detach(), (squares / (counts - 1)).detach())
        return self._affine(normal.to(inputs.dtype))

    @torch.no_grad()
    def _keep(self, means: Tensor, variances: Tensor) -> None:
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for buffer, found in ((self.running_mean, means), (self.running_var, variances)):
            assert buffer is not None
            buffer.lerp_(found[0] if self.bn_running == "first" else found.mean(dim=0), momentum)

    def _affine(self, normal: Tensor) -> Tensor:
        """Weight, bias and what the layer does after them: its own forward with statistics that change nothing."""
        start, training = dict(self.named_buffers(recurse=False)), self.training
        ones = torch.ones(normal.shape[1], device=normal.device)
        try:
            self._buffers.update({"running_mean": 0 * ones, "running_var": (1 - self.eps) * ones})
            self.training = False
            return super().forward(normal)
        finally:
            self._buffers.update(start)
            self.training = training


def mean_of(values: list[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """The mean of buffers; of counters, which are all the same, the first."""
    if not values[0].is_floating_point():
        return values[0]
    if weights is None:
        return torch.stack(values).mean(dim=0)
    return torch.stack([weight * each for weight, each in zip(weights, values, strict=True)]).sum(dim=0) / sum(weights)


@cache
def _grouped_class(kind: type[nn.Module]) -> type[nn.Module]:
    return type(f"Grouped{kind.__name__}", (_Grouped, kind), {})


def group_batch_norm(network: nn.Module, group_size: int | None, running: Running = "first") -> nn.Module:
    """Makes every batch norm layer of `network` normalise contiguous groups of the batch separately, in place.

    Only training mode is affected. Contiguous, because a batch lists its identities one after the other and the authors'
    replicas saw whole clusters; a strided group would mix all clusters.

    Args:
        network: changed in place, and returned. Names of parameters and buffers do not change.
        group_size: images per group; None is the whole batch.
        running: "first" keeps the running statistics of the first group, as PyTorch's DataParallel does; "mean" averages
            those of all groups.

    Raises:
        InputError: a group of fewer than two images cannot be normalised.
    """
    if running not in ("first", "mean"):
        raise InputError(f"bn_running must be 'first' or 'mean'; got {running!r}.")
    if group_size is not None and group_size < 2:
        raise InputError(f"bn_group_size must be at least 2 images, or None for the whole batch; got {group_size}.")
    for layer in network.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, _Grouped):
            layer.__class__ = _grouped_class(type(layer))  # type: ignore[arg-type,assignment]
            layer.bn_group_size, layer.bn_running, layer.bn_across = group_size, running, None  # type: ignore[assignment]
    return network


def trained_norms(network: nn.Module) -> list[Any]:
    """The batch norm layers that are in training mode; frozen ones are not."""
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.training]


@contextmanager
def groups_across(network: nn.Module, across: Across | None) -> Iterator[None]:
    """Within, groups are what `across` says; None leaves them as they are."""
    layers = [layer for layer in network.modules() if isinstance(layer, _Grouped)]
    for layer in layers:
        layer.bn_across = across
    try:
        yield
    finally:
        for layer in layers:
            layer.bn_across = None


def statistics_of(network: nn.Module) -> Statistics:
    """Copies of the running statistics of layers in training mode."""
    return [
        {name: value.clone() for name, value in layer.named_buffers(recurse=False)} for layer in trained_norms(network)
    ]


@torch.no_grad()
def restore_statistics(network: nn.Module, statistics: Statistics) -> None:
    """Puts back what `statistics_of` copied. In new tensors: autograd may hold those there are."""
    for layer, own in zip(trained_norms(network), statistics, strict=True):
        layer._buffers.update({name: value.clone() for name, value in own.items()})
