"""The embeddings with known identities that `benchmarks.identities` looks for individuals in; made once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from accelerate import Accelerator

import reunite
from benchmarks.methods import small
from reunite.cli.embed import every_image
from reunite.cli.train import run_training
from reunite.types import UNKNOWN, Dataset, Images, unit_rows

PASSES = 60
"""Passes of the network over the training images, as in docs/results.md."""

NETWORKS = ("mobilenet_v2", "squeezenet1_1")
"""Trained on ImageNet, and not on any of these individuals."""

OTHERS = {"walkers_few": (300, 4, 1, 9), "walkers_more": (60, 5, 6, 8), "walkers_many": (12, 5, 40, 7)}
"""Other walkers than those of the training: identities, cameras, images by each, and seed."""


@dataclass(frozen=True, eq=False)
class Known:
    """Embeddings whose identities are known, for scoring: -1 for rows that are clustered and not scored."""

    rows: np.ndarray
    identity: np.ndarray
    camera: np.ndarray


@dataclass(frozen=True)
class Named:
    """A set that can be made: of one `group` and several seeds the tables print mean and spread."""

    group: str
    seed: int | None
    source: str
    recipe: str = ""

    @property
    def name(self) -> str:
        """Of its files."""
        parts = (Path(self.source).name, self.recipe, self.seed)
        return "-".join(str(part) for part in parts if part not in ("", None))


def every_set(seeds: list[int], folders: list[Path]) -> Iterator[Named]:
    """Of a folder the identities are its subfolders; it is looked at with networks trained on ImageNet."""
    yield Named("Market-1501 gallery", None, "market")
    yield Named("Market-1501 gallery with junk and distractors", None, "market_all")
    for recipe in ("cluster_contrast", "dbc"):
        yield from (Named(f"walkers, `{recipe}`", seed, "walkers", recipe) for seed in seeds)
    for recipe in ("cluster_contrast", "cluster_contrast_infomap"):
        yield from (Named(f"omniglot's unseen alphabets, `{recipe}`", seed, "omniglot", recipe) for seed in seeds)
    yield from (Named(f"vehicle2cam, `{network}` of ImageNet", None, "vehicles", network) for network in NETWORKS)
    for source, (identities, cameras, images, _) in OTHERS.items():
        group = f"{identities} other walkers by {cameras} cameras, {images} images by each, `cluster_contrast`"
        yield Named(group, None, source)
    for folder in ("walkers", "omniglot", *map(str, folders)):
        for network in NETWORKS:
            yield Named(f"{Path(folder).name}, `{network}` of ImageNet", None, folder, network)


def load(named: Named, shared: Path, out: Path) -> Known:
    """The embeddings of `named`, from `out` where they were made before. Those of Market-1501 are never copied."""
    if named.source.startswith("market"):
        return _market(shared, everything=named.source == "market_all")
    kept = out / "embeddings" / f"{named.name}.npz"
    if not kept.is_file():
        if named.source in OTHERS:
            encoder, images = _other_walkers(named, shared, out)
        elif named.recipe in NETWORKS:
            encoder, images = _of_imagenet(named, shared), _images(named, shared, out)
        else:
            encoder, images = _adapted(named, shared, out), _images(named, shared, out)
        kept.parent.mkdir(parents=True, exist_ok=True)
        rows = reunite.embed(encoder, images, progress=False)
        np.savez(kept, x=rows, y=images.identity, c=images.camera)
    stored = np.load(kept)
    return Known(unit_rows(stored["x"]), stored["y"], stored["c"])


def _market(shared: Path, everything: bool) -> Known:
    stored = np.load(shared / "data" / "features" / "market1501_retail0288.npz")
    identity = stored["gallery_identity"].astype(np.int64)
    taken = np.ones(len(identity), np.bool_) if everything else identity > 0
    rows = unit_rows(stored["gallery"][taken].astype(np.float32))
    return Known(
        rows, np.where(identity > 0, identity, UNKNOWN)[taken], stored["gallery_camera"][taken].astype(np.int64)
    )


def _dataset(named: Named, shared: Path, out: Path) -> tuple[Dataset, Path]:
    """Pictures, and the folder that holds them."""
    if named.source == "walkers":
        folder = out / "data" / "walkers"
        return reunite.render_walkers(folder, identities=200, cameras=5, images=4, seed=0), folder
    named_folders = {"omniglot": "omniglot", "vehicles": "vehicle2cam"}
    folder = shared / "data" / named_folders[named.source] if named.source in named_folders else Path(named.source)
    return reunite.images.read(folder), folder


def _images(named: Named, shared: Path, out: Path) -> Images:
    """Those that are embedded: of characters the alphabets that nothing is trained on, of others all."""
    images, split = every_image(_dataset(named, shared, out)[0])
    return images.take(np.flatnonzero(split != "train")) if named.source == "omniglot" else images


def _adapted(named: Named, shared: Path, out: Path) -> reunite.Encoder:
    """A small network trained without labels: on all walkers, and on other alphabets than those that are embedded."""
    dataset, source = _dataset(named, shared, out)
    if named.source == "walkers":
        dataset = replace(dataset, train=_images(named, shared, out))
    return _trained(named, dataset, source, out).encoder()


def _trained(named: Named, dataset: Dataset, source: Path, out: Path) -> reunite.Run:
    folder, seed = out / "runs" / named.name, named.seed or 0
    facts = {"path": str(source.resolve()), "name": named.recipe, "passes": PASSES}
    recipe, accelerator = small(named.recipe, dataset, PASSES), Accelerator(cpu=True)
    run_training(recipe, dataset, folder, seed=seed, accelerator=accelerator, evaluate_every=0, facts=facts)
    return reunite.Run.open(folder)


def _other_walkers(named: Named, shared: Path, out: Path) -> tuple[reunite.Encoder, Images]:
    """Seen by the first network that was trained on walkers."""
    identities, cameras, images, seed = OTHERS[named.source]
    folder = out / "data" / named.source
    dataset = reunite.render_walkers(folder, identities=identities, cameras=cameras, images=images, seed=seed)
    trained = Named("", 0, "walkers", "cluster_contrast")
    return _adapted(trained, shared, out), every_image(dataset)[0]


def _of_imagenet(named: Named, shared: Path) -> reunite.Encoder:
    """Networks that have seen none of these individuals: ImageNet's, as they are."""
    weights = shared / "data" / "weights"
    if named.recipe == "mobilenet_v2":
        return reunite.Encoder(
            "mobilenet_v2",
            weights=str(weights / "mobilenet_v2_imagenet_fp16.safetensors"),
            neck="none",
            pooling="gem",
            image_size=(224, 224),
            bn_eps=1e-3,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        )
    file = weights / "squeezenet1_1_imagenet_fp32.safetensors"
    return reunite.Encoder("squeezenet1_1", weights=str(file), neck="none", image_size=(224, 224))
