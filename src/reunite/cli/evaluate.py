"""`reunite evaluate`: how well a trained encoder finds individuals again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from reunite import images
from reunite.cli.display import console, counting, scores_dict, scores_table
from reunite.cli.options import Data, Device, OnError, RunFolder, accelerator_of, on_error_of
from reunite.evaluate.protocol import retrieval_test, score_test
from reunite.model import embed
from reunite.train.run import Run, write_json


def evaluate(
    run: RunFolder,
    data: Data,
    device: Device = None,
    on_error: OnError = "raise",
    out: Annotated[
        Path | None, typer.Option(help="Where scores go; scores.json in the run folder when left out.")
    ] = None,
) -> None:
    """Test the encoder of a run: mAP, mINP and CMC under the data set's own protocol."""
    opened = Run.open(run)
    test = retrieval_test(images.read(data))
    encoder = opened.encoder().to(accelerator_of(device).device)
    with counting("embedding") as progress:
        embeddings = embed(encoder, test.images, progress=progress, on_error=on_error_of(on_error))
    readable = np.isfinite(embeddings).all(axis=1)
    if not readable.all():
        test = retrieval_test(images.read(data), frozenset(test.images.paths[readable].tolist()))
    scores = score_test(test, embeddings[readable])
    target = out or run / "scores.json"
    write_json(target, {**scores_dict(scores), "data": str(data.resolve()), "unreadable": int((~readable).sum())})
    console.print(scores_table(f"{run.name} on {data.name}, per cent", {"trained": scores}))
    if scores.skipped:
        console.print(f"{scores.skipped:,} queries have no match in the gallery and are not counted.")
    console.print(f"written to {target}")
