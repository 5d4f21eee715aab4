"""What changes while a recipe trains: network, loss and optimizer, round by round."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from reunite.cluster.centroids import centroids
from reunite.errors import TrainingError
from reunite.losses.protocol import Begins, asked
from reunite.model.batch_norm import group_batch_norm, trained_norms
from reunite.model.encoder import Encoder
from reunite.train.checkpoint import Checkpoint, Unfinished
from reunite.train.inputs import Batch
from reunite.train.processes import Processes
from reunite.train.randomness import BEGIN, NETWORK, seeded
from reunite.train.recipe import Recipe
from reunite.train.shares import Share, share_of
from reunite.train.step import Network, State, take_step
from reunite.train.timing import Clock

Progress = Callable[[str, int, int], None]
"""Called with the stage ("decode", "embed", "cluster", "train"), what is done and what there is to do."""

STEPS = ("data", "forward", "backward", "update", "keep")
"""What the time of a step is spent on."""

STEPS_UNSEEN = 16
"""Steps on a GPU between two looks at their losses: each look waits for it."""


@dataclass(eq=False)
class Session(State):
    """The things that change while training, over all rounds."""

    recipe: Recipe
    seed: int
    about: Mapping[str, str]
    images: int = 0  # that went through the network since the round was begun, or gone on with
    resumed: dict[str, float] = field(default_factory=dict)  # seconds of the round from before it was gone on with

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        encoder: Encoder,
        seed: int,
        accelerator: Accelerator,
        processes: Processes,
        about: Mapping[str, str],
        resume: Checkpoint | None,
        frames: int = 1,
        compiled: bool = False,
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
        group = recipe.bn_group_size if trained_norms(encoder) else 1
        network = Network(encoder, mean_of, group, recipe.bn_running, compiled)
        optimizer = accelerator.prepare(_optimizer(recipe, encoder, loss))
        if resume is not None:
            resume.restore_optimizer(optimizer)
        clock = Clock(accelerator.device)
        return cls(accelerator, processes, network, loss, optimizer, clock, recipe, seed, about)

    @property
    def encoder(self) -> Encoder:
        """The network that is trained."""
        return self.network.encoder

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

    def train_round(
        self,
        inputs: Iterator[Batch],
        number: int,
        tell: Progress,
        resume: Checkpoint | None = None,
        keep: Callable[[np.ndarray], None] | None = None,
    ) -> np.ndarray:
        """One step for each batch; the losses, (k,) float32, those from before a stop included.

        Args:
            inputs: the batches that are left.
            number: of the round.
            tell: progress.
            resume: the middle of this round, to go on from.
            keep: called with the losses so far after every step, or every few where losses are not looked at more often.

        Raises:
            TrainingError: a loss is not finite.
        """
        begun = None if resume is None else resume.unfinished
        losses: list[np.ndarray] = [np.empty(0, np.float32) if begun is None else begun.losses]
        self.images, self.resumed = 0, {} if begun is None else begun.seconds
        self.encoder.train()
        every = STEPS_UNSEEN if self.accelerator.device.type == "cuda" else 1
        if keep is not None and begun is None:
            keep(losses[0])
        with seeded(self.seed, NETWORK, number):
            if resume is not None and len(losses[0]):
                resume.restore_draws()
            while some := self._some_steps(islice(inputs, every), tell, sum(map(len, losses))):
                losses.append(torch.stack(some).float().cpu().numpy())
                self._check(losses, number)
                if keep is not None:
                    keep(np.concatenate(losses))
                self.clock.mark("keep")
        return np.concatenate(losses)

    def _some_steps(self, inputs: Iterator[Batch], tell: Progress, done: int) -> list[Tensor]:
        losses: list[Tensor] = []
        for each in inputs:
            self.clock.mark("data")
            for group in self.optimizer.param_groups:
                group["lr"] = group.get("scale", 1.0) * self.recipe.optimizer.rate(each.epoch)
            losses.append(take_step(self, each))
            self.images += each.size
            tell("train", done + len(losses), each.total)
        return losses

    def _check(self, losses: list[np.ndarray], number: int) -> None:
        if np.isfinite(losses[-1]).all():
            return
        every = np.concatenate(losses)
        step = int(np.flatnonzero(~np.isfinite(every))[0])
        error = TrainingError(
            f"Round {number}, step {step}: the loss is {every[step]}. Lower the learning rate "
            f"({self.optimizer.param_groups[0]['lr']:g})."
        )
        error.told = not self.processes.main
        raise error

    def seconds(self) -> dict[str, float]:
        """Of the round, by stage; "train" is the sum of its steps: waiting for data, forward, backward, update and keeping."""
        found = {name: round(value, 3) for name, value in self.clock.seconds().items()}
        return {**found, "train": round(sum(found.get(name, 0.0) for name in STEPS), 3)}

    def images_per_second(self) -> float:
        """Training's own, on average over the round."""
        seconds = self.clock.seconds()
        spent = sum(seconds.get(name, 0.0) - self.resumed.get(name, 0.0) for name in STEPS)
        return self.images / spent if spent else 0.0

    def shares(self, accumulate: int) -> Callable[[int], Share]:
        """What this process does of a batch of a size."""
        group, rank, count = self.network.group_size, self.processes.rank, self.processes.count
        return lambda size: share_of(size, group, rank, count, accumulate)

    def checkpoint(self, number: int, labels: np.ndarray, unfinished: Unfinished | None = None) -> Checkpoint:
        """The present state; in the middle of a round to be taken while its draws go on."""
        return Checkpoint.of(number, labels, self.encoder, self.loss, self.optimizer, self.about, unfinished)


def _optimizer(recipe: Recipe, encoder: Encoder, loss: nn.Module) -> torch.optim.Optimizer:
    """The backbone at the recipe's rate; what comes after it and what the loss trains at the rate of the head."""
    return recipe.optimizer.build(
        encoder.backbone.parameters(),
        [*encoder.pooling.parameters(), *encoder.neck.parameters(), *loss.parameters()],
    )
