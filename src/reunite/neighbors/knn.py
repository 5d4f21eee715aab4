"""Exact nearest neighbors by cosine similarity, in tiles: O(n k) memory, never n x n."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from reunite.errors import InputError
from reunite.neighbors.candidate_kernels import own_products
from reunite.neighbors.candidates import Candidates
from reunite.neighbors.filter import BLOCK_SIZE, Filter, Tile
from reunite.neighbors.grouping import grouped
from reunite.neighbors.on_device import search_on
from reunite.neighbors.operands import ROWS_PER_TASK
from reunite.neighbors.precision import Precision
from reunite.threads import in_blocks
from reunite.types import check_unit_rows

Neighbors = tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"]]
Device = str | torch.device | None


class TakesTiles(Protocol):
    """What can look at the tiles of a search."""

    def offer(self, tile: Tile) -> None:
        """Look at a tile, see `Filter.visit`."""


def nearest_neighbors(
    embeddings: Float[np.ndarray, "n d"],
    k: int,
    queries: Float[np.ndarray, "q d"] | None = None,
    *,
    block_size: int = BLOCK_SIZE,
    device: Device = None,
) -> Neighbors:
    """The `k` rows of `embeddings` with the largest cosine similarity, for each query, by exhaustive search.

    Similarities are float32 inner products, of as many pairs as can matter; the others are ruled out by a product of lower
    precision with a proven bound (`reunite.neighbors.filter.Filter`). So the answer is that of computing all of them, and it
    does not depend on block size, threads, device, or on which precision is fast on a machine. Rows are sorted by similarity,
    descending; equal similarities (also at the k-th place) by the lower index. Similarities are symmetric to the last bit.

    Args:
        embeddings: rows to search, any length; normalised here, into a copy where they are not of unit length. A row of zeros
            is similar (0) to none.
        k: neighbors per row, 1 <= k <= n.
        queries: rows to search for. None: every row of `embeddings`, and then it is its own first neighbor, in
            column 0, even where exact duplicates are as near.
        block_size: rows of a tile of similarities, all that is held of them at a time.
        device: where torch multiplies and selects in float32, for example "cuda"; None is the CPU, in tiles of `block_size`
            and at the precision that is fastest. The products that decide are computed on the CPU.

    Returns:
        indices (m, k) int64 and similarity (m, k) float32, in [-1, 1] up to rounding; m is n, or q with `queries`.

    Raises:
        InputError: not finite, different dimensions, or a `k` that does not fit.
    """
    rows = check_unit_rows(embeddings)
    if not 1 <= k <= len(rows):
        raise InputError(f"k must be between 1 and the number of embeddings, {len(rows):,}; got {k}. Pass a smaller k.")
    if block_size < 1:
        raise InputError(f"block_size must be at least 1; got {block_size}.")
    if queries is None:
        return search_itself(rows, k, block_size, device=device)
    asked = check_unit_rows(queries, "queries")
    if asked.shape[1] != rows.shape[1]:
        raise InputError(
            f"queries must have as many columns as embeddings, {rows.shape[1]}; got {asked.shape[1]}. "
            "Embed both with the same encoder."
        )
    return search(asked, rows, k, block_size, device=device)


def search_itself(
    rows: Float32[np.ndarray, "n d"],
    k: int,
    block_size: int = BLOCK_SIZE,
    *,
    precision: Precision | None = None,
    device: Device = None,
) -> Neighbors:
    """The neighbors of unit rows among themselves."""
    if k == 1:
        return _alone(rows, k)
    if device is not None:
        indices, similarity = _alone(rows, k)
        search_on(device, rows, rows, k - 1, indices, similarity)
        return indices, similarity
    filter = Filter(rows, precision=precision, order=grouped(rows, BLOCK_SIZE))
    candidates = Candidates(filter, filter, k - 1)
    show_tiles(filter, candidates, block_size=block_size)
    return neighbors_of(candidates, rows)


def search(
    asked: Float32[np.ndarray, "q d"],
    rows: Float32[np.ndarray, "n d"],
    k: int,
    block_size: int = BLOCK_SIZE,
    *,
    precision: Precision | None = None,
    device: Device = None,
) -> Neighbors:
    """The neighbors of some unit rows among others."""
    indices, similarity = np.empty((len(asked), k), np.int64), np.empty((len(asked), k), np.float32)
    if device is not None:
        search_on(device, asked, rows, k, indices, similarity)
        return indices, similarity
    filter = Filter(rows, precision=precision, order=grouped(rows, BLOCK_SIZE))
    queries = Filter(asked, beside=filter)
    candidates = Candidates(queries, filter, k)
    filter.visit_pairs(queries, candidates.offer, block_size)
    candidates.decide(indices, similarity)
    return indices, similarity


def show_tiles(
    filter: Filter,
    *takers: TakesTiles,
    block_size: int = BLOCK_SIZE,
    known: Float32[np.ndarray, "a b"] | None = None,
) -> None:
    """Let each of `takers` look at all pairs of different rows; the filter then forgets what makes tiles.

    Inner products of the first rows with all others that are `known` are not computed again, see `Filter.visit_known`.
    """

    def look(tile: Tile) -> None:
        for taker in takers:
            taker.offer(tile)

    if known is None:
        filter.visit(look, block_size)
    else:
        filter.visit(look, block_size, (0, len(known)))
        filter.visit(look, block_size, (len(known), len(filter.order)))
        filter.visit_known(known, look, block_size)
    filter.operands.forget()


def neighbors_of(candidates: Candidates, rows: Float32[np.ndarray, "n d"]) -> Neighbors:
    """Each row itself, and the nearest of the candidates it has among the others."""
    indices, similarity = _alone(rows, candidates.wanted + 1)
    candidates.decide(indices, similarity)
    return indices, similarity


def _alone(rows: Float32[np.ndarray, "n d"], k: int) -> Neighbors:
    indices, similarity = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
    indices[:, 0] = np.arange(len(rows))
    in_blocks(len(rows), ROWS_PER_TASK, lambda a, b: own_products(a, b, rows, similarity))
    return indices, similarity
