"""Compiled last step of re-ranking."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def mix(
    start: int,
    stop: int,
    result: NDArray[np.float32],
    scale: NDArray[np.float32],
    lambda_value: float,
    offsets: NDArray[np.int64],
    columns: NDArray[np.integer],
    jaccard: NDArray[np.float32],
) -> None:
    """Turn similarities of the queries [start, stop) into mixed distances, in place.

    `jaccard` are the distances of each query to the `columns` that it shares neighbors with, queries first and then the
    gallery; all others are 1.
    """
    own, other = np.float32(lambda_value), np.float32(1 - lambda_value)
    queries = scale.shape[0] - result.shape[1]
    for i in range(start, stop):
        row, factor = result[i], own * scale[i]
        for j in range(row.shape[0]):
            row[j] = other + factor * max(np.float32(2) - np.float32(2) * row[j], np.float32(0))
        for p in range(offsets[i], offsets[i + 1]):
            j = columns[p] - queries  # queries among themselves are neighbors, but nobody asked for their distance
            if j >= 0:
                row[j] -= other * (np.float32(1) - jaccard[p])
