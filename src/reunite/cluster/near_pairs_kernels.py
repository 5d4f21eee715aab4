"""Compiled parts of the search for the closest pairs; all release the GIL, so that calls for different parts run in threads."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CHUNK = 128
"""Keys compared at once, in vectors, before any is looked at: nearly all chunks hold nothing near."""


@njit(cache=True, nogil=True)
def collect_near(
    keys: NDArray,
    first_row: int,
    first_column: int,
    limits: NDArray,
    owners: NDArray[np.int64],
    most: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows and columns of the keys of a tile that are at most the limit of their row.

    Only the upper triangle, and only pairs of different owners. After a row with which they are more than `most`, it stops.
    """
    rows, columns = np.empty(64, np.int32), np.empty(64, np.int32)
    count = 0
    for a in range(keys.shape[0]):
        if count > most:
            break
        i = first_row + a
        limit, row = limits[i], keys[a]
        for left in range(max(0, i + 1 - first_column), row.shape[0], CHUNK):
            chunk = row[left : left + CHUNK]
            found = np.int16(chunk.shape[0] < CHUNK)
            if not found:
                for j in range(CHUNK):
                    found = np.int16(found | np.int16(chunk[j] <= limit))
            if found:
                for j in range(chunk.shape[0]):
                    column = first_column + left + j
                    if chunk[j] <= limit and owners[i] != owners[column]:
                        if count == rows.shape[0]:
                            rows, columns = np.append(rows, rows), np.append(columns, columns)
                        rows[count], columns[count] = i, column
                        count += 1
    return rows[:count].copy(), columns[:count].copy()


@njit(cache=True, nogil=True)
def count_levels(
    keys: NDArray[np.int16],
    own: NDArray[np.int64],
    first_column: int,
    owners: NDArray[np.int64],
    levels: int,
) -> NDArray[np.int64]:
    """How many pairs of owners have each of so many levels as their smallest key in a tile.

    `own` are the owners of the rows, equal ones next to each other. Keys below 0 count as 0, those beyond the levels as the
    last of them.
    """
    counts = np.zeros(levels, np.int64)
    width = keys.shape[1]
    smallest, seen = np.empty(width, np.int16), np.empty(width, np.int64)
    place = np.full(owners.max() + 1, -1, np.int64)  # of an owner in `seen`
    a = 0
    while a < keys.shape[0]:
        found = 0
        group = own[a]
        while a < keys.shape[0] and own[a] == group:
            for j in range(width):
                owner = owners[first_column + j]
                if place[owner] < 0:
                    place[owner], seen[found], smallest[found] = found, owner, keys[a, j]
                    found += 1
                elif keys[a, j] < smallest[place[owner]]:
                    smallest[place[owner]] = keys[a, j]
            a += 1
        for p in range(found):
            place[seen[p]] = -1
            if seen[p] != group:
                counts[min(max(smallest[p], 0), levels - 1)] += 1
    return counts


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def inverse_lengths(start: int, stop: int, rows: NDArray[np.floating], inverses: NDArray[np.float64]) -> None:
    """One over the length of each row; 0 for a row of zeros."""
    for i in range(start, stop):
        square = 0.0
        for q in range(rows.shape[1]):
            square += np.float64(rows[i, q]) * np.float64(rows[i, q])
        inverses[i] = 1 / np.sqrt(square) if square > 0 else 0.0


@njit(cache=True, nogil=True, fastmath={"contract"})
def sum_members(
    clusters: NDArray[np.int64],
    members: NDArray[np.int64],
    bounds: NDArray[np.int64],
    rows: NDArray[np.floating],
    scales: NDArray[np.float64],
    first: int,
    sums: NDArray[np.float64],
) -> None:
    """Columns from `first` on of the sum of scaled rows, for some clusters; `members` are the rows sorted by cluster."""
    for c in range(clusters.shape[0]):
        total = sums[c]
        total[:] = 0
        for m in range(bounds[clusters[c]], bounds[clusters[c] + 1]):
            row, scale = rows[members[m], first : first + total.shape[0]], scales[members[m]]
            for q in range(total.shape[0]):
                total[q] += scale * row[q]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def row_products(first: NDArray[np.int64], second: NDArray[np.int64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner products of pairs of rows."""
    products = np.empty(first.shape[0])
    for p in range(first.shape[0]):
        a, b = rows[first[p]], rows[second[p]]
        total = 0.0
        for q in range(a.shape[0]):
            total += a[q] * b[q]
        products[p] = total
    return products
