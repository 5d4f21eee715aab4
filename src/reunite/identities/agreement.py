"""How far two clusterings of the same rows agree."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64


def agreement(first: Int64[np.ndarray, " n"], second: Int64[np.ndarray, " n"]) -> float:
    """The adjusted Rand index (Hubert and Arabie 1985), 0 where two clusterings put no pair of rows together.

    Unlike in `clustering_scores` it is 0, not 1, where both leave every row alone, or both put all rows together: there it is
    0 / 0, and that they agree is no evidence, since any data make such clusterings.
    """
    count = len(first)
    cells = np.unique(first * (int(second.max(initial=0)) + 1) + second, return_counts=True)[1]
    together, one, other = (
        float((sizes * (sizes - 1)).sum()) for sizes in (cells, np.bincount(first), np.bincount(second))
    )
    if together == 0:
        return 0.0
    expected = one * other / (count * (count - 1))
    most = (one + other) / 2
    return 0.0 if most == expected else (together - expected) / (most - expected)
