"""`reunite train`: a recipe, a data set, a run folder."""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from accelerate import Accelerator

from reunite import __version__, images
from reunite.cli.board import write_board
from reunite.cli.display import console, errors, percent, round_line, scores_dict, training_bars
from reunite.cli.options import Data, Device, Memory, OnError, Seed, accelerator_of, on_error_of, recipe_of
from reunite.errors import InputError, TrainingError
from reunite.evaluate import clustering_scores
from reunite.evaluate.protocol import RetrievalTest, retrieval_test, score_test
from reunite.images.fingerprint import fingerprint
from reunite.images.loading import Pixels, open_images
from reunite.images.tracklets import Frames
from reunite.model import Encoder
from reunite.model.embed import embed_pixels
from reunite.train import Recipe, Round
from reunite.train import train as rounds_of
from reunite.train.checkpoint import Checkpoint
from reunite.train.loop import untrained
from reunite.train.processes import Processes
from reunite.train.run import Run, write_json
from reunite.types import UNKNOWN, Dataset, Scores


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name, FILE.py:FUNCTION, or a run folder.", show_default=False)
    ],
    data: Data,
    out: Annotated[
        Path, typer.Option(help="The run folder; an unfinished run in it is continued.", show_default=False)
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe; may be repeated."),
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    on_error: OnError = "raise",
    memory: Memory = 4.0,
    evaluate_every: Annotated[int, typer.Option(help="Rounds between two tests; 0 tests only at the end.", min=0)] = 5,
    precision: Annotated[
        str, typer.Option(help="What the network computes in while it trains.", metavar="float32|bfloat16")
    ] = "float32",
    accumulate: Annotated[
        int, typer.Option(help="Parts in which each batch goes through the network, where memory is short.", min=1)
    ] = 1,
    compiled: Annotated[bool, typer.Option("--compile", help="Let torch.compile make a faster network.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for decoded images that do not fit into memory; OUT/pixels, removed in the end, when left out.",
            show_default=False,
        ),
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Minutes between two checkpoints in the middle of a round, at least.", min=0)
    ] = 5.0,
) -> None:
    """Train an encoder without labels (or with, if the recipe asks for them).

    Goes on where it was stopped. With torchrun or accelerate launch in front, many processes train together.
    """
    chosen = recipe_of(recipe, settings or [])
    accelerator = accelerator_of(device, precision)
    run_training(
        chosen,
        images.read(data),
        out,
        seed=seed,
        accelerator=accelerator,
        on_error=on_error_of(on_error),
        memory=int(memory * 2**30),
        cache=cache,
        accumulate=accumulate,
        compiled=compiled,
        evaluate_every=evaluate_every,
        keep_every=60 * checkpoint_minutes,
        facts={"path": str(data.resolve()), "name": recipe},
    )
    accelerator.end_training()  # lets go of the other processes


def run_training(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    *,
    seed: int,
    accelerator: Accelerator,
    on_error: Literal["raise", "skip"] = "raise",
    memory: int = 4 * 2**30,
    cache: Path | None = None,
    accumulate: int = 1,
    compiled: bool = False,
    evaluate_every: int = 5,
    keep_every: float = 300.0,
    facts: dict[str, Any],
) -> Run:
    """Trains to the end with progress on the console, every round saved in the run folder.

    In several processes the main one prints, tests and saves, while the others wait.
    """
    if not len(dataset.train):
        raise InputError(f"{dataset.name} has no training images.")
    processes = Processes(accelerator)
    console.quiet = not processes.main
    facts = {**facts, "dataset": dataset.name, "note": dataset.note, **_versions(accelerator, processes)}
    run, resume = processes.on_main(partial(_open_run, recipe, dataset, out, seed, facts))
    tester = processes.main_alone(partial(_tester, run, dataset, recipe, seed, accelerator, on_error, memory))
    done = len(run.history())
    with training_bars(recipe.rounds, done) as bars, _telling_what_is_left(run):
        for finished in rounds_of(
            recipe,
            dataset.train,
            seed=seed,
            accelerator=accelerator,
            on_error=on_error,
            memory=memory,
            cache=cache or out / "pixels",
            accumulate=accumulate,
            compiled=compiled,
            resume=resume,
            keep=run.keep,
            keep_every=keep_every,
            progress=bars.stage,
        ):
            line = processes.on_main(partial(_finish, run, finished, tester, recipe.rounds, evaluate_every))
            bars.round_done(line)
            console.print(round_line(line, recipe.rounds), soft_wrap=True)
    if cache is None and processes.main:
        shutil.rmtree(out / "pixels", ignore_errors=True)
    return run


