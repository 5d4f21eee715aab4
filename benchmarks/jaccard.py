"""From embeddings to clusters: the sparse Jaccard graph and DBSCAN beside the published matrices and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.neighbors import sort_graph_by_row_values

import reunite
from benchmarks.checks import same_graph, same_labels
from benchmarks.features import Rows, large, market, msmt
from benchmarks.harness import Case, Job, Peer, Setting
from benchmarks.packages import from_checkout, optional
from benchmarks.published.jaccard import dense_jaccard, jaccard_of_neighbors
from benchmarks.rates import Work
from reunite.cluster.density import TIE_TOLERANCE, dbscan_labels
from reunite.neighbors.jaccard import graph_of_neighbors

K1, K2, EPS, MIN_SAMPLES = 30, 6, 0.6, 4  # eps is off the common ties: no multiple of 1/6 is a distance of 0.6
CLUSTERER = reunite.JaccardDBSCAN(K1, K2, EPS, MIN_SAMPLES)

DENSE = 11.0
"""Bytes for every pair that the published program holds at its peak."""

Dense = Callable[[], NDArray[np.float32]]


def clustering(setting: Setting) -> Iterator[Case]:
    for make in (market, msmt, lambda: large(100_000)) if setting.full else (lambda: market(5_000, 512),):
        rows = make()[0]
        n = len(rows)

        def check(ours: NDArray, peer: tuple[NDArray, NDArray], rows: Rows = rows) -> None:
            labels, distance = peer
            same_labels(ours, labels)
            same_graph(reunite.jaccard_graph(rows, K1, K2, 0.7), distance, 0.7)

        peers = [Peer("published, dense", _dense(lambda rows=rows: dense_jaccard(rows, K1, K2)), check, DENSE * n * n)]
        if program := _cluster_contrast(setting, rows):
            peers.append(Peer("cluster-contrast", _dense(program), check, DENSE * n * n))
        yield Case(_size(rows), lambda rows=rows: CLUSTERER.fit_predict(rows), peers, _products(rows))


def clustering_of_neighbors(setting: Setting) -> Iterator[Case]:
    for make in (market, msmt) if setting.full else (lambda: market(5_000, 512),):
        rows = make()[0]
        indices, similarity = reunite.nearest_neighbors(rows, K1)

        def graph(max_distance: float, found: tuple = (indices, similarity, rows)):
            return graph_of_neighbors(*found, K1, K2, max_distance)

        def check(ours: NDArray, peer: tuple[NDArray, NDArray], graph: Callable = graph) -> None:
            labels, distance = peer
            same_labels(ours, labels)
            same_graph(graph(0.7), distance, 0.7)

        def dense(indices: NDArray = indices, rows: Rows = rows) -> NDArray[np.float32]:
            return jaccard_of_neighbors(indices, rows, K1, K2)

        yield Case(
            _size(rows),
            lambda graph=graph: dbscan_labels(graph(EPS + TIE_TOLERANCE), EPS, MIN_SAMPLES),
            [Peer("published, dense", _dense(dense), check, DENSE * len(rows) ** 2)],
        )


def dbscan(setting: Setting) -> Iterator[Case]:
    rows = msmt()[0] if setting.full else market(5_000, 512)[0]
    graph = reunite.jaccard_graph(rows, K1, K2, EPS + TIE_TOLERANCE)
    by_distance = sort_graph_by_row_values(graph.copy(), warn_when_not_sorted=False)  # as scikit-learn wants it
    yield Case(
        f"{len(rows):,}, {graph.nnz:,} pairs",
        lambda: dbscan_labels(graph, EPS, MIN_SAMPLES),
        [Peer("scikit-learn, the same graph", lambda: _by_scikit_learn(by_distance), same_labels)],
    )


def million(setting: Setting) -> Iterator[Case]:
    """Labels of 1,000,000 rows; memory is what the call adds to the 1 GB of rows."""
    if not setting.million:
        return
    CLUSTERER.fit(large(5_000)[0])  # compiles
    rows = large(1_000_000)[0]
    yield Case(_size(rows), lambda: CLUSTERER.fit_predict(rows), (), _products(rows), once=True)


def _dense(distance: Dense) -> Callable[[], tuple[NDArray, NDArray]]:
    def labels_and_distances() -> tuple[NDArray, NDArray]:
        distances = distance()
        return _by_scikit_learn(distances), distances

    return labels_and_distances


def _by_scikit_learn(distance) -> NDArray[np.int64]:
    return DBSCAN(eps=EPS, min_samples=MIN_SAMPLES, metric="precomputed").fit_predict(distance)


def _cluster_contrast(setting: Setting, rows: Rows) -> Dense | None:
    """The authors' own function, with its search on the CPU, where a checkout and faiss are there."""
    checkout = setting.checkouts.get("cluster-contrast")
    if checkout is None or optional("faiss") is None:
        return None
    program = from_checkout(checkout, "clustercontrast.utils.faiss_rerank").compute_jaccard_distance
    return lambda: program(torch.from_numpy(rows), K1, K2, print_flag=False, search_option=3)


def _size(rows: Rows) -> str:
    return f"{len(rows):,} x {rows.shape[1]:,}"


def _products(rows: Rows) -> Work:
    return Work(bfloat16=float(len(rows)) ** 2 * rows.shape[1])


JOBS: dict[str, Job] = {
    "Jaccard + DBSCAN": clustering,
    "Jaccard + DBSCAN, neighbors given": clustering_of_neighbors,
    "DBSCAN on the graph": dbscan,
    "Jaccard + DBSCAN, a million": million,
}
