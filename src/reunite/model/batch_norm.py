"""Batch norm over groups of the batch, so that one process equals the several GPUs a method was published on.

Cluster Contrast was trained on four GPUs: a batch of 256 was normalised in four chunks of 64, each of four whole
clusters. Over all 256 at once the same recipe loses about 20 points of mAP on Market-1501 (issues 2, 14 and 17 of the
authors' repository), which makes the group size part of the method.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reunite.errors import InputError

Running = Literal["first", "mean"]


class _Grouped(nn.Module):
    """Mixed into the class of a batch norm layer; parameters and their names stay what they were."""

    bn_group_size: int
    bn_running: Running

    def forward(self, inputs: Tensor) -> Tensor:
        chunks = inputs.split(self.bn_group_size) if self.training else (inputs,)
        if len(chunks) == 1 or self.running_mean is None:
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
            value.copy_(kept[0] if self.bn_running == "first" else _mean(kept))
        self._buffers.update(start)
        return torch.cat(outputs)


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean(dim=0) if values[0].is_floating_point() else values[0]


@cache
def _grouped_class(kind: type[nn.Module]) -> type[nn.Module]:
    return type(f"Grouped{kind.__name__}", (_Grouped, kind), {})


def group_batch_norm(network: nn.Module, group_size: int | None, running: Running = "first") -> nn.Module:
    """Makes every batch norm layer of `network` normalise contiguous groups of the batch separately, in place.

    Only training mode is affected. Contiguous, because a batch lists its identities one after the other and the authors'
    replicas saw whole clusters; a strided group would mix all clusters.

    Args:
        network: changed in place, and returned. Names of parameters and buffers do not change.
        group_size: images per group; None leaves the network as it is.
        running: "first" keeps the running statistics of the first group, as PyTorch's DataParallel does; "mean" averages
            those of all groups.

    Raises:
        InputError: a group of fewer than two images cannot be normalised.
    """
    if running not in ("first", "mean"):
        raise InputError(f"bn_running must be 'first' or 'mean'; got {running!r}.")
    if group_size is None:
        return network
    if group_size < 2:
        raise InputError(f"bn_group_size must be at least 2 images, or None for the whole batch; got {group_size}.")
    for layer in network.modules():
        if isinstance(layer, _BatchNorm) and not isinstance(layer, _Grouped):
            layer.__class__ = _grouped_class(type(layer))  # type: ignore[arg-type,assignment]
            layer.bn_group_size, layer.bn_running = group_size, running  # type: ignore[assignment]
    return network
