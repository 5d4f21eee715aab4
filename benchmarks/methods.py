"""`python -m benchmarks.methods OUT --data DATA ...`: every method with one small network and one budget, and their table.

What is compared are clusterers, batches and losses. Network (`conv4`, random weights, GeM), image size, augmentations and
optimizer are the same for all, and so is the work: so many passes of the network over the training images, an image embedded
counting 1 and an image trained on 3 (forward, and a backward of twice that). Runs that are finished are not run again, so
the command may be repeated, or divided over several processes by seed. `--data tracks` renders walkers that walk, for the
video recipes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator

import reunite
from benchmarks.results import spread
from reunite import Adam, IdentityBatches, Recipe, Run, ShuffledBatches, recipes
from reunite.cli.train import run_training
from reunite.images.transforms import Affine, ColorJitter, Flip, Transform
from reunite.train.describe import set_field
from reunite.train.run import write_json
from reunite.types import Dataset

UNSUPERVISED = ("cluster_contrast", "cluster_contrast_infomap", "instance_memory", "hct", "buc", "dbc")
VIDEO = ("cluster_contrast_video", "buc_video", "dbc_video")
SUPERVISED = ("cluster_loss", "support_neighbor", "triplet", "identity")
ROUNDS = 10
UPRIGHT: tuple[Transform, ...] = (
    Flip(0.5),
    Affine(rotation=5, translate=0.08, scale=(0.9, 1.1), shear=4),
    ColorJitter(),
)
DRAWN: tuple[Transform, ...] = (Affine(rotation=10, translate=0.08, scale=(0.9, 1.1), shear=8),)


def instance_memory() -> Recipe:
    """Cluster Contrast with one memory entry an image: the baseline it is measured against."""
    return replace(recipes.cluster_contrast(), loss=reunite.InstanceMemory(temperature=0.05, momentum=0.2))


def small(method: str, dataset: Dataset, passes: int) -> Recipe:
    """A method, "NAME FIELD=VALUE ...", with the common network and a cost of about `passes` over the training images."""
    name, *settings = method.split()
    recipe = _sized(instance_memory() if name == "instance_memory" else getattr(recipes, name)(), dataset, passes)
    for setting in settings:
        field, _, value = setting.partition("=")
        recipe = set_field(recipe, field, value)
    return recipe


def _sized(recipe: Recipe, dataset: Dataset, passes: int) -> Recipe:
    people = dataset.name == "walkers"
    if recipe.tracklets is not None:
        recipe = replace(recipe, tracklets=replace(recipe.tracklets, train=4))
    encoder = replace(
        recipe.encoder,
        frozen=(),
        backbone="conv4",
        pretrained=False,
        pooling="gem",
        image_size=(64, 32) if people else (32, 32),
        last_stride=2,
        embedding_size=None,
        mean=None,
        std=None,
    )
    common = replace(
        recipe,
        encoder=encoder,
        augmentations=UPRIGHT if people else DRAWN,
        optimizer=Adam(lr=1e-3, weight_decay=5e-4, step=None, head_factor=1.0),
        rounds=ROUNDS,
        bn_group_size=None,
        epochs=1,
        first_epochs=None,
    )
    trained = (passes - ROUNDS) * len(dataset.train) // 3  # images that may be trained on, over all rounds
    frames = 1 if recipe.tracklets is None else recipe.tracklets.train
    if isinstance(recipe.batches, ShuffledBatches):
        epochs = trained // (len(recipe.units(dataset.train)) * frames)
        later = 1 if recipe.tracklets is None else max(1, epochs // (ROUNDS + 3))  # of video, a quarter of the first
        return replace(
            common,
            batches=ShuffledBatches(32 // min(frames, 2)),
            clusterer=reunite.BottomUp(recipe.clusterer.criterion, 0.1, recipe.clusterer.merge_rule),
            epochs=later,
            first_epochs=max(1, epochs - later * (ROUNDS - 1)),
        )
    assert isinstance(recipe.batches, IdentityBatches)
    images = 8 if recipe.batches.images == 16 else 4
    batches = replace(
        recipe.batches, identities=64 // images, images=images, iterations=trained // (64 * frames * ROUNDS)
    )
    common = replace(common, batches=batches)
    if isinstance(recipe.clusterer, reunite.JaccardDBSCAN):
        common = replace(common, clusterer=reunite.JaccardDBSCAN(k1=20, k2=6, eps=0.6, min_samples=4))
    return common


HEADER = (
    "| recipe | seeds | mAP untrained | mAP trained | gain | rank-1 | clusters | identities ARI | CPU minutes |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def measure(name: str, dataset: Dataset, source: Path, folder: Path, seed: int, passes: int) -> None:
    """Trains, unless that has been done, and writes down the processor time it took: a clock that other work does not slow."""
    if (folder / "cost.json").is_file():
        return
    started = time.process_time()
    recipe, accelerator = small(name, dataset, passes), Accelerator(cpu=True)
    facts = {"path": str(source.resolve()), "name": name, "passes": passes}
    run_training(recipe, dataset, folder, seed=seed, accelerator=accelerator, evaluate_every=0, facts=facts)
    write_json(folder / "cost.json", {"cpu_minutes": (time.process_time() - started) / 60})


def row(name: str, runs: list[Run]) -> str:
    before = [json.loads((run.folder / "before.json").read_text("utf-8")) for run in runs]
    histories = [run.history() for run in runs]
    last = [history[-1] for history in histories]
    gain = [100 * (after["mAP"] - start["mAP"]) for after, start in zip(last, before, strict=True)]
    minutes = [json.loads((run.folder / "cost.json").read_text("utf-8"))["cpu_minutes"] for run in runs]
    cells = [
        f"`{name.split()[0]}`{''.join(f', `{each}`' for each in name.split()[1:])}",
        ", ".join(str(run.about["seed"]) for run in runs),
        spread([100 * each["mAP"] for each in before]),
        f"**{spread([100 * each['mAP'] for each in last])}**",
        f"{min(gain):+.1f} to {max(gain):+.1f}",
        spread([100 * each["rank1"] for each in last]),
        "given" if name.split()[0] in SUPERVISED else spread([float(each["clusters"]) for each in last], 0),
        "" if name.split()[0] in SUPERVISED else spread([each["ari"] for each in last], 3),
        spread(minutes),
    ]
    return "| " + " | ".join(cells) + " |"


def print_tables(out: Path) -> None:
    """For each data set, of the finished runs in `out`, a table of the recipes and one of variants."""
    groups: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for folder in sorted(out.glob("*/*/run.json")):
        run = Run.open(folder.parent)
        if (run.folder / "cost.json").is_file():
            groups[run.about["dataset"]][run.about["name"]].append(run)
    order = (*UNSUPERVISED, *VIDEO, *SUPERVISED)
    for dataset, methods in groups.items():
        names = sorted(methods, key=lambda each: (order.index(each.split()[0]), each))
        for title, chosen in (
            (dataset, [name for name in names if " " not in name]),
            (f"{dataset}, variants", [name for name in names if " " in name]),
        ):
            if chosen:
                print(f"\n### {title}\n\n{HEADER}")
            for name in chosen:
                print(row(name, sorted(methods[name], key=lambda run: run.about["seed"])))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("out", type=Path, help="where the run folders go")
    parser.add_argument(
        "--data", nargs="*", default=["walkers"], help="'walkers', 'tracks', or a folder or table; none: only print"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[*UNSUPERVISED, *SUPERVISED],
        help="recipes (default: all for images); 'NAME FIELD=VALUE' is a variant",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--passes", type=int, default=49, help="network passes over the training images (default 49)")
    options = parser.parse_args()
    for named in options.data:
        source = Path(named)
        if named in ("walkers", "tracks"):
            source = options.out / "data" / named
            sizes = {"images": 4} if named == "walkers" else {"images": 3, "frames": 12}
            dataset = reunite.render_walkers(source, identities=120, cameras=4, seed=0, **sizes)
        else:
            dataset = reunite.images.read(source)
        for seed in options.seeds:
            for name in options.methods:
                folder = options.out / dataset.name / f"{name.replace(' ', '-')}-{seed}"
                measure(name, dataset, source, folder, seed, options.passes)
    print_tables(options.out)


if __name__ == "__main__":
    main()
