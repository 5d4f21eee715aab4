"""Infomap on the graph of nearest neighbors: the other clustering of Cluster Contrast."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from reunite.errors import InputError
from reunite.neighbors.knn import nearest_neighbors
from reunite.types import NOISE, Clusters, check_embeddings

LARGEST_SEED = 2**32 - 2
"""Infomap's own seeds are 32 bits wide and start at 1."""


def similarity_links(
    embeddings: Float64[np.ndarray, "n d"], k: int, min_similarity: float
) -> Float64[np.ndarray, "m 3"]:
    """A link from each row to each of its `k` nearest rows, itself included in the count, that is similar enough.

    Links have a direction: a row in a dense place is near many rows that are not among its own nearest.

    Args:
        embeddings: rows of any length.
        k: nearest rows that are looked at, the row itself among them.
        min_similarity: the least cosine, c, of a link; compared as the authors do, 1 - cosine <= 1 - c.

    Returns:
        (m, 3): source, target and cosine, by source and then from the most to the least similar. Every target is also a
        source, since the rows nearest to it are at least as near as the one that links to it.
    """
    indices, similarity = nearest_neighbors(embeddings, min(k, len(embeddings)))
    source, place = np.nonzero(1 - similarity[:, 1:] <= 1 - min_similarity)
    return np.column_stack([source, indices[source, place + 1], similarity[source, place + 1]])


class InfomapClustering(ClusterMixin, BaseEstimator):
    """Infomap on directed nearest-neighbor links, as Cluster Contrast (Dai et al. 2021) uses it.

    Infomap looks for the modules that make the description of a random walk along the links shortest. A scikit-learn
    clusterer with the authors' defaults, which are the same for all their data sets. Memory is O(n k).

    Differences from the authors' code: it reads the tree of an Infomap 1.x package by a rule that current packages
    break, here each row gets the module it is in; the seed is explicit, with one trial; clusters are numbered by first
    member, theirs in the order of a set. Partitions of different Infomap versions may differ.

    Infomap is licensed under the GPL and is not installed with Reunite: ``pip install "reunite[infomap]"``.

    Args:
        k: nearest rows that a row may be linked to, the row itself included in the count.
        min_similarity: the least cosine of linked rows, in (0, 1].
        min_cluster_size: modules with fewer rows are noise. The authors state 4 as the largest size of an outlier.
        seed: of Infomap's search, which no other generator takes part in; 0 to 2**32 - 2.

    Attributes:
        labels_: cluster of each row, (n,) int64, numbered by first member; -1 is noise.
        n_features_in_: columns seen in `fit`.
    """

    def __init__(self, k: int = 15, min_similarity: float = 0.5, min_cluster_size: int = 5, seed: int = 0) -> None:
        self.k = k
        self.min_similarity = min_similarity
        self.min_cluster_size = min_cluster_size
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> InfomapClustering:
        """Cluster the rows of `X`, (n, d); their lengths do not matter. `y` is ignored.

        Raises:
            InputError: an option out of range, rows that are not finite, or Infomap is not installed.
            ValueError: `X` is no such array; scikit-learn's message says why.
        """
        self.check_options()
        X = check_embeddings(validate_data(self, X, dtype=np.float32, ensure_all_finite=False))
        modules = np.full(len(X), NOISE)
        links = similarity_links(X, self.k, self.min_similarity)
        if len(links):  # rows without links are noise, and Infomap refuses a graph of nothing else
            network = _infomap().Network().add_links(links)  # silent, writes no files
            found = network.run(two_level=True, directed=True, num_trials=1, seed=int(self.seed) + 1).modules()
            modules[np.fromiter(found.keys(), np.int64)] = np.fromiter(found.values(), np.int64)
        small = np.bincount(modules + 1)[modules + 1] < self.min_cluster_size
        self.labels_ = Clusters.of(np.where(small, NOISE, modules)).labels
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Int64[np.ndarray, " n"]:
        """`fit`, and the labels."""
        return self.fit(X).labels_

    def check_options(self) -> None:
        """Raise `InputError` for an option out of range, or without Infomap; `train` asks before it decodes an image."""
        if self.k < 2:
            raise InputError(f"k counts the row itself and must be at least 2; got {self.k}.")
        if not 0 < self.min_similarity <= 1:
            raise InputError(f"min_similarity is a cosine and must be in (0, 1]; got {self.min_similarity}.")
        if self.min_cluster_size < 1:
            raise InputError(f"min_cluster_size counts rows and must be at least 1; got {self.min_cluster_size}.")
        if not isinstance(self.seed, (int, np.integer)) or not 0 <= self.seed <= LARGEST_SEED:
            raise InputError(f"seed must be a whole number within 0 and {LARGEST_SEED}; got {self.seed}.")
        _infomap()


def _infomap() -> ModuleType:
    try:
        import infomap
    except ImportError as error:
        raise InputError(
            "InfomapClustering needs the infomap package, which is licensed under the GPL and is not installed with "
            'Reunite. Install it with: pip install "reunite[infomap]"'
        ) from error
    return infomap
