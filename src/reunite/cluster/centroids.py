"""Means of clusters."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64


def centroids(embeddings: Float[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "c d"]:
    """The mean embedding of each cluster, not normalised; rows labelled -1 belong to none.

    Args:
        embeddings: (n, d) rows.
        labels: 0 to c - 1, each used, or -1.
    """
    kept = np.flatnonzero(labels >= 0)
    order = kept[np.argsort(labels[kept], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    sums = np.add.reduceat(embeddings[order].astype(np.float64), starts, axis=0)
    return (sums / np.diff(np.append(starts, len(order)))[:, None]).astype(embeddings.dtype)
