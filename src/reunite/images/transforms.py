"""Augmentation of uint8 batches, whole or in parts, and normalisation on whatever device the batch has reached.

Bytes are a quarter of what floats would be, in memory and on the way to the device, so a batch stays uint8 until the
network's first line. Our own transforms draw their random numbers for the whole batch and then change each image by
itself. So each of several processes can augment its own part of a batch, and a GPU can do the work, with the same pixels
as one process on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from reunite.errors import InputError
from reunite.images.augmentations import (
    LUMA,
    Affine,
    ColorJitter,
    Erase,
    Flip,
    Grayscale,
    PadCrop,
    RandomSizedCrop,
)
from reunite.images.drawn import Draws, OnDevice, Splittable, check_batch, constant

__all__ = [
    "LUMA",
    "Affine",
    "ColorJitter",
    "Erase",
    "Flip",
    "Grayscale",
    "PadCrop",
    "RandomSizedCrop",
    "Transform",
    "apply_all",
    "apply_all_on",
    "augment",
    "augment_part",
    "draw_all",
    "normalise",
    "runs_on_device",
    "splittable",
]


@runtime_checkable
class Transform(Protocol):
    """What a recipe's augmentations are: a batch in, another batch of the same shape out."""

    def __call__(
        self, batch: UInt8[np.ndarray, "b height width 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "b height width 3"]:
        """A changed copy, the same for the same generator state; `batch` itself is not touched."""
        ...


def augment(
    batch: UInt8[np.ndarray, "b height width 3"], transforms: Sequence[Transform], rng: np.random.Generator
) -> UInt8[np.ndarray, "b height width 3"]:
    """The batch after these transforms, in this order; `batch` itself is not touched.

    Raises:
        InputError: the batch, or what a transform made of it, is not uint8 of shape (b, height, width, 3).
    """
    check_batch(batch)
    result = batch.copy()
    for transform in transforms:
        if isinstance(transform, Splittable):
            transform.edit(result, rng)  # our own copy: one is enough for all transforms
        else:
            result = _of_our_own(transform(result, rng), result.shape, transform)
    return result


def augment_part(
    read: Callable[[Int64[np.ndarray, " p"]], UInt8[np.ndarray, "p height width 3"]],
    rows: Int64[np.ndarray, " b"],
    part: slice,
    transforms: Sequence[Transform],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "p height width 3"]:
    """One process's part of a batch: ``augment(read(rows), transforms, rng)[part]``, without the work for the others.

    The others' images are read and augmented as well where a transform is not one of ours, since such a transform may do
    anything with a batch.

    Args:
        read: pixels of rows, in an array of the caller's own, as `Pixels.read` gives them.
        rows: of the whole batch.
        part: which of them this process wants.
        transforms: applied in this order.
        rng: in the same state in all processes.

    Raises:
        InputError: the batch, or what a transform made of it, is not uint8 of shape (b, height, width, 3).
    """
    if not splittable(transforms):
        return augment(read(rows), transforms, rng)[part].copy()
    batch = np.ascontiguousarray(read(rows[part]))
    check_batch(batch)
    _, height, width, _ = batch.shape
    apply_all(batch, transforms, draw_all(transforms, len(rows), height, width, rng, part))
    return batch


def splittable(transforms: Sequence[Transform]) -> TypeGuard[Sequence[Splittable]]:
    """Whether a part of a batch can be augmented by itself."""
    return all(isinstance(transform, Splittable) for transform in transforms)


def runs_on_device(transforms: Sequence[Transform]) -> TypeGuard[Sequence[OnDevice]]:
    """Whether a GPU can do all of these, to the same bytes as the CPU."""
    return all(isinstance(transform, OnDevice) for transform in transforms)


def draw_all(
    transforms: Sequence[Splittable],
    count: int,
    height: int,
    width: int,
    rng: np.random.Generator,
    part: slice = slice(None),
) -> list[Draws]:
    """What `augment` would draw for `count` images, by transform; of these images, the numbers of a part."""
    drawn = [transform.draw(count, height, width, rng) for transform in transforms]
    return [tuple(numbers[part] for numbers in each) for each in drawn]


def apply_all(
    batch: UInt8[np.ndarray, "b height width 3"], transforms: Sequence[Splittable], draws: Sequence[Draws]
) -> None:
    """Changes a contiguous batch in place by what `draw_all` drew for these images.

    Raises:
        InputError: not such a batch, or as many images as were drawn for.
    """
    _check_draws(batch, draws)
    for transform, each in zip(transforms, draws, strict=True):
        transform.apply(batch, each)


def apply_all_on(
    batch: UInt8[Tensor, "b height width 3"], transforms: Sequence[OnDevice], draws: Sequence[Draws]
) -> UInt8[Tensor, "b height width 3"]:
    """The same on the batch's device, as another tensor. Nothing waits for the device.

    Raises:
        InputError: not such a batch, or as many images as were drawn for.
    """
    _check_draws(batch, draws)
    for transform, each in zip(transforms, draws, strict=True):
        there = (torch.from_numpy(numbers).to(batch.device, non_blocking=batch.is_cuda) for numbers in each)
        batch = transform.apply_on(batch, tuple(there))
    return batch


def normalise(
    batch: UInt8[Tensor, "b height width 3"], mean: Sequence[float], std: Sequence[float]
) -> Float32[Tensor, "b 3 height width"]:
    """(batch / 255 - mean) / std per channel, on the batch's device, with the channels last in memory.

    Computed as ``batch * scale + shift`` in float32, where ``scale = 1 / (255 std)`` and ``shift = -mean / std`` were
    rounded from float64. That is within 1e-6 of the exact value for the usual means.

    Args:
        batch: RGB bytes.
        mean: of red, green and blue, in [0, 1].
        std: likewise.
    """
    scale = constant([1 / (255 * value) for value in std], torch.float32, batch.device)
    shift = constant([-low / value for low, value in zip(mean, std, strict=True)], torch.float32, batch.device)
    return torch.addcmul(shift, batch.float(), scale).permute(0, 3, 1, 2)


def _of_our_own(batch: np.ndarray, shape: tuple[int, ...], transform: Transform) -> np.ndarray:
    """A contiguous copy of what a foreign transform gave, which may be a view of anything."""
    if batch.dtype != np.uint8 or batch.shape != shape:
        raise InputError(
            f"A transform must give uint8 of the shape it got, {shape}; {transform!r} gave {batch.dtype} {batch.shape}."
        )
    return batch.copy()


def _check_draws(batch: np.ndarray | Tensor, draws: Sequence[Draws]) -> None:
    check_batch(batch)
    wrong = [len(numbers) for each in draws for numbers in each if len(numbers) != len(batch)]
    if wrong:
        raise InputError(f"Random numbers were drawn for {wrong[0]} images, and the batch has {len(batch)}.")
