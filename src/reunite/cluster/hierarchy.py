"""Agglomeration from single rows in every round: the clustering of HCT."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import scipy.cluster.hierarchy
from jaxtyping import Float32, Float64, Int64
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from reunite.cluster.blocks import BLOCK_SIZE, ClusterBlocks, Metric, Tile, check_metric
from reunite.cluster.closest_pairs import Pairs, closest_pairs
from reunite.cluster.distance_matrix import check_memory, distance_matrix, distance_matrix_bytes
from reunite.cluster.hierarchy_kernels import AVERAGE, COMPLETE, SINGLE, WARD, contract, nearest_neighbor_chain
from reunite.cluster.merging import check_merge_percent, clusters_to_merge, merge_closest, merge_in_order
from reunite.errors import InputError
from reunite.types import Clusters, check_embeddings, unit_rows

Linkage = Literal["average", "single", "complete", "ward", "centroid"]
MergeMode = Literal["exact", "batch"]

CODES = {"average": AVERAGE, "single": SINGLE, "complete": COMPLETE, "ward": WARD}
REDUCTIONS = {"average": np.add, "single": np.minimum, "complete": np.maximum, "ward": np.maximum}
PAIRWISE = ("average", "single", "complete")
"""Linkages made of the distances between members, which need not be single rows to begin with."""

Merges = tuple[Int64[np.ndarray, " c"], Float64[np.ndarray, " m"]]
"""The new cluster of each old one, and the heights of the merges."""


def linkage_matrix(
    embeddings: Float32[np.ndarray, "n d"], clusters: Clusters, linkage: Linkage, metric: Metric
) -> Float32[np.ndarray, "c c"]:
    """Linkage of all pairs of clusters of directions, exactly symmetric, with infinity on the diagonal.

    Ward's is the metric itself, so that it is of clusters of one row.
    """
    if clusters.count == len(embeddings):
        return distance_matrix(embeddings, metric)
    matrix = np.empty((clusters.count, clusters.count), np.float32)
    rows = unit_rows(embeddings.astype(np.float64))
    for tile in ClusterBlocks(rows, clusters).tiles(metric, REDUCTIONS[linkage]):
        values = tile.values
        if linkage == "average":
            values /= np.outer(clusters.sizes[tile.rows], clusters.sizes[tile.columns])
        if tile.first == tile.second:  # products are symmetric up to rounding only: a chain of neighbors could cycle
            values = np.triu(values, 1)
            values += values.T
        matrix[tile.rows, tile.columns] = values
        matrix[tile.columns, tile.rows] = values.T
    np.fill_diagonal(matrix, np.inf)
    return matrix


def merge_exactly(
    embeddings: Float32[np.ndarray, "n d"], clusters: Clusters, linkage: Linkage, metric: Metric, merges: int
) -> Merges:
    """Merge the closest pair `merges` times, by nearest-neighbor chains; not for centroid linkage."""
    squared = linkage == "ward"
    matrix = linkage_matrix(embeddings, clusters, linkage, "sqeuclidean" if squared else metric)
    first, second, heights = nearest_neighbor_chain(matrix, clusters.sizes, CODES[linkage])
    order = np.argsort(heights, kind="stable")[:merges]
    merged, _ = merge_in_order(first[order], second[order], clusters.count, merges, True)
    return np.unique(merged, return_inverse=True)[1], np.sqrt(heights[order]) if squared else heights[order]


def merge_in_batches(
    embeddings: Float32[np.ndarray, "n d"],
    clusters: Clusters,
    linkage: Linkage,
    metric: Metric,
    merges: int,
    steps: int,
) -> Merges:
    """In each of `steps` steps, unite along the closest pairs until `merges` merges are done, then link anew."""
    matrix, sizes = linkage_matrix(embeddings, clusters, linkage, metric), clusters.sizes
    labels, heights = np.arange(clusters.count), []
    for _ in range(steps):
        merged, taken = merge_closest(partial(_closest_in, matrix), len(sizes), merges, "union")
        matrix, sizes = contract(matrix, sizes, merged, CODES[linkage])
        labels = merged[labels]
        heights.append(taken)
    return labels, np.concatenate(heights)


def _closest_in(matrix: Float32[np.ndarray, "c c"], want: int) -> Pairs:
    starts = range(0, len(matrix), BLOCK_SIZE)
    tiles = (Tile(a, b, matrix[a : a + BLOCK_SIZE, b : b + BLOCK_SIZE]) for a in starts for b in starts if a <= b)
    return closest_pairs(tiles, len(matrix), want)


def merge_by_centroids(embeddings: Float32[np.ndarray, "n d"], merges: int) -> Merges:
    """Merge the two clusters with the nearest means `merges` times. Not reducible, so SciPy's search does it."""
    count = len(embeddings)
    tree = scipy.cluster.hierarchy.linkage(unit_rows(embeddings.astype(np.float64)), "centroid")[:merges]
    members = np.append(np.arange(count), np.empty(merges, np.int64))  # one row of each cluster of the tree
    pairs = np.empty((merges, 2), np.int64)
    for merge, sides in enumerate(tree[:, :2].astype(np.int64)):
        pairs[merge] = members[sides]
        members[count + merge] = pairs[merge, 0]
    merged, _ = merge_in_order(pairs[:, 0], pairs[:, 1], count, merges, True)
    return np.unique(merged, return_inverse=True)[1], tree[:, 2]


