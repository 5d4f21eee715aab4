"""How a batch changes network, loss and memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from reunite.images.tracklets import MeanOf
from reunite.losses.protocol import Updates, ask
from reunite.model.batch_norm import (
    Across,
    Running,
    Statistics,
    groups_across,
    mean_of,
    restore_statistics,
    statistics_of,
    trained_norms,
)
from reunite.model.encoder import Encoder, Features
from reunite.train.inputs import Batch
from reunite.train.processes import Processes
from reunite.train.timing import Clock


class Network:
    """An encoder as training runs it.

    Args:
        encoder: whose features are trained.
        mean_of: what is averaged over the frames of a tracklet.
        group_size: images or tracklets that batch norm sees together; None is the whole batch.
        running: whose batch norm statistics are kept, those of the first group or the mean of all.
        compiled: let torch.compile make a faster program of it first.
    """

    def __init__(
        self, encoder: Encoder, mean_of: MeanOf, group_size: int | None, running: Running, compiled: bool = False
    ):
        self.encoder, self.mean_of, self.group_size, self.running = encoder, mean_of, group_size, running
        self._features = torch.compile(encoder.features) if compiled else encoder.features

    def __call__(self, images: Tensor) -> Features:
        """Features before dropout, which is drawn for the whole batch."""
        return Features(*(each.float() for each in self._features(images, self.mean_of, dropout=0.0)))


@dataclass(eq=False)
class State:
    """What a step changes, and what it is done with."""

    accelerator: Accelerator
    processes: Processes
    network: Network
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    clock: Clock


def take_step(state: State, given: Batch) -> Tensor:
    """Forward, backward, optimizer, and then the memory; the loss of the whole batch, still on its device.

    Where a batch is taken in parts, each part goes through the network twice: once to know the features of all, which the
    loss needs together, and once more for the gradient of its own. So the result is that of the whole batch, for any loss.
    """
    device, share, processes = state.accelerator.device, given.share, state.processes
    network, encoder, loss = state.network, state.network.encoder, state.loss
    images = given.on(device)
    labels = given.labels.to(device, non_blocking=True)
    across = None if share.groups is None else Across(share.groups, share.sizes, share.rows, processes.added)
    with state.accelerator.autocast(), groups_across(encoder, across):
        whole = len(share.parts) == 1
        own, statistics = (network(images), []) if whole else _without_graph(network, [images[p] for p in share.parts])
        features = Features(*(processes.concatenated(each, list(share.lengths)) for each in own))
        features = features._replace(unit=encoder.dropped(features.unit))
        more = {"embedding": features.embedding, "pooled": features.pooled, "rows": given.rows}
        value = ask(loss, features.unit, labels, **more)
    state.clock.mark("forward")
    state.optimizer.zero_grad(set_to_none=True)
    state.accelerator.backward(value)
    if not whole:
        for part in share.parts:
            with state.accelerator.autocast():
                again = network(images[part])
            pairs = [(one, other.grad[part]) for one, other in zip(again, own, strict=True) if other.grad is not None]
            torch.autograd.backward([one for one, _ in pairs], [gradient for _, gradient in pairs])
        restore_statistics(encoder, statistics)
    processes.add_gradients(encoder.parameters(), loss.parameters())
    if share.groups is None:
        _agree_on_statistics(state, given)
    state.clock.mark("backward")
    state.optimizer.step()
    if isinstance(loss, Updates):  # a memory moves here, in the open
        more = {"embedding": features.embedding.detach(), "pooled": features.pooled.detach(), "rows": given.rows}
        ask(loss.update, features.unit.detach(), labels, host_labels=given.labels, **more)
    state.clock.mark("update")
    return value.detach()


@torch.no_grad()
def _without_graph(network: Network, parts: list[Tensor]) -> tuple[Features, Statistics]:
    """The features of all parts, which gather a gradient, and the statistics as one pass over all of them leaves them."""
    before = statistics_of(network.encoder)
    found, after = [], []
    for images in parts:
        restore_statistics(network.encoder, before)
        found.append(network(images))
        after.append(statistics_of(network.encoder))
    features = Features(*(torch.cat(each).requires_grad_() for each in zip(*found, strict=True)))
    if network.running == "first":
        return features, after[0]
    groups = [float(_groups(network, len(images))) for images in parts]
    return features, [
        {name: mean_of([each[name] for each in own], groups) for name in own[0]} for own in zip(*after, strict=True)
    ]


def _groups(network: Network, rows: int) -> int:
    """Batch norm groups of so many images or tracklets."""
    size = network.group_size
    return 1 if size is None else -(-rows // size)


@torch.no_grad()
def _agree_on_statistics(state: State, given: Batch) -> None:
    """Every process takes those of the first group, or the mean over the groups of all."""
    processes, network = state.processes, state.network
    if processes.count == 1:
        return
    buffers = [
        value
        for layer in trained_norms(network.encoder)
        for value in layer.buffers(recurse=False)
        if value.is_floating_point()
    ]
    if network.running == "first":
        processes.first(buffers)
        return
    own = _groups(network, given.share.rows) / len(given.share.sizes)
    for each in buffers:
        each.mul_(own)
    processes.add(buffers)
