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
from torch import Tensor, nn

from reunite.cluster.centroids import centroids
from reunite.cluster.known import KnownIdentities
from reunite.errors import ClusteringError, InputError, TrainingError
from reunite.images.loading import Pixels, open_images, prefetch
from reunite.images.transforms import augment
from reunite.losses.protocol import Begins, Updates, ask, asked
from reunite.model.batch_norm import group_batch_norm
from reunite.model.embed import embed_twice
from reunite.model.encoder import Encoder, Features
from reunite.train.checkpoint import Checkpoint
from reunite.train.describe import describe
from reunite.train.recipe import Recipe
from reunite.train.rounds import Round
from reunite.types import Clusters, Images

Progress = Callable[[str, int, int], None]
"""Called with the stage ("decode", "embed", "cluster", "train"), what is done and what there is to do."""

INIT, BATCHES, AUGMENT, NETWORK, BEGIN = range(5)
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
    encoder is trained on the labels. At the start every image is its own identity; `KnownIdentities`, the clusterer of
    supervised recipes, starts from the identities of the images. Two runs with the same seed on the same machine are identical.

    Args:
        recipe: the method; never changed.
        images: identities in it are looked at only if the recipe's clusterer is `KnownIdentities`.
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
    labels = _first_labels(recipe, images) if resume is None else resume.labels
    for number in range(0 if resume is None else resume.number + 1, recipe.rounds):
        clock = {"embed": time.perf_counter()}
        embeddings, trained = embed_twice(
            session.encoder, pixels, rows, 64, lambda done, total: tell("embed", done, total)
        )
        clock["cluster"] = time.perf_counter()
        tell("cluster", 0, 1)
        previous = labels
        if number or not recipe.start_from_singletons:
            labels = recipe.clusterer.fit_predict(embeddings, labels)
        clusters = Clusters.of(labels)
        labels = clusters.labels
        tell("cluster", 1, 1)
        _check_clusters(clusters, number, recipe)
        clock["train"] = time.perf_counter()
        session.begin_round(trained, labels, previous, number)
        loss = session.train_round(_inputs(recipe, pixels, rows, labels, images.camera, seed, number), number, tell)
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
            recipe.optimizer.rate(recipe.epochs_of(number).start),
            seconds,
            session.loss,
            session.optimizer,
        )


_STAGES = (("embed", "cluster"), ("cluster", "train"), ("train", "end"))


class _TrainingFeatures(nn.Module):
    """An encoder that gives all its features, as the module that accelerate wraps."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: Tensor) -> Features:
        return self.encoder.features(batch)


@dataclass(eq=False)
class _Session:
    """The things that change while training: network, loss and optimizer."""

    recipe: Recipe
    seed: int
    accelerator: Accelerator
    encoder: Encoder
    network: nn.Module  # the encoder's features as accelerate prepared them
    loss: nn.Module
    optimizer: torch.optim.Optimizer

    def begin_round(self, embeddings: np.ndarray, labels: np.ndarray, previous: np.ndarray, number: int) -> None:
        """Tells the loss what the clusters are, and the optimizer what there is to train."""
        before = list(self.loss.parameters())
        if isinstance(self.loss, Begins):
            made = asked(self.loss.begin, {"embeddings": embeddings, "labels": labels, "previous": previous})
            made["centroids"] = centroids(embeddings, labels)
            with _seeded(self.seed, BEGIN, number):
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

    def train_round(self, inputs: Iterator[_Input], number: int, tell: Progress) -> float:
        losses = []
        self.network.train()
        with _seeded(self.seed, NETWORK, number):
            for each in inputs:
                for group in self.optimizer.param_groups:
                    group["lr"] = group["scale"] * self.recipe.optimizer.rate(each.epoch)
                losses.append(self.step(each))
                tell("train", len(losses), each.total)
        mean = float(torch.stack(losses).mean()) if losses else float("nan")
        if not np.isfinite(mean):
            raise TrainingError(
                f"Round {number}: the loss is {mean} after {len(losses)} batches. Lower the learning rate "
                f"({self.optimizer.param_groups[0]['lr']:g}), or resume from the last checkpoint with another recipe."
            )
        return mean

    def step(self, given: _Input) -> Tensor:
        device = self.accelerator.device
        labels = given.labels.to(device, non_blocking=True)
        with self.accelerator.autocast():
            features: Features = self.network(given.batch.to(device, non_blocking=True))
            more = {"embedding": features.embedding, "pooled": features.pooled, "rows": given.rows}
            loss = ask(self.loss, features.unit, labels, **more)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.optimizer.step()
        if isinstance(self.loss, Updates):  # a memory moves here, in the open
            more = {"embedding": features.embedding.detach(), "pooled": features.pooled.detach(), "rows": given.rows}
            ask(self.loss.update, features.unit.detach(), labels, host_labels=given.labels, **more)
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
    if resume is not None:
        resume.restore(encoder, loss)
    network, optimizer = accelerator.prepare(_TrainingFeatures(encoder), _optimizer(recipe, encoder, loss))
    if resume is not None:
        resume.restore_optimizer(optimizer)
    return _Session(recipe, seed, accelerator, encoder, network, loss, optimizer)


def _optimizer(recipe: Recipe, encoder: Encoder, loss: nn.Module) -> torch.optim.Optimizer:
    """The backbone at the recipe's rate; what comes after it and what the loss trains at the rate of the head."""
    return recipe.optimizer.build(
        encoder.backbone.parameters(),
        [*encoder.pooling.parameters(), *encoder.neck.parameters(), *loss.parameters()],
    )


def _first_labels(recipe: Recipe, images: Images) -> Int64[np.ndarray, " n"]:
    return images.identity if isinstance(recipe.clusterer, KnownIdentities) else np.arange(len(images))


@dataclass(frozen=True, eq=False)
class _Input:
    """A batch on its way to the network."""

    batch: Tensor  # augmented uint8 images
    labels: Tensor
    rows: Tensor
    epoch: int
    total: int  # batches in the round, as far as known


def _inputs(
    recipe: Recipe,
    pixels: Pixels,
    rows: Int64[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"],
    camera: Int64[np.ndarray, " n"],
    seed: int,
    number: int,
) -> Iterator[_Input]:
    """Augmented batches with their labels, made ahead of the network that asks for them."""
    epochs = recipe.epochs_of(number)
    count = getattr(recipe.batches, "count", None)
    total = 0 if count is None else len(epochs) * count(labels)
    draws = np.random.default_rng([seed, BATCHES, number])

    def made() -> Iterator[_Input]:
        batches = ((epoch, batch) for epoch in epochs for batch in recipe.batches(labels, camera, draws))
        for step, (epoch, batch) in enumerate(batches):
            _check_batch(len(batch), recipe.bn_group_size)
            rng = np.random.default_rng([seed, AUGMENT, number, step])
            augmented = torch.from_numpy(augment(pixels.read(rows[batch]), recipe.augmentations, rng))
            yield _Input(augmented, torch.from_numpy(labels[batch]), torch.from_numpy(batch), epoch, total)

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
