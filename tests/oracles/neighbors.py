"""Nearest neighbors by their definition: sort all similarities, ties by the lower index."""

from __future__ import annotations

import numpy as np


def nearest_by_sorting(rows: np.ndarray, k: int, queries: np.ndarray | None = None) -> np.ndarray:
    """Indices (m, k) of the nearest `rows`, from float64 cosines rounded above float32 noise, so that ties are ties.

    In a search of `rows` in themselves each row comes first.
    """

    def unit(x: np.ndarray) -> np.ndarray:
        return np.array([v / np.linalg.norm(v) if np.linalg.norm(v) else v for v in x.astype(np.float64)])

    own = queries is None
    similarity = np.round(unit(rows if own else queries) @ unit(rows).T, 6)
    found = []
    for i, row in enumerate(similarity):
        order = sorted(range(len(row)), key=lambda j: (not (own and j == i), -row[j], j))
        found.append(order[:k])
    return np.array(found)
