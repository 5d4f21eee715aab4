"""Exact nearest neighbors by cosine similarity, in tiles: O(n k) memory, never n x n."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from reunite.errors import InputError
from reunite.types import check_embeddings, unit_rows


def nearest_neighbors(
    embeddings: Float[np.ndarray, "n d"],
    k: int,
    queries: Float[np.ndarray, "q d"] | None = None,
    *,
    block_size: int = 2048,
    device: str | torch.device | None = None,
) -> tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"]]:
    """The `k` rows of `embeddings` with the largest cosine similarity, for each query, by exhaustive search in float32.

    Rows are sorted by similarity, descending; equal similarities (also at the k-th place) by the lower index, so the
    answer does not depend on the block size or the machine beyond the rounding of the products. A search of a set in
    itself computes each pair once, which makes the similarities symmetric to the last bit.

    Args:
        embeddings: rows to search, any length; normalised here, into a copy. A row of zeros is similar (0) to none.
        k: neighbors per row, 1 <= k <= n.
        queries: rows to search for. None: every row of `embeddings`, and then it is its own first neighbor, in
            column 0, even where exact duplicates are as near.
        block_size: side of a tile of similarities; a tile and its transpose are all that is held at a time.
        device: where torch multiplies, for example "cuda"; None is the CPU. Exact with TF32 off, which is its default.

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
        best = _search_itself(rows, k, block_size)
    else:
        asked = torch.from_numpy(unit_rows(check_embeddings(queries, "queries"))).to(device)
        if asked.shape[1] != rows.shape[1]:
            raise InputError(
                f"queries must have as many columns as embeddings, {rows.shape[1]}; got {asked.shape[1]}. "
                "Embed both with the same encoder."
            )
        best = _search(asked, rows, k, block_size)
    return best.indices.cpu().numpy(), best.similarity.cpu().numpy()


class _Best:
    """The k best columns met so far for every row. Columns must be offered in ascending order: ties go to the first."""

    def __init__(self, rows: int, k: int, device: torch.device) -> None:
        self.similarity = torch.full((rows, k), -torch.inf, device=device)
        self.indices = torch.full((rows, k), -1, dtype=torch.int64, device=device)

    def offer(self, rows: slice, tile: Float[Tensor, "b c"], first_column: int) -> None:
        """Keep what is better in `tile`, the similarities of `rows` to the columns from `first_column` on."""
        k = self.indices.shape[1]
        values, columns = _largest(tile, k)
        candidates = torch.cat([self.similarity[rows], values], dim=1)
        indices = torch.cat([self.indices[rows], columns + first_column], dim=1)
        ordered, order = candidates.sort(dim=1, descending=True, stable=True)
        self.similarity[rows] = ordered[:, :k]
        self.indices[rows] = indices.gather(1, order[:, :k])


def _largest(tile: Float[Tensor, "b c"], k: int) -> tuple[Float[Tensor, "b m"], Int64[Tensor, "b m"]]:
    """The m = min(k, c) largest values of each row and their columns; ties by the lower column."""
    width = tile.shape[1]
    if width <= k:
        return tile.sort(dim=1, descending=True, stable=True)
    values, columns = tile.topk(k + 1, dim=1)
    # topk picks any of the values that tie at the last place, so those rows are sorted in full.
    tied = (values[:, k - 1] == values[:, k]).nonzero().squeeze(1)
    if len(tied):
        columns[tied] = tile[tied].sort(dim=1, descending=True, stable=True).indices[:, : k + 1]
    columns = columns[:, :k].sort(dim=1).values
    values, order = tile.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def _search_itself(rows: Float[Tensor, "n d"], k: int, block_size: int) -> _Best:
    n = len(rows)
    best = _Best(n, k, rows.device)
    own = torch.empty(n, device=rows.device)
    for top in range(0, n, block_size):
        above = slice(top, min(top + block_size, n))
        for left in range(top, n, block_size):
            beside = slice(left, min(left + block_size, n))
            tile = rows[above] @ rows[beside].T
            if left == top:
                own[above] = tile.diagonal()
                tile.fill_diagonal_(torch.inf)  # a row comes before its duplicates
            best.offer(above, tile, left)
            if left > top:
                best.offer(beside, tile.T.contiguous(), top)
    best.similarity[:, 0] = own
    return best


def _search(queries: Float[Tensor, "q d"], rows: Float[Tensor, "n d"], k: int, block_size: int) -> _Best:
    best = _Best(len(queries), k, rows.device)
    for top in range(0, len(queries), block_size):
        asked = slice(top, min(top + block_size, len(queries)))
        for left in range(0, len(rows), block_size):
            best.offer(asked, queries[asked] @ rows[left : left + block_size].T, left)
    return best
