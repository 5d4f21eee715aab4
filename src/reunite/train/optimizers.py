"""Optimizers with their schedule, as values.

A schedule speaks of epochs, counted from 0 over all rounds: a round has as many as the recipe says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from reunite.errors import InputError

Parameters = Iterable[nn.Parameter]

WARMUP_START = 0.01
"""What the learning rate is multiplied by in the first epoch of a warm-up (Luo et al. 2019)."""

DECAY_END = 0.001
"""What the learning rate has come down to at the end of an exponential decay (Hermans et al. 2017)."""


@dataclass(frozen=True)
class _Scheduled(ABC):
    """A learning rate that may warm up, fall in steps and decay exponentially; its children document the fields."""

    lr: float = 3.5e-4
    weight_decay: float = 5e-4
    head_factor: float = 1.0
    step: int | tuple[int, ...] | None = None
    gamma: float = 0.1
    warmup: int = 0
    decay: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.weight_decay < 0 or self.gamma <= 0 or self.head_factor <= 0 or self.warmup < 0:
            raise InputError(
                f"Expected lr > 0, gamma > 0, head_factor > 0, weight_decay >= 0 and warmup >= 0; got {self}."
            )
        at = (self.step,) if isinstance(self.step, int) else self.step or ()
        if any(epoch < 1 for epoch in at) or list(at) != sorted(set(at)):
            raise InputError(f"step must be epochs >= 1 in ascending order, one of them, or None; got {self.step}.")
        if self.decay is not None and not (len(self.decay) == 2 and 1 <= self.decay[0] <= self.decay[1]):
            raise InputError(f"decay must be (first, last) with 1 <= first <= last, or None; got {self.decay}.")

    def build(self, backbone: Parameters, head: Parameters = ()) -> torch.optim.Optimizer:
        """A torch optimizer over the parameters that are trained, the head's in a group of their own."""
        scales = ((backbone, 1.0), (head, self.head_factor))
        groups = [
            {"params": [each for each in part if each.requires_grad], "scale": scale, "lr": scale * self.lr}
            for part, scale in scales
        ]
        return self._optimizer(groups)

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, before `head_factor`."""
        falls = epoch // self.step if isinstance(self.step, int) else sum(epoch >= at for at in self.step or ())
        rate = self.lr * self.gamma**falls
        if epoch < self.warmup:
            rate *= WARMUP_START + (1 - WARMUP_START) * epoch / self.warmup
        if self.decay is not None and epoch + 1 >= self.decay[0]:
            first, last = self.decay
            rate *= DECAY_END ** ((epoch + 2 - first) / (last + 1 - first))
        return rate

    @abstractmethod
    def _optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer: ...


@dataclass(frozen=True)
class Adam(_Scheduled):
    """Adam with L2 weight decay, as Cluster Contrast, the Support Neighbor loss and the strong baseline use it.

    Args:
        lr: learning rate of the backbone.
        weight_decay: L2 penalty on every parameter.
        head_factor: how many times faster the new layers learn: pooling, neck, and parameters of the loss.
        step: the learning rate falls every so many epochs, or at these epochs; None never.
        gamma: what it is multiplied by at each fall.
        warmup: epochs in which it rises in a straight line from 0.01 of itself.
        decay: (first, last), counted from 1: from the first of these epochs on it falls exponentially, to 0.001 of itself
            right after the last.
    """

    step: int | tuple[int, ...] | None = 20

    def _optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, lr=self.lr, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class SGD(_Scheduled):
    """Stochastic gradient descent with momentum, as BUC, DBC and HCT use it.

    Args:
        lr, weight_decay, head_factor, step, gamma, warmup, decay: as of `Adam`.
        momentum: weight of the old direction, in [0, 1).
        nesterov: look ahead along it.
    """

    lr: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1 or (self.nesterov and not self.momentum):
            raise InputError(f"momentum must be in [0, 1), and above 0 with nesterov; got {self.momentum}.")

    def _optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
        )
