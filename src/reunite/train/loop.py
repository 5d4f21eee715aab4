"""The only training loop: embed, cluster, train on the clusters, again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import numpy as np
from accelerate import Accelerator
from jaxtyping import Int64

from reunite.cluster.known import KnownIdentities
from reunite.errors import ClusteringError, InputError
from reunite.images.loading import open_images
from reunite.model.embed import embed_twice
from reunite.model.encoder import Encoder
from reunite.train.checkpoint import Checkpoint
from reunite.train.describe import describe
from reunite.train.inputs import Source, inputs
from reunite.train.randomness import INIT, seeded
from reunite.train.recipe import Recipe
from reunite.train.rounds import Round
from reunite.train.session import Progress, Session
from reunite.types import Clusters, Images


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
    supervised recipes, starts from the identities of the images. With `Recipe.tracklets` all of this is said of tracklets.
    Two runs with the same seed on the same machine are identical.

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
        InputError: an option of the clusterer is out of range, identities are needed and none is known, or frames of one
            tracklet have different identities.
        ImageError: images cannot be read.
        ClusteringError: fewer than two clusters were found, so there is nothing to tell apart.
        TrainingError: the loss of a round is not finite.
    """
    _check_start(recipe, images)
    tell: Progress = progress or (lambda stage, done, total: None)
    accelerator = accelerator or Accelerator()
    encoder = untrained(recipe, seed)  # before images are decoded: weights that are missing are told at once
    pixels = open_images(
        images.paths,
        recipe.encoder.image_size,
        on_error=on_error,
        memory=memory,
        workers=workers,
        progress=lambda done, total: tell("decode", done, total),
    )
    source = Source.of(recipe, images, pixels)
    units, shown = source.units, source.shown
    session = Session.of(recipe, encoder, seed, accelerator, resume, source.frames)
    labels = _first_labels(recipe, units.heads) if resume is None else resume.labels
    for number in range(0 if resume is None else resume.number + 1, recipe.rounds):
        clock = {"embed": time.perf_counter()}
        embeddings, trained = embed_twice(
            session.encoder,
            pixels,
            source.rows[shown.rows],
            64,
            lambda done, total: tell("embed", done, total),
            starts=shown.starts,
            mean_of=recipe.frames_used.mean_of,
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
        loss = session.train_round(inputs(recipe, source, labels, seed, number), number, tell)
        clock["end"] = time.perf_counter()
        seconds = {stage: round(clock[after] - clock[stage], 3) for stage, after in _STAGES}
        yield Round(
            number,
            session.encoder,
            units,
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


def untrained(recipe: Recipe, seed: int = 0) -> Encoder:
    """The encoder `train` starts from with this seed."""
    with seeded(seed, INIT, 0):
        return recipe.encoder.build()


def _check_start(recipe: Recipe, images: Images) -> None:
    """What would otherwise be found out when all images are decoded and embedded."""
    if hasattr(recipe.clusterer, "check_options"):
        recipe.clusterer.check_options()
    recipe.units(images)  # tracks that contradict identities
    if isinstance(recipe.clusterer, KnownIdentities) and not (images.identity >= 0).any():
        raise InputError(
            "This recipe trains on identities, and none of the images has one. Name them by folders or in a table's "
            "identity column, or take a recipe without labels, such as cluster_contrast."
        )


def _first_labels(recipe: Recipe, images: Images) -> Int64[np.ndarray, " n"]:
    return images.identity if isinstance(recipe.clusterer, KnownIdentities) else np.arange(len(images))


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
