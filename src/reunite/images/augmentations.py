"""The augmentations of recipes: what each draws at random, and what it does with that to pixels.

Random numbers are drawn for a whole batch before a pixel is touched, in an order that published results depend on. What
is done to one image depends on its own numbers only, so any part of a batch can be augmented by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from reunite.errors import InputError
from reunite.images.drawn import Batch, Draws, OnDevice, Splittable, constant
from reunite.images.rectangles import random_rectangles

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness that people see (ITU-R BT.601, as Pillow and OpenCV use)."""

LUMA_15 = (9798, 19235, 3735)
"""The same in units of 2^-15, as OpenCV calculates with bytes; they add up to one, so white stays white."""


@dataclass(frozen=True)
class Flip(OnDevice):
    """Mirrors images left to right, each with this probability.

    Raises:
        InputError: a probability outside [0, 1].
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """Which images to flip, (count,) bool."""
        return (rng.random(count) < self.probability,)

    def apply(self, batch: Batch, draws: Draws) -> None:
        """Flips in place."""
        for row in np.flatnonzero(draws[0]):
            cv2.flip(batch[row], 1, batch[row])

    def apply_on(
        self, batch: UInt8[Tensor, "b height width 3"], draws: tuple[Tensor, ...]
    ) -> UInt8[Tensor, "b height width 3"]:
        """Flips on the device."""
        return torch.where(draws[0][:, None, None, None], batch.flip(2), batch)


@dataclass(frozen=True)
class PadCrop(OnDevice):
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

    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """How far up and how far left each image moves, in pixels, (count, 2)."""
        return (rng.integers(-self.padding, self.padding, (count, 2), endpoint=True),)

    def apply(self, batch: Batch, draws: Draws) -> None:
        """Shifts in place."""
        _, height, width, _ = batch.shape
        source = np.empty(batch.shape[1:], np.uint8)  # for all: one for each image would cost more than the copy
        for image, (down, right) in zip(batch, draws[0].tolist(), strict=True):
            source[:] = image
            image.fill(0)
            image[max(0, -down) : max(0, height - down), max(0, -right) : max(0, width - right)] = source[
                max(0, down) : max(0, height + down), max(0, right) : max(0, width + right)
            ]

    def apply_on(
        self, batch: UInt8[Tensor, "b height width 3"], draws: tuple[Tensor, ...]
    ) -> UInt8[Tensor, "b height width 3"]:
        """Shifts on the device."""
        _, height, width, _ = batch.shape
        down, right = draws[0].unbind(1)
        rows = torch.arange(height, device=batch.device) + down[:, None]
        columns = torch.arange(width, device=batch.device) + right[:, None]
        within = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        image = torch.arange(len(batch), device=batch.device)[:, None, None]
        moved = batch[image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
        return moved * within[..., None]


@dataclass(frozen=True)
class RandomSizedCrop(Splittable):
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

    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """What is kept of each image, see `rectangles`."""
        return (self.rectangles(count, height, width, rng),)

    def apply(self, batch: Batch, draws: Draws) -> None:
        """Crops and stretches in place."""
        _, height, width, _ = batch.shape
        source = np.empty(batch.shape[1:], np.uint8)
        for image, (top, left, tall, wide) in zip(batch, draws[0].tolist(), strict=True):
            source[:] = image
            cv2.resize(source[top : top + tall, left : left + wide], (width, height), image, 0, 0, cv2.INTER_LINEAR)

    def rectangles(self, count: int, height: int, width: int, rng: np.random.Generator) -> Int64[np.ndarray, "count 4"]:
        """Top, left, height and width of what is kept of each image."""
        size = (height, width)
        found = random_rectangles(count, size, size, self.area, self.aspect, self.attempts, rng)
        return np.where(found[:, 2:].all(axis=1, keepdims=True), found, (0, 0, height, width))


@dataclass(frozen=True)
class Erase(OnDevice):
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

    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """What is painted over of each image, see `rectangles`."""
        return (self.rectangles(count, height, width, rng),)

    def apply(self, batch: Batch, draws: Draws) -> None:
        """Erases in place."""
        (rectangles,) = draws
        for row in np.flatnonzero(rectangles[:, 2:].all(axis=1)):
            top, left, height, width = rectangles[row].tolist()
            cv2.rectangle(batch[row], (left, top), (left + width - 1, top + height - 1), self.value, cv2.FILLED)

    def apply_on(
        self, batch: UInt8[Tensor, "b height width 3"], draws: tuple[Tensor, ...]
    ) -> UInt8[Tensor, "b height width 3"]:
        """Erases on the device."""
        top, left, tall, wide = draws[0][:, :, None].unbind(1)
        rows = torch.arange(batch.shape[1], device=batch.device)
        columns = torch.arange(batch.shape[2], device=batch.device)
        down = (rows >= top) & (rows < top + tall)
        across = (columns >= left) & (columns < left + wide)
        covered = down[:, :, None, None] & across[:, None, :, None]
        return torch.where(covered, constant(self.value, torch.uint8, batch.device), batch)

    def rectangles(self, count: int, height: int, width: int, rng: np.random.Generator) -> Int64[np.ndarray, "count 4"]:
        """Top, left, height and width of a rectangle for each image; zeros where nothing is erased."""
        found = np.zeros((count, 4), np.int64)
        chosen = np.flatnonzero(rng.random(count) < self.probability)
        found[chosen] = random_rectangles(
            len(chosen), (height, width), (height - 1, width - 1), self.area, self.aspect, 100, rng
        )
        return found


@dataclass(frozen=True)
class Affine(Splittable):
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

    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """How each image moves, see `matrices`."""
        return (self.matrices(count, height, width, rng),)

    def apply(self, batch: Batch, draws: Draws) -> None:
        """Warps in place."""
        _, height, width, _ = batch.shape
        border = cv2.BORDER_REPLICATE if self.fill is None else cv2.BORDER_CONSTANT
        source = np.empty(batch.shape[1:], np.uint8)
        for image, matrix in zip(batch, draws[0], strict=True):
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
class ColorJitter(Splittable):
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

    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """Brightness, contrast and saturation of each image, (count, 3) factors."""
        strength = np.array([self.brightness, self.contrast, self.saturation])
        return (rng.uniform(np.maximum(0, 1 - strength), 1 + strength, (count, 3)),)

    def apply(self, batch: Batch, draws: Draws) -> None:
        """Recolours in place."""
        brightness, contrast, saturation = draws[0].T[:, :, None, None]
        linear = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * np.asarray(LUMA))
        # Summed row by row: a product of matrices may round a row by where it stands, and so by how the batch is split.
        means = (np.array([cv2.mean(image)[:3] for image in batch]).reshape(-1, 3) * LUMA).sum(axis=1)
        offset = np.repeat((1 - contrast) * brightness * means[:, None, None], 3, axis=1)
        for image, matrix in zip(batch, np.concatenate([linear, offset], axis=2), strict=True):
            cv2.transform(image, matrix, image)


@dataclass(frozen=True)
class Grayscale(OnDevice):
    """Takes the colour out of images, each with this probability; all three channels get the ITU-R BT.601 luma.

    Raises:
        InputError: a probability outside [0, 1].
    """

    probability: float = 0.1

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """Which images to turn grey, (count,) bool."""
        return (rng.random(count) < self.probability,)

    def apply(self, batch: Batch, draws: Draws) -> None:
        """Turns images grey in place."""
        for row in np.flatnonzero(draws[0]):
            cv2.cvtColor(cv2.cvtColor(batch[row], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, batch[row])

    def apply_on(
        self, batch: UInt8[Tensor, "b height width 3"], draws: tuple[Tensor, ...]
    ) -> UInt8[Tensor, "b height width 3"]:
        """Turns images grey on the device."""
        red, green, blue = (level * share for level, share in zip(batch.int().unbind(3), LUMA_15, strict=True))
        grey = ((red + green + blue + 2**14) >> 15).byte()
        return torch.where(draws[0][:, None, None, None], grey[..., None], batch)


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
