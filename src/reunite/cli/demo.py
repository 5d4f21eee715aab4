"""`reunite demo`: the whole story on people who do not exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from reunite.cli.display import console, counting, percent, scores_dict, scores_table
from reunite.cli.options import Device, Seed, accelerator_of
from reunite.cli.report import read_scores, write_report
from reunite.cli.train import run_training
from reunite.images import render_walkers
from reunite.images.transforms import Affine, ColorJitter, Flip
from reunite.recipes import cluster_contrast_small
from reunite.train import Adam, IdentityBatches, Recipe
from reunite.train.run import write_json


def demo_recipe() -> Recipe:
    """Cluster Contrast sized for a few minutes on two cores."""
    small = cluster_contrast_small()
    return replace(
        small,
        encoder=replace(small.encoder, image_size=(64, 32)),
        augmentations=(Flip(0.5), Affine(rotation=5, translate=0.08, scale=(0.9, 1.1), shear=4), ColorJitter()),
        batches=IdentityBatches(identities=16, images=8, iterations=40),
        optimizer=Adam(lr=1e-3, weight_decay=5e-4, step=8),
        rounds=10,
    )


def demo(
    out: Annotated[Path, typer.Option(help="Where the rendered images, the run and the report go.")] = Path("demo"),
    seed: Seed = 0,
    device: Device = None,
    identities: Annotated[int, typer.Option(help="Rendered people; half of them are never trained on.", min=20)] = 120,
) -> None:
    """Render people who do not exist, learn to tell them apart without labels, and show the result on a page."""
    console.print("[bold]1. Render[/] people who do not exist, as four cameras see them")
    folder = out / f"walkers-{identities}-{seed}"
    with counting("rendering") as progress:
        dataset = render_walkers(folder, identities=identities, cameras=4, images=4, seed=seed, progress=progress)
    console.print("[bold]2. Train[/] without labels: embed, cluster, train on the clusters, again")
    run = run_training(
        demo_recipe(),
        dataset,
        out / f"run-{seed}",
        seed=seed,
        accelerator=accelerator_of(device),
        evaluate_every=1,
        facts={"path": str(folder.resolve()), "name": "cluster contrast (demo)"},
    )
    console.print("[bold]3. Report[/]")
    page, after = write_report(run, device=device)
    before = read_scores(run.folder / "before.json")
    assert before is not None and after is not None, "rendered walkers always come with a test"
    write_json(run.folder / "scores.json", scores_dict(after))
    console.print(f"Open [bold]{page.resolve()}[/] in a browser.")
    console.print(scores_table("Individuals never trained on, per cent", {"untrained": before, "trained": after}))
    console.print(f"mAP rose by {percent(after.mAP - before.mAP)} points.")
