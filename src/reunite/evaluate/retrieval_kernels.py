"""Compiled ranking: where a query's matches stand in the gallery, by counting instead of sorting."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FEW = 192
"""Up to this many matches, one vectorised pass over the gallery for each is quicker than one search for all."""

COUNTED_TOGETHER = 8192
"""Similarities that all matches of a query are compared with before the next ones: 32 kB stay in the cache."""

SOUGHT_TOGETHER = 1024
"""Similarities that take each step of the search among the matches together, in vector registers."""


@njit(cache=True, nogil=True)
def count_ranks(similarity: NDArray[np.float32], matches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranks from 1 of the `matches` when `similarity` is sorted in descending order, ties by index; any order."""
    ranks = np.ones(matches.shape[0], np.int64)
    for start in range(0, similarity.shape[0], COUNTED_TOGETHER):
        stop = min(start + COUNTED_TOGETHER, similarity.shape[0])
        for m in range(matches.shape[0]):
            own = similarity[matches[m]]
            place = min(max(matches[m], start), stop)
            ranks[m] += _at_least(similarity[start:place], own) + _above(similarity[place:stop], own)
    return ranks


@njit(cache=True, nogil=True)
def _at_least(values: NDArray[np.float32], bound: np.float32) -> np.int32:
    count = np.int32(0)  # 32 bits throughout: twice as many counters in a vector register
    for j in range(values.shape[0]):
        count = np.int32(count + np.int32(values[j] >= bound))
    return count


@njit(cache=True, nogil=True)
def _above(values: NDArray[np.float32], bound: np.float32) -> np.int32:
    count = np.int32(0)
    for j in range(values.shape[0]):
        count = np.int32(count + np.int32(values[j] > bound))
    return count


@njit(cache=True, nogil=True)
def search_ranks(similarity: NDArray[np.float32], matches: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same ranks, ascending, in one pass: every gallery image is looked up among the sorted matches.

    The search halves the same steps for all images, without a branch, so that many take a step at once; only images that
    equal a match ask for their index as well.
    """
    ascending = np.sort(matches)  # so that a stable sort by similarity settles ties by index
    ranked = ascending[np.argsort(-similarity[ascending], kind="mergesort")]
    width = 1
    while width <= ranked.shape[0]:
        width *= 2
    bounds = np.full(width, -np.inf, np.float32)
    bounds[: ranked.shape[0]] = similarity[ranked]
    passed = np.zeros(ranked.shape[0] + 1, np.int64)  # images between a match and the one before
    above = np.empty(SOUGHT_TOGETHER, np.int32)  # matches above each image
    for start in range(0, similarity.shape[0], SOUGHT_TOGETHER):
        values = similarity[start : start + SOUGHT_TOGETHER]
        above[:] = 0
        step = width // 2
        while step > 0:
            for j in range(values.shape[0]):
                is_above = bounds[np.uint32(above[j] + step - 1)] > values[j]
                above[j] = np.int32(above[j] + np.int32(step) * np.int32(is_above))
            step //= 2
        for j in range(values.shape[0]):
            low, high = np.int64(above[j]), ranked.shape[0]
            if low < high and bounds[low] == values[j]:
                while low < high:  # the first match that the image stands before or is
                    middle = (low + high) // 2
                    if bounds[middle] == values[j] and ranked[middle] < start + j:
                        low = middle + 1
                    else:
                        high = middle
            passed[low] += 1
    return np.cumsum(passed[:-1])


@njit(cache=True, nogil=True)
def scores_of_ranks(ranks: NDArray[np.int64], trapezoid: bool) -> NDArray[np.float64]:
    """Average precision, inverse negative penalty and first rank, of the ascending ranks of a query's matches."""
    total = 0.0
    for hit in range(1, ranks.shape[0] + 1):
        rank = ranks[hit - 1]
        precision = hit / rank
        if trapezoid:
            before = (hit - 1) / (rank - 1) if rank > 1 else 1.0
            precision = (precision + before) / 2
        total += precision
    return np.array([total / ranks.shape[0], ranks.shape[0] / ranks[-1], np.float64(ranks[0])])


@njit(cache=True, nogil=True)
def score_queries(
    similarity: NDArray[np.float32],
    junk: NDArray[np.int64],
    columns: NDArray[np.int64],
    bounds: NDArray[np.int64],
    exclude: NDArray[np.int64],
    trapezoid: bool,
    scores: NDArray[np.float64],
    start: int,
    stop: int,
) -> None:
    """Write average precision, inverse negative penalty and first rank of the queries start..stop that have a match.

    Row q of `similarity`, `bounds`, `exclude` and `scores` belongs to query q. `columns` holds the images of its identity:
    the matches in bounds[q, 0] : bounds[q, 1] and bounds[q, 2] : bounds[q, 3], those of its own camera in between.
    Similarities of images that are ignored are overwritten with minus infinity: they stand behind everything.
    """
    for q in range(start, stop):
        row = similarity[q]
        low, own_camera, next_camera, high = bounds[q]
        for j in junk:
            row[j] = -np.inf
        for j in columns[own_camera:next_camera]:
            row[j] = -np.inf
        if exclude[q] >= 0:
            row[exclude[q]] = -np.inf
        matches = np.concatenate((columns[low:own_camera], columns[next_camera:high]))
        matches = matches[matches != exclude[q]]
        if matches.shape[0] == 0:
            continue
        ranks = np.sort(count_ranks(row, matches)) if matches.shape[0] <= FEW else search_ranks(row, matches)
        scores[q] = scores_of_ranks(ranks, trapezoid)
