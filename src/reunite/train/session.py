"""What changes while a recipe trains, network, loss and optimizer, and how a batch changes it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from reunite.cluster.centroids import centroids
from reunite.errors import TrainingError
from reunite.images.tracklets import MeanOf
from reunite.losses.protocol import Begins, Updates, ask, asked
from reunite.model.batch_norm import group_batch_norm
from reunite.model.encoder import Encoder, Features
from reunite.train.checkpoint import Checkpoint
from reunite.train.randomness import BEGIN, NETWORK, seeded
from reunite.train.recipe import Recipe

Progress = Callable[[str, int, int], None]
"""Called with the stage ("decode", "embed", "cluster", "train"), what is done and what there is to do."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch on its way to the network."""

    images: Tensor  # augmented uint8, (b, t, height, width, 3): t frames of each image or tracklet
    labels: Tensor
    rows: Tensor
    epoch: int
    total: int  # batches in the round, as far as known


class _TrainingFeatures(nn.Module):
    """An encoder that gives all its features, as the module that accelerate wraps."""

    def __init__(self, encoder: Encoder, mean_of: MeanOf):
        super().__init__()
        self.encoder = encoder
        self.mean_of = mean_of

    def forward(self, batch: Tensor) -> Features:
        return self.encoder.features(batch, self.mean_of)


@dataclass(eq=False)
class Session:
    """The things that change while training: network, loss and optimizer."""

    recipe: Recipe
    seed: int
    accelerator: Accelerator
    encoder: Encoder
    network: nn.Module  # the encoder's features as accelerate prepared them
    loss: nn.Module
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        encoder: Encoder,
        seed: int,
        accelerator: Accelerator,
        resume: Checkpoint | None,
        frames: int = 1,
    ) -> Session:
        """Everything as the first round finds it, or as a checkpoint left it. The recipe's loss is copied.

        `frames` of each image or tracklet go through the backbone: batch norm there sees so many times the group.
        """
        mean_of = recipe.frames_used.mean_of
        for part, each in ((encoder.backbone, frames), (encoder.neck, frames if mean_of == "unit" else 1)):
            size = None if recipe.bn_group_size is None else each * recipe.bn_group_size
            group_batch_norm(part, size, recipe.bn_running)
        encoder.to(accelerator.device).to(memory_format=torch.channels_last)
        loss = copy.deepcopy(recipe.loss).to(accelerator.device)
        if resume is not None:
            resume.restore(encoder, loss)
        network, optimizer = accelerator.prepare(_TrainingFeatures(encoder, mean_of), _optimizer(recipe, encoder, loss))
        if resume is not None:
            resume.restore_optimizer(optimizer)
        return cls(recipe, seed, accelerator, encoder, network, loss, optimizer)

    def begin_round(self, embeddings: np.ndarray, labels: np.ndarray, previous: np.ndarray, number: int) -> None:
        """Tells the loss what the clusters are, and the optimizer what there is to train."""
        before = list(self.loss.parameters())
        if isinstance(self.loss, Begins):
            made = asked(self.loss.begin, {"embeddings": embeddings, "labels": labels, "previous": previous})
            made["centroids"] = centroids(embeddings, labels)
            with seeded(self.seed, BEGIN, number):
                self.loss.begin(
                    **{name: torch.from_numpy(each).to(self.accelerator.device) for name, each in made.items()}
                )
        after = list(self.loss.parameters())
        replaced = len(before) != len(after) or any(one is not other for one, other in zip(before, after, strict=True))
        if replaced or self.recipe.fresh_optimizer:
            self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        """Over the parameters there are now; those that were there before keep what was gathered about them."""
        optimizer = self.accelerator.prepare(_optimizer(self.recipe, self.encoder, self.loss))
        if not self.recipe.fresh_optimizer:
            known = {each for group in optimizer.param_groups for each in group["params"]}
            optimizer.state.update({each: value for each, value in self.optimizer.state.items() if each in known})
        return optimizer

    def train_round(self, inputs: Iterator[Batch], number: int, tell: Progress) -> float:
        """One step for each batch; the mean loss.

        Raises:
            TrainingError: it is not finite.
        """
        losses = []
        self.network.train()
        with seeded(self.seed, NETWORK, number):
            for each in inputs:
                for group in self.optimizer.param_groups:
                    group["lr"] = group.get("scale", 1.0) * self.recipe.optimizer.rate(each.epoch)
                losses.append(self.step(each))
                tell("train", len(losses), each.total)
        mean = float(torch.stack(losses).mean()) if losses else float("nan")
        if not np.isfinite(mean):
            raise TrainingError(
                f"Round {number}: the loss is {mean} after {len(losses)} batches. Lower the learning rate "
                f"({self.optimizer.param_groups[0]['lr']:g}), or resume from the last checkpoint with another recipe."
            )
        return mean

    def step(self, given: Batch) -> Tensor:
        """Forward, backward, optimizer, and then the memory; the loss, still on its device."""
        device = self.accelerator.device
        labels = given.labels.to(device, non_blocking=True)
        with self.accelerator.autocast():
            features: Features = self.network(given.images.to(device, non_blocking=True))
            more = {"embedding": features.embedding, "pooled": features.pooled, "rows": given.rows}
            loss = ask(self.loss, features.unit, labels, **more)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.optimizer.step()
        if isinstance(self.loss, Updates):  # a memory moves here, in the open
            more = {"embedding": features.embedding.detach(), "pooled": features.pooled.detach(), "rows": given.rows}
            ask(self.loss.update, features.unit.detach(), labels, host_labels=given.labels, **more)
        return loss.detach()


def _optimizer(recipe: Recipe, encoder: Encoder, loss: nn.Module) -> torch.optim.Optimizer:
    """The backbone at the recipe's rate; what comes after it and what the loss trains at the rate of the head."""
    return recipe.optimizer.build(
        encoder.backbone.parameters(),
        [*encoder.pooling.parameters(), *encoder.neck.parameters(), *loss.parameters()],
    )
