"""What `benchmarks.identities` compares with: other clusterers, each at the setting that the labels say is best for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.cluster._hdbscan._tree import tree_to_labels  # what HDBSCAN.fit ends with
from sklearn.neighbors import sort_graph_by_row_values

import reunite
from reunite.cluster.density import TIE_TOLERANCE, dbscan_labels
from reunite.cluster.linkage_tree import linkage_tree
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.identities.look import CUTS, NEIGHBORHOODS

QUANTILES = np.geomspace(1e-5, 0.03, 25)
"""Of the cosine distances of all pairs: eps of scikit-learn's DBSCAN. Pairs of one individual are 1 in 100 to 1 in 10,000."""

PAIRS = 2_000_000
"""Pairs that the quantiles are taken of, drawn at random."""

MIN_SAMPLES = (2, 3, 4, 5)
HDBSCAN_SAMPLES = (1, 2, 3, 5)
HDBSCAN_SIZES = (2, 3, 5, 8, 12)
JACCARD_K1 = (5, 10, 20, 30)
JACCARD_EPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
JACCARD_SAMPLES = (2, 4)
LINKAGE_CUTS = 50
"""Numbers of clusters at which average linkage is cut, from a hundredth of the rows to all: so many at equal distances, and so
many that each are a tenth above the one before."""

GRIDS = (
    "JaccardDBSCAN: k1 5, 10, 20, 30; k2 max(2, k1 // 5); eps 0.1, 0.2 ... 0.7; min_samples 2, 4. "
    f"AverageLinkage on cosine distance: {2 * LINKAGE_CUTS} cuts, from n / 100 clusters to n. "
    f"scikit-learn's DBSCAN on cosine distance: eps at {len(QUANTILES)} quantiles of the distances, 0.00001 to 0.03; "
    "min_samples 2, 3, 4, 5. scikit-learn's HDBSCAN on cosine distance (precomputed): min_cluster_size 2, 3, 5, 8, 12; "
    "min_samples 1, 2, 3, 5; eom and leaf."
)


@dataclass(frozen=True)
class Score:
    """How well labels match: noise is alone, and rows of unknown identity do not count.

    Attributes:
        found: groups, rows that are alone included.
        alone: rows that are alone.
        setting: as printed.
    """

    ari: float
    pairwise_f: float
    found: int
    alone: int
    setting: str

    @classmethod
    def of(cls, labels: np.ndarray, identity: np.ndarray, setting: str = "") -> Score:
        scores = reunite.clustering_scores(labels, identity)
        counted = labels[identity >= 0]
        sizes = np.bincount(counted[counted >= 0])
        alone = int((sizes == 1).sum()) + scores.noise
        return cls(scores.ari, scores.pairwise_f, scores.clusters + scores.noise, alone, setting)


Settings = Iterator[tuple[str, np.ndarray]]
"""A setting, as printed, and the labels it gives."""


def jaccard_dbscan(rows: np.ndarray) -> Settings:
    for k1 in JACCARD_K1:
        graph = reunite.jaccard_graph(rows, k1, max(2, k1 // 5), max(JACCARD_EPS) + TIE_TOLERANCE)
        for eps in JACCARD_EPS:
            for least in JACCARD_SAMPLES:
                yield f"k1 {k1}, eps {eps}, min_samples {least}", dbscan_labels(graph, eps, least)


def average_linkage(rows: np.ndarray) -> Settings:
    tree = linkage_tree(rows)
    ends = max(1, len(rows) // 100), len(rows), LINKAGE_CUTS
    for clusters in np.unique(np.concatenate([np.linspace(*ends), np.geomspace(*ends)]).astype(int)):
        merges = min(len(rows) - clusters, len(tree.heights))
        height = tree.heights[merges - 1] if merges else 0.0
        yield f"cut {height:.3f}", tree.cut(float(height))


def cosine_dbscan(rows: np.ndarray) -> Settings:
    distances = _cosine(rows)
    first, second = np.random.default_rng(0).integers(len(rows), size=(2, PAIRS))
    radii = np.unique(np.quantile(distances[first, second][first != second], QUANTILES))
    pairs = np.nonzero(distances <= radii[-1])
    near = sort_graph_by_row_values(csr_matrix((distances[pairs], pairs), distances.shape), warn_when_not_sorted=False)
    del distances, pairs
    for eps in radii:
        if eps > 0:
            for least in MIN_SAMPLES:
                found = DBSCAN(eps=eps, min_samples=least, metric="precomputed").fit_predict(near)
                yield f"eps {eps:.3f}, min_samples {least}", found


def cosine_hdbscan(rows: np.ndarray) -> Settings:
    """One tree for each `min_samples`: `min_cluster_size` and the method only decide how it is cut."""
    distances = _cosine(rows)
    for least in HDBSCAN_SAMPLES:
        fitted = HDBSCAN(min_cluster_size=2, min_samples=least, metric="precomputed", copy=True).fit(distances)
        for size in HDBSCAN_SIZES:
            for method in ("eom", "leaf"):
                labels, _ = tree_to_labels(fitted._single_linkage_tree_, size, method)
                yield f"min_cluster_size {size}, min_samples {least}, {method}", labels


def same_linkage(rows: np.ndarray) -> Settings:
    """The first pass of `identify`, with k1 and the cut of the labels."""
    for k1, k2 in NEIGHBORHOODS:
        graph: csr_array = reunite.jaccard_graph(rows, min(k1, len(rows)), k2, FARTHEST)
        tree = sparse_linkage_tree(graph)
        for cut in CUTS:
            yield f"k1 {k1}, eps {cut:g}", tree.cut(float(cut))


PEERS: dict[str, Callable[[np.ndarray], Settings]] = {
    "same linkage": same_linkage,
    "`JaccardDBSCAN`": jaccard_dbscan,
    "`AverageLinkage`": average_linkage,
    "scikit-learn DBSCAN": cosine_dbscan,
    "scikit-learn HDBSCAN": cosine_hdbscan,
}
"""In this order: the last one takes longest."""


def best(peer: str, rows: np.ndarray, identity: np.ndarray) -> Score:
    """The score of the setting with the highest ARI."""
    return max(
        (Score.of(labels, identity, setting) for setting, labels in PEERS[peer](rows)), key=lambda score: score.ari
    )


def _cosine(rows: np.ndarray) -> np.ndarray:
    distances = rows @ rows.T
    np.subtract(1, distances, out=distances)
    np.clip(distances, 0, 2, out=distances)
    np.fill_diagonal(distances, 0)
    return distances.astype(np.float64)  # HDBSCAN takes no other
