"""An encoder adapted to the images of a folder, without labels, by the training loop and a recipe."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from safetensors.torch import save_file

from reunite.cli.display import console
from reunite.cli.encoders import NamedEncoder
from reunite.cli.options import recipe_of
from reunite.cli.train import run_training
from reunite.cluster import KnownIdentities
from reunite.errors import ClusteringError, InputError
from reunite.files import replacing
from reunite.images.fingerprint import fingerprint
from reunite.model import Encoder, EncoderSpec
from reunite.train import IdentityBatches, Recipe
from reunite.train.run import Run
from reunite.types import Dataset, Images

VISITS = 4
"""How often a round of Cluster Contrast sees an image of Market-1501: 200 batches of 256 images, of 12,936 images."""


def adapt(
    encoder: NamedEncoder,
    images: Images,
    out: Path,
    *,
    rounds: int,
    recipe: str = "cluster-contrast",
    seed: int = 0,
    accelerator: Accelerator,
    memory: int = 4 * 2**30,
) -> NamedEncoder:
    """The encoder after some rounds of a recipe on these images, trained in the run folder `out/adapted`.

    A run that was stopped goes on. One that is finished is used as it is, even if the folder has grown since: the embeddings of
    images that were there stay what they were. Remove it to adapt anew.

    The recipe says how to cluster, what to train on and what comes after the backbone; the backbone, its weights, its pooling
    and its image size are the encoder's. A neck begins anew; before training it changes no direction, or (linear necks) is not
    what clusters are made of. Where the recipe draws a fixed number of batches a round, made for a data set of thousands of
    images, a smaller folder has as many as let each image be seen four times, as that recipe does on Market-1501.

    Args:
        encoder: where to start from.
        images: identities are not looked at. Those that cannot be read are left out.
        out: the folder of the result.
        rounds: of clustering and training.
        recipe: a name, or FILE.py:FUNCTION, of a recipe without labels.
        seed: of every random number drawn.
        accelerator: where to train.
        memory: bytes that decoded images may take.

    Raises:
        InputError: the recipe asks for labels or tracklets, rounds are less than one, or there is nothing to read.
        ClusteringError: the images do not fall into clusters that could be learned from.
        RunError: `out/adapted` holds a run of another recipe or encoder, or an unfinished one on other images.
    """
    if rounds < 1:
        raise InputError(f"--adapt takes a number of rounds, at least 1; got {rounds}.")
    there = np.array([os.path.isfile(path) for path in images.paths.tolist()], dtype=bool)
    known = images.take(there)
    unlabelled = Images.of(known.paths, camera=known.camera, track=known.track, time=known.time)
    start = out / f".adapt.{encoder.mark}.safetensors"
    method = adapting_recipe(recipe_of(recipe, []), encoder.encoder.spec, start, rounds, len(unlabelled))
    folder = out / "adapted"
    run = _finished(folder, method)
    if run is None:
        _save_backbone(encoder.encoder, start)
        facts = {"path": str(out.resolve()), "name": recipe, "adapted_from": encoder.name, "licence": encoder.licence}
        dataset = Dataset("this folder", unlabelled, Images.of([]), Images.of([]), note="Adapting without labels.")
        try:
            run = run_training(
                method,
                dataset,
                folder,
                seed=seed,
                accelerator=accelerator,
                on_error="skip",
                memory=memory,
                evaluate_every=0,
                facts=facts,
            )
        except ClusteringError as error:
            raise ClusteringError(f"{error} Or leave out --adapt: the encoder as it is may do.") from error
        start.unlink()
    elif run.about["data"] != fingerprint(unlabelled):
        console.print(f"{folder}: adapted to the images there were then, and used as it is; remove it to adapt anew.")
    name = f"{encoder.name}, adapted in {rounds} {'round' if rounds == 1 else 'rounds'} of {recipe}"
    return NamedEncoder.of(run.encoder(), name, encoder.licence)


def adapting_recipe(recipe: Recipe, encoder: EncoderSpec, weights: Path, rounds: int, images: int) -> Recipe:
    """The recipe for a folder of this many images, starting from a backbone.

    Raises:
        InputError: it needs labels or tracklets.
    """
    if isinstance(recipe.clusterer, KnownIdentities):
        raise InputError("--adapt-recipe must be a recipe without labels; this one trains on identities.")
    if recipe.tracklets is not None:
        raise InputError("--adapt-recipe must be a recipe for images; this one trains on tracklets.")
    after = recipe.encoder
    network = replace(
        encoder,
        pretrained=False,
        weights=str(weights.resolve()),
        neck=after.neck,
        embedding_size=after.embedding_size,
        dropout=after.dropout,
        test_feature=after.test_feature,
    )
    batches = recipe.batches
    if isinstance(batches, IdentityBatches) and batches.iterations is not None:
        enough = max(1, math.ceil(VISITS * images / (batches.identities * batches.images)))
        batches = replace(batches, iterations=min(batches.iterations, enough))
    return replace(recipe, encoder=network, batches=batches, rounds=rounds)


def _finished(folder: Path, recipe: Recipe) -> Run | None:
    """The run there, if it is one of this recipe with all its rounds; how many batches a round had may differ."""
    if not (folder / "run.json").is_file():
        return None
    run = Run.open(folder)
    if len(run.history()) < recipe.rounds:
        return None
    then, now = run.recipe().batches, recipe.batches
    if isinstance(then, IdentityBatches) and isinstance(now, IdentityBatches):
        recipe = replace(recipe, batches=replace(now, iterations=then.iterations))
    return run if run.about["recipe"] == repr(recipe) else None


def _save_backbone(encoder: Encoder, path: Path) -> None:
    """The file that training starts from, so that it depends neither on the hub nor on a run that may go on."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.backbone.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary)
