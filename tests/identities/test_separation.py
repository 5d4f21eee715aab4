"""How near rows are to clusters, against loops over all pairs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from oracles.sparse_graphs import dense, separation_by_loops
from reunite.identities.separation import separation


def some_graph(rng: np.random.Generator, n: int, share: float) -> csr_array:
    """Distances with 0 and 1 among them, some stored and some absent."""
    matrix = rng.integers(0, 17, (n, n)) / 16  # exact in float32, and so are their sums: those that tie do
    matrix = np.minimum(matrix, matrix.T)
    there = np.triu(rng.random((n, n)) < share)
    i, j = np.nonzero(there | there.T)
    return csr_array((matrix[i, j].astype(np.float32), (i, j)), shape=(n, n))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12), st.floats(0, 1), st.integers(1, 6), st.integers(0, 8))
def test_equals_loops(seed: int, n: int, share: float, most: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    graph, labels = some_graph(rng, n, share), rng.integers(-1, most, n)
    apart = rng.integers(0, max(n, 1), (count if n else 0, 2))
    apart = apart[(apart[:, 0] != apart[:, 1]) & (labels[apart[:, 0]] != labels[apart[:, 1]])]
    before = [graph.data.copy(), graph.indices.copy(), labels.copy(), apart.copy()]
    for pairs in (apart, None):
        found = separation(graph, labels, pairs)
        own, other, second = separation_by_loops(dense(graph), labels, [] if pairs is None else pairs.tolist())
        np.testing.assert_allclose(found.own, own, atol=1e-6)
        np.testing.assert_allclose(found.other, other, atol=1e-6)
        np.testing.assert_array_equal(found.second_best, second)
        assert found.second_best.dtype == np.int64
    for was, now in zip(before, (graph.data, graph.indices, labels, apart), strict=True):
        np.testing.assert_array_equal(was, now)


def test_by_hand() -> None:
    """0, 1 and 2 in one cluster, 3 alone."""
    matrix = np.ones((4, 4))
    for i, j, distance in ((0, 1, 0.25), (0, 2, 0.75), (2, 3, 0.5)):
        matrix[i, j] = matrix[j, i] = distance
    graph, labels = csr_array(matrix.astype(np.float32)), np.array([0, 0, 0, 1])
    found = separation(graph, labels)
    assert found.own.tolist() == [0.5, 0.375, 0.125, 0]
    np.testing.assert_allclose(found.other, [0, 0, 0.5, 0.5 / 3])
    assert found.second_best.tolist() == [-1, -1, 1, 0]
    np.testing.assert_allclose(found.margin, [0.5, 0.375, -0.375, 0])
    kept = separation(graph, labels, np.array([[3, 1]]))
    assert kept.other.tolist() == [0, 0, 0.5, 0] and kept.second_best.tolist() == [-1, -1, 1, -1]


def test_pairs_that_stay_apart_are_forgotten_before_the_next_row() -> None:
    """A sum of 1e30 swallows all others, and none of it may be left behind."""
    graph = csr_array(np.full((4, 4), 0.5, np.float32))
    found = separation(graph, np.array([0, 0, 1, 2]), np.array([[0, 2], [0, 3]]))
    assert found.second_best.tolist() == [-1, 1, 2, 1]
    np.testing.assert_allclose(found.other, [0, 0.5, 0.5, 0.5])
