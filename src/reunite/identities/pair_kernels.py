"""Counting pairs of rows by similarity, compiled: the inner loop of `reunite.identities.pairs`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def add_pairs(
    similarity: NDArray[np.float32],
    first: int,
    second: int,
    individual: NDArray[np.int64],
    part: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Count the pairs of a block whose column comes after their row.

    Args:
        similarity: (p, q), of rows from `first` on with rows from `second` on.
        first: where its rows lie.
        second: where its columns lie.
        individual: (n,) who each row shows.
        part: (n,) the part that its individual belongs to.
        counts: (parts + 1, 2, bins), added to: pairs of different (0) and of one (1) individual by similarity, those with a
            row of the part, and in the last place all. What lies outside of [-1, 1] by rounding is counted at its end.
    """
    every, bins = counts.shape[0] - 1, counts.shape[2]
    half = bins / 2
    for i in range(similarity.shape[0]):
        row = first + i
        for j in range(max(0, row + 1 - second), similarity.shape[1]):
            column = second + j
            place = min(max(int((similarity[i, j] + 1.0) * half), 0), bins - 1)
            same = 1 if individual[row] == individual[column] else 0
            counts[every, same, place] += 1
            counts[part[row], same, place] += 1
            if part[row] != part[column]:
                counts[part[column], same, place] += 1
