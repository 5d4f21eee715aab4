"""What goes into the network: frames of images or tracklets, augmented, with their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from reunite.errors import InputError
from reunite.images.loading import Pixels, prefetch
from reunite.images.tracklets import Tracklets
from reunite.images.transforms import augment
from reunite.train.randomness import AUGMENT, BATCHES, FRAMES
from reunite.train.recipe import Recipe
from reunite.train.session import Batch
from reunite.types import Images


@dataclass(frozen=True, eq=False)
class Source:
    """What is trained on, and where its pixels are."""

    units: Tracklets  # of the readable images
    shown: Tracklets  # the same with as many frames as are embedded
    rows: Int64[np.ndarray, " n"]  # of the readable images in `pixels`
    pixels: Pixels
    frames: int  # of each unit in a training batch

    @classmethod
    def of(cls, recipe: Recipe, images: Images, pixels: Pixels) -> Source:
        """The images that can be read, as the recipe groups them."""
        rows = np.flatnonzero(pixels.readable)
        units = recipe.units(images.take(rows))
        frames = min(recipe.frames_used.train, int(units.lengths.max(initial=1)))
        return cls(units, units.at_most(recipe.frames_used.test), rows, pixels, frames)


def inputs(recipe: Recipe, source: Source, labels: Int64[np.ndarray, " m"], seed: int, number: int) -> Iterator[Batch]:
    """Augmented batches with their labels, made ahead of the network that asks for them."""
    epochs = recipe.epochs_of(number)
    count = getattr(recipe.batches, "count", None)
    total = 0 if count is None else len(epochs) * count(labels)
    draws = np.random.default_rng([seed, BATCHES, number])
    camera = source.units.heads.camera

    def made() -> Iterator[Batch]:
        batches = ((epoch, batch) for epoch in epochs for batch in recipe.batches(labels, camera, draws))
        for step, (epoch, batch) in enumerate(batches):
            _check_batch(len(batch), recipe.bn_group_size)
            frames = source.units.draw(batch, source.frames, np.random.default_rng([seed, FRAMES, number, step]))
            pixels = source.pixels.read(source.rows[frames.reshape(-1)])
            augmented = augment(pixels, recipe.augmentations, np.random.default_rng([seed, AUGMENT, number, step]))
            pictures = torch.from_numpy(augmented).unflatten(0, frames.shape)
            yield Batch(pictures, torch.from_numpy(labels[batch]), torch.from_numpy(batch), epoch, total)

    return prefetch(made())


def _check_batch(size: int, group: int | None) -> None:
    rest = size if group is None else size % group
    if size == 1 or rest == 1:
        raise InputError(
            f"A batch of {size} images leaves one image alone in a batch norm group of {group}; change either."
        )
