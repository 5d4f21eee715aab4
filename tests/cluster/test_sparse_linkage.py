"""Average linkage on a sparse graph, against greedy merging in loops and SciPy's tree of the dense matrix."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

from oracles.sparse_graphs import dense, merges_of_graph
from reunite.cluster.linkage_tree import LinkageTree
from reunite.cluster.merging import merge_in_order
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.errors import InputError
from reunite.neighbors.jaccard import jaccard_graph
from reunite.types import Clusters

drawn_once = settings(max_examples=80, deadline=None, derandomize=True)


def graph_of(matrix: np.ndarray) -> csr_array:
    """What is below 1, and the diagonal, which is stored as zeros."""
    i, j = np.nonzero((matrix < 1) | np.eye(len(matrix), dtype=bool))
    return csr_array((matrix[i, j].astype(np.float32), (i, j)), shape=matrix.shape)


def some_graph(rng: np.random.Generator, n: int, share: float, levels: int = 0) -> csr_array:
    """Random distances, of which a share is there. With `levels` they are multiples of 1 / levels, so that many tie."""
    matrix = rng.random((n, n)) if not levels else rng.integers(0, levels, (n, n)) / levels
    matrix = np.where(rng.random((n, n)) < share, matrix, 1)
    matrix = np.minimum(matrix, matrix.T)
    np.fill_diagonal(matrix, 0)
    return graph_of(matrix)


def some_pairs(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    pairs = rng.integers(0, max(n, 1), (count if n else 0, 2))
    return pairs[pairs[:, 0] != pairs[:, 1]]


def some_groups(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    """The lowest row of those that `count` random pairs unite."""
    first, second = np.ascontiguousarray(some_pairs(rng, n, count).T)
    return merge_in_order(first, second, n, len(first), True)[0]


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a[:, None] == a[None], b[:, None] == b[None])


def assert_is_a_tree(tree: LinkageTree) -> None:
    """Heights ascend, and each merge unites two clusters that are there, by their lowest rows."""
    assert (np.diff(tree.heights) >= 0).all() and (tree.heights <= FARTHEST + 1e-5).all()
    assert len(tree.heights) == 0 or tree.heights[0] >= 0
    lowest = set(range(tree.count))
    for first, second in zip(tree.first.tolist(), tree.second.tolist(), strict=True):
        assert first < second and {first, second} <= lowest
        lowest.remove(second)


@drawn_once
@given(st.integers(0, 10**6), st.integers(0, 14), st.floats(0, 1), st.integers(0, 6), st.integers(0, 12))
def test_equals_greedy_merging_in_loops(seed: int, n: int, share: float, united: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    graph, groups, apart = some_graph(rng, n, share), some_groups(rng, n, united), some_pairs(rng, n, count)
    apart = apart[groups[apart[:, 0]] != groups[apart[:, 1]]]
    tree = sparse_linkage_tree(graph, groups, apart)
    assert_is_a_tree(tree)
    expected = merges_of_graph(dense(graph), groups, apart.tolist(), FARTHEST)
    together = n - len(set(groups.tolist()))
    assert tree.count == n and (tree.heights[:together] == 0).all()
    np.testing.assert_allclose(tree.heights[together:], [height for height, _ in expected], atol=1e-5)
    np.testing.assert_array_equal(tree.cut(0), Clusters.of(groups).labels)
    for height, (_, labels) in zip(tree.heights[together:], expected, strict=True):
        found = tree.cut(height)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, Clusters.of(labels).labels)


@pytest.mark.parametrize(("n", "share"), [(2, 1.0), (3, 0.7), (60, 0.02), (60, 0.3), (300, 0.05), (120, 1.0)])
def test_equals_scipy_on_the_dense_matrix(rng: np.random.Generator, n: int, share: float) -> None:
    graph = some_graph(rng, n, share)
    tree = sparse_linkage_tree(graph)
    assert_is_a_tree(tree)
    theirs = scipy_linkage(squareform(dense(graph), checks=False), "average")
    below = theirs[theirs[:, 2] < FARTHEST]
    np.testing.assert_allclose(tree.heights, below[:, 2], atol=1e-5)
    for height in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        assert same_partition(tree.cut(height), fcluster(theirs, height, "distance"))


def test_equals_scipy_on_a_jaccard_graph(rng: np.random.Generator) -> None:
    """The graph it is for: rows in groups, clusters of all sizes, up to the few that are left at the end."""
    rows = np.repeat(rng.standard_normal((60, 32)), 12, axis=0) + 1.2 * rng.standard_normal((720, 32))
    graph = jaccard_graph(rows, 20, 4, FARTHEST)
    tree = sparse_linkage_tree(graph)
    theirs = scipy_linkage(squareform(dense(graph), checks=False), "average")
    np.testing.assert_allclose(tree.heights, theirs[theirs[:, 2] < FARTHEST, 2], atol=1e-5)
    sizes = []
    for height in (0.3, 0.5, 0.7, 0.8, 0.9, 0.97):
        labels = tree.cut(height)
        assert same_partition(labels, fcluster(theirs, height, "distance"))
        sizes.append(np.bincount(labels).max())
    assert sizes[0] < 12 < sizes[-1]


@drawn_once
@given(
    st.integers(0, 10**6),
    st.integers(0, 40),
    st.floats(0, 1),
    st.integers(1, 4),
    st.integers(0, 10),
    st.integers(0, 60),
)
def test_where_distances_tie_rules_hold_at_any_cut(
    seed: int, n: int, share: float, levels: int, united: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    graph, groups = some_graph(rng, n, share, levels), some_groups(rng, n, united)
    apart = some_pairs(rng, n, count)
    apart = apart[groups[apart[:, 0]] != groups[apart[:, 1]]]
    tree = sparse_linkage_tree(graph, groups, apart)
    assert_is_a_tree(tree)
    matrix = dense(graph)
    for height in [0.0, *np.unique(tree.heights), 1.0]:
        labels = tree.cut(height)
        assert (labels[apart[:, 0]] != labels[apart[:, 1]]).all()
        np.testing.assert_array_equal(labels, labels[groups])
    for k, (first, second, height) in enumerate(zip(tree.first, tree.second, tree.heights, strict=True)):
        if (
            height > 0
        ):  # the mean over the pairs of the two clusters that it unites, whichever of those that tie it took
            before, _ = merge_in_order(tree.first[:k], tree.second[:k], n, k, True)
            pairs = matrix[np.ix_(before == before[first], before == before[second])]
            assert height == pytest.approx(pairs.mean(), abs=1e-4)
    barred = {frozenset((int(labels[i]), int(labels[j]))) for labels in [tree.cut(1.0)] for i, j in apart}
    final = tree.cut(1.0)
    for a in range(final.max(initial=-1) + 1):
        for b in range(a):
            if frozenset((a, b)) not in barred:
                assert matrix[np.ix_(final == a, final == b)].mean() >= FARTHEST - 1e-5  # nothing is left to do


@drawn_once
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(0.05, 1), st.integers(0, 30), st.floats(0, 1))
def test_permuting_rows_permutes_labels(seed: int, n: int, share: float, count: int, height: float) -> None:
    rng = np.random.default_rng(seed)
    graph, apart = some_graph(rng, n, share), some_pairs(rng, n, count)
    order = rng.permutation(n)
    moved = csr_array(graph[order][:, order])
    labels = sparse_linkage_tree(graph, apart=apart).cut(height)
    again = sparse_linkage_tree(moved, apart=np.argsort(order)[apart[:, ::-1]]).cut(height)
    assert same_partition(labels[order], again)


def test_by_hand() -> None:
    """0 and 1 at 0.2; 2 is 0.4 from 1 and nothing is known of 0: 0.7 from both; 3 shares nothing."""
    matrix = np.ones((4, 4))
    for i, j, distance in ((0, 1, 0.2), (1, 2, 0.4)):
        matrix[i, j] = matrix[j, i] = distance
    np.fill_diagonal(matrix, 0)
    tree = sparse_linkage_tree(graph_of(matrix))
    np.testing.assert_allclose(tree.heights, [0.2, 0.7], atol=1e-6)
    assert (tree.first.tolist(), tree.second.tolist()) == ([0, 0], [1, 2])
    assert tree.cut(0.1).tolist() == [0, 1, 2, 3]
    assert tree.cut(0.5).tolist() == [0, 0, 1, 2]
    assert tree.cut(0.99).tolist() == [0, 0, 0, 1]
    kept = sparse_linkage_tree(graph_of(matrix), apart=np.array([[1, 0]]))
    assert kept.cut(0.99).tolist() == [0, 1, 1, 2]  # 2 goes to the one it is near to
    united = sparse_linkage_tree(graph_of(matrix), np.array([0, 1, 1, 0]))
    assert united.cut(0).tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(united.heights, [0, 0, 0.8], atol=1e-6)  # of the four pairs across one is 0.2


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_a_graph_of_nothing(n: int) -> None:
    for graph in (csr_array((n, n), dtype=np.float32), graph_of(1 - np.eye(n))):
        tree = sparse_linkage_tree(graph)
        assert len(tree.heights) == 0 and tree.cut(1.0).tolist() == list(range(n))
    together = sparse_linkage_tree(csr_array((n, n), dtype=np.float32), np.zeros(n, np.int64))
    assert together.cut(0.0).tolist() == [0] * n


def test_distances_of_zero_and_of_one() -> None:
    """What is stored at distance 1 is as far as what is not stored, however much of it there is."""
    zero = np.zeros((6, 6))
    zero[:3, 3:] = zero[3:, :3] = 1
    everything = csr_array(np.ones((6, 6), np.float32))
    everything.data[:] = zero.ravel()
    for graph in (graph_of(zero), everything):
        tree = sparse_linkage_tree(graph)
        assert tree.heights.tolist() == [0] * 4 and tree.cut(1.0).tolist() == [0, 0, 0, 1, 1, 1]


def test_pairs_said_twice_and_both_ways_and_no_pairs() -> None:
    graph = graph_of(np.zeros((4, 4)))
    for pairs in ([[0, 3]], [[0, 3], [3, 0], [0, 3]]):
        labels = sparse_linkage_tree(graph, apart=np.array(pairs)).cut(1.0)
        assert labels[0] != labels[3] and labels.max() == 1
    for none in (None, np.empty((0, 2), np.int64)):
        assert sparse_linkage_tree(graph, apart=none).cut(0.0).tolist() == [0] * 4
    everyone = np.stack(np.triu_indices(4, 1), axis=1)
    assert len(sparse_linkage_tree(graph, apart=everyone).heights) == 0


def test_one_pair_apart_keeps_two_large_groups_apart() -> None:
    matrix = np.zeros((400, 400))
    tree = sparse_linkage_tree(graph_of(matrix), apart=np.array([[0, 399]]))
    labels = tree.cut(1.0)
    assert labels[0] == 0 and labels[-1] == 1 and labels.max() == 1


def test_other_forms_of_the_graph_give_the_same_and_it_is_left_as_it_was(rng: np.random.Generator) -> None:
    graph, apart, groups = some_graph(rng, 50, 0.2), some_pairs(rng, 50, 10), np.arange(50)
    groups[7] = 3
    apart = apart[groups[apart[:, 0]] != groups[apart[:, 1]]]
    expected = sparse_linkage_tree(graph, groups, apart)
    long = csr_array((graph.data, graph.indices.astype(np.int64), graph.indptr.astype(np.int64)), shape=graph.shape)
    places = np.concatenate([rng.permutation(np.arange(a, b)) for a, b in pairwise(graph.indptr)])
    unsorted = csr_array((graph.data[places], graph.indices[places], graph.indptr), shape=graph.shape)
    double = csr_array((graph.data.astype(np.float64), graph.indices, graph.indptr), shape=graph.shape)
    i, j = graph.nonzero()
    bare = csr_array((graph[i, j], (i, j)), shape=graph.shape)  # without the zeros of the diagonal
    assert bare.nnz < graph.nnz and not unsorted.has_sorted_indices
    for form in (graph, long, unsorted, double, bare):
        before = [form.data.copy(), form.indices.copy(), form.indptr.copy(), apart.copy(), groups.copy()]
        found = sparse_linkage_tree(form, groups, apart)
        for name in ("first", "second"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        np.testing.assert_allclose(found.heights, expected.heights, atol=1e-7)
        for was, now in zip(before, (form.data, form.indices, form.indptr, apart, groups), strict=True):
            np.testing.assert_array_equal(was, now)


def test_refuses_what_is_no_graph() -> None:
    with pytest.raises(InputError, match=r"graph must be square.*got shape \(3, 4\)"):
        sparse_linkage_tree(csr_array((3, 4), dtype=np.float32))
    circle = csr_array((np.full(3, 0.5, np.float32), ([0, 1, 2], [1, 2, 0])), shape=(3, 3))
    with pytest.raises(InputError, match="graph must be symmetric"):
        sparse_linkage_tree(circle)
