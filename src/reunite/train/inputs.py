"""What goes into the network: frames of images or tracklets, augmented, with their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float32, Int64
from torch import Tensor

from reunite.images.drawn import Draws, OnDevice
from reunite.images.loading import BrokenImage, Pixels, prefetch
from reunite.images.tracklets import MeanOf, Tracklets
from reunite.images.transforms import apply_all_on, augment_part, draw_all, runs_on_device
from reunite.model.embed import embed_twice
from reunite.model.encoder import Encoder
from reunite.train.processes import Processes
from reunite.train.randomness import AUGMENT, BATCHES, FRAMES
from reunite.train.recipe import Recipe
from reunite.train.shares import Share
from reunite.types import Images


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch on its way to the network.

    Attributes:
        pictures: this process's own, uint8, (f, height, width, 3): `frames` of each image or tracklet, one after the other.
        frames: how many that are.
        labels, rows: of the whole batch.
        share: which part of the batch is own.
        epoch: counted over all rounds.
        total: batches in the round, as far as known.
        augmentations: what the device has to do to the pictures, with the random numbers it takes; nothing where they are
            augmented already.
    """

    pictures: Tensor
    frames: int
    labels: Tensor
    rows: Tensor
    share: Share
    epoch: int
    total: int
    augmentations: tuple[Sequence[OnDevice], list[Draws]] = ((), [])

    @property
    def size(self) -> int:
        """Images, or frames, in the whole batch."""
        return len(self.labels) * self.frames

    def on(self, device: torch.device) -> Tensor:
        """The pictures on that device, augmented, (b, t, height, width, 3)."""
        pictures = self.pictures.to(device, non_blocking=True)
        return apply_all_on(pictures, *self.augmentations).unflatten(0, (-1, self.frames))


@dataclass(frozen=True, eq=False)
class Source:
    """What is trained on, and where its pixels are."""

    units: Tracklets  # of the readable images
    shown: Tracklets  # the same with as many frames as are embedded
    rows: Int64[np.ndarray, " n"]  # of the readable images in `pixels`
    pixels: Pixels
    frames: int  # of each unit in a training batch
    mean_of: MeanOf  # what is averaged over frames
    on_error: Literal["raise", "skip"]  # what to do about images that become unreadable

    @classmethod
    def of(cls, recipe: Recipe, images: Images, pixels: Pixels, on_error: Literal["raise", "skip"] = "raise") -> Source:
        """The images that can be read, as the recipe groups them."""
        rows = np.flatnonzero(pixels.readable)
        units = recipe.units(images.take(rows))
        frames = min(recipe.frames_used.train, int(units.lengths.max(initial=1)))
        return cls(
            units, units.at_most(recipe.frames_used.test), rows, pixels, frames, recipe.frames_used.mean_of, on_error
        )

    def embedded(
        self, encoder: Encoder, accelerator: Accelerator, processes: Processes, tell: Callable[[str, int, int], None]
    ) -> tuple[Float32[np.ndarray, "m d"], Float32[np.ndarray, "m e"]]:
        """What tests see and what losses see of every unit; each process embeds its part. NaN where nothing can be read."""
        own = processes.share(len(self.shown))
        starts = self.shown.starts[own.start : own.stop + 1]
        with accelerator.autocast():
            found = embed_twice(
                encoder,
                self.pixels,
                self.rows[self.shown.rows[starts[0] : starts[-1]]],
                64,
                lambda done, total: tell("embed", done, total),
                starts=starts - starts[0],
                mean_of=self.mean_of,
                on_error=self.on_error,
            )
        first = processes.joined(found[0])
        return first, first if found[1] is found[0] else processes.joined(found[1])

    def broken(self, processes: Processes) -> tuple[BrokenImage, ...]:
        """Images that could not be read at the start, and those that have become unreadable since."""
        lost = {each.path: each for each in processes.gathered(list(self.pixels.lost))}
        return (*self.pixels.broken, *lost.values())

    def read(self, frames: Int64[np.ndarray, " f"], labels: Int64[np.ndarray, " f"]) -> np.ndarray:
        """The pixels of these images, (f, height, width, 3).

        One that has become unreadable gives its place to another of its cluster among them, or is black.
        """
        rows = self.rows[frames]
        if self.on_error == "raise":
            return self.pixels.read(rows)
        pixels, there = self.pixels.read_some(rows)
        for lost in np.flatnonzero(~there):
            others = np.flatnonzero(there & (labels == labels[lost]))
            if len(others):
                pixels[lost] = pixels[others[0]]
        return pixels


def inputs(
    recipe: Recipe,
    source: Source,
    labels: Int64[np.ndarray, " m"],
    seed: int,
    number: int,
    share_of: Callable[[int], Share],
    device: torch.device,
    done: int = 0,
) -> Iterator[Batch]:
    """Batches with their labels, made ahead of the network that asks for them; those `done` are left out.

    Pictures are augmented here, or by a GPU if all augmentations can be done there.
    """
    epochs = recipe.epochs_of(number)
    count = getattr(recipe.batches, "count", None)
    total = 0 if count is None else len(epochs) * count(labels)
    draws = np.random.default_rng([seed, BATCHES, number])
    camera = source.units.heads.camera

    def made() -> Iterator[Batch]:
        batches = ((epoch, batch) for epoch in epochs for batch in recipe.batches(labels, camera, draws))
        for step, (epoch, batch) in enumerate(batches):
            if step < done:
                continue
            share = share_of(len(batch))
            frames = source.units.draw(batch, source.frames, np.random.default_rng([seed, FRAMES, number, step]))
            given = torch.from_numpy(labels[batch]), torch.from_numpy(batch), share, epoch, total
            rows, own = frames.reshape(-1), slice(share.own.start * source.frames, share.own.stop * source.frames)
            owners = np.repeat(labels[batch], source.frames)
            rng = np.random.default_rng([seed, AUGMENT, number, step])
            steps = recipe.augmentations
            if device.type == "cuda" and runs_on_device(steps):
                numbers = draw_all(steps, len(rows), *source.pixels.size, rng, own)
                pixels = torch.from_numpy(source.read(rows[own], owners[own])).pin_memory()
                yield Batch(pixels, source.frames, *given, (steps, numbers))
            else:
                read = partial(_read_places, source, rows, owners)
                augmented = augment_part(read, np.arange(len(rows)), own, steps, rng)
                yield Batch(torch.from_numpy(augmented), source.frames, *given)

    return prefetch(made())


def _read_places(source: Source, rows: np.ndarray, owners: np.ndarray, places: np.ndarray) -> np.ndarray:
    return source.read(rows[places], owners[places])
