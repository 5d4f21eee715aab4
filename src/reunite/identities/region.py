"""Some of many rows that lie together, since random ones would break up individuals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

BLOCK = 65_536
"""Rows whose products are held at a time."""


def region(rows: Float32[np.ndarray, "n d"], most: int, random: np.random.Generator) -> Float32[np.ndarray, "m d"]:
    """All rows, or if there are more than `most`, as many that lie together.

    How many neighbors are of one individual is what is asked of them. So rows are divided among random ones by which of these
    is nearest, into forty divisions of `most` rows, and whole divisions are taken at random; of the last one those nearest to
    its middle.
    """
    if len(rows) <= most:
        return rows
    pivots = rows[random.choice(len(rows), max(40, 40 * len(rows) // most) if most >= 40 else 2, replace=False)]
    nearest, similarity = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        products = rows[block] @ pivots.T
        nearest[block], similarity[block] = products.argmax(axis=1), products.max(axis=1)
    order = np.lexsort((-similarity, random.permutation(len(pivots))[nearest]))
    return rows[np.sort(order[:most])]
