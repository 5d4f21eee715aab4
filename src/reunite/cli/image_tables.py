"""The tables that `reunite identify` leaves of images: one row for every image of the folder, whatever became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from jaxtyping import Float, Int64

from reunite.cli.folder_embeddings import FolderEmbeddings, below
from reunite.errors import InputError
from reunite.files import replacing
from reunite.types import NOISE, UNKNOWN


@dataclass(frozen=True, eq=False)
class ImageIdentities:
    """Who is who among n images; columns of the tables.

    Attributes:
        labels: identity numbers, (n,) int64; -1 is noise.
        confidence: in [0, 1], (n,).
        second_best: the nearest other identity, (n,) int64; -1 where there is none.
        margin: by how much it is farther, (n,).
    """

    labels: Int64[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]
    second_best: Int64[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"Expected columns of one length; got {lengths}.")


def write_image_tables(
    embedded: FolderEmbeddings,
    who: ImageIdentities,
    folder: Path,
    *,
    root: Path,
    camera_names: Sequence[str] = (),
) -> None:
    """`identities.csv` and `identities.parquet`: every image once, those that cannot be read too, in order of path.

    Columns are path, identity (-1: none), confidence, second_best (-1: none), margin, noise (1 where an image that was read
    belongs to no identity), unreadable (why; empty where it was read), and camera, track and time where they are known of some
    image, with nothing in the cell of an image of which they are not.

    Args:
        embedded: the images.
        who: rows are those of `embedded.images`.
        folder: of the result.
        root: of the images, or their table: paths below it are written from there, wherever the result is. Bytes of a file
            name that are no UTF-8 are written as escapes: a backslash and "udc" with two digits.
        camera_names: what camera codes are called; empty where they are the numbers themselves.

    Raises:
        InputError: another number of identities than images.
    """
    if len(who.labels) != len(embedded.images):
        raise InputError(f"Expected an identity for each of {len(embedded.images):,} images; got {len(who.labels):,}.")
    images, left_out = embedded.images, embedded.left_out
    count, lost = len(images), len(left_out)

    def joined(values: np.ndarray, nothing: float) -> np.ndarray:
        return np.concatenate([values, np.full(lost, nothing, values.dtype)])

    paths = [_plain(path) for path in below(root, [*images.paths.tolist(), *left_out.paths.tolist()])]
    columns: dict[str, pa.Array] = {
        "path": pa.array(paths, pa.string()),
        "identity": pa.array(joined(who.labels, NOISE)),
        "confidence": pa.array(joined(np.asarray(who.confidence, np.float64).round(4), 0.0)),
        "second_best": pa.array(joined(who.second_best, NOISE)),
        "margin": pa.array(joined(np.asarray(who.margin, np.float64).round(4), 0.0)),
        "noise": pa.array(joined((who.labels == NOISE).astype(np.int64), 0)),
        "unreadable": pa.array([""] * count + [_plain(reason) for reason in embedded.reasons], pa.string()),
    }
    camera, track, time = (
        np.concatenate([getattr(images, name), getattr(left_out, name)]) for name in ("camera", "track", "time")
    )
    if (camera != UNKNOWN).any():
        names = [_plain(name) for name in camera_names] or [str(code) for code in range(int(camera.max()) + 1)]
        columns["camera"] = pa.DictionaryArray.from_arrays(pa.array(camera, mask=camera == UNKNOWN), names).cast(
            pa.string()
        )
    if (track != UNKNOWN).any():
        columns["track"] = pa.array(track, mask=track == UNKNOWN)
    if not np.isnan(time).all():
        columns["time"] = pa.array(time, mask=np.isnan(time))
    write_both(pa.table(columns).sort_by("path"), folder)


def write_both(table: pa.Table, folder: Path) -> None:
    """`identities.csv` and `identities.parquet` with the same content."""
    with replacing(folder / "identities.csv") as temporary:
        pyarrow.csv.write_csv(table, temporary)
    with replacing(folder / "identities.parquet") as temporary:
        pyarrow.parquet.write_table(table, temporary)


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
