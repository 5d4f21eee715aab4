"""A method is a recipe: a frozen value made of parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import nn

from reunite.errors import InputError
from reunite.images.tracklets import Frames, Tracklets, each_alone, group_tracklets
from reunite.images.transforms import Transform
from reunite.model.batch_norm import Running
from reunite.model.encoder import EncoderSpec
from reunite.train.describe import describe
from reunite.types import Images


class Clusterer(Protocol):
    """scikit-learn's contract: labels of the rows, -1 is noise; `y` carries the labels of the round before."""

    def fit_predict(
        self, X: Float32[np.ndarray, "n d"], y: Int64[np.ndarray, " n"] | None = None
    ) -> Int64[np.ndarray, " n"]:
        """One label per row."""
        ...


class Optimizer(Protocol):
    """What makes a torch optimizer and says its learning rate."""

    def build(self, backbone: Iterable[nn.Parameter], head: Iterable[nn.Parameter] = ()) -> torch.optim.Optimizer:
        """Over the parameters that are trained; a group's "scale" multiplies the rate."""
        ...

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0 over all rounds."""
        ...


Batches = Callable[[Any, Any, np.random.Generator], Iterator[np.ndarray]]
"""``batches(labels, camera, rng)`` gives the rows of each batch of one epoch."""


@dataclass(frozen=True, eq=False, repr=False)
class Recipe:
    """Everything that makes a method: which network, how to cluster, what to train on.

    A recipe is never changed by training: parts with a memory are copied first. Change one with
    ``dataclasses.replace(recipe, clusterer=...)``; ``repr(recipe)`` is the Python that builds it, and two recipes are equal
    when that text is.

    Args:
        encoder: the network, as a value.
        clusterer: any scikit-learn clusterer.
        batches: which images meet in a batch.
        loss: an nn.Module, ``loss(embeddings, labels) -> scalar``; `reunite.losses.protocol` says what more it may ask for.
        optimizer: with its schedule.
        augmentations: applied to training batches in this order; embedding for clustering and tests uses none.
        rounds: how often to cluster and train.
        epochs: how often a round goes through its batches.
        first_epochs: likewise in the first round; None is as in the others.
        start_from_singletons: every image is a cluster of its own in the first round, and nothing is clustered (BUC, DBC).
        fresh_optimizer: the optimizer forgets its momentum at the start of each round.
        bn_group_size: images (or tracklets, with all their frames in the batch) that batch norm sees together; None is the
            whole batch.
        bn_running: which statistics batch norm keeps, of the "first" group or the "mean" of all.
        tracklets: how tracklets become embeddings: they, not images, are then what is clustered and trained on. None leaves
            every image by itself, whatever tracks it belongs to.
    """

    encoder: EncoderSpec
    clusterer: Clusterer
    batches: Batches
    loss: nn.Module
    optimizer: Optimizer
    augmentations: tuple[Transform, ...] = ()
    rounds: int = 50
    epochs: int = 1
    first_epochs: int | None = None
    start_from_singletons: bool = False
    fresh_optimizer: bool = False
    bn_group_size: int | None = None
    bn_running: Running = "first"
    tracklets: Frames | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "epochs", "first_epochs"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not callable(getattr(self.clusterer, "fit_predict", None)):
            raise InputError(f"A clusterer needs fit_predict(X, y=None); got {type(self.clusterer).__name__}.")
        if not isinstance(self.loss, nn.Module):
            raise InputError(f"A loss must be a torch.nn.Module; got {type(self.loss).__name__}.")

    @property
    def frames_used(self) -> Frames:
        """How frames become embeddings; images are tracklets of one frame."""
        return self.tracklets or Frames()

    def units(self, images: Images) -> Tracklets:
        """What is clustered and trained on: the tracklets of these images, or each image by itself."""
        return each_alone(images) if self.tracklets is None else group_tracklets(images)

    def epochs_of(self, number: int) -> range:
        """The epochs of a round, counted from 0 over all rounds."""
        first = self.epochs if self.first_epochs is None else self.first_epochs
        start = first + (number - 1) * self.epochs if number else 0
        return range(start, start + (self.epochs if number else first))

    def __repr__(self) -> str:
        return describe(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))
