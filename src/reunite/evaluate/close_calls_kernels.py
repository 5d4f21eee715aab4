"""Compiled ranking from tiles of low precision: most images are surely before or after a match, the others are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reunite.evaluate.retrieval_kernels import scores_of_ranks
from reunite.neighbors.operand_kernels import dot

CACHED_ROWS = 64
"""Rows of a gallery that fit into a cache of the second level: half a megabyte at 2,048 dimensions."""

COMPARED_TOGETHER = 2**16
"""Images that are held until they are compared, 16 bytes each."""

SIZE = 0x7FFF
"""The bits of a bfloat16 besides its sign."""

ABOVE, BELOW = 1 + 2.0**-8, 1 - 2.0**-8
"""A value that a tile has in bfloat16, divided by these: the least and the most it was before it was rounded to the nearest."""


@njit(cache=True, nogil=True)
def list_images(
    columns: NDArray[np.int64], spans: NDArray[np.int64], exclude: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where the matches of each query begin, the matches, and the same of what it ignores; see `CloseCalls`."""
    count = spans.shape[0]
    bounds, ignored_bounds = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    for q in range(count):
        low, own_camera, next_camera, high = spans[q]
        bounds[q + 1] = bounds[q] + high - low - (next_camera - own_camera)
        ignored_bounds[q + 1] = ignored_bounds[q] + next_camera - own_camera + 1
    matches, ignored = np.empty(bounds[count], np.int64), np.empty(ignored_bounds[count], np.int64)
    m = i = 0
    for q in range(count):
        low, own_camera, next_camera, high = spans[q]
        bounds[q], ignored_bounds[q] = m, i
        besides = exclude[q]
        for k in range(low, high):
            if own_camera <= k < next_camera or columns[k] == exclude[q]:
                ignored[i] = columns[k]
                i += 1
                if columns[k] == besides:
                    besides = -1
            else:
                matches[m] = columns[k]
                m += 1
        if besides >= 0:
            ignored[i] = besides
            i += 1
    bounds[count], ignored_bounds[count] = m, i
    return bounds, matches[:m], ignored_bounds, ignored[:i]


@njit(cache=True, nogil=True)
def sort_matches(
    start: int,
    stop: int,
    turns: NDArray[np.int64],
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    bounds: NDArray[np.int64],
    matches: NDArray[np.int64],
    similarity: NDArray[np.float32],
) -> None:
    """Put the matches of the queries turns[start:stop] in the order they rank, and write their similarities.

    Those of query q are matches[bounds[q] : bounds[q + 1]], in any order at first. Equal similarities rank by column.
    """
    for q in turns[start:stop]:
        own = np.sort(matches[bounds[q] : bounds[q + 1]])
        values = np.empty(own.shape[0], np.float32)
        for m in range(own.shape[0]):
            values[m] = dot(query[q], gallery[own[m]])
        order = np.argsort(-values, kind="mergesort")
        for m in range(own.shape[0]):
            matches[bounds[q] + m] = own[order[m]]
            similarity[bounds[q] + m] = values[order[m]]


