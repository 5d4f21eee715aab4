"""The k-reciprocal Jaccard distance as a sparse graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer, UInt32
from numpy.typing import NDArray
from scipy.sparse import csr_array

from reunite.errors import InputError
from reunite.neighbors.jaccard_kernels import count_holders, mirror, near_pairs, place_holders, share_out
from reunite.neighbors.knn import nearest_neighbors
from reunite.neighbors.neighborhood_kernels import Rows, average, count_union, encode, reciprocal, rename, walk
from reunite.threads import in_blocks, per_thread, thread_count
from reunite.types import check_unit_rows

Sparse = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]

ROWS_PER_BLOCK = 512
"""Rows a thread takes at a time."""

MOST_PARTS = 8
"""Parts in which the holders of columns are sorted. Each needs eight bytes a row."""

LEAST_SHARED = 1 / 6
"""Weight that near rows share in the columns that are looked up first, or they are not near. Less leaves more rows in
question, more leaves fewer columns out: around this the two cost the same."""

ROUNDING = 1e-4
"""More than what a sum of a thousand weights loses to rounding."""


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
        embeddings: rows of any length; normalised here, into a copy where they are not of unit length.
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
    rows = check_unit_rows(embeddings)
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
    order = walk(np.ascontiguousarray(indices))
    weights = neighborhoods(
        indices[:, :width], similarity[:, :width], rows, width, half_width, k2, np.ones(n, np.float32), order
    )
    pairs = pairs_up_to(max_distance, n, *weights)
    del weights
    starts, neighbors, distances = mirror(*pairs, order, _places(order))
    index = np.int32 if starts[-1] <= np.iinfo(np.int32).max else np.int64
    graph = csr_array((distances, neighbors.astype(index, copy=False), starts.astype(index)), shape=(n, n))
    graph.has_sorted_indices = True  # known here, and otherwise looked up
    return graph


def neighborhoods(
    indices: Int64[np.ndarray, "n k"],
    similarity: Float32[np.ndarray, "n k"],
    rows: Float32[np.ndarray, "n d"],
    width: int,
    half_width: int,
    k2: int,
    scale: Float32[np.ndarray, " n"],
    order: UInt32[np.ndarray, " n"] | None = None,
) -> Sparse:
    """The reciprocal neighborhood of each row as weights that sum to one: offsets (n + 1), columns, values.

    Columns of a row are in no order.

    Args:
        indices: nearest neighbors, the row itself first.
        similarity: of each row to these.
        rows: unit rows.
        width: neighbors in a neighborhood, the row itself included.
        half_width: likewise in the smaller neighborhoods that may join it.
        k2: neighborhoods averaged, of as many neighbors as there are; 1 is none.
        scale: what squared distances of a row are multiplied by before they become weights.
        order: the rows, in the order in which the result has them, and in which its columns count; None is as they are.
    """
    n = len(indices)
    indices, similarity = np.ascontiguousarray(indices), np.ascontiguousarray(similarity)
    order = np.arange(n, dtype=np.uint32) if order is None else order
    width = min(width, indices.shape[1])
    near = np.empty(indices.shape, np.uint32)
    members, counts = np.empty((n, width), np.uint32), np.empty((n, 2), np.int32)
    place = _places(order)
    _blocks(n, lambda start, stop: rename(start, stop, indices, order, place, near))
    _blocks(n, lambda start, stop: reciprocal(start, stop, near, half_width, members, counts))
    scratch = per_thread(lambda: (np.zeros(n, np.uint8), np.zeros(n, np.int32), np.empty(n + 1, np.uint32)))
    weights = _sparse(
        n,
        lambda start, stop: encode(start, stop, near, similarity, rows, order, scale, members, counts, *scratch()),
    )
    if k2 == 1:
        return weights
    del members, counts
    return _averages(near, min(k2, indices.shape[1]), *weights)


def half_of(k1: int) -> int:
    """Members of the smaller neighborhoods, the row itself included; round() goes to even, like the authors' np.around."""
    return round(k1 / 2) + 1


