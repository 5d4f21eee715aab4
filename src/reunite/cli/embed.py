"""`reunite embed`: a table of embeddings that other programs read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from reunite import images
from reunite.cli.display import console, counting, errors
from reunite.cli.options import (
    AsTracklets,
    Data,
    Device,
    HowPrecise,
    OnError,
    RunFolder,
    accelerator_of,
    frames_of,
    on_error_of,
)
from reunite.cli.parts import embed_in_parts
from reunite.errors import InputError
from reunite.files import replacing
from reunite.images.fingerprint import fingerprint
from reunite.images.tracklets import Frames, Tracklets, each_alone, group_tracklets
from reunite.model.inference import Precision, use_bfloat16
from reunite.train.run import Run
from reunite.types import Dataset, Images


def embed(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.", show_default=False)],
    device: Device = None,
    on_error: OnError = "raise",
    as_tracklets: AsTracklets = None,
    precision: HowPrecise = "float32",
) -> None:
    """Embed every image or tracklet once: path, split, identity, camera, track, frames and a unit vector a row.

    Goes on where it was stopped. The path of a tracklet is that of its middle frame.
    """
    opened = Run.open(run)
    frames = frames_of(opened, as_tracklets)
    encoder = opened.encoder().to(accelerator_of(device).device)
    chosen = cast(Precision, precision)
    computed_in = "bfloat16" if use_bfloat16(chosen, next(encoder.parameters()).device) else "float32"
    if out.suffix != ".parquet":
        raise InputError(f"--out must end in .parquet; got {out.name!r}.")
    every, split = every_image(images.read(data))
    units = each_alone(every) if frames is None else group_tracklets(every, np.unique(split, return_inverse=True)[1])
    kind = "images" if frames is None else f"tracklets{frames.test}{frames.mean_of}"
    parts = out.with_name(f".{out.name}.{fingerprint(every.take(units.rows))}.{opened.mark}.{kind}.{computed_in}")
    with counting("embedding") as progress:
        files = embed_in_parts(
            encoder,
            units,
            parts,
            frames=frames or Frames(),
            on_error=on_error_of(on_error),
            progress=progress,
            precision=chosen,
        )
    embeddings = np.concatenate([np.load(file) for file in files])
    readable = np.isfinite(embeddings).all(axis=1)
    heads = units.heads
    for path in heads.paths[~readable][:10]:
        errors.print(f"left out, cannot be read: {path}", markup=False)
    _write(
        out, units.take(np.flatnonzero(readable)), split[units.rows[units.starts[:-1]]][readable], embeddings[readable]
    )
    shutil.rmtree(parts)
    console.print(f"{int(readable.sum()):,} embeddings of {embeddings.shape[1]} dimensions written to {out}")


def every_image(dataset: Dataset) -> tuple[Images, np.ndarray]:
    """Each image of a data set once, with the part it is in; an image in query and gallery counts as gallery."""
    parts = {"train": dataset.train, "gallery": dataset.gallery, "query": dataset.query}
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts.values()]) for name in Images.__dataclass_fields__
    }
    split = np.concatenate([np.full(len(part), name) for name, part in parts.items()])
    _, first = np.unique(columns["paths"], return_index=True)
    first.sort()
    return Images(**columns).take(first), split[first]


def _write(path: Path, units: Tracklets, split: np.ndarray, embeddings: np.ndarray) -> None:
    rows = units.heads
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    columns = {
        "path": rows.paths,
        "split": split,
        "identity": rows.identity,
        "camera": rows.camera,
        "track": rows.track,
        "frames": units.lengths,
    }
    table = pa.table({**{name: pa.array(column.tolist()) for name, column in columns.items()}, "embedding": vectors})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
