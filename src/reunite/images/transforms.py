"""Augmentation of uint8 batches on the CPU, and normalisation on whatever device the batch has reached.

Bytes are a quarter of what floats would be, in memory and on the way to the device, so a batch stays uint8 until the
network's first line. Every transform draws all its random numbers for the whole batch before it touches a pixel.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from reunite.errors import InputError
from reunite.images.rectangles import random_rectangles

Batch = UInt8[np.ndarray, "b height width 3"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness that people see (ITU-R BT.601, as Pillow and OpenCV use)."""


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
        InputError: the batch is not uint8 of shape (b, height, width, 3).
    """
    result = _copy(batch)
    for transform in transforms:
        if isinstance(transform, _InPlace):
            transform.edit(result, rng)  # our own copy: one is enough for all transforms
        else:
            result = transform(result, rng)
    return result


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
    scale = batch.new_tensor([1 / (255 * value) for value in std], dtype=torch.float32)
    shift = batch.new_tensor([-low / value for low, value in zip(mean, std, strict=True)], dtype=torch.float32)
    return torch.addcmul(shift, batch.float(), scale).permute(0, 3, 1, 2)


class _InPlace(ABC):
    """A transform that is written as an edit of a contiguous batch that belongs to it."""

    def __call__(
        self, batch: UInt8[np.ndarray, "b height width 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "b height width 3"]:
        """A changed copy, the same for the same generator state; `batch` itself is not touched."""
        result = _copy(batch)
        self.edit(result, rng)
        return result

    @abstractmethod
    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Changes the batch itself."""


@dataclass(frozen=True)
class Flip(_InPlace):
    """Mirrors images left to right, each with this probability.

    Raises:
        InputError: a probability outside [0, 1].
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Flips in place."""
        for row in np.flatnonzero(rng.random(len(batch)) < self.probability):
            cv2.flip(batch[row], 1, batch[row])


@dataclass(frozen=True)
class PadCrop(_InPlace):
    """Shifts images by up to `padding` pixels each way; what comes in is black.

    The same as padding every side with zeros and cropping the old size at a random place, as re-identification has done
    since the strong baseline (Luo et al. 2019).

    Raises:
        InputError: a padding that is not a whole number of pixels >= 0.
    """

    padding: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.padding, int) or self.padding < 0:
            raise InputError(f"padding must be a whole number of pixels, at least 0; got {self.padding!r}.")

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Shifts in place."""
        _, height, width, _ = batch.shape
        shifts = rng.integers(-self.padding, self.padding, (len(batch), 2), endpoint=True)
        source = np.empty(
            batch.shape[1:], np.uint8
        )  # one for all: a new one for each image would cost more than the copy
        for image, (down, right) in zip(batch, shifts.tolist(), strict=True):
            source[:] = image
            image.fill(0)
            image[max(0, -down) : max(0, height - down), max(0, -right) : max(0, width - right)] = source[
                max(0, down) : max(0, height + down), max(0, right) : max(0, width + right)
            ]


@dataclass(frozen=True)
class RandomSizedCrop(_InPlace):
    """Crops a random rectangle of each image and stretches it back to the old size: the training crop of BUC and DBC.

    A rectangle of area U(area) of the image and height / width U(aspect) is drawn until it is no larger than the image in
    either direction, `attempts` times at most; then it is placed uniformly. Where none fits the whole image is kept.
    Stretching is bilinear.

    `aspect` is measured on the image as Reunite decodes it, which is at the size the network takes; the authors crop the
    original file and resize once. The rectangles are the same where files have the target's shape, as Market-1501's do.
    On images that are not about twice as high as wide the default `aspect` hardly ever fits.

    Args:
        area: least and most of the image to keep, within (0, 1].
        aspect: least and most height / width.
        attempts: draws before the whole image is kept.

    Raises:
        InputError: an argument out of range.
    """

    area: tuple[float, float] = (0.64, 1.0)
    aspect: tuple[float, float] = (2.0, 3.0)
    attempts: int = 10

    def __post_init__(self) -> None:
        _check_interval("area", self.area, 1.0)
        _check_interval("aspect", self.aspect, math.inf)
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise InputError(f"attempts must be a whole number of draws, at least 1; got {self.attempts!r}.")

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Crops and stretches in place."""
        _, height, width, _ = batch.shape
        source = np.empty(batch.shape[1:], np.uint8)
        rectangles = self.rectangles(len(batch), height, width, rng)
        for image, (top, left, tall, wide) in zip(batch, rectangles.tolist(), strict=True):
            source[:] = image
            cv2.resize(source[top : top + tall, left : left + wide], (width, height), image, 0, 0, cv2.INTER_LINEAR)

    def rectangles(self, count: int, height: int, width: int, rng: np.random.Generator) -> Int64[np.ndarray, "count 4"]:
        """Top, left, height and width of what is kept of each image."""
        size = (height, width)
        found = random_rectangles(count, size, size, self.area, self.aspect, self.attempts, rng)
        return np.where(found[:, 2:].all(axis=1, keepdims=True), found, (0, 0, height, width))