class AverageLinkage(ClusterMixin, BaseEstimator):
    """Agglomerative clustering of unit rows, cut at a share of clusters: that of HCT (CVPR 2020, arXiv 1910.12278).

    A scikit-learn clusterer. Every fit starts over from single rows and merges steps * int(n * merge_percent) times;
    with the defaults 9 % of the rows are left as clusters. No program of the authors is public: average linkage of
    Euclidean distances (UPGMA) is what reports of the paper describe, `merge_percent` and `steps` come from a
    re-implementation, and the other linkages and modes are for ablations.

    The one clusterer here that holds an n x n matrix, one in float32 beside a copy of the rows: 0.67 GB and 0.1 GB for
    12,936 rows of 2048 columns. It refuses where the memory at hand would not hold them. Distances err by up to 1e-6
    (squared, `distance_matrix`): merges that tie up to that are made in any order.

    Args:
        merge_percent: share of the rows merged in a step, in (0, 1].
        steps: steps of a fit; each merges int(n * merge_percent) times.
        linkage: distance of two clusters: mean ("average"), smallest ("single") or largest ("complete") distance of
            their members, growth of the sum of squares ("ward"), or distance of their means ("centroid", by SciPy, in
            float64, slower and with more than twice the memory).
        merge_mode: "exact" merges the closest pair each time, and the split into steps makes no difference. "batch"
            takes all closest pairs of a step from distances computed once, chains allowed, as BUC does; for
            "average", "single" and "complete".
        metric: distance of two rows: "euclidean" or "sqeuclidean". "ward" and "centroid" are Euclidean by definition.
        reinit_labels: start from single rows. False starts from the clusters given as `y`, an ablation, for "average",
            "single" and "complete".

    Attributes:
        labels_: cluster of each row, (n,) int64, numbered by first member; no noise.
        heights_: the linkage at which each merge was made, (merges,) float64, in the order of the merges.
        n_features_in_: columns seen in `fit`.
    """

    def __init__(
        self,
        merge_percent: float = 0.07,
        steps: int = 13,
        linkage: Linkage = "average",
        merge_mode: MergeMode = "exact",
        metric: Metric = "euclidean",
        reinit_labels: bool = True,
    ) -> None:
        self.merge_percent = merge_percent
        self.steps = steps
        self.linkage = linkage
        self.merge_mode = merge_mode
        self.metric = metric
        self.reinit_labels = reinit_labels

    def fit(self, X: Any, y: Any = None) -> AverageLinkage:
        """Cluster the rows of `X`, (n, d); their lengths do not matter.

        Args:
            X: the rows.
            y: (n,) labels to start from with `reinit_labels=False`; rows labelled -1 are a cluster each, and None
                means that all rows are. Ignored otherwise.

        Raises:
            InputError: an option out of range, options that do not go together, rows that are not finite, fewer
                clusters than merges, or a matrix that does not fit into memory.
            ValueError: `X` is no such array; scikit-learn's message says why.
        """
        self.check_options()
        X = check_embeddings(validate_data(self, X, dtype=np.float32, ensure_all_finite=False))
        clusters = clusters_to_merge(None if self.reinit_labels else y, len(X))
        each = int(len(X) * self.merge_percent)
        if self.steps * each >= clusters.count:
            raise InputError(
                f"{self.steps} steps of int({len(X):,} rows * {self.merge_percent}) = {each:,} merges need more than "
                f"{self.steps * each:,} clusters to start from; got {clusters.count:,}. Lower steps or merge_percent."
            )
        merged, self.heights_ = np.arange(clusters.count), np.empty(0)
        if each:
            check_memory(
                self._bytes(X.shape[1], len(X), clusters.count),
                f"Linkage {self.linkage!r} of {clusters.count:,} clusters",
                "Use fewer rows or a larger machine, or BottomUp(Dispersion(weight=0.0)), which merges by average "
                "linkage too, a share a round, and needs no matrix.",
            )
            merged, self.heights_ = self._merge(X, clusters, each)
        self.labels_ = merged[clusters.labels]
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Int64[np.ndarray, " n"]:
        """`fit`, and the labels."""
        return self.fit(X, y).labels_

    def _merge(self, embeddings: Float32[np.ndarray, "n d"], clusters: Clusters, each: int) -> Merges:
        if self.merge_mode == "batch":
            return merge_in_batches(embeddings, clusters, self.linkage, self.metric, each, self.steps)
        if self.linkage == "centroid":
            return merge_by_centroids(embeddings, self.steps * each)
        return merge_exactly(embeddings, clusters, self.linkage, self.metric, self.steps * each)

    def check_options(self) -> None:
        """Raise `InputError` for options out of range or that do not go together; `train` asks before it decodes an image."""
        check_merge_percent(self.merge_percent)
        check_metric(self.metric)
        if self.steps < 1:
            raise InputError(f"steps must be at least 1; got {self.steps}.")
        for name, known in (("linkage", get_args(Linkage)), ("merge_mode", get_args(MergeMode))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}.")
        if self.linkage not in PAIRWISE:
            for name, needed in (("metric", "euclidean"), ("merge_mode", "exact"), ("reinit_labels", True)):
                if getattr(self, name) != needed:
                    raise InputError(
                        f"{name}={getattr(self, name)!r} works with linkage {', '.join(PAIRWISE)}; got "
                        f"{self.linkage!r}. Use one of these, or {name}={needed!r}."
                    )

    def _bytes(self, columns: int, count: int, clusters: int) -> int:
        """What a fit holds at its peak besides its input."""
        if self.linkage == "centroid":  # SciPy: the rows in float64, and two copies of the distances of all pairs
            return 8 * count * columns + 8 * count**2
        if clusters == count:
            return distance_matrix_bytes(count, columns)
        return 4 * clusters**2 + 2 * 8 * count * columns  # the rows in float64, and sorted by cluster
