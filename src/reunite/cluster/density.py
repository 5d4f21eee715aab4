"""DBSCAN on the k-reciprocal Jaccard graph: the clustering of SpCL and Cluster Contrast."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from reunite.cluster.density_kernels import core_points, density_labels
from reunite.errors import InputError
from reunite.neighbors.jaccard import check_neighborhood, jaccard_graph
from reunite.types import NOISE, check_embeddings

TIE_TOLERANCE = 1e-6
"""Pairs up to `eps` + this are neighbors. With k2 = 6 many Jaccard distances are simple fractions (4 of 6 shared is
exactly 0.5), and whether float32 puts them a hair above or below eps would otherwise decide which clusters merge."""


def dbscan_labels(graph: csr_array, eps: float, min_samples: int) -> Int64[np.ndarray, " n"]:
    """DBSCAN (Ester et al. 1996) on a sparse graph of distances; -1 is noise.

    Equal to scikit-learn's on the same graph, element by element, except for the rule on ties: two points are
    neighbors where their distance is at most `eps` + `TIE_TOLERANCE`. A core point has `min_samples` neighbors, itself
    included. Connected core points are a cluster; clusters are numbered by their smallest core point. A point that is
    only a neighbor of core points joins the lowest-numbered of their clusters.

    Args:
        graph: (n, n), symmetric; explicit entries are distances, an absent pair is farther than `eps`. `jaccard_graph`
            makes one; its `max_distance` must be at least `eps` + `TIE_TOLERANCE` for ties to be seen.
        eps: distance up to which points are neighbors, at least 0.
        min_samples: neighbors that make a core point, the point itself included, at least 1.

    Raises:
        InputError: the graph is not square, or `eps` or `min_samples` is out of range.
    """
    return _dbscan(graph, eps, min_samples)[0]


def _dbscan(graph: csr_array, eps: float, min_samples: int) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise InputError(f"graph must be square, one row and column per point; got shape {graph.shape}.")
    if not eps >= 0:
        raise InputError(f"eps must be a distance, 0 or more; got {eps}.")
    if min_samples < 1:
        raise InputError(f"min_samples counts the point itself and must be at least 1; got {min_samples}.")
    near = graph if isinstance(graph, csr_array) else csr_array(graph)
    if not near.has_sorted_indices:
        near = near.sorted_indices()  # a copy
    core = core_points(near.indptr, near.indices, near.data, eps + TIE_TOLERANCE, min_samples)
    return density_labels(near.indptr, near.indices, near.data, eps + TIE_TOLERANCE, core), core


class JaccardDBSCAN(ClusterMixin, BaseEstimator):
    """DBSCAN on k-reciprocal Jaccard distances, as Cluster Contrast (Dai et al. 2021) and SpCL (Ge et al. 2020) use it.

    A scikit-learn clusterer with the authors' defaults. Its labels equal the authors' programs', element by element,
    except where distances tie with `eps`: neighbors are pairs up to `eps` + `TIE_TOLERANCE` (1e-6) apart, whereas the
    authors' answer there depends on the rounding of their machine. Memory is O(n k1), not O(n^2).

    Args:
        k1: size of the reciprocal neighborhoods, the point itself included.
        k2: neighborhoods averaged in the query expansion, the point's own included; 1 is none.
        eps: Jaccard distance up to which two points are neighbors, in (0, 1]. At 1 all points are.
        min_samples: neighbors that make a core point, the point itself included.
        k1_includes_self: False has k1 neighbors beside the point itself, as Zhong et al. (2017) define neighborhoods; the
            authors' code asks for as many and gets one less.

    Attributes:
        labels_: cluster of each row, (n,) int64, numbered by smallest core point; -1 is noise.
        core_sample_indices_: the core points, ascending.
        n_features_in_: columns seen in `fit`.
    """

    def __init__(
        self, k1: int = 30, k2: int = 6, eps: float = 0.6, min_samples: int = 4, k1_includes_self: bool = True
    ) -> None:
        self.k1 = k1
        self.k2 = k2
        self.eps = eps
        self.min_samples = min_samples
        self.k1_includes_self = k1_includes_self

    def fit(self, X: Any, y: Any = None) -> JaccardDBSCAN:
        """Cluster the rows of `X`, (n, d); their lengths do not matter. `y` is ignored.

        Raises:
            InputError: an option out of range, or rows that are not finite.
            ValueError: `X` is no such array; scikit-learn's message says why.
        """
        self.check_options()
        X = check_embeddings(validate_data(self, X, dtype=np.float32, ensure_all_finite=False))
        radius = self.eps + TIE_TOLERANCE
        if radius < 1:
            graph = jaccard_graph(X, self.k1, self.k2, radius, k1_includes_self=self.k1_includes_self)
            self.labels_, core = _dbscan(graph, self.eps, self.min_samples)
        else:  # no distance is above 1: all points are neighbors of each other
            core = np.full(len(X), len(X) >= self.min_samples)
            self.labels_ = np.where(core, 0, NOISE)
        self.core_sample_indices_ = np.flatnonzero(core)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Int64[np.ndarray, " n"]:
        """`fit`, and the labels."""
        return self.fit(X).labels_

    def check_options(self) -> None:
        """Raise `InputError` for an option out of range; `train` asks before it decodes an image."""
        check_neighborhood(self.k1, self.k2)
        if not 0 < self.eps <= 1:
            raise InputError(f"eps is a Jaccard distance and must be in (0, 1]; got {self.eps}.")
        if self.min_samples < 1:
            raise InputError(f"min_samples counts the point itself and must be at least 1; got {self.min_samples}.")