@dataclass(frozen=True)
class Erase(_InPlace):
    """Paints a random rectangle over images (random erasing, Zhong et al. 2020).

    A rectangle of area U(area) of the image and height / width U(aspect) is drawn until it is smaller than the image in
    both directions, a hundred times at most; then it is placed uniformly. Aspect is uniform, as in the paper and in
    Cluster Contrast; torchvision's is uniform in its logarithm.

    The colour is what the authors' code of Cluster Contrast and the strong baseline paints: they write the ImageNet
    mean (0.485, 0.456, 0.406) into the image *after* normalisation, which is the byte round(255 * (mean + std * mean))
    of each channel, a little brighter than the mean colour itself.

    Args:
        probability: of erasing, for each image.
        area: least and most of the image to cover, within (0, 1).
        aspect: least and most height / width.
        value: RGB bytes to paint with.

    Raises:
        InputError: an argument out of range.
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    value: tuple[int, int, int] = (152, 142, 127)

    def __post_init__(self) -> None:
        _check_probability(self.probability)
        _check_interval("area", self.area, 1.0)
        _check_interval("aspect", self.aspect, math.inf)
        _check_colour("value", self.value)

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Erases in place."""
        rectangles = self.rectangles(len(batch), batch.shape[1], batch.shape[2], rng)
        for row in np.flatnonzero(rectangles[:, 2:].all(axis=1)):
            top, left, height, width = rectangles[row].tolist()
            cv2.rectangle(batch[row], (left, top), (left + width - 1, top + height - 1), self.value, cv2.FILLED)

    def rectangles(self, count: int, height: int, width: int, rng: np.random.Generator) -> Int64[np.ndarray, "count 4"]:
        """Top, left, height and width of a rectangle for each image; zeros where nothing is erased."""
        found = np.zeros((count, 4), np.int64)
        chosen = np.flatnonzero(rng.random(count) < self.probability)
        found[chosen] = random_rectangles(
            len(chosen), (height, width), (height - 1, width - 1), self.area, self.aspect, 100, rng
        )
        return found


