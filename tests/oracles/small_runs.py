"""Small recipes that are trained by one process and by several, and the program that several run."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from reunite import Recipe, render_walkers, train
from reunite.cluster import BottomUp, Dispersion, JaccardDBSCAN, KnownIdentities
from reunite.errors import ReuniteError
from reunite.images.tracklets import Frames
from reunite.images.transforms import Erase, Flip, PadCrop
from reunite.losses import (
    BatchHardTripletLoss,
    ClusterMemory,
    IdentityLoss,
    InstanceMemory,
    RepelledTable,
    WeightedSum,
)
from reunite.model import EncoderSpec
from reunite.train import SGD, IdentityBatches, ShuffledBatches
from reunite.types import Images

ENCODER = EncoderSpec("conv4", pretrained=False, image_size=(32, 16), last_stride=2)
BASE = Recipe(
    encoder=ENCODER,
    clusterer=JaccardDBSCAN(k1=8, k2=3, eps=0.7, min_samples=3),
    batches=IdentityBatches(identities=4, images=8, iterations=5),
    loss=ClusterMemory(),
    optimizer=SGD(lr=2e-6, step=2),
    augmentations=(Flip(), PadCrop(2), Erase()),
    rounds=3,
    bn_group_size=16,
)
ALL_NOISE = dataclasses.replace(BASE, clusterer=JaccardDBSCAN(k1=8, k2=3, eps=1e-6, min_samples=30))
RECIPES: dict[str, Recipe] = {
    "cluster contrast": BASE,
    "mean statistics": dataclasses.replace(BASE, bn_running="mean"),
    "groups of eight": dataclasses.replace(BASE, bn_group_size=8, bn_running="mean"),
    "whole batch": dataclasses.replace(BASE, bn_group_size=None),
    "bottom up with dropout": dataclasses.replace(
        BASE,
        encoder=dataclasses.replace(ENCODER, neck="linear", embedding_size=24, dropout=0.5, test_feature="pooled"),
        clusterer=BottomUp(Dispersion(), merge_percent=0.2),
        batches=ShuffledBatches(32),
        loss=RepelledTable(),
        start_from_singletons=True,
        bn_group_size=None,
    ),
    "classifier and triplet": dataclasses.replace(
        BASE,
        clusterer=KnownIdentities(),
        loss=WeightedSum((IdentityLoss(), BatchHardTripletLoss()), None, ("embedding", "pooled")),
    ),
    "instances": dataclasses.replace(BASE, loss=InstanceMemory()),
    "tracklets": dataclasses.replace(BASE, tracklets=Frames(train=3, test=4, mean_of="unit"), bn_group_size=16),
}


def images_of(name: str, folder: Path) -> Images:
    """Walkers; frames of tracklets where the recipe trains on them."""
    if name == "tracklets":
        return render_walkers(folder / "tracks", identities=32, cameras=2, images=4, frames=3, seed=0).train
    return render_walkers(folder / "data", identities=32, cameras=2, images=4, seed=0).train


def outcome(name: str, folder: Path, accelerator: Accelerator, **options) -> dict[str, np.ndarray]:
    """Everything a run leaves, by name."""
    found: dict[str, np.ndarray] = {}
    for each in train(RECIPES[name], images_of(name, folder), seed=0, accelerator=accelerator, **options):
        found[f"losses{each.number}"] = each.losses
        found[f"labels{each.number}"] = each.labels
        state = {**each.encoder.state_dict(), **{f"loss.{k}": v for k, v in each.loss_module.state_dict().items()}}
        found |= {f"{each.number}.{key}": value.detach().cpu().numpy().copy() for key, value in state.items()}
    return found


def main() -> None:
    """What each process runs: folder of the images, folder of the results, names of recipes."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    accelerator = Accelerator(cpu=True)
    rank = accelerator.process_index
    for name in sys.argv[3:]:
        np.savez(out / f"{name} {rank}.npz", **outcome(name, folder, accelerator))
    try:
        for _ in train(ALL_NOISE, images_of("", folder), seed=0, accelerator=accelerator):
            pass
    except ReuniteError as error:
        (out / f"error {rank}.txt").write_text(f"{type(error).__name__} {error.told}")


if __name__ == "__main__":
    main()
