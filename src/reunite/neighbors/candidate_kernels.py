"""Compiled selection, from tiles of approximate values, of all pairs that can be among the nearest, and of the nearest.

The value of a pair of unit rows is 1 - <x, y>. At place i of the tiles stands row places[i] of those `asked` for, in column j
row order[j] of those searched. Of each place, `keys` and `columns` (n, room) hold the candidates so far, as many as `counts`
says, and `limits` the largest key that can still be of use. A call writes places of its rows and columns and no others: calls
that share none can run in threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from reunite.neighbors.operand_kernels import dot

Key = Any
"""What a tile holds: float32, int16 or int32."""

CHUNK = 64
"""Keys compared at once, in vectors, before any is looked at: nearly all chunks hold nothing of use."""

BISECTIONS = 16
"""Steps to a limit that lets few more pass than are wanted."""

MANY = 128
"""Times as many rows as columns from which on products tighten limits. They cost more the more columns there are, and keep
more from passing the more rows are still to come."""

SPARE = 8
"""A row with less room left than this, after what is of no use was dropped, has its candidates decided at once."""


@njit(cache=True, nogil=True)
def key_of(value: float, levels: NDArray[np.float32]) -> Key:
    """The key of the lowest level that is not below `value`. Float keys are multiples of 1, the values themselves."""
    if levels.shape[0] == 1:
        return value if levels[0] == 1 else np.ceil(value / levels[0])
    return float(np.searchsorted(levels, np.float32(max(value, 0.0))))


@njit(cache=True, nogil=True)
def limit_of(key: Key, slack: float, levels: NDArray[np.float32]) -> Key:
    """The largest key of a value that can be less than, or equal to, that of `key`.

    A value that a tile has in bfloat16 was at most 1 / (1 - 2^-8) times as large before it was rounded.
    """
    if levels.shape[0] == 1:
        return key_of(key * np.float64(levels[0]) + slack, levels)
    return key_of((levels[max(int(key), 0)] / (1 - 2.0**-8) + slack) * (1 + 2.0**-22), levels)


@njit(cache=True, nogil=True)
def insert(held: int, product: Key, j: int, indices: NDArray[np.int64], similarity: NDArray[np.float32]) -> int:
    """Put row j in its place, larger products and then lower rows first, and say how many are held; the last may drop out."""
    last = indices.shape[0] - 1
    if held > last:
        if product < similarity[last] or (product == similarity[last] and j > indices[last]):
            return held
        place = last
    else:
        place = held
        held += 1
    while place > 0 and (
        similarity[place - 1] < product or (similarity[place - 1] == product and indices[place - 1] > j)
    ):
        similarity[place], indices[place] = similarity[place - 1], indices[place - 1]
        place -= 1
    similarity[place], indices[place] = product, j
    return held


@njit(cache=True, nogil=True)
def nearest_of(
    candidates: NDArray[np.int32],
    asked: NDArray[np.float32],
    rows: NDArray[np.float32],
    indices: NDArray[np.int64],
    similarity: NDArray[np.float32],
) -> None:
    """Of the candidates, which are at least as many as `indices`, those with the largest inner products with `asked`."""
    held = 0
    for j in candidates:
        held = insert(held, dot(asked, rows[j]), j, indices, similarity)


@njit(cache=True, nogil=True)
def high_enough(keys: NDArray[Any], wanted: int) -> Key:
    """A key that at least `wanted` of some keys are not above, and few more if there is such a one: found by bisection."""
    middle = np.empty(1, keys.dtype)
    low, high = keys[0], keys[0]
    for key in keys:
        low, high = min(low, key), max(high, key)
    for _ in range(BISECTIONS):
        middle[0] = (np.float64(low) + np.float64(high)) / 2
        guess = middle[0]
        if guess <= low or guess >= high:
            break
        count = np.int32(0)
        for key in keys:
            count += np.int32(key <= guess)
        if count < wanted:
            low = guess
        else:
            high = guess
            if count <= wanted + wanted // 16:
                break
    return high


@njit(cache=True, nogil=True)
def drop_useless(
    i: int,
    wanted: int,
    keys: NDArray[Any],
    columns: NDArray[np.int32],
    counts: NDArray[np.int32],
    limits: NDArray[Any],
    slack: NDArray[np.float32],
    levels: NDArray[np.float32],
    places: NDArray[np.int64],
    asked: NDArray[np.float32],
    order: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> None:
    """Lower the limit of row i to what its `wanted` best candidates allow, and drop those above it.

    In a large set, the products of those that look best say how near `wanted` rows are at least. The limit then allows for
    the error of one key and not of two, and less passes it by mistake.

    Where nearly all are alike, that does not make room. Their products then decide, and only the best are left.
    """
    count = counts[i]
    if count < wanted:
        return
    best_keys = high_enough(keys[i, :count], wanted)
    limit = limit_of(best_keys, slack[i], levels)
    if rows.shape[0] >= MANY * rows.shape[1]:
        product = np.float32(np.inf)
        for a in range(count):
            if keys[i, a] <= best_keys:
                product = min(product, dot(asked[places[i]], rows[order[columns[i, a]]]))
        limit = min(limit, key_of((1.0 - product + slack[i] / 2) * (1 + 2.0**-22), levels))
    kept = 0
    for a in range(count):
        if keys[i, a] <= limit:
            keys[i, kept], columns[i, kept] = keys[i, a], columns[i, a]
            kept += 1
    if kept > keys.shape[1] - SPARE:
        products, best, most = np.empty(kept, np.float32), np.empty(wanted, np.int64), np.empty(wanted, np.float32)
        held = 0
        for a in range(kept):
            products[a] = dot(asked[places[i]], rows[order[columns[i, a]]])
            held = insert(held, products[a], order[columns[i, a]], best, most)
        count, kept = kept, 0
        for a in range(count):
            least = products[a] == most[wanted - 1] and order[columns[i, a]] <= best[wanted - 1]
            if products[a] > most[wanted - 1] or least:
                keys[i, kept], columns[i, kept] = key_of(1.0 - products[a], levels), columns[i, a]
                kept += 1
        limit = min(limit, key_of((1.0 - most[wanted - 1] + slack[i] / 2) * (1 + 2.0**-22), levels))
    counts[i] = kept
    limits[i] = limit


@njit(cache=True, nogil=True)
def offer(
    tile: NDArray[Any],
    first_row: int,
    first_column: int,
    column_limits: NDArray[Any],
    wanted: int,
    keys: NDArray[Any],
    columns: NDArray[np.int32],
    counts: NDArray[np.int32],
    limits: NDArray[Any],
    slack: NDArray[np.float32],
    levels: NDArray[np.float32],
    places: NDArray[np.int64],
    asked: NDArray[np.float32],
    order: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> None:
    """Offer the pairs of `tile` to its rows and columns.

    `column_limits` are the limits of the columns of the tile, a view; or numbers below all keys, where columns take nothing.
    """
    for a in range(tile.shape[0]):
        i = first_row + a
        row = tile[a]
        for start in range(0, row.shape[0], CHUNK):
            chunk, others = row[start : start + CHUNK], column_limits[start : start + CHUNK]
            own = limits[i]
            found = np.int16(chunk.shape[0] < CHUNK)
            if not found:
                for j in range(CHUNK):
                    found = np.int16(found | np.int16(chunk[j] <= max(own, others[j])))
            if found:
                for j in range(chunk.shape[0]):
                    key = chunk[j]
                    if key <= limits[i]:
                        keys[i, counts[i]], columns[i, counts[i]] = key, first_column + start + j
                        counts[i] += 1
                        if counts[i] == keys.shape[1]:
                            drop_useless(
                                i, wanted, keys, columns, counts, limits, slack, levels, places, asked, order, rows
                            )
                    if key <= others[j]:
                        other = first_column + start + j
                        keys[other, counts[other]], columns[other, counts[other]] = key, i
                        counts[other] += 1
                        if counts[other] == keys.shape[1]:
                            drop_useless(
                                other, wanted, keys, columns, counts, limits, slack, levels, places, asked, order, rows
                            )


@njit(cache=True, nogil=True)
def visiting_order(keys: NDArray[Any], columns: NDArray[np.int32], counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """All rows, those next to each other that are connected by a chain of nearest candidates.

    They have neighbors in common, which are then still in the cache.
    """
    connected = np.arange(counts.shape[0])
    for i in range(counts.shape[0]):
        if counts[i] > 0:
            a: Any = i
            b: Any = np.int64(columns[i, np.argmin(keys[i, : counts[i]])])
            while connected[a] != a:
                connected[a] = connected[connected[a]]
                a = connected[a]
            while connected[b] != b:
                connected[b] = connected[connected[b]]
                b = connected[b]
            connected[max(a, b)] = min(a, b)
    for i in range(counts.shape[0]):
        connected[i] = connected[connected[i]]  # a chain leads to lower rows only, which are done already
    return np.argsort(connected, kind="mergesort")


@njit(cache=True, nogil=True)
def decide(
    start: int,
    stop: int,
    turns: NDArray[np.int64],
    indices: NDArray[np.int64],
    similarity: NDArray[np.float32],
    wanted: int,
    keys: NDArray[Any],
    columns: NDArray[np.int32],
    counts: NDArray[np.int32],
    limits: NDArray[Any],
    slack: NDArray[np.float32],
    levels: NDArray[np.float32],
    places: NDArray[np.int64],
    asked: NDArray[np.float32],
    order: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> None:
    """The `wanted` nearest of the candidates of the rows turns[start:stop], into the last columns of the results.

    Those that look nearest come first: their products rule out most of the others.
    """
    first = indices.shape[1] - wanted
    for turn in range(start, stop):
        i = turns[turn]
        row = asked[places[i]]
        found, products, held = indices[places[i], first:], similarity[places[i], first:], 0
        middle = high_enough(keys[i, : counts[i]], wanted)
        for a in range(counts[i]):
            if keys[i, a] <= middle:
                j = order[columns[i, a]]
                held = insert(held, dot(row, rows[j]), j, found, products)
        limit = key_of((1.0 - products[wanted - 1] + slack[i] / 2) * (1 + 2.0**-22), levels)
        for a in range(counts[i]):
            if middle < keys[i, a] <= limit:
                j, last = order[columns[i, a]], products[wanted - 1]
                held = insert(held, dot(row, rows[j]), j, found, products)
                if products[wanted - 1] > last:
                    limit = key_of((1.0 - products[wanted - 1] + slack[i] / 2) * (1 + 2.0**-22), levels)


@njit(cache=True, nogil=True)
def decide_given(
    start: int,
    stop: int,
    wanted: int,
    given: NDArray[np.int32],
    asked: NDArray[np.float32],
    rows: NDArray[np.float32],
    indices: NDArray[np.int64],
    similarity: NDArray[np.float32],
) -> None:
    """The `wanted` nearest of the candidates `given` for rows [start, stop), into the last columns of the results."""
    first = indices.shape[1] - wanted
    for i in range(start, stop):
        nearest_of(given[i], asked[i], rows, indices[i, first:], similarity[i, first:])


@njit(cache=True, nogil=True)
def own_products(start: int, stop: int, rows: NDArray[np.float32], similarity: NDArray[np.float32]) -> None:
    """The product of each row with itself, into the first column."""
    for i in range(start, stop):
        similarity[i, 0] = dot(rows[i], rows[i])
