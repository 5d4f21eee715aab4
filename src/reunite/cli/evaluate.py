"""`reunite evaluate`: how well a trained encoder finds individuals again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from reunite import images
from reunite.cli.display import console, counting, scores_dict, scores_table
from reunite.cli.options import AsTracklets, Data, Device, OnError, RunFolder, accelerator_of, frames_of, on_error_of
from reunite.evaluate.protocol import retrieval_test, score_test
from reunite.images.tracklets import Frames
from reunite.model import embed
from reunite.train.run import Run, write_json


def evaluate(
    run: RunFolder,
    data: Data,
    device: Device = None,
    on_error: OnError = "raise",
    as_tracklets: AsTracklets = None,
    out: Annotated[
        Path | None, typer.Option(help="Where scores go; scores.json in the run folder when left out.")
    ] = None,
) -> None:
    """Test the encoder of a run: mAP, mINP and CMC under the data set's own protocol."""
    opened = Run.open(run)
    frames = frames_of(opened, as_tracklets)
    dataset = images.read(data)
    test = retrieval_test(dataset, tracklets=frames is not None)
    encoder = opened.encoder().to(accelerator_of(device).device)
    with counting("embedding") as progress:
        embeddings = embed(
            encoder, test.units, progress=progress, frames=frames or Frames(), on_error=on_error_of(on_error)
        )
    readable = np.isfinite(embeddings).all(axis=1)
    if not readable.all():
        kept = test.units.take(np.flatnonzero(readable))
        test = retrieval_test(dataset, frozenset(kept.images.paths[kept.rows].tolist()), tracklets=frames is not None)
    scores = score_test(test, embeddings[readable])
    target = out or run / "scores.json"
    write_json(
        target,
        {
            **scores_dict(scores),
            "data": str(data.resolve()),
            "unit": "image" if frames is None else "tracklet",
            "unreadable": int((~readable).sum()),
        },
    )
    console.print(scores_table(f"{run.name} on {data.name}, per cent", {"trained": scores}))
    if scores.skipped:
        console.print(f"{scores.skipped:,} queries have no match in the gallery and are not counted.")
    console.print(f"written to {target}")
