"""Augmentation one image, one pixel at a time."""

from __future__ import annotations

import math

import numpy as np


def flip(image: np.ndarray) -> np.ndarray:
    """The image in a mirror."""
    height, width, _ = image.shape
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            result[y, x] = image[y, width - 1 - x]
    return result


def pad_crop(image: np.ndarray, padding: int, top: int, left: int) -> np.ndarray:
    """Zeros on every side, then the old size from (top, left): torchvision's Pad and RandomCrop (Luo et al. 2019)."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            from_y, from_x = y + top - padding, x + left - padding
            if 0 <= from_y < height and 0 <= from_x < width:
                result[y, x] = image[from_y, from_x]
    return result


def erase(image: np.ndarray, top: int, left: int, height: int, width: int, value: tuple[int, int, int]) -> np.ndarray:
    """The image with a painted rectangle."""
    result = image.copy()
    for y in range(top, top + height):
        for x in range(left, left + width):
            result[y, x] = value
    return result


def erasing_rectangle(
    height: int,
    width: int,
    probability: float,
    area: tuple[float, float],
    aspect: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int] | None:
    """Random erasing (Zhong et al. 2020) for one image: top, left, height, width, or None."""
    if rng.uniform() >= probability:
        return None
    for _ in range(100):
        target = rng.uniform(*area) * height * width
        ratio = rng.uniform(*aspect)
        tall, wide = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if tall < height and wide < width:
            return int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1)), tall, wide
    return None


def crop_rectangle(
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    attempts: int,
    rng: np.random.Generator,
) -> tuple[int, int, int, int] | None:
    """The training crop of BUC and DBC for one image: top, left, height, width, or None for the whole image."""
    for _ in range(attempts):
        target = rng.uniform(*area) * height * width
        ratio = rng.uniform(*aspect)
        tall, wide = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if tall <= height and wide <= width:
            return int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1)), tall, wide
    return None


def crop_and_stretch(image: np.ndarray, top: int, left: int, tall: int, wide: int) -> np.ndarray:
    """The rectangle at the size of the image: bilinear between the centres of pixels, beyond the outermost the nearest."""
    height, width, _ = image.shape
    crop, result = image[top : top + tall, left : left + wide].astype(float), np.empty(image.shape)
    for y in range(height):
        for x in range(width):
            from_y = min(max((y + 0.5) * tall / height - 0.5, 0), tall - 1)
            from_x = min(max((x + 0.5) * wide / width - 0.5, 0), wide - 1)
            up, west = math.floor(from_y), math.floor(from_x)
            down, east = min(up + 1, tall - 1), min(west + 1, wide - 1)
            above = (1 + west - from_x) * crop[up, west] + (from_x - west) * crop[up, east]
            below = (1 + west - from_x) * crop[down, west] + (from_x - west) * crop[down, east]
            result[y, x] = (1 + up - from_y) * above + (from_y - up) * below
    return result


def affine(image: np.ndarray, matrix: np.ndarray, fill: tuple[int, int, int] | None) -> np.ndarray:
    """`matrix` maps (x, y, 1) of the input to (x, y) of the output; bilinear, outside is the border or `fill`."""
    height, width, _ = image.shape
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))

    def pixel(y: int, x: int) -> np.ndarray:
        if fill is not None and not (0 <= y < height and 0 <= x < width):
            return np.array(fill, float)
        return image[min(max(y, 0), height - 1), min(max(x, 0), width - 1)].astype(float)

    result = np.empty(image.shape)
    for y in range(height):
        for x in range(width):
            from_x, from_y, _ = back @ (x, y, 1)
            left, top = math.floor(from_x), math.floor(from_y)
            right_share, bottom_share = from_x - left, from_y - top
            above = (1 - right_share) * pixel(top, left) + right_share * pixel(top, left + 1)
            below = (1 - right_share) * pixel(top + 1, left) + right_share * pixel(top + 1, left + 1)
            result[y, x] = (1 - bottom_share) * above + bottom_share * below
    return result


def color_jitter(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Brightness, contrast, saturation as torchvision defines them, in this order, cut to [0, 255] at the end only."""

    def grey(pixels: np.ndarray) -> np.ndarray:
        return 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]

    bright = brightness * image.astype(float)
    contrasted = contrast * bright + (1 - contrast) * grey(bright).mean()
    saturated = saturation * contrasted + (1 - saturation) * grey(contrasted)[..., None]
    return np.clip(saturated, 0, 255)


def normalise(image: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """torchvision's ToTensor and Normalize: channels first, float64."""
    return np.stack([(image[..., c] / 255 - mean[c]) / std[c] for c in range(3)])
