"""Random rectangles of a wanted area and shape, for cropping and erasing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64


def random_rectangles(
    count: int,
    size: tuple[int, int],
    largest: tuple[int, int],
    area: tuple[float, float],
    aspect: tuple[float, float],
    attempts: int,
    rng: np.random.Generator,
) -> Int64[np.ndarray, "count 4"]:
    """One rectangle in each of `count` images, drawn until it fits and then placed uniformly.

    Args:
        count: images.
        size: their height and width, in pixels.
        largest: height and width that fit.
        area: least and most of the image to cover, drawn uniformly.
        aspect: least and most height / width, drawn uniformly; not its logarithm, as the authors of both uses do.
        attempts: draws for an image.
        rng: numbers are drawn for all images that still wait at once.

    Returns:
        Top, left, height and width in whole pixels; a side is zero where nothing fitted, or less than half a pixel.
    """
    found = np.zeros((count, 4), np.int64)
    waiting = np.arange(count)
    for _ in range(attempts):
        if not len(waiting):
            break
        pixels = rng.uniform(*area, len(waiting)) * size[0] * size[1]
        ratio = rng.uniform(*aspect, len(waiting))
        sides = np.rint(np.sqrt(np.stack([pixels * ratio, pixels / ratio], axis=1))).astype(np.int64)
        fits = (sides <= largest).all(axis=1)
        found[waiting[fits], 2:] = sides[fits]
        found[waiting[fits], :2] = rng.integers(0, size - sides[fits], endpoint=True)
        waiting = waiting[~fits]
    return found
