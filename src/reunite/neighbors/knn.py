"""Exact nearest neighbors by cosine similarity, in tiles: O(n k) memory, never n x n."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numba import get_num_threads
from torch import Tensor

from reunite.errors import InputError
from reunite.neighbors.knn_kernels import offer_columns, offer_rows
from reunite.types import check_embeddings, unit_rows

Neighbors = tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"]]

ROWS_PER_TASK = 256
"""Rows whose best neighbors a thread updates at a time."""


def nearest_neighbors(
    embeddings: Float[np.ndarray, "n d"],
    k: int,
    queries: Float[np.ndarray, "q d"] | None = None,
    *,
    block_size: int = 1024,
    device: str | torch.device | None = None,
) -> Neighbors:
    """The `k` rows of `embeddings` with the largest cosine similarity, for each query, by exhaustive search in float32.

    Rows are sorted by similarity, descending; equal similarities (also at the k-th place) by the lower index, so the
    answer does not depend on the block size or the machine beyond the rounding of the products. A search of a set in
    itself computes each pair once, which makes the similarities symmetric to the last bit.

    Args:
        embeddings: rows to search, any length; normalised here, into a copy. A row of zeros is similar (0) to none.
        k: neighbors per row, 1 <= k <= n.
        queries: rows to search for. None: every row of `embeddings`, and then it is its own first neighbor, in
            column 0, even where exact duplicates are as near.
        block_size: side of a tile of similarities, all that is held of them at a time.
        device: where torch multiplies, for example "cuda"; None is the CPU. Neighbors are selected on the CPU. Exact
            with TF32 off, which is torch's default.

    Returns:
        indices (m, k) int64 and similarity (m, k) float32, in [-1, 1]; m is n, or q with `queries`.

    Raises:
        InputError: not finite, different dimensions, or a `k` that does not fit.
    """
    rows = torch.from_numpy(unit_rows(check_embeddings(embeddings))).to(device)
    if not 1 <= k <= len(rows):
        raise InputError(f"k must be between 1 and the number of embeddings, {len(rows):,}; got {k}. Pass a smaller k.")
    if block_size < 1:
        raise InputError(f"block_size must be at least 1; got {block_size}.")
    if queries is None:
        return _search_itself(rows, k, block_size)
    asked = torch.from_numpy(unit_rows(check_embeddings(queries, "queries"))).to(device)
    if asked.shape[1] != rows.shape[1]:
        raise InputError(
            f"queries must have as many columns as embeddings, {rows.shape[1]}; got {asked.shape[1]}. "
            "Embed both with the same encoder."
        )
    return _search(asked, rows, k, block_size)


def _search_itself(rows: Float[Tensor, "n d"], k: int, block_size: int) -> Neighbors:
    indices, similarity = _nothing_yet(len(rows), k)
    own = np.empty(len(rows), np.float32)
    with ThreadPoolExecutor(get_num_threads()) as threads:
        for top in range(0, len(rows), block_size):
            above = slice(top, top + block_size)
            for left in range(top, len(rows), block_size):
                beside = slice(left, left + block_size)
                tile = (rows[above] @ rows[beside].T).cpu().numpy()
                if left == top:
                    own[above] = np.diagonal(tile)
                    np.fill_diagonal(tile, np.inf)  # a row comes before its duplicates
                _offer(threads, offer_columns, tile, left, similarity[above], indices[above])
                if left > top:
                    _offer(threads, offer_rows, tile, top, similarity[beside], indices[beside])
    similarity[:, 0] = own
    return indices, similarity


def _search(queries: Float[Tensor, "q d"], rows: Float[Tensor, "n d"], k: int, block_size: int) -> Neighbors:
    indices, similarity = _nothing_yet(len(queries), k)
    with ThreadPoolExecutor(get_num_threads()) as threads:
        for top in range(0, len(queries), block_size):
            asked = slice(top, top + block_size)
            for left in range(0, len(rows), block_size):
                tile = (queries[asked] @ rows[left : left + block_size].T).cpu().numpy()
                _offer(threads, offer_columns, tile, left, similarity[asked], indices[asked])
    return indices, similarity


def _nothing_yet(count: int, k: int) -> Neighbors:
    return np.full((count, k), -1), np.full((count, k), -np.inf, np.float32)


def _offer(
    threads: ThreadPoolExecutor,
    kernel: Callable[..., None],
    tile: Float32[np.ndarray, "r c"],
    first: int,
    similarity: Float32[np.ndarray, "m k"],
    indices: Int64[np.ndarray, "m k"],
) -> None:
    """Run `kernel` for all rows of `similarity` and `indices`, which it improves, in threads."""
    starts = range(0, len(similarity), ROWS_PER_TASK)
    stops = [*starts[1:], len(similarity)]
    for _ in threads.map(lambda a, b: kernel(a, b, tile, first, similarity, indices), starts, stops):
        pass
