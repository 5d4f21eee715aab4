"""A method is a recipe: a frozen value made of parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.images.transforms import Transform
from reunite.model.batch_norm import Running
from reunite.model.encoder import EncoderSpec
from reunite.train.describe import describe
from reunite.train.optimizers import Adam


class Clusterer(Protocol):
    """scikit-learn's contract: labels of the rows, -1 is noise; `y` carries the labels of the round before."""

    def fit_predict(
        self, X: Float32[np.ndarray, "n d"], y: Int64[np.ndarray, " n"] | None = None
    ) -> Int64[np.ndarray, " n"]:
        """One label per row."""
        ...


@runtime_checkable
class Memory(Protocol):
    """What a loss has that keeps a memory. Every loss is an nn.Module called as ``loss(embeddings, labels) -> scalar``."""

    def begin(self, centroids: Tensor) -> None:
        """Start of a round: one row per cluster."""
        ...

    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """After the optimizer step."""
        ...


Batches = Callable[[Any, Any, np.random.Generator], Iterator[np.ndarray]]


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
        loss: an nn.Module, ``loss(embeddings, labels) -> scalar``.
        optimizer: with its schedule.
        augmentations: applied to training batches in this order; embedding for clustering and tests uses none.
        rounds: how often to cluster and train.
        bn_group_size: images that batch norm sees together; None is the whole batch.
        bn_running: which statistics batch norm keeps, of the "first" group or the "mean" of all.
    """

    encoder: EncoderSpec
    clusterer: Clusterer
    batches: Batches
    loss: nn.Module
    optimizer: Adam
    augmentations: tuple[Transform, ...] = ()
    rounds: int = 50
    bn_group_size: int | None = None
    bn_running: Running = "first"

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"rounds must be at least 1; got {self.rounds}.")
        if not callable(getattr(self.clusterer, "fit_predict", None)):
            raise InputError(f"A clusterer needs fit_predict(X, y=None); got {type(self.clusterer).__name__}.")
        if not isinstance(self.loss, nn.Module):
            raise InputError(f"A loss must be a torch.nn.Module; got {type(self.loss).__name__}.")

    def __repr__(self) -> str:
        return describe(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))