def pairs_up_to(
    max_distance: float,
    stop: int,
    offsets: NDArray[np.int64],
    columns: NDArray[np.uint32],
    values: NDArray[np.float32],
) -> Sparse:
    """Jaccard distances of each of the first `stop` rows to the rows behind it, up to `max_distance`, in no order."""
    n = len(offsets) - 1
    inverted = _holders(offsets, columns, values)
    needed = 2 * (1 - max_distance) / (2 - max_distance) - ROUNDING  # the weight that rows so far apart share
    least, spare = min(needed, LEAST_SHARED), max(0, needed - LEAST_SHARED)
    scratch = per_thread(lambda: (np.zeros(n, np.float32), np.zeros(n, np.float32), np.empty(n + 1, np.uint32)))
    return _sparse(
        stop,
        lambda start, end: near_pairs(
            start, end, offsets, columns, values, *inverted, max_distance, least, spare, *scratch()
        ),
    )


def check_neighborhood(k1: int, k2: int) -> None:
    """Raise InputError unless both are at least 1."""
    if k1 < 1 or k2 < 1:
        raise InputError(f"k1 and k2 count neighbors, the row itself included, and must be at least 1; got {k1}, {k2}.")


def _places(order: UInt32[np.ndarray, " n"]) -> UInt32[np.ndarray, " n"]:
    """Where each row is in the order."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order), dtype=np.uint32)
    return places


def _averages(
    near: UInt32[np.ndarray, "n k"],
    k2: int,
    offsets: NDArray[np.int64],
    columns: NDArray[np.uint32],
    values: NDArray[np.float32],
) -> Sparse:
    """The mean of the rows of the first `k2` neighbors. Counted first and then written, because nothing else is as large."""
    n = len(near)
    sizes = np.empty(n, np.int64)
    last = per_thread(lambda: np.full(n, -1))
    _blocks(n, lambda start, stop: count_union(start, stop, near, k2, sizes, last(), offsets, columns))
    starts = _starts(sizes)
    means = starts, np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.float32)
    scratch = per_thread(lambda: (np.zeros(n, np.float32), np.empty(n + 1, np.uint32)))
    _blocks(n, lambda start, stop: average(start, stop, near, k2, *means, *scratch(), offsets, columns, values))
    return means


def _holders(
    offsets: NDArray[np.int64], columns: NDArray[np.uint32], values: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
    """The same entries by column: offsets (n + 1), rows, ascending, and values."""
    n = len(offsets) - 1
    size = -(-n // min(thread_count(), MOST_PARTS))
    free = np.zeros((-(-n // size), n), np.int64)
    in_blocks(n, size, lambda start, stop: count_holders(start, stop, offsets, columns, free[start // size]))
    starts = share_out(free)
    rows, weights = np.empty_like(columns), np.empty_like(values)
    in_blocks(
        n,
        size,
        lambda start, stop: place_holders(start, stop, offsets, columns, values, free[start // size], rows, weights),
    )
    return starts, rows, weights


def _blocks(n: int, kernel: Callable[[int, int], None]) -> None:
    """Run `kernel(start, stop)` for all blocks of rows."""
    in_blocks(n, ROWS_PER_BLOCK, kernel)


def _sparse(n: int, kernel: Callable[[int, int], Rows]) -> Sparse:
    """The blocks' rows in one: offsets (n + 1), columns, values."""
    # Kernels return the used part of roomier arrays; the copies let go of the rest.
    blocks = in_blocks(n, ROWS_PER_BLOCK, lambda start, stop: tuple(part.copy() for part in kernel(start, stop)))
    lengths, columns, values = zip(*blocks, strict=True)
    return _starts(np.concatenate(lengths)), np.concatenate(columns), np.concatenate(values)


def _starts(lengths: Integer[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    """Where rows of these lengths begin, one behind the other, and where the last ends."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts
