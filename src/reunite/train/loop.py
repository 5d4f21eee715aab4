"""The only training loop: embed, cluster, train on the clusters, again."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from accelerate import Accelerator
from jaxtyping import Int64

from reunite.cluster.known import KnownIdentities
from reunite.errors import ClusteringError, InputError
from reunite.images.fingerprint import fingerprint
from reunite.images.loading import open_images
from reunite.model.encoder import Encoder
from reunite.train.checkpoint import Checkpoint, Unfinished, check_same
from reunite.train.describe import describe
from reunite.train.inputs import Source, inputs
from reunite.train.processes import Processes
from reunite.train.randomness import INIT, seeded
from reunite.train.recipe import Recipe
from reunite.train.rounds import Round
from reunite.train.session import Progress, Session
from reunite.train.timing import forget_peak, peak_memory
from reunite.types import Clusters, Images
from reunite.version import __version__


def train(
    recipe: Recipe,
    images: Images,
    *,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    memory: int = 4 * 2**30,
    cache: str | Path | None = None,
    workers: int | None = None,
    accumulate: int = 1,
    compiled: bool = False,
    resume: Checkpoint | None = None,
    keep: Callable[[Checkpoint], None] | None = None,
    keep_every: float = 300.0,
    progress: Progress | None = None,
) -> Iterator[Round]:
    """Trains an encoder by a recipe, one `Round` at a time; evaluating, saving and stopping is the caller's business.

    Every method is this loop with other parts: all images become embeddings, the clusterer turns them into labels, and the
    encoder is trained on the labels. At the start every image is its own identity; `KnownIdentities`, the clusterer of
    supervised recipes, starts from the identities of the images. With `Recipe.tracklets` all of this is said of tracklets.
    Two runs with the same seed on the same machine are identical.

    In several processes (torchrun, accelerate launch) every process calls this with the same arguments and gets the same
    rounds. Each embeds its part of the images and takes its part of every batch; a batch is as large as in one process, its
    loss is of the whole batch, and batch norm groups are the same, so the result is that of one process up to rounding.

    Args:
        recipe: the method; never changed.
        images: identities in it are looked at only if the recipe's clusterer is `KnownIdentities`.
        seed: of every random number drawn.
        accelerator: where to compute, and with mixed_precision="bf16" how; None lets accelerate choose.
        on_error: "raise" stops at images that cannot be read, "skip" leaves them out and says so in `Round.broken`. One that
            becomes unreadable later is left out of the clusters from then on.
        memory: bytes that decoded images may take in each process; beyond that they are kept in `cache`, or decoded again
            when needed.
        cache: folder for a file of decoded images, used where they do not fit into memory; it is left there, and used
            again by the next run on the same images.
        workers: threads that decode; None uses every core.
        accumulate: in how many parts each process takes a batch through the network, for a device with too little memory
            for all of it. The result is that of the whole batch, at the price of a second forward pass.
        compiled: let torch.compile make a faster program of the network.
        resume: go on from this checkpoint of the same recipe, images and seed, exactly as if never stopped.
        keep: called by the main process in the middle of a round with a checkpoint to go on from, where rounds are long.
        keep_every: seconds between two such calls at least.
        progress: called as work proceeds.

    Yields:
        A `Round` after each round.

    Raises:
        InputError: an option of the clusterer is out of range, identities are needed and none is known, or frames of one
            tracklet have different identities.
        ImageError: images cannot be read.
        ClusteringError: fewer than two clusters were found, so there is nothing to tell apart.
        TrainingError: the loss is not finite.
        RunError: the checkpoint is of another recipe, seed, version or of other images.
    """
    _check_start(recipe, images)
    tell: Progress = progress or (lambda stage, done, total: None)
    accelerator = accelerator or Accelerator()
    processes = Processes(accelerator)
    encoder = untrained(recipe, seed)  # before images are decoded: weights that are missing are told at once
    pixels = processes.machine_by_machine(
        lambda: open_images(
            images.paths,
            recipe.encoder.image_size,
            on_error=on_error,
            memory=memory,
            cache=cache,
            workers=workers,
            progress=lambda done, total: tell("decode", done, total),
        )
    )
    if pixels.note and processes.main:
        warnings.warn(pixels.note, stacklevel=2)
    source = Source.of(recipe, images, pixels, on_error)
    about = {
        "recipe": repr(recipe),
        "seed": str(seed),
        "data": fingerprint(source.units.images),
        "version": __version__,
    }
    if resume is not None:
        check_same("The checkpoint", resume.about, about)
    session = Session.of(recipe, encoder, seed, accelerator, processes, about, resume, source.frames, compiled)
    keeper = _Keeper(keep if processes.main else None, keep_every)
    labels = _first_labels(recipe, source.units.heads) if resume is None else resume.labels
    for number in range(_first_round(resume), recipe.rounds):
        forget_peak(accelerator.device)
        unfinished = resume.unfinished if resume is not None and resume.number == number else None
        session.clock.start(None if unfinished is None else unfinished.seconds)
        if unfinished is None:
            embeddings, trained = source.embedded(session.encoder, accelerator, processes, tell)
            session.clock.mark("embed")
            tell("cluster", 0, 1)
            previous = labels
            labels = processes.on_main(partial(_cluster, recipe, embeddings, previous, number))
            tell("cluster", 1, 1)
            session.clock.mark("cluster")
            session.begin_round(trained, labels, previous, number)
        else:
            embeddings = unfinished.embeddings
        keeping = partial(keeper.offer, session, number, labels, embeddings)
        done = 0 if unfinished is None else len(unfinished.losses)
        batches = inputs(recipe, source, labels, seed, number, session.shares(accumulate), accelerator.device, done)
        losses = session.train_round(batches, number, tell, None if unfinished is None else resume, keeping)
        yield Round(
            number,
            session.encoder,
            source.units,
            source.broken(processes),
            embeddings,
            labels,
            float(losses.mean(dtype=np.float64)),
            recipe.optimizer.rate(recipe.epochs_of(number).start),
            session.seconds(),
            session.loss,
            session.optimizer,
            about,
            session.images_per_second(),
            peak_memory(accelerator.device),
            losses,
        )


def untrained(recipe: Recipe, seed: int = 0) -> Encoder:
    """The encoder `train` starts from with this seed."""
    with seeded(seed, INIT, 0):
        return recipe.encoder.build()


class _Keeper:
    """Asks for a checkpoint in the middle of a round when the last one is long ago."""

    def __init__(self, keep: Callable[[Checkpoint], None] | None, every: float):
        self._keep, self._every, self._last = keep, every, time.monotonic()

    def offer(
        self, session: Session, number: int, labels: np.ndarray, embeddings: np.ndarray, losses: np.ndarray
    ) -> None:
        """Takes the present state if it is time to."""
        if self._keep is None or time.monotonic() - self._last < self._every:
            return
        seconds = session.clock.seconds()
        self._keep(session.checkpoint(number, labels, Unfinished(losses, embeddings, seconds)))
        self._last = time.monotonic()


def _first_round(resume: Checkpoint | None) -> int:
    if resume is None:
        return 0
    return resume.number + (resume.unfinished is None)


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


def _cluster(recipe: Recipe, embeddings: np.ndarray, previous: np.ndarray, number: int) -> Int64[np.ndarray, " n"]:
    """The clusters of a round; what cannot be read any more, a row of NaN, is noise."""
    there = np.isfinite(embeddings).all(axis=1)
    found = previous[there]
    if number or not recipe.start_from_singletons:
        given = embeddings if there.all() else embeddings[there]
        found = recipe.clusterer.fit_predict(given, found)
    labels = np.full(len(embeddings), -1)
    labels[there] = found
    clusters = Clusters.of(labels)
    _check_clusters(clusters, number, recipe)
    return clusters.labels


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
