"""Embeddings that are there already, such as those of `reunite embed`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from reunite.cli.folder_embeddings import FolderEmbeddings
from reunite.errors import InputError
from reunite.images.splits import coded
from reunite.types import UNKNOWN, Images, check_embeddings, unit_rows


def is_embeddings(path: Path) -> bool:
    """Whether that is a Parquet file with a column of embeddings."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    try:
        return "embedding" in pyarrow.parquet.read_schema(path).names
    except (pa.ArrowException, OSError):
        return False  # what is wrong with it is said where it is read as a table


def read_embeddings(path: Path) -> tuple[FolderEmbeddings, tuple[str, ...]]:
    """Columns path and embedding (lists of one length), and identity, camera, track and time where they are there.

    Returns:
        The embeddings, and what cameras are called; empty where they are numbers.

    Raises:
        InputError: no path column, rows of different length, no row, or embeddings that are not finite.
    """
    table = pyarrow.parquet.read_table(path)
    if "path" not in table.column_names or not len(table):
        raise InputError(f"{path} must have a column path beside embedding, and rows; it has {table.column_names}.")
    vectors = table.column("embedding").combine_chunks()
    flat = np.asarray(vectors.flatten(), np.float32)
    if vectors.null_count or len(flat) % len(table) or not len(flat):
        raise InputError(
            f"The embeddings in {path} must all have the same length; {len(flat):,} numbers, {len(table):,} rows."
        )
    names = [name for name in ("identity", "camera", "track", "time") if name in table.column_names]
    columns, called = {}, {}
    for name in names:
        column = table.column(name)
        if pa.types.is_dictionary(column.type):  # categories of pandas
            column = column.cast(column.type.value_type)
        if name != "time" and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            columns[name], called[name] = coded(column.fill_null("").to_pylist(), name)
            continue
        values = column.to_numpy()
        numbers_with_gaps = name != "time" and values.dtype.kind == "f"
        columns[name] = np.nan_to_num(values, nan=UNKNOWN).astype(np.int64) if numbers_with_gaps else values
    known = Images.of([str(path.parent / each) for each in table.column("path").to_pylist()], **columns)
    embeddings = unit_rows(check_embeddings(flat.reshape(len(table), -1)))
    return FolderEmbeddings(known, embeddings, known.take(np.empty(0, np.int64)), (), 0), called.get("camera", ())
