"""An order of rows in which those that are alike are next to each other, at the cost of one pass over the rows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64

from reunite.neighbors.operand_kernels import descend
from reunite.threads import in_blocks

SAMPLE_PER_GROUP = 32
"""Rows that are divided first, for each group: the planes between their halves divide the others."""

DECIDING = 256
"""Rows of a sampled group that decide along which direction it is divided."""

PASSES = 4
"""Of the search for two means: the direction only has to be good."""

ROWS_PER_TASK = 1024


def grouped(rows: Float32[np.ndarray, "n d"], size: int) -> Int64[np.ndarray, " n"]:
    """All rows, in an order whose consecutive parts of some `size` are alike, and as they came where they are equally so.

    A sample is halved again and again, between two means, until its groups stand for about `size` rows each. The planes
    in between then send every row to its group: O(n d log(n / size)) time, in which rows are read once, and O(n) memory.
    """
    depth = max(0, int(np.ceil(np.log2(max(1, len(rows)) / size))))
    rng = np.random.default_rng(0)
    count = min(len(rows), SAMPLE_PER_GROUP * 2**depth)
    groups = [rows[np.sort(rng.choice(len(rows), count, replace=False))]]
    planes = 2**depth - 1
    directions, middles = np.empty((planes, rows.shape[1]), np.float32), np.empty(planes, np.float32)
    for plane in range(planes):  # the halves of group p are groups 2 p + 1 and 2 p + 2
        sample = groups[plane]
        directions[plane] = _direction(sample, rng)
        along = sample @ directions[plane]
        middles[plane] = np.median(along) if len(along) else 0
        groups += [sample[along < middles[plane]], sample[along >= middles[plane]]]
    group = np.empty(len(rows), np.int64)
    in_blocks(len(rows), ROWS_PER_TASK, lambda a, b: descend(a, b, rows, directions, middles, group))
    return np.argsort(group, kind="stable")


def _direction(sample: Float32[np.ndarray, "m d"], rng: np.random.Generator) -> Float32[np.ndarray, " d"]:
    """From one of two means of some rows to the other; zeros for fewer than two rows."""
    sample = sample[rng.permutation(len(sample))[:DECIDING]]
    if len(sample) < 2:
        return np.zeros(sample.shape[1], np.float32)
    means = sample[:2]
    for _ in range(PASSES):
        nearer = sample @ (means[0] - means[1]) > (means[0] @ means[0] - means[1] @ means[1]) / 2
        if nearer.all() or not nearer.any():
            break
        means = np.stack([sample[nearer].mean(axis=0), sample[~nearer].mean(axis=0)])
    return means[0] - means[1]
