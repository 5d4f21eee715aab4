"""Compiled ranking: where a query's matches stand in the gallery, by counting instead of sorting."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FEW = 64
"""Up to this many matches each is counted in a vectorised pass over the gallery; above it, one pass serves all."""


@njit(cache=True, nogil=True)
def count_ranks(similarity: NDArray[np.float32], matches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranks from 1 of the `matches` when `similarity` is sorted in descending order, ties by index; any order."""
    ranks = np.empty(matches.shape[0], np.int64)
    for m in range(matches.shape[0]):
        place = matches[m]
        own = similarity[place]
        before = np.int32(0)  # 32 bits throughout: twice as many counters in a vector register
        for j in range(place):
            before = np.int32(before + np.int32(similarity[j] >= own))
        for j in range(place + 1, similarity.shape[0]):
            before = np.int32(before + np.int32(similarity[j] > own))
        ranks[m] = before + 1
    return ranks


@njit(cache=True, nogil=True)
def sweep_ranks(similarity: NDArray[np.float32], matches: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same ranks, ascending, in one pass: every gallery image is looked up among the sorted matches.

    `matches` are ascending, so a stable sort by similarity settles ties by index.
    """
    order = np.argsort(-similarity[matches], kind="mergesort")
    sorted_matches = matches[order]
    passed = np.zeros(matches.shape[0] + 1, np.int64)
    for j in range(similarity.shape[0]):
        low, high = 0, matches.shape[0]
        while low < high:  # the first match that j stands before or is
            middle = (low + high) // 2
            other = sorted_matches[middle]
            if similarity[j] > similarity[other] or (similarity[j] == similarity[other] and j <= other):
                high = middle
            else:
                low = middle + 1
        passed[low] += 1
    return np.cumsum(passed[:-1])


@njit(cache=True, nogil=True)
def score_queries(
    start: int,
    stop: int,
    similarity: NDArray[np.float32],
    matches: NDArray[np.int64],
    match_offsets: NDArray[np.int64],
    ignored: NDArray[np.int64],
    ignored_offsets: NDArray[np.int64],
    trapezoid: bool,
) -> NDArray[np.float64]:
    """Average precision, inverse negative penalty and first rank of the queries start..stop with a match, else NaN.

    Row q of `similarity` belongs to query q, whose matches and ignored images are matches[match_offsets[q] : ...q + 1]
    and likewise. Similarities of ignored images are overwritten with minus infinity.
    """
    scores = np.full((stop - start, 3), np.nan)
    for q in range(start, stop):
        row = similarity[q]
        for j in ignored[ignored_offsets[q] : ignored_offsets[q + 1]]:
            row[j] = -np.inf
        own = matches[match_offsets[q] : match_offsets[q + 1]]
        if own.shape[0] == 0:
            continue
        ranks = np.sort(count_ranks(row, own) if own.shape[0] <= FEW else sweep_ranks(row, own))
        total = 0.0
        for hit in range(1, ranks.shape[0] + 1):
            rank = ranks[hit - 1]
            precision = hit / rank
            if trapezoid:
                before = (hit - 1) / (rank - 1) if rank > 1 else 1.0
                precision = (precision + before) / 2
            total += precision
        scores[q - start, 0] = total / ranks.shape[0]
        scores[q - start, 1] = ranks.shape[0] / ranks[-1]
        scores[q - start, 2] = ranks[0]
    return scores
