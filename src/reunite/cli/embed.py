"""`reunite embed`: a table of embeddings that other programs read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from reunite import images
from reunite.cli.display import console, counting, errors
from reunite.cli.options import AsTracklets, Data, Device, OnError, RunFolder, accelerator_of, frames_of, on_error_of
from reunite.errors import InputError
from reunite.files import replacing
from reunite.images.fingerprint import fingerprint
from reunite.images.tracklets import Frames, Tracklets, each_alone, group_tracklets
from reunite.model import embed as embed_images
from reunite.train.run import Run
from reunite.types import Dataset, Images

SHARD = 8192
"""Images between two files on disk: what a stop costs at most, but for the rest of a tracklet."""


def embed(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.", show_default=False)],
    device: Device = None,
    on_error: OnError = "raise",
    as_tracklets: AsTracklets = None,
) -> None:
    """Embed every image or tracklet once: path, split, identity, camera, track, frames and a unit vector a row.

    Goes on where it was stopped. The path of a tracklet is that of its middle frame.
    """
    opened = Run.open(run)
    frames = frames_of(opened, as_tracklets)
    encoder = opened.encoder().to(accelerator_of(device).device)
    if out.suffix != ".parquet":
        raise InputError(f"--out must end in .parquet; got {out.name!r}.")
    every, split = _every_image(images.read(data))
    units = each_alone(every) if frames is None else group_tracklets(every, np.unique(split, return_inverse=True)[1])
    kind = "images" if frames is None else f"tracklets{frames.test}{frames.mean_of}"
    parts = out.with_name(f".{out.name}.{fingerprint(every)}.{_mark(run)}.{kind}")
    parts.mkdir(parents=True, exist_ok=True)
    cuts = _shards(units)
    with counting("embedding") as progress:
        for start, stop in pairwise(cuts):
            shard = parts / f"{start:09d}.npy"
            if not shard.is_file():
                part = units.take(np.arange(start, stop))
                found = embed_images(
                    encoder, part, progress=False, frames=frames or Frames(), on_error=on_error_of(on_error)
                )
                with replacing(shard) as temporary, open(temporary, "wb") as file:
                    np.save(file, found)
            progress(stop, len(units))
    embeddings = np.concatenate([np.load(shard) for shard in sorted(parts.glob("*.npy"))])
    readable = np.isfinite(embeddings).all(axis=1)
    heads = units.heads
    for path in heads.paths[~readable][:10]:
        errors.print(f"left out, cannot be read: {path}", markup=False)
    _write(
        out, units.take(np.flatnonzero(readable)), split[units.rows[units.starts[:-1]]][readable], embeddings[readable]
    )
    for shard in parts.glob("*"):
        shard.unlink()
    parts.rmdir()
    console.print(f"{int(readable.sum()):,} embeddings of {embeddings.shape[1]} dimensions written to {out}")


def _shards(units: Tracklets) -> list[int]:
    """Where to begin a new file, in numbers of tracklets, and the end."""
    whole = np.searchsorted(units.starts, np.arange(0, units.starts[-1], SHARD))
    return np.unique(np.append(whole, len(units))).tolist()


def _every_image(dataset: Dataset) -> tuple[Images, np.ndarray]:
    """Each image of a data set once, with the part it is in; an image in query and gallery counts as gallery."""
    parts = {"train": dataset.train, "gallery": dataset.gallery, "query": dataset.query}
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts.values()]) for name in Images.__dataclass_fields__
    }
    split = np.concatenate([np.full(len(part), name) for name, part in parts.items()])
    _, first = np.unique(columns["paths"], return_index=True)
    first.sort()
    return Images(**columns).take(first), split[first]


def _mark(run: Path) -> str:
    """Tells one checkpoint from another, so that parts of two encoders never meet in one table."""
    about = (run / "checkpoint.safetensors").stat()
    return f"{about.st_size:x}{about.st_mtime_ns:x}"


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
