"""HCT's clustering (Zeng et al. 2020) by SciPy: distances from one float32 product, then average linkage, cut once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.cluster.hierarchy
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from benchmarks.published.reranking import euclidean

Linkage = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def by_scipy(condensed: NDArray[np.float64]) -> NDArray[np.float64]:
    return scipy.cluster.hierarchy.linkage(condensed, "average")


def average_linkage(rows: NDArray[np.float32], merges: int, linkage: Linkage = by_scipy) -> NDArray[np.int64]:
    """Labels of unit rows after `merges` merges of the closest clusters, by SciPy or what has its interface."""
    condensed = squareform(euclidean(rows).astype(np.float64), checks=False)
    tree = linkage(condensed)
    return scipy.cluster.hierarchy.fcluster(tree, len(rows) - merges, "maxclust") - 1