@njit(cache=True, nogil=True)
def place_of(
    low: int, high: int, product: np.float32, column: int, similarity: NDArray[np.float32], matches: NDArray[np.int64]
) -> int:
    """How many matches rank before an image: at least `low` and at most `high`."""
    while low < high:
        middle = (low + high) // 2
        if similarity[middle] > product or (similarity[middle] == product and matches[middle] < column):
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def compare(
    close: NDArray[np.int32],
    first_query: int,
    columns: NDArray[np.int64],
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    bounds: NDArray[np.int64],
    matches: NDArray[np.int64],
    similarity: NDArray[np.float32],
    between: NDArray[np.int64],
) -> None:
    """Count images of a tile that are close to matches, by their products.

    Of each, `close` holds the row and the column of the tile, and how many matches rank before it at least and at most. A few
    rows of the gallery come at a time, which then are in the cache for all queries.
    """
    ends = np.zeros(close[:, 1].max() // CACHED_ROWS + 2 if close.shape[0] else 1, np.int64)
    for c in range(close.shape[0]):
        ends[close[c, 1] // CACHED_ROWS + 1] += 1
    ends = np.cumsum(ends)
    order = np.empty(close.shape[0], np.int32)
    for c in range(close.shape[0]):
        group = close[c, 1] // CACHED_ROWS
        order[ends[group]] = c
        ends[group] += 1
    ordered = close[order]
    for c in range(ordered.shape[0]):
        q, column = first_query + ordered[c, 0], columns[ordered[c, 1]]
        own, products = matches[bounds[q] : bounds[q + 1]], similarity[bounds[q] : bounds[q + 1]]
        place = place_of(ordered[c, 2], ordered[c, 3], dot(query[q], gallery[column]), column, products, own)
        if place < own.shape[0]:
            between[bounds[q] + place] += 1


@njit(cache=True, nogil=True)
def place_levels(
    ahead: NDArray[np.float64],
    error: float,
    levels: NDArray[np.float32],
    first: int,
    past: int,
    low: NDArray[np.int32],
    high: NDArray[np.int32],
) -> None:
    """How many matches surely, and at most, rank before an image that is ahead of the farthest one by a level.

    Of the levels first to past; what is below `first` is taken for it, and can be behind all matches. `ahead` says the same of
    the matches, descending, exactly. For each match the highest level that it is before is found by the bits of the number,
    and then moved to where the comparison of the exact numbers has it.
    """
    bits = np.empty(1, np.uint32)
    value = bits.view(np.float32)
    level: Any
    surely: Any = past
    perhaps: Any = past
    for m in range(ahead.shape[0]):
        value[0] = max((ahead[m] - error) * BELOW, 0.0)
        level = min(max(np.int64(bits[0] >> 16), first - 1), surely)
        while level < surely and ahead[m] > np.float64(levels[level + 1]) / BELOW + error:
            level += 1
        while level >= first and not ahead[m] > np.float64(levels[level]) / BELOW + error:
            level -= 1
        low[level + 1 : surely + 1] = m
        surely = level
        value[0] = max((ahead[m] + error) * ABOVE, 0.0)
        level = min(max(np.int64(bits[0] >> 16), first), perhaps)
        while level < perhaps and ahead[m] >= np.float64(levels[level + 1]) / ABOVE - error:
            level += 1
        while level > first and not ahead[m] >= np.float64(levels[level]) / ABOVE - error:
            level -= 1
        high[level + 1 : perhaps + 1] = m
        perhaps = level
    low[first : surely + 1] = ahead.shape[0]
    high[first : perhaps + 1] = ahead.shape[0]


@njit(cache=True, nogil=True)
def count_tile(
    keys: NDArray[np.int16],
    first_query: int,
    columns: NDArray[np.int64],
    levels: NDArray[np.float32],
    error: NDArray[np.float64],
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    bounds: NDArray[np.int64],
    matches: NDArray[np.int64],
    similarity: NDArray[np.float32],
    between: NDArray[np.int64],
) -> int:
    """Count the images of a tile between the matches of its queries; says how many of them had to be compared.

    Of query q, between[bounds[q] + m] counts the images that m of its matches rank before, fewer than all of them. `keys`
    are those of how much less similar an image is than the farthest match, in bfloat16, off by at most `error` of the row of
    the tile besides their rounding. `columns` are those of the gallery that the tile has.
    """
    width = keys.shape[1]
    close, held, compared = np.empty((max(COMPARED_TOGETHER, width), 4), np.int32), 0, 0
    low, high = np.empty(levels.shape[0] + 1, np.int32), np.empty(levels.shape[0] + 1, np.int32)
    before = np.empty(width, np.int32)
    for a in range(keys.shape[0]):
        q = first_query + a
        own, products = matches[bounds[q] : bounds[q + 1]], similarity[bounds[q] : bounds[q + 1]]
        count, passed = own.shape[0], between[bounds[q] : bounds[q + 1]]
        if count == 0:
            continue
        # An image is ahead of the farthest match by minus its value. Sizes of values are levels: those below `least` do not
        # say on which side of that match an image is; from `past` on it is ahead of all matches, or behind.
        ahead = products.astype(np.float64) - np.float64(products[count - 1])
        least = int(np.searchsorted(levels, np.float32(error[a] * ABOVE))) + 1
        past = int(np.searchsorted(levels, np.float32((ahead[0] + error[a]) * ABOVE))) + 1
        place_levels(ahead, error[a], levels, least - 1, past, low, high)
        row, perhaps = keys[a], 0
        limit = np.int16(min(least, SIZE))
        for j in range(width):  # without a branch: few images can be before a match, and none knows which
            before[perhaps] = j
            perhaps += row[j] < limit
        if held + perhaps > close.shape[0]:
            compare(close[:held], first_query, columns, query, gallery, bounds, matches, similarity, between)
            compared += held
            held = 0
        for j in before[:perhaps]:
            level = min(max(int(row[j]) & SIZE, least - 1), past)
            place, last = low[level], high[level]
            passed[min(place, count - 1)] += place == last and place < count
            close[held, 0], close[held, 1], close[held, 2], close[held, 3] = a, j, place, last
            held += place != last
    compare(close[:held], first_query, columns, query, gallery, bounds, matches, similarity, between)
    return compared + held


@njit(cache=True, nogil=True)
def rank_matches(
    start: int,
    stop: int,
    turns: NDArray[np.int64],
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    bounds: NDArray[np.int64],
    matches: NDArray[np.int64],
    similarity: NDArray[np.float32],
    ignored_bounds: NDArray[np.int64],
    ignored: NDArray[np.int64],
    between: NDArray[np.int64],
    trapezoid: bool,
    scores: NDArray[np.float64],
) -> None:
    """Write the scores of the queries turns[start:stop] that have a match, from the counts of `count_tile`.

    What query q ignores, ignored[ignored_bounds[q] : ignored_bounds[q + 1]], was counted, too, and is taken out.
    """
    for q in turns[start:stop]:
        own, products = matches[bounds[q] : bounds[q + 1]], similarity[bounds[q] : bounds[q + 1]]
        passed = between[bounds[q] : bounds[q + 1]]
        if own.shape[0] == 0:
            continue
        for column in ignored[ignored_bounds[q] : ignored_bounds[q + 1]]:
            place = place_of(0, own.shape[0], dot(query[q], gallery[column]), column, products, own)
            if place < own.shape[0]:
                passed[place] -= 1
        scores[q] = scores_of_ranks(np.cumsum(passed), trapezoid)
