"""The k-reciprocal Jaccard distance as a sparse graph."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int64
from numba import get_num_threads
from numpy.typing import NDArray
from scipy.sparse import csr_array

from reunite.errors import InputError
from reunite.neighbors.jaccard_kernels import Rows, average, encode, invert, mirror, near_pairs, reciprocal
from reunite.neighbors.knn import nearest_neighbors
from reunite.types import check_embeddings, unit_rows

T = TypeVar("T")

Sparse = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]

ROWS_PER_BLOCK = 512
"""Rows a thread takes at a time. Every block needs scratch of O(n), which larger blocks pay less often."""


def jaccard_graph(
    embeddings: Float[np.ndarray, "n d"],
    k1: int = 30,
    k2: int = 6,
    max_distance: float = 0.7,
    *,
    k1_includes_self: bool = True,
) -> csr_array:
    """Every pair of rows whose k-reciprocal Jaccard distance is at most `max_distance`, as a sparse graph.

    Two rows are near when their reciprocal neighborhoods overlap (Zhong et al. 2017, "Re-ranking person
    re-identification with k-reciprocal encoding", without the mix with the original distance),
    computed as SpCL and Cluster Contrast do: neighborhoods count the row itself among the `k1` (Zhong's have one more),
    weights are exp(-d^2) of unit rows, and neighborhoods are averaged over the `k2` nearest. Distances agree with the
    authors' dense code up to float32 rounding. Different are only the cost, O(n k) memory instead of three n x n
    matrices, and exact duplicates: here a row is always its own first neighbor, so that none is left without one.

    Args:
        embeddings: rows of any length; normalised here, into a copy.
        k1: neighborhood size, the row itself included; at most n are used.
        k1_includes_self: False counts k1 neighbors beside the row itself, as Zhong et al. did and `rerank` does.
        k2: neighborhoods averaged in the query expansion, the row's own included; 1 is none.
        max_distance: the largest distance to store, in [0, 1). An absent pair is farther.

    Returns:
        (n, n) float32, symmetric, columns ascending; the diagonal is there as explicit zeros.

    Raises:
        InputError: embeddings not finite, `k1` or `k2` below 1, or `max_distance` outside [0, 1).
    """
    check_neighborhood(k1, k2)
    rows = unit_rows(check_embeddings(embeddings))
    if not len(rows):
        raise InputError("embeddings must have at least one row; got none.")
    indices, similarity = nearest_neighbors(rows, min(k1 + (not k1_includes_self), len(rows)))
    return graph_of_neighbors(indices, similarity, rows, k1, k2, max_distance, k1_includes_self=k1_includes_self)


def graph_of_neighbors(
    indices: Int64[np.ndarray, "n k"],
    similarity: Float32[np.ndarray, "n k"],
    rows: Float32[np.ndarray, "n d"],
    k1: int = 30,
    k2: int = 6,
    max_distance: float = 0.7,
    *,
    k1_includes_self: bool = True,
) -> csr_array:
    """`jaccard_graph` of unit `rows` whose nearest neighbors are known, as many as it takes, themselves first."""
    check_neighborhood(k1, k2)
    if not 0 <= max_distance < 1:
        raise InputError(
            f"max_distance must be in [0, 1); got {max_distance}. At 1 every pair would be stored: rows that share "
            "no neighbor are exactly 1 apart."
        )
    n = len(rows)
    width = min(k1 + (not k1_includes_self), n, indices.shape[1])
    half_width = half_of(k1 if not k1_includes_self else width)
    scale = np.ones(n, np.float32)
    weights = neighborhoods(indices[:, :width], similarity[:, :width], rows, width, half_width, k2, scale)
    starts, neighbors, distances = mirror(*pairs_up_to(max_distance, n, *weights))
    index = np.int32 if starts[-1] <= np.iinfo(np.int32).max else np.int64
    return csr_array((distances, neighbors.astype(index), starts.astype(index)), shape=(n, n))


def neighborhoods(
    indices: Int64[np.ndarray, "n k"],
    similarity: Float32[np.ndarray, "n k"],
    rows: Float32[np.ndarray, "n d"],
    width: int,
    half_width: int,
    k2: int,
    scale: Float32[np.ndarray, " n"],
) -> Sparse:
    """The reciprocal neighborhood of each row as weights that sum to one: offsets (n + 1), columns, values.

    Args:
        indices: nearest neighbors, the row itself first.
        similarity: of each row to these.
        rows: unit rows.
        width: neighbors in a neighborhood, the row itself included.
        half_width: likewise in the smaller neighborhoods that may join it.
        k2: neighborhoods averaged, of as many neighbors as there are; 1 is none.
        scale: what squared distances of a row are multiplied by before they become weights.
    """
    n = len(indices)
    indices, similarity = np.ascontiguousarray(indices), np.ascontiguousarray(similarity)
    width, half_width = min(width, indices.shape[1]), min(half_width, width, indices.shape[1])
    full = np.concatenate(_blocks(n, lambda start, stop: reciprocal(start, stop, indices, width)))
    half = np.concatenate(_blocks(n, lambda start, stop: reciprocal(start, stop, indices, half_width)))
    weights = _sparse(n, lambda start, stop: encode(start, stop, full, half, indices, similarity, rows, scale))
    if k2 == 1:
        return weights
    first = np.ascontiguousarray(indices[:, :k2])
    return _sparse(n, lambda start, stop: average(start, stop, first, *weights))


def half_of(k1: int) -> int:
    """Members of the smaller neighborhoods, the row itself included; round() goes to even, like the authors' np.around."""
    return round(k1 / 2) + 1


def pairs_up_to(
    max_distance: float,
    stop: int,
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> Sparse:
    """Jaccard distances of each of the first `stop` rows to the rows behind it, up to `max_distance`."""
    inverted = invert(offsets, columns, values)
    return _sparse(stop, lambda start, end: near_pairs(start, end, offsets, values, columns, *inverted, max_distance))


def check_neighborhood(k1: int, k2: int) -> None:
    """Raise InputError unless both are at least 1."""
    if k1 < 1 or k2 < 1:
        raise InputError(f"k1 and k2 count neighbors, the row itself included, and must be at least 1; got {k1}, {k2}.")


def _blocks(n: int, kernel: Callable[[int, int], T]) -> list[T]:
    """What `kernel(start, stop)` gives for all blocks of rows, in order; blocks run in threads."""
    starts = range(0, n, ROWS_PER_BLOCK)
    with ThreadPoolExecutor(get_num_threads()) as threads:
        return list(threads.map(lambda start: kernel(start, min(start + ROWS_PER_BLOCK, n)), starts))


def _sparse(n: int, kernel: Callable[[int, int], Rows]) -> Sparse:
    """The blocks' rows in one: offsets (n + 1), columns, values."""
    # Kernels return the used part of roomier arrays; the copies let go of the rest.
    blocks = _blocks(n, lambda start, stop: [part.copy() for part in kernel(start, stop)])
    lengths, columns, values = zip(*blocks, strict=True)
    return np.concatenate([[0], np.cumsum(np.concatenate(lengths))]), np.concatenate(columns), np.concatenate(values)
