"""Transforms in two steps, drawing random numbers and applying them, so that a part of a batch can be had by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from reunite.errors import InputError

Batch = UInt8[np.ndarray, "b height width 3"]

Draws = tuple[np.ndarray, ...]
"""What a transform drew for a batch; the first dimension of each array is the image."""


class Splittable(ABC):
    """A transform that draws for a whole batch, and then changes each image by what was drawn for that image alone."""

    def __call__(
        self, batch: UInt8[np.ndarray, "b height width 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "b height width 3"]:
        """A changed copy, the same for the same generator state; `batch` itself is not touched."""
        check_batch(batch)
        result = batch.copy()
        self.edit(result, rng)
        return result

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Draws for a contiguous batch and changes it in place."""
        count, height, width, _ = batch.shape
        self.apply(batch, self.draw(count, height, width, rng))

    @abstractmethod
    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """All random numbers for `count` images of a size; the first dimension of each array is `count`."""

    @abstractmethod
    def apply(self, batch: Batch, draws: Draws) -> None:
        """Changes a contiguous batch in place, by what was drawn for these images."""


class OnDevice(Splittable):
    """A transform that a GPU can apply as well, to the same bytes."""

    @abstractmethod
    def apply_on(
        self, batch: UInt8[Tensor, "b height width 3"], draws: tuple[Tensor, ...]
    ) -> UInt8[Tensor, "b height width 3"]:
        """What `apply` makes of the batch, on its device; `draws` are there already. The host never waits for the device."""


def check_batch(batch: np.ndarray | Tensor) -> None:
    """Refuses what is not uint8 of shape (b, height, width, 3)."""
    kind = str(batch.dtype).removeprefix("torch.")
    if kind != "uint8" or batch.ndim != 4 or batch.shape[3] != 3:
        raise InputError(f"A batch must be uint8 of shape (b, height, width, 3); got {kind} {tuple(batch.shape)}.")


def constant(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A few numbers on a device, sent without waiting for what the device is doing."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=device.type == "cuda")