def _open_run(
    recipe: Recipe, dataset: Dataset, out: Path, seed: int, facts: dict[str, Any]
) -> tuple[Run, Checkpoint | None]:
    """The run folder, and where it goes on."""
    run = Run.create(out, recipe, seed=seed, data=fingerprint(dataset.train), facts=facts)
    resume = run.checkpoint(lambda problem: errors.print(f"[yellow]{problem}[/] The one before is taken instead."))
    counted = f"{len(dataset.train):,} training images, {len(dataset.query):,} queries"
    if recipe.tracklets is not None:
        counted = f"{len(recipe.units(dataset.train)):,} training tracklets of {len(dataset.train):,} images"
    console.print(f"{dataset.name}: {counted}. {dataset.note}", soft_wrap=True)
    if resume is not None:
        middle = "" if resume.step is None else f", and {resume.step} steps of the next"
        done = resume.number + (resume.step is None)
        console.print(f"{out} has {done} of {recipe.rounds} rounds{middle}; going on from there.")
    return run, resume


@contextmanager
def _telling_what_is_left(run: Run) -> Iterator[None]:
    """Within, an error that ends training says which checkpoint there is to go on from."""
    try:
        yield
    except TrainingError as error:
        path = run.newest
        more = TrainingError(
            f"{error} {f'The last good checkpoint is {path}.' if path else 'There is no checkpoint yet.'}"
        )
        more.told = error.told
        raise more from error


def _finish(run: Run, finished: Round, tester: _Tester | None, rounds: int, evaluate_every: int) -> dict[str, Any]:
    """Tests a round if it is time to, and saves it."""
    before = [line["broken"] for line in run.history()]
    if len(finished.broken) > (before[-1] if before else 0):
        _name_broken(finished)
    scores: dict[str, Any] = _identity_scores(finished)
    clock = time.perf_counter()
    if tester is not None and _is_due(finished.number + 1, rounds, evaluate_every):
        scores |= _few(tester.scores(finished.encoder))
    line = run.save(finished, {**scores, "seconds_evaluate": round(time.perf_counter() - clock, 3)})
    write_board(run.folder / "tensorboard", line)
    return line


@dataclass(frozen=True, eq=False)
class _Tester:
    """The data set's test with its images decoded once."""

    test: RetrievalTest
    pixels: Pixels
    frames: Frames

    def scores(self, encoder: Encoder) -> Scores:
        units = self.test.units.at_most(self.frames.test)
        found = embed_pixels(encoder, self.pixels, units.rows, starts=units.starts, mean_of=self.frames.mean_of)
        return score_test(self.test, found)


def _tester(
    run: Run,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    accelerator: Accelerator,
    on_error: Literal["raise", "skip"],
    memory: int,
) -> _Tester | None:
    """What tests the run, once the untrained encoder is tested; None where there is nothing to test with."""
    if not len(dataset.query) or not len(dataset.gallery):
        return None
    tracklets = recipe.tracklets is not None
    test = retrieval_test(dataset, tracklets=tracklets)
    paths = test.units.images.paths
    pixels = open_images(paths, recipe.encoder.image_size, on_error=on_error, memory=memory)
    if pixels.broken:
        test = retrieval_test(dataset, frozenset(paths[pixels.readable].tolist()), tracklets=tracklets)
        pixels = open_images(test.units.images.paths, recipe.encoder.image_size, memory=memory)
    tester = _Tester(test, pixels, recipe.frames_used)
    return tester if _has_scores_before(run, tester, untrained(recipe, seed).to(accelerator.device)) else None


def _has_scores_before(run: Run, tester: _Tester, encoder: Encoder) -> bool:
    """Scores the untrained encoder, once. Data without a single match can be trained on all the same, but not tested."""
    if (run.folder / "before.json").is_file():
        return True
    try:
        before = tester.scores(encoder)
    except InputError as error:
        errors.print(f"[yellow]training goes on without a test:[/] {error}", soft_wrap=True)
        return False
    write_json(run.folder / "before.json", scores_dict(before))
    console.print(f"untrained: mAP {percent(before.mAP)}  rank-1 {percent(before.rank1)}")
    return True


def _few(scores: Scores) -> dict[str, float]:
    return {"mAP": scores.mAP, "rank1": scores.rank1, "mINP": scores.mINP}


def _identity_scores(finished: Round) -> dict[str, float]:
    """How the round's clusters match the identities, where they are known. Training never sees this."""
    identity = finished.images.identity
    if not (identity != UNKNOWN).any():
        return {}
    scores = clustering_scores(finished.labels, identity)
    names = ("ari", "nmi", "pairwise_f", "bcubed_f", "purity")
    return {name: round(float(getattr(scores, name)), 6) for name in names}


def _is_due(done: int, rounds: int, every: int) -> bool:
    return done == rounds or (every > 0 and done % every == 0)


def _name_broken(finished: Round) -> None:
    errors.print(f"[yellow]{len(finished.broken):,} images could not be read and are left out:[/]")
    for image in finished.broken[:10]:
        errors.print(f"  {image.path}: {image.reason}", markup=False)
    if len(finished.broken) > 10:
        errors.print(f"  and {len(finished.broken) - 10:,} more")


def _versions(accelerator: Accelerator, processes: Processes) -> dict[str, Any]:
    return {
        "command": shlex.join(["reunite", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(accelerator.device),
        "processes": processes.count,
        "mixed_precision": accelerator.mixed_precision,
        "versions": {"reunite": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
