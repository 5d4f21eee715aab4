"""An order of rows in which those that are alike are next to each other, at the cost of a few passes over the rows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64

from reunite.neighbors.operand_kernels import project
from reunite.threads import in_blocks

SAMPLE = 256
"""Rows of a part that decide along which direction it is divided."""

PASSES = 4
"""Of the search for two means: the direction only has to be good."""

ROWS_PER_TASK = 4096


def grouped(rows: Float32[np.ndarray, "n d"], size: int) -> Int64[np.ndarray, " n"]:
    """All rows, in an order whose consecutive parts of some `size` are alike: halved again and again between two means.

    O(n d log(n / size)) time and O(n) memory. Rows are mixed first, and how they were ordered does not matter.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(len(rows))
    parts = [slice(0, len(rows))]
    while parts:
        part = parts.pop()
        if part.stop - part.start > size:
            middle = (part.start + part.stop) // 2
            order[part] = _halved(rows, order[part], rng)
            parts += [slice(part.start, middle), slice(middle, part.stop)]
    return order


def _halved(
    rows: Float32[np.ndarray, "n d"], members: Int64[np.ndarray, " m"], rng: np.random.Generator
) -> Int64[np.ndarray, " m"]:
    """The members in an order such that those in either half are on the same side of a plane."""
    sample = rows[rng.choice(members, min(SAMPLE, len(members)), replace=False)]
    means = sample[:2]
    for _ in range(PASSES):
        nearer = sample @ (means[0] - means[1]) > (means[0] @ means[0] - means[1] @ means[1]) / 2
        if nearer.all() or not nearer.any():
            break
        means = np.stack([sample[nearer].mean(axis=0), sample[~nearer].mean(axis=0)])
    along: Float64[np.ndarray, " m"] = np.empty(len(members))
    direction = means[0] - means[1]
    in_blocks(len(members), ROWS_PER_TASK, lambda a, b: project(rows, members[a:b], direction, along[a:b]))
    return members[np.argpartition(along, len(members) // 2)]