@dataclass(frozen=True)
class Affine(_InPlace):
    """Turns, shifts, scales and shears images around their centre, with bilinear interpolation.

    With p relative to the centre: p_out = translation + scale * rotation * shear * p_in, shear along x (as in
    torchvision's RandomAffine, but shifts are not rounded to pixels).

    Args:
        rotation: most degrees, either way.
        translate: most shift, either way, as a fraction of height and of width.
        scale: least and most scale.
        shear: most degrees, either way.
        fill: RGB bytes of what comes in from outside; None repeats the border.

    Raises:
        InputError: an argument out of range.
    """

    rotation: float = 10.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    shear: float = 5.0
    fill: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        _check_between("rotation", self.rotation, 180.0)
        _check_between("translate", self.translate, 1.0)
        _check_between("shear", self.shear, 89.0)
        _check_interval("scale", self.scale, math.inf)
        if self.fill is not None:
            _check_colour("fill", self.fill)

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Warps in place."""
        _, height, width, _ = batch.shape
        border = cv2.BORDER_REPLICATE if self.fill is None else cv2.BORDER_CONSTANT
        source = np.empty(batch.shape[1:], np.uint8)
        for image, matrix in zip(batch, self.matrices(len(batch), height, width, rng), strict=True):
            source[:] = image
            cv2.warpAffine(source, matrix, (width, height), image, cv2.INTER_LINEAR, border, self.fill or (0, 0, 0))

    def matrices(self, count: int, height: int, width: int, rng: np.random.Generator) -> Float[np.ndarray, "count 2 3"]:
        """The map (x, y, 1) -> (x, y) of each image, in pixels from the centre of the top left one."""
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation, count))
        slant = np.tan(np.deg2rad(rng.uniform(-self.shear, self.shear, count)))
        scale = rng.uniform(*self.scale, count)
        shift = rng.uniform(-self.translate, self.translate, (count, 2)) * (width, height)
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.stack([cosine, cosine * slant - sine, sine, sine * slant + cosine], axis=1).reshape(count, 2, 2)
        linear = turn * scale[:, None, None]
        centre = np.array([width - 1, height - 1]) / 2
        return np.concatenate([linear, (centre + shift - linear @ centre)[:, :, None]], axis=2)


@dataclass(frozen=True)
class ColorJitter(_InPlace):
    """Changes brightness, then contrast, then saturation, each by a factor U(max(0, 1 - strength), 1 + strength).

    Brightness multiplies, contrast moves away from or towards the mean grey of the image, saturation from or towards
    the grey of each pixel, as torchvision's ColorJitter. Where we differ: the order is fixed, there is no hue, and the
    three are one linear map of colours, so a value is rounded and cut to [0, 255] once at the end, not after each step.

    Raises:
        InputError: a negative strength.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check_between(name, getattr(self, name), math.inf)

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Recolours in place."""
        strength = np.array([self.brightness, self.contrast, self.saturation])
        brightness, contrast, saturation = rng.uniform(np.maximum(0, 1 - strength), 1 + strength, (len(batch), 3)).T[
            :, :, None, None
        ]
        linear = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * np.asarray(LUMA))
        means = np.array([cv2.mean(image)[:3] for image in batch]).reshape(-1, 3) @ LUMA
        offset = np.repeat((1 - contrast) * brightness * means[:, None, None], 3, axis=1)
        for image, matrix in zip(batch, np.concatenate([linear, offset], axis=2), strict=True):
            cv2.transform(image, matrix, image)


@dataclass(frozen=True)
class Grayscale(_InPlace):
    """Takes the colour out of images, each with this probability; all three channels get the ITU-R BT.601 luma.

    Raises:
        InputError: a probability outside [0, 1].
    """

    probability: float = 0.1

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def edit(self, batch: Batch, rng: np.random.Generator) -> None:
        """Turns images grey in place."""
        for row in np.flatnonzero(rng.random(len(batch)) < self.probability):
            cv2.cvtColor(cv2.cvtColor(batch[row], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, batch[row])


def _copy(batch: np.ndarray) -> Batch:
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
        raise InputError(f"A batch must be uint8 of shape (b, height, width, 3); got {batch.dtype} {batch.shape}.")
    return batch.copy()


def _check_probability(value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"probability must be within 0 and 1; got {value!r}.")


def _check_between(name: str, value: float, most: float) -> None:
    if not (0 <= value <= most and math.isfinite(value)):
        raise InputError(f"{name} must be a number within 0 and {most:g}; got {value!r}.")


def _check_interval(name: str, value: tuple[float, float], most: float) -> None:
    if len(value) != 2 or not 0 < value[0] <= value[1] <= most or not math.isfinite(value[1]):
        raise InputError(f"{name} must be (least, most) with 0 < least <= most <= {most:g}; got {value!r}.")


def _check_colour(name: str, value: tuple[int, int, int]) -> None:
    if len(value) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in value):
        raise InputError(f"{name} must be three whole numbers within 0 and 255 (red, green, blue); got {value!r}.")
