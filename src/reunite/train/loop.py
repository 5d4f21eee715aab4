"""The only training loop: embed, cluster, train on the clusters, again."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int64
from torch import nn

from reunite.cluster.centroids import centroids
from reunite.errors import ClusteringError, InputError, TrainingError
from reunite.images.loading import Pixels, open_images, prefetch
from reunite.images.transforms import augment
from reunite.model.batch_norm import group_batch_norm
from reunite.model.embed import embed_pixels
from reunite.model.encoder import Encoder
from reunite.train.checkpoint import Checkpoint
from reunite.train.describe import describe
from reunite.train.recipe import Memory, Recipe
from reunite.train.rounds import Round
from reunite.types import Clusters, Images

Progress = Callable[[str, int, int], None]
"""Called with the stage ("decode", "embed", "cluster", "train"), what is done and what there is to do."""

INIT, BATCHES, AUGMENT, NETWORK = range(4)
"""Streams of random numbers: each draw depends on the seed, its stream and the round, and on nothing that came before."""


def train(
    recipe: Recipe,
    images: Images,
    *,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    memory: int = 4 * 2**30,
    workers: int | None = None,
    resume: Checkpoint | None = None,
    progress: Progress | None = None,
) -> Iterator[Round]:
    """Trains an encoder by a recipe, one `Round` at a time; evaluating, saving and stopping is the caller's business.

    Every method is this loop with other parts: all images become embeddings, the clusterer turns them into labels, and the
    encoder is trained on the labels. Two runs with the same seed on the same machine are identical.

    Args:
        recipe: the method; never changed.
        images: identities in it are not looked at.
        seed: of every random number drawn.
        accelerator: where to compute; None lets accelerate choose.
        on_error: "raise" stops at images that cannot be read, "skip" leaves them out and says so in `Round.broken`.
        memory: bytes that decoded images may take; beyond that they are decoded again when needed.
        workers: threads that decode; None uses every core.
        resume: continue after this checkpoint of the same recipe, images and seed, exactly as if never stopped.
        progress: called as work proceeds.

    Yields:
        A `Round` after each round.

    Raises:
        ImageError: images cannot be read.
        ClusteringError: fewer than two clusters were found, so there is nothing to tell apart.
        TrainingError: the loss of a round is not finite.
    """
    tell: Progress = progress or (lambda stage, done, total: None)
    accelerator = accelerator or Accelerator()
    session = _begin(recipe, seed, accelerator, resume)
    size = recipe.encoder.image_size
    pixels = open_images(
        images.paths,
        size,
        on_error=on_error,
        memory=memory,
        workers=workers,
        progress=lambda done, total: tell("decode", done, total),
    )
    rows = np.flatnonzero(pixels.readable)
    images = images.take(rows)
    labels = np.arange(len(images)) if resume is None else resume.labels
    for number in range(0 if resume is None else resume.number + 1, recipe.rounds):
        clock = {"embed": time.perf_counter()}
        embeddings = embed_pixels(session.encoder, pixels, rows, 64, lambda done, total: tell("embed", done, total))
        clock["cluster"] = time.perf_counter()
        tell("cluster", 0, 1)
        clusters = Clusters.of(recipe.clusterer.fit_predict(embeddings, labels))
        labels = clusters.labels
        tell("cluster", 1, 1)
        _check_clusters(clusters, number, recipe)
        clock["train"] = time.perf_counter()
        session.begin_round(recipe, number, centroids(embeddings, labels))
        batches = recipe.batches(labels, images.camera, np.random.default_rng([seed, BATCHES, number]))
        loss = session.train_round(
            recipe, _inputs(recipe, pixels, rows, labels, batches, seed, number), number, seed, tell
        )
        clock["end"] = time.perf_counter()
        seconds = {stage: round(clock[after] - clock[stage], 3) for stage, after in _STAGES}
        yield Round(
            number,
            session.encoder,
            images,
            pixels.broken,
            embeddings,
            labels,
            loss,
            recipe.optimizer.rate(number),
            seconds,
            session.loss,
            session.optimizer,
        )


_STAGES = (("embed", "cluster"), ("cluster", "train"), ("train", "end"))


@dataclass(frozen=True, eq=False)
class _Session:
    """The things that change while training: network, loss and optimizer."""

    accelerator: Accelerator
    encoder: Encoder
    network: nn.Module  # the encoder as accelerate prepared it
    loss: nn.Module
    optimizer: torch.optim.Optimizer

    def begin_round(self, recipe: Recipe, number: int, means: np.ndarray) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.optimizer.rate(number)
        if isinstance(self.loss, Memory):
            self.loss.begin(torch.from_numpy(means).to(self.accelerator.device))

    def train_round(self, recipe: Recipe, inputs: Iterator, number: int, seed: int, tell: Progress) -> float:
        losses = []
        self.network.train()
        total = getattr(recipe.batches, "iterations", 0)
        with _seeded(seed, NETWORK, number):
            for batch, labels in inputs:
                losses.append(self.step(batch, labels))
                tell("train", len(losses), total)
        mean = float(torch.stack(losses).mean()) if losses else float("nan")
        if not np.isfinite(mean):
            raise TrainingError(
                f"Round {number}: the loss is {mean} after {len(losses)} batches. Lower the learning rate "
                f"({recipe.optimizer.rate(number):g}), or resume from the last checkpoint with another recipe."
            )
        return mean

    def step(self, batch: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        device = self.accelerator.device
        labels = labels.to(device, non_blocking=True)
        with self.accelerator.autocast():
            embeddings = self.network(batch.to(device, non_blocking=True))
            loss = self.loss(embeddings, labels)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.optimizer.step()
        if isinstance(self.loss, Memory):
            self.loss.update(embeddings.detach(), labels)  # the memory moves here, in the open
        return loss.detach()


def untrained(recipe: Recipe, seed: int = 0) -> Encoder:
    """The encoder `train` starts from with this seed."""
    with _seeded(seed, INIT, 0):
        return recipe.encoder.build()


def _begin(recipe: Recipe, seed: int, accelerator: Accelerator, resume: Checkpoint | None) -> _Session:
    encoder = untrained(recipe, seed)
    group_batch_norm(encoder, recipe.bn_group_size, recipe.bn_running)
    encoder.to(accelerator.device).to(memory_format=torch.channels_last)
    loss = copy.deepcopy(recipe.loss).to(accelerator.device)
    network, optimizer = accelerator.prepare(
        encoder, recipe.optimizer.build([*encoder.parameters(), *loss.parameters()])
    )
    if resume is not None:
        resume.restore(encoder, loss, optimizer)
    return _Session(accelerator, encoder, network, loss, optimizer)


def _inputs(
    recipe: Recipe,
    pixels: Pixels,
    rows: Int64[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"],
    batches: Iterator[Int64[np.ndarray, " b"]],
    seed: int,
    number: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Augmented uint8 batches with their labels, made ahead of the network that asks for them."""

    def made() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for step, batch in enumerate(batches):
            _check_batch(len(batch), recipe.bn_group_size)
            rng = np.random.default_rng([seed, AUGMENT, number, step])
            augmented = augment(pixels.read(rows[batch]), recipe.augmentations, rng)
            yield torch.from_numpy(augmented), torch.from_numpy(labels[batch])

    return prefetch(made())


def _check_batch(size: int, group: int | None) -> None:
    rest = size if group is None else size % group
    if size == 1 or rest == 1:
        raise InputError(
            f"A batch of {size} images leaves one image alone in a batch norm group of {group}; change either."
        )


def _check_clusters(clusters: Clusters, number: int, recipe: Recipe) -> None:
    if clusters.count >= 2:
        return
    if clusters.count == 0:
        found = "no cluster: every image is noise"
        advice = (
            "Loosen the clustering (a larger eps, a smaller min_samples or k1), start from pretrained weights, or bring more "
            "images of each individual."
        )
    else:
        found = "one cluster, with nothing to tell it apart from"
        advice = (
            "Tighten the clustering (a smaller eps, a larger min_samples), or check that the images show more than one "
            "individual."
        )
    where = f"Round {number}: {describe(recipe.clusterer, 1)}"
    raise ClusteringError(f"{where} found {found} ({len(clusters.labels):,} images). {advice}")


@contextmanager
def _seeded(seed: int, stream: int, number: int) -> Iterator[None]:
    """PyTorch's own generator starts here and is put back afterwards: nobody else's random numbers are touched."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence([seed, stream, number]).generate_state(1, np.uint64)[0] >> 1))
        yield
