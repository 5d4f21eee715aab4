"""`reunite report`: one page that tells what a run did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from reunite import images
from reunite.cli.display import console, counting
from reunite.cli.options import Device, OnError, RunFolder, accelerator_of, on_error_of
from reunite.errors import RunError
from reunite.evaluate.protocol import retrieval_test, score_test
from reunite.evaluate.report import RunStory
from reunite.evaluate.report import report as page_of
from reunite.files import replacing
from reunite.images.tracklets import Frames, Tracklets
from reunite.model import embed
from reunite.train.run import Run, seconds_of, training_units
from reunite.types import Dataset, Scores


def report(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="The data, where it has moved since training.")] = None,
    device: Device = None,
    on_error: OnError = "raise",
    out: Annotated[
        Path | None, typer.Option(help="The page to write; report.html in the run folder when left out.")
    ] = None,
) -> None:
    """Write one self-contained HTML page: scores, clusters, ranked lists, a map."""
    target, _ = write_report(Run.open(run), data, device=device, on_error=on_error, out=out)
    console.print(f"written to {target}")


def write_report(
    run: Run, data: Path | None = None, *, device: str | None = None, on_error: str = "raise", out: Path | None = None
) -> tuple[Path, Scores | None]:
    """Embeds what the page shows, composes it and writes it; gives back where it is and the scores it shows."""
    history = run.history()
    if not history:
        raise RunError(f"{str(run.folder)!r} has no finished round yet; run `reunite train` again to go on.")
    dataset = images.read(data or Path(run.about["path"]))
    encoder = run.encoder().to(accelerator_of(device).device)
    skip = on_error_of(on_error)

    def embedded(part: Tracklets, name: str) -> tuple[Tracklets, np.ndarray]:
        with counting(f"embedding {name}") as progress:
            rows = embed(encoder, part, progress=progress, frames=run.tracklets or Frames(), on_error=skip)
        readable = np.isfinite(rows).all(axis=1)
        return part.take(np.flatnonzero(readable)), rows[readable]

    train = training_units(run, dataset.train)
    story = RunStory(
        title=f"{run.about['name']} on {run.about['dataset']}",
        recipe=run.about["recipe"],
        facts=_facts(run, dataset),
        rounds=history,
        train=train.heads,
        labels=run.labels(history[-1]["round"]),
        train_embeddings=_embed_training(embedded, train),
        **_test_part(run, dataset, embedded),
        unit="image" if run.tracklets is None else "tracklet",
    )
    target = out or run.folder / "report.html"
    with replacing(target) as temporary:
        temporary.write_text(page_of(story), "utf-8")
    return target, story.after


def _embed_training(embedded: Any, train: Tracklets) -> np.ndarray | None:
    """Embeddings of what was trained on; None if any of it has become unreadable, since labels belong to all of it."""
    kept, rows = embedded(train, "what was trained on")
    return rows if len(kept) == len(train) else None


def _test_part(run: Run, dataset: Dataset, embedded: Any) -> dict[str, Any]:
    """Query and gallery with embeddings and scores, or what stands for them where the data has no test."""
    nothing = {"query_embeddings": None, "gallery_embeddings": None, "before": None, "after": None}
    if not (run.folder / "before.json").is_file():  # `train` found nothing to test with
        return {"query": dataset.query, "gallery": dataset.gallery, **nothing}
    tracklets = run.tracklets is not None
    kept, rows = embedded(retrieval_test(dataset, tracklets=tracklets).units, "the test")
    test = retrieval_test(dataset, frozenset(kept.images.paths[kept.rows].tolist()), tracklets=tracklets)
    return {
        "query": test.images.take(test.query),
        "gallery": test.images.take(test.gallery),
        "query_embeddings": rows[test.query],
        "gallery_embeddings": rows[test.gallery],
        "before": read_scores(run.folder / "before.json"),
        "after": score_test(test, rows),
    }


def read_scores(path: Path) -> Scores | None:
    """Scores as `scores_dict` wrote them, or None where there is no such file."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text("utf-8"))
    return Scores(kept["mAP"], kept["mINP"], np.array(kept["cmc"]), kept["queries"], kept["skipped"], np.empty(0))


def _facts(run: Run, dataset: Dataset) -> dict[str, str]:
    seconds = sum(map(seconds_of, run.history()))
    about = run.about
    return {
        "data": f"{about['path']} ({dataset.note})",
        "command": about["command"],
        "seed": str(about["seed"]),
        "time": f"{seconds / 60:.1f} minutes on {about['device']}",
        "versions": ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        "data fingerprint": about["data"],
    }
