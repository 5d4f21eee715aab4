"""Several processes that train one network, each with its part of every batch.

What one process computes from its images is gathered before the loss, so every process has the loss of the whole batch, the
same gradients, weights and memory. Clusters are found by the main process, and told to the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from reunite.errors import ReuniteError, TrainingError

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long processes wait for the main one, which may be clustering. A process that dies is noticed at once."""

CHUNK = 2**28
"""Bytes that are gathered at once, beside what they become."""


def _together(collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Something that all processes do at once; that one of them is gone is a sentence."""
    try:
        collective(*arguments, **options)
    except RuntimeError as error:
        raise TrainingError(
            f"Another process of this job has ended, and the others cannot go on without it ({str(error).splitlines()[0]}). "
            "Look for its message above; the same command goes on from the last checkpoint."
        ) from error


class Processes:
    """The processes of a job; by itself, a process is the main one and all of these do nothing.

    Attributes:
        count: how many there are.
        rank: which one this is, 0 is the main one.
        local_rank: which one of those on this machine.
    """

    def __init__(self, accelerator: Accelerator):
        self.count = int(accelerator.num_processes)
        self.rank = int(accelerator.process_index)
        self.local_rank = int(accelerator.local_process_index)
        self._device = accelerator.device
        # Waiting for a cluster may take hours, more than NCCL's patience; and arrays need not go through a GPU.
        self._group = dist.new_group(backend="gloo", timeout=PATIENCE) if self.count > 1 else None
        self._trained: tuple[tuple[nn.Parameter, ...], list[nn.Parameter]] | None = None

    @property
    def main(self) -> bool:
        """Whether this is the process that clusters, prints and saves."""
        return self.rank == 0

    def on_main(self, make: Callable[[], T]) -> T:
        """What the main process makes, in every process; its error is raised in every process."""
        made = self.main_alone(make)
        if self.count == 1:
            return cast(T, made)
        value: list[Any] = [made]
        _together(dist.broadcast_object_list, value, src=0, group=self._group)
        return value[0]

    def main_alone(self, make: Callable[[], T]) -> T | None:
        """What the main process makes while the others wait for it; its error is raised in every process."""
        if self.count == 1:
            return make()
        made: T | None = None
        failed: list[ReuniteError | None] = [None]
        if self.main:
            try:
                made = make()
            except ReuniteError as error:
                failed = [error]
        _together(dist.broadcast_object_list, failed, src=0, group=self._group)
        if failed[0] is not None:
            failed[0].told = not self.main
            raise failed[0]
        return made

    def machine_by_machine(self, make: Callable[[], T]) -> T:
        """The first process of each machine makes it before the others, so that these find what it left on the disk."""
        if self.count == 1:
            return make()
        if self.local_rank == 0:
            made = make()
            _together(dist.barrier, group=self._group)
            return made
        _together(dist.barrier, group=self._group)
        return make()

    def share(self, count: int) -> slice:
        """The part of `count` things that is this process's own."""
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def joined(self, own: np.ndarray) -> np.ndarray:
        """The rows of all processes, in order; a process may have any number."""
        if self.count == 1:
            return own
        lengths: list[Any] = [None] * self.count
        _together(dist.all_gather_object, lengths, len(own), group=self._group)
        result = np.empty((sum(lengths), *own.shape[1:]), own.dtype)
        ends = np.cumsum([0, *lengths])
        step = max(1, CHUNK // max(1, own[:1].nbytes))
        for rank in range(self.count):
            part = result[ends[rank] : ends[rank + 1]]
            if rank == self.rank:
                part[:] = own
            for at in range(0, len(part), step):
                _together(dist.broadcast, torch.from_numpy(part[at : at + step]), src=rank, group=self._group)
        return result

    def gathered(self, own: list[T]) -> list[T]:
        """The things of all processes, in order."""
        if self.count == 1:
            return own
        found: list[Any] = [None] * self.count
        _together(dist.all_gather_object, found, own, group=self._group)
        return [each for part in found for each in part]

    def concatenated(self, own: Tensor, lengths: list[int]) -> Tensor:
        """The rows of all processes, `lengths` of each, on the device; the gradient goes back to the process they are from."""
        return own if self.count == 1 else _Concatenated.apply(own, lengths, self.rank)

    def added(self, own: Tensor) -> Tensor:
        """The sum over processes, with its gradient."""
        return own if self.count == 1 else _Added.apply(own)

    def first(self, values: list[Tensor]) -> None:
        """Every process takes over these values of the main one."""
        self._flat(values, functools.partial(_together, dist.broadcast, src=0))

    def add(self, values: list[Tensor]) -> None:
        """Every value becomes its sum over processes."""
        self._flat(values, functools.partial(_together, dist.all_reduce))

    def add_gradients(self, own: Iterable[nn.Parameter], common: Iterable[nn.Parameter]) -> None:
        """Gradients over the whole batch, the same in every process.

        Args:
            own: parameters whose gradient is that of this process's part of the batch: the parts are added.
            common: parameters whose gradient is that of the whole batch already: averaged, so that rounding cannot let
                processes drift apart.
        """
        if self.count == 1:
            return
        parameters = [each for each in own if each.requires_grad]
        shared = [each for each in common if each.requires_grad]
        every = (*parameters, *shared)
        if self._trained is None or len(self._trained[0]) != len(every) or any(map(_other, self._trained[0], every)):
            # Asked once for these parameters, because reading the answer waits for the device.
            used = torch.tensor([float(each.grad is not None) for each in every], device=self._device)
            _together(dist.all_reduce, used)
            self._trained = every, [each for each, count in zip(every, used.tolist(), strict=True) if count]
        gradients = []
        for each in self._trained[1]:
            each.grad = torch.zeros_like(each) if each.grad is None else each.grad
            gradients.append(each.grad)
        for each in shared:
            if each.grad is not None:
                each.grad /= self.count
        self.add(gradients)

    def _flat(self, values: list[Tensor], combine: Callable[[Tensor], Any]) -> None:
        if self.count == 1 or not values:
            return
        flat = torch.cat([each.detach().reshape(-1).float() for each in values])
        combine(flat)
        for each, part in zip(values, flat.split([each.numel() for each in values]), strict=True):
            each.copy_(part.view_as(each))


def _other(one: object, other: object) -> bool:
    return one is not other


class _Concatenated(torch.autograd.Function):
    """Rows of all processes. Each computes the loss of all rows, so it needs the gradient of its own rows alone."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, lengths: list[int], rank: int) -> Tensor:
        ctx.part = slice(sum(lengths[:rank]), sum(lengths[: rank + 1]))
        # all_gather wants equal shapes: shorter parts are filled up.
        most = max(lengths)
        filled = own.new_zeros(most, *own.shape[1:])
        filled[: len(own)] = own
        parts = [torch.empty_like(filled) for _ in lengths]
        _together(dist.all_gather, parts, filled)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.part].contiguous(), None, None


class _Added(torch.autograd.Function):
    """A sum over processes. What each process makes of it has a gradient of its own: these are added, too."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        _together(dist.all_reduce, total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        _together(dist.all_reduce, total)
        return total
