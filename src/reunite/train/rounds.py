"""What one round of training yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import nn

from reunite.images.loading import BrokenImage
from reunite.images.tracklets import Tracklets
from reunite.model.encoder import Encoder
from reunite.train.checkpoint import Checkpoint
from reunite.types import Clusters, Images


@dataclass(frozen=True, eq=False)
class Round:
    """One turn of the loop: images were embedded and clustered, then the encoder trained on the clusters.

    Attributes:
        number: 0 is the first.
        encoder: after this round's training. The same object every round: copy it to keep it.
        tracklets: what was trained on, with all frames; every image by itself where the recipe trains on images. Images that
            could not be read are left out.
        broken: images that could not be read, with reasons.
        embeddings: (n, d) unit rows that were clustered, from before this round's training.
        labels: (n,) cluster of each image or tracklet, numbered by first member; -1 is noise.
        loss: mean over the round's batches.
        learning_rate: of this round.
        seconds: time spent on "embed", "cluster" and "train"; of the latter, on waiting for "data", "forward", "backward",
            "update" (optimizer and memory) and "keep" (looking at losses, checkpoints).
        loss_module: the loss as it was trained with, its memory included.
        optimizer: with its state; both are what `checkpoint` needs beside the encoder.
        about: recipe, seed, data and version, which a checkpoint keeps.
        images_per_second: that training took, all processes together.
        losses: of the round's batches, (k,).
        memory: bytes at the peak of the round: "memory" of this process, "device_memory" on a GPU.
    """

    number: int
    encoder: Encoder
    tracklets: Tracklets
    broken: tuple[BrokenImage, ...]
    embeddings: Float32[np.ndarray, "n d"]
    labels: Int64[np.ndarray, " n"]
    loss: float
    learning_rate: float
    seconds: dict[str, float]
    loss_module: nn.Module
    optimizer: torch.optim.Optimizer
    about: Mapping[str, str] = field(default_factory=dict)
    images_per_second: float = 0.0
    memory: Mapping[str, int] = field(default_factory=dict)
    losses: Float32[np.ndarray, " k"] = field(default_factory=lambda: np.empty(0, np.float32))

    @property
    def images(self) -> Images:
        """One image for each label: the images trained on, or the middle frames of tracklets."""
        return self.tracklets.heads

    @property
    def clusters(self) -> Clusters:
        """The labels as a partition: count, sizes, noise."""
        return Clusters.of(self.labels)

    def checkpoint(self) -> Checkpoint:
        """Everything the next round depends on."""
        return Checkpoint.of(self.number, self.labels, self.encoder, self.loss_module, self.optimizer, self.about)
