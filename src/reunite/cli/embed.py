"""`reunite embed`: a table of embeddings that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from reunite import images
from reunite.cli.display import console, counting, errors
from reunite.cli.options import Data, Device, OnError, RunFolder, accelerator_of, on_error_of
from reunite.errors import InputError
from reunite.files import replacing
from reunite.images.fingerprint import fingerprint
from reunite.model import embed as embed_images
from reunite.train.run import Run
from reunite.types import Dataset, Images

SHARD = 8192
"""Images between two files on disk: what a stop costs at most."""


def embed(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.", show_default=False)],
    device: Device = None,
    on_error: OnError = "raise",
) -> None:
    """Embed every image once: path, split, identity, camera and a unit vector a row. Goes on where it was stopped."""
    encoder = Run.open(run).encoder().to(accelerator_of(device).device)
    if out.suffix != ".parquet":
        raise InputError(f"--out must end in .parquet; got {out.name!r}.")
    every, split = _every_image(images.read(data))
    parts = out.with_name(f".{out.name}.{fingerprint(every)}.{_mark(run)}")
    parts.mkdir(parents=True, exist_ok=True)
    with counting("embedding") as progress:
        for start in range(0, len(every), SHARD):
            shard = parts / f"{start:09d}.npy"
            if not shard.is_file():
                rows = np.arange(start, min(start + SHARD, len(every)))
                part = embed_images(encoder, every.take(rows), progress=False, on_error=on_error_of(on_error))
                with replacing(shard) as temporary, open(temporary, "wb") as file:
                    np.save(file, part)
            progress(min(start + SHARD, len(every)), len(every))
    embeddings = np.concatenate([np.load(shard) for shard in sorted(parts.glob("*.npy"))])
    readable = np.isfinite(embeddings).all(axis=1)
    for path in every.paths[~readable][:10]:
        errors.print(f"left out, cannot be read: {path}", markup=False)
    _write(out, every.take(readable), split[readable], embeddings[readable])
    for shard in parts.glob("*"):
        shard.unlink()
    parts.rmdir()
    console.print(f"{int(readable.sum()):,} embeddings of {embeddings.shape[1]} dimensions written to {out}")


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


def _write(path: Path, rows: Images, split: np.ndarray, embeddings: np.ndarray) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    columns = {
        "path": rows.paths,
        "split": split,
        "identity": rows.identity,
        "camera": rows.camera,
        "track": rows.track,
    }
    table = pa.table({**{name: pa.array(column.tolist()) for name, column in columns.items()}, "embedding": vectors})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
