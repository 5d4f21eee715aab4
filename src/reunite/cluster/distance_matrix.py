"""All distances of unit rows in one n x n matrix of float32, and whether memory holds what is made of n x n numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float32

from reunite.cluster.available_memory import available_bytes
from reunite.cluster.blocks import Metric
from reunite.cluster.distance_kernels import TILE, from_products
from reunite.errors import InputError
from reunite.threads import in_blocks

PANEL = 4 * TILE
"""Rows whose products with all later rows are formed at once, where their distances are to be."""

COLUMNS_PER_TASK = 16 * TILE


def distance_matrix(embeddings: Float32[np.ndarray, "n d"], metric: Metric) -> Float32[np.ndarray, "n n"]:
    """Distances of the directions of all rows, exactly symmetric, with infinity on the diagonal.

    Products of float32, each pair's once, are turned into distances where they lie, so that the matrix and one copy of
    the rows are all that is held. Two things keep the distances of near rows right, of which |x|^2 + |y|^2 - 2 <x, y>
    leaves only rounding:

    - The mean row is subtracted first. No distance changes, and rows that all point in nearly the same direction, as an
      untrained network gives them, become short: they are near no more, by the measure of their lengths.
    - A pair whose squared distance is below 2^-7 of |x|^2 + |y|^2 is measured by the difference of the rows. A product
      of d columns errs by at most about d 2^-24 of |x| |y|, whatever the order of summation, so up to d = 100,000 all
      pairs are among these of which rounding might be all that is left. These cost d operations each outside of the
      matrix product: many rows in a few tight clusters take longer.

    Squared distances below `ROUNDING`, 2^-40, are zero. Two rows of one direction differ by at most 2^-21 after rounding
    to float32, squared 2^-42: each by 2^-24 in its own numbers, 2^-24 in those of length one, and 2^-23 (numbers up to
    2) in the differences to the mean. So equal rows, and multiples of a row, are at distance 0 exactly. Other squared
    distances err by some 1e-7, at most 1.1e-6 on features of 256 to 2048 columns.

    Args:
        embeddings: (n, d) finite rows; their lengths do not matter. A row of zeros has no direction and stays zero.
        metric: "euclidean" or "sqeuclidean".
    """
    rows = centered_unit_rows(embeddings)
    count = len(rows)
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64).astype(np.float32)
    matrix = np.empty((count, count), np.float32)
    for start in range(0, count, PANEL):
        stop = min(start + PANEL, count)
        np.matmul(rows[start:stop], rows[start:].T, out=matrix[start:stop, start:])
        convert = partial(_convert, matrix, rows, squares, metric == "euclidean", start, stop)
        in_blocks(count - start, COLUMNS_PER_TASK, convert)
    return matrix


def _convert(
    matrix: Float32[np.ndarray, "n n"],
    rows: Float32[np.ndarray, "n d"],
    squares: Float32[np.ndarray, " n"],
    euclidean: bool,
    start: int,
    stop: int,
    left: int,
    right: int,
) -> None:
    """The products of rows `start` to `stop` with columns that count from `start`."""
    from_products(matrix, rows, squares, euclidean, start, stop, start + left, start + right)


def centered_unit_rows(embeddings: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """A copy with rows of length one, from which the mean of these is subtracted.

    Lengths are formed in float64: no finite row is too long or too short. Sums of float32 numbers are exact in it where
    all rows are equal, and equal rows become zeros.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
    rows = np.empty(embeddings.shape, np.float32)
    np.divide(embeddings, np.maximum(lengths, np.finfo(np.float64).tiny)[:, None], out=rows, casting="same_kind")
    rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return rows


def distance_matrix_bytes(count: int, columns: int) -> int:
    """What `distance_matrix` holds at its peak: the matrix, and the copy of the rows."""
    return 4 * count**2 + 4 * count * columns


def check_memory(needed: int, what: str, instead: str) -> None:
    """Raise `InputError` if there is less memory than `needed` bytes.

    Args:
        needed: bytes that will be held at the peak.
        what: what holds them, as the subject of "holds ... bytes".
        instead: what to do, a sentence.
    """
    available = available_bytes()
    if available is not None and needed > available:
        raise InputError(f"{what} holds {needed:,} bytes; {available:,} are available. {instead}")
