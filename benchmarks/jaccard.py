"""From embeddings to clusters: the sparse Jaccard graph and DBSCAN beside dense NumPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import DBSCAN
from sklearn.neighbors import sort_graph_by_row_values

from benchmarks.features import embeddings
from benchmarks.harness import Row, compare
from reunite.cluster.density import dbscan_labels
from reunite.neighbors.jaccard import jaccard_graph

K1, K2, EPS, MIN_SAMPLES = 30, 6, 0.6, 4  # eps is off the common ties: no multiple of 1/6 is a distance of 0.6


def dense_jaccard(rows: np.ndarray, k1: int, k2: int) -> np.ndarray:
    """The published algorithm on n x n matrices: top k1 lists, reciprocal sets, weights, query expansion, min-sums."""
    n = len(rows)
    similarity = rows @ rows.T
    np.fill_diagonal(similarity, 2)
    nearest = np.argpartition(-similarity, k1 - 1, axis=1)[:, :k1]
    order = np.argsort(-np.take_along_axis(similarity, nearest, axis=1), axis=1, kind="stable")
    nearest = np.take_along_axis(nearest, order, axis=1)
    np.fill_diagonal(similarity, 1)
    full, half = _reciprocal(nearest), _reciprocal(nearest[:, : round(k1 / 2) + 1])
    half_sizes = half.sum(axis=1)
    weights = np.zeros((n, n), np.float32)
    for i in range(n):
        candidates = np.flatnonzero(full[i])
        joining = 3 * (half[candidates] & full[i]).sum(axis=1) > 2 * half_sizes[candidates]
        members = np.flatnonzero(full[i] | half[candidates[joining]].any(axis=0))
        weight = np.exp(2 * similarity[i, members] - 2)
        weights[i, members] = weight / weight.sum()
    if k2 > 1:
        weights = np.stack([weights[nearest[i, :k2]].mean(axis=0) for i in range(n)])
    holders = [np.flatnonzero(column) for column in weights.T]
    distance = np.empty((n, n), np.float32)
    for i in range(n):
        shared = np.zeros(n, np.float32)
        for column in np.flatnonzero(weights[i]):
            held = holders[column]
            shared[held] += np.minimum(weights[i, column], weights[held, column])
        distance[i] = np.maximum(0, 1 - shared / (2 - shared))
    return distance


def _reciprocal(nearest: np.ndarray) -> np.ndarray:
    near = np.zeros((len(nearest), len(nearest)), bool)
    np.put_along_axis(near, nearest, True, axis=1)
    return near & near.T


def _sklearn_labels(distance: np.ndarray | csr_array) -> np.ndarray:
    return DBSCAN(eps=EPS, min_samples=MIN_SAMPLES, metric="precomputed").fit_predict(distance)


def _check(ours: tuple[csr_array, np.ndarray], peer: tuple[np.ndarray, np.ndarray]) -> None:
    (graph, labels), (distance, expected) = ours, peer
    at = np.repeat(np.arange(len(labels)), np.diff(graph.indptr)), graph.indices
    np.testing.assert_allclose(graph.data, distance[at], rtol=0, atol=2e-6)
    surely_near = np.count_nonzero(distance <= 0.7 - 2e-6)
    assert surely_near <= graph.nnz <= np.count_nonzero(distance <= 0.7 + 2e-6)
    np.testing.assert_array_equal(labels, expected)


def rows(full: bool, repeats: int) -> Iterator[Row]:
    """Embeddings to labels, then DBSCAN alone on the same graph."""
    n, dimensions = (12_936, 2048) if full else (5_000, 512)
    features = embeddings(n, dimensions, people=n // 17)[0]

    def ours() -> tuple[csr_array, np.ndarray]:
        graph = jaccard_graph(features, K1, K2)
        return graph, dbscan_labels(graph, EPS, MIN_SAMPLES)

    def dense() -> tuple[np.ndarray, np.ndarray]:
        distance = dense_jaccard(features, K1, K2)
        return distance, _sklearn_labels(distance)

    size = f"{n:,} x {dimensions:,}"
    yield compare(
        "Jaccard distance + DBSCAN", size, ours, dense, peer_name="dense NumPy", check=_check, repeats=repeats
    )
    graph = jaccard_graph(features, K1, K2)
    by_distance = sort_graph_by_row_values(graph.copy(), warn_when_not_sorted=False)  # as scikit-learn wants it
    yield compare(
        "DBSCAN on the graph",
        f"{n:,}, {graph.nnz:,} pairs",
        lambda: dbscan_labels(graph, EPS, MIN_SAMPLES),
        lambda: _sklearn_labels(by_distance),
        peer_name="scikit-learn, sparse",
        check=np.testing.assert_array_equal,
        repeats=repeats,
    )
