"""Optimizers with their schedule, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from reunite.errors import InputError


@dataclass(frozen=True)
class Adam:
    """Adam (L2 weight decay, as Cluster Contrast uses it) with a learning rate that falls in steps.

    Args:
        lr: learning rate of the first rounds.
        weight_decay: L2 penalty on every parameter.
        step: rounds between two falls of the learning rate; None keeps it constant.
        gamma: what the learning rate is multiplied by at each fall.
    """

    lr: float = 3.5e-4
    weight_decay: float = 5e-4
    step: int | None = 20
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.weight_decay < 0 or self.gamma <= 0 or (self.step is not None and self.step < 1):
            raise InputError(f"Expected lr > 0, weight_decay >= 0, gamma > 0 and step >= 1 or None; got {self}.")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """A torch optimizer over the parameters that are trained."""
        trained = [each for each in parameters if each.requires_grad]
        return torch.optim.Adam(trained, lr=self.lr, weight_decay=self.weight_decay)

    def rate(self, round_number: int) -> float:
        """The learning rate of a round."""
        falls = 0 if self.step is None else round_number // self.step
        return self.lr * self.gamma**falls
