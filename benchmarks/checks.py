"""When two outputs are equal: labels identical, distances within 2e-6, scores within 1e-5."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from reunite.types import Clusters

DISTANCE, SCORE = 2e-6, 1e-5

Neighbors = tuple[NDArray[np.int64], NDArray[np.float32]]


def same_labels(ours: NDArray, peer: NDArray) -> None:
    np.testing.assert_array_equal(ours, peer)


def same_partition(ours: NDArray, peer: NDArray) -> None:
    """The same clusters, numbered anyhow; -1 is noise."""
    np.testing.assert_array_equal(Clusters.of(ours).labels, Clusters.of(np.asarray(peer, np.int64)).labels)


def same_distances(ours: NDArray, peer: NDArray) -> None:
    np.testing.assert_allclose(ours, peer, rtol=0, atol=DISTANCE)


def same_graph(ours: csr_array, dense: NDArray, max_distance: float) -> None:
    """The stored pairs have the distances of the matrix, and they are those up to `max_distance`."""
    for start in range(0, len(dense), 1024):
        block = ours[start : start + 1024].tocoo()
        beside = dense[start : start + 1024]
        same_distances(block.data, beside[block.coords])
        surely, perhaps = (np.count_nonzero(beside <= max_distance + by) for by in (-DISTANCE, DISTANCE))
        assert surely <= block.nnz <= perhaps, f"{block.nnz} pairs within {max_distance}; the matrix has {perhaps}"


def same_neighbors(ours: Neighbors, peer: Neighbors) -> None:
    """The same similarities; the same rows, but where two are equally near, up to rounding."""
    (indices, similarity), (others, values) = ours, peer
    same_distances(similarity, values)
    tied = np.zeros(indices.shape, bool)
    close = np.abs(np.diff(similarity, axis=1)) <= 2 * DISTANCE
    tied[:, 1:] |= close
    tied[:, :-1] |= close
    tied[:, -1] = True  # it can tie with the first that is left out
    wrong = (indices != others) & ~tied
    assert not wrong.any(), f"{np.count_nonzero(wrong):,} neighbors differ"


def same_scores(ours: Any, peer: tuple) -> None:
    """`Scores` beside (CMC, mAP) or (CMC, mAP, mINP). A tie up to rounding can move a query by a rank."""
    cmc, *others = peer
    np.testing.assert_allclose(ours.cmc, cmc[: len(ours.cmc)], rtol=0, atol=2 / ours.queries)
    np.testing.assert_allclose([ours.mAP, ours.mINP][: len(others)], others, rtol=0, atol=SCORE)
