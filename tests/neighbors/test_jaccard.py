"""The sparse graph against sets, known values, and what the authors' program printed."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from oracles.features import NASTY, nasty, people
from oracles.jaccard import jaccard_by_sets
from reunite import threads
from reunite.errors import InputError
from reunite.neighbors import jaccard
from reunite.neighbors.jaccard import graph_of_neighbors, jaccard_graph, neighborhoods
from reunite.neighbors.knn import nearest_neighbors
from reunite.neighbors.neighborhood_kernels import walk
from reunite.types import unit_rows

ANGLES = np.deg2rad([0, 10, 41, 101, 150, 163, 215, 232, 304])
PLANE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def assert_graph_of(graph: csr_array, dense: np.ndarray, max_distance: float) -> None:
    """`graph` holds just the pairs of `dense` up to `max_distance`, pairs on the edge aside, and in good order."""
    assert graph.dtype == np.float32
    assert all((np.diff(graph.indices[a:b]) > 0).all() for a, b in pairwise(graph.indptr))
    stored = np.zeros(graph.shape, bool)
    found = np.full(graph.shape, np.nan)
    rows = np.repeat(np.arange(len(dense)), np.diff(graph.indptr))
    stored[rows, graph.indices], found[rows, graph.indices] = True, graph.data
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diagonal(found), 0)
    dense = dense * (1 - np.eye(len(dense)))
    assert stored[dense <= max_distance - 2e-6].all()
    assert not stored[dense > max_distance + 2e-6].any()
    np.testing.assert_allclose(found[stored], dense[stored], atol=2e-6)


@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (15, 4), (20, 1), (5, 5), (3, 2), (1, 1), (2, 9)])
def test_equals_sets(k1: int, k2: int) -> None:
    rows = people(120)[0]
    assert_graph_of(jaccard_graph(rows, k1, k2), jaccard_by_sets(rows, k1, k2), 0.7)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize(("k1", "k2"), [(12, 4), (100, 6), (6, 1)])
def test_nasty_rows(name: str, k1: int, k2: int) -> None:
    rows = nasty(name)
    nearest = nearest_neighbors(rows, min(k1, len(rows)))[0]
    assert_graph_of(jaccard_graph(rows, k1, k2, 0.9), jaccard_by_sets(rows, k1, k2, nearest), 0.9)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_fewer_rows_than_neighbors(n: int) -> None:
    rows = people(n)[0]
    assert_graph_of(jaccard_graph(rows), jaccard_by_sets(rows, 30, 6), 0.7)


@pytest.mark.parametrize(
    ("k2", "row", "expected"),
    [
        (1, 0, [0, 0.0963, 0.4573, 0.9095, 1, 1, 1, 0.9385, 0.6637]),
        (1, 3, [0.9095, 0.9095, 0.8231, 0, 0.6068, 0.6592, 0.8419, 1, 1]),
        (1, 6, [1, 1, 1, 0.8419, 0.7478, 0.7039, 0, 0.4484, 0.9320]),
        (2, 0, [0, 0, 0.2582, 0.9567, 1, 1, 0.9702, 0.9702, 0.4215]),
        (2, 8, [0.4215, 0.4215, 0.5031, 0.9567, 1, 1, 0.9352, 0.9352, 0]),
    ],
)
def test_known_values(k2: int, row: int, expected: list[float]) -> None:
    graph = jaccard_graph(PLANE, k1=4, k2=k2, max_distance=0.9999)
    dense = np.ones((9, 9))
    dense[np.repeat(np.arange(9), np.diff(graph.indptr)), graph.indices] = graph.data
    np.testing.assert_allclose(dense[row], expected, atol=6e-5)


@pytest.mark.data
@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (20, 6), (15, 4), (20, 1)])
def test_equals_the_published_program(shared: Callable[[str], Path], k1: int, k2: int) -> None:
    golden = np.load(shared("golden/jaccard.npz"))
    rows, cols, vals = (golden[f"jaccard_k{k1}_{k2}_{part}"] for part in ("rows", "cols", "vals"))
    graph = jaccard_graph(golden["embeddings"], k1, k2)
    expected = csr_array((vals, (rows, cols)), shape=graph.shape)
    expected.sort_indices()
    np.testing.assert_array_equal(graph.indptr, expected.indptr)
    np.testing.assert_array_equal(graph.indices, expected.indices)
    np.testing.assert_allclose(graph.data, expected.data, rtol=0, atol=2e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 12), st.integers(1, 7))
def test_permuting_rows_permutes_the_graph(seed: int, n: int, k1: int, k2: int) -> None:
    rows, order = people(n, seed=seed)[0], np.random.default_rng(seed).permutation(n)
    direct = jaccard_graph(rows, k1, k2, 0.9).toarray()[order][:, order]
    np.testing.assert_allclose(jaccard_graph(rows[order], k1, k2, 0.9).toarray(), direct, atol=2e-6)


def test_a_larger_distance_only_adds_pairs() -> None:
    rows = people(150)[0]
    near, far = jaccard_graph(rows, max_distance=0.3), jaccard_graph(rows, max_distance=0.8)
    kept = far.copy()
    kept.data = np.where(far.data <= 0.3, far.data, -1)
    pairs = kept.tocoo()
    wanted = pairs.data >= 0
    np.testing.assert_array_equal(near.tocoo().row, pairs.row[wanted])
    np.testing.assert_array_equal(near.tocoo().col, pairs.col[wanted])
    np.testing.assert_array_equal(near.data, pairs.data[wanted])


@pytest.mark.parametrize("count", [1, 3, 20])
def test_threads_and_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    rows = people(300)[0]
    expected = jaccard_graph(rows)
    monkeypatch.setattr(jaccard, "ROWS_PER_BLOCK", 7)
    for module in (jaccard, threads):
        monkeypatch.setattr(module, "thread_count", lambda: count)
    found = jaccard_graph(rows)
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


@pytest.mark.parametrize("max_distance", [0.0, 0.2, 0.6, 0.8, 0.85, 0.9, 0.97, 0.9999])
@pytest.mark.parametrize("k2", [1, 6])
def test_no_near_pair_is_ruled_out_and_none_is_left(max_distance: float, k2: int) -> None:
    # Up to about 0.9 some columns are not looked up at first, the more the smaller the distance.
    rows = people(250, spread=1.0)[0]
    assert_graph_of(jaccard_graph(rows, 20, k2, max_distance), jaccard_by_sets(rows, 20, k2), max_distance)


@pytest.mark.parametrize("parts", [1, 2, 5, 50])
def test_holders_are_the_transpose(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    monkeypatch.setattr(jaccard, "thread_count", lambda: parts)
    dense = random_array((40, 40), density=0.2, rng=np.random.default_rng(0), dtype=np.float32).tocsr()
    starts, rows, values = jaccard._holders(dense.indptr.astype(np.int64), dense.indices.astype(np.uint32), dense.data)
    expected = csr_array(dense.T)
    expected.sort_indices()
    np.testing.assert_array_equal(starts, expected.indptr)
    np.testing.assert_array_equal(rows, expected.indices)
    np.testing.assert_array_equal(values, expected.data)


def as_array(offsets: np.ndarray, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    dense = np.zeros((len(offsets) - 1, len(offsets) - 1), np.float32)
    np.add.at(dense, (np.repeat(np.arange(len(dense)), np.diff(offsets)), columns), values)
    return dense


def test_rows_can_come_in_another_order() -> None:
    rows = unit_rows(people(90)[0])
    indices, similarity = nearest_neighbors(rows, 12)
    scale = np.random.default_rng(0).uniform(0.5, 2, 90).astype(np.float32)
    order = np.random.default_rng(1).permutation(90).astype(np.uint32)
    direct = as_array(*neighborhoods(indices, similarity, rows, 12, 7, 4, scale))
    np.testing.assert_allclose(direct.sum(axis=1), 1, rtol=1e-6)
    found = as_array(*neighborhoods(indices, similarity, rows, 12, 7, 4, scale, order))
    np.testing.assert_allclose(found, direct[order][:, order], atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 12))
def test_the_walk_meets_every_row_once_and_neighbors_soon(seed: int, n: int, k: int) -> None:
    indices = np.random.default_rng(seed).integers(0, n, (n, k))
    order = walk(indices)
    assert sorted(order.tolist()) == list(range(n))
    assert order[0] == 0
    others = indices[0, :8][indices[0, :8] != 0]
    if len(others):
        assert order[1] == others[0]


def test_pairs_of_the_first_rows_only() -> None:
    rows = unit_rows(people(90)[0])
    weights = neighborhoods(*nearest_neighbors(rows, 12), rows, 12, 7, 4, np.ones(90, np.float32))
    starts, others, distances = jaccard.pairs_up_to(0.99, 90, *weights)
    assert (others > np.repeat(np.arange(90), np.diff(starts))).all()
    used = starts[30]
    for found, expected in zip(
        jaccard.pairs_up_to(0.99, 30, *weights), (starts[:31], others[:used], distances[:used]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_weights_that_vanish_are_left_out() -> None:
    # Where all rows are the same up to rounding, re-ranking scales rounding errors up to any size.
    rows = unit_rows(np.repeat(people(1)[0], 20, axis=0) + 1e-7 * people(20)[0])
    offsets, columns, values = neighborhoods(
        *nearest_neighbors(rows, 10), rows, 10, 6, 3, np.full(20, 1e37, np.float32)
    )
    assert (values > 0).all()
    np.testing.assert_allclose(np.add.reduceat(values, offsets[:-1]), 1, rtol=1e-6)
    assert all(len(set(columns[a:b].tolist())) == b - a for a, b in pairwise(offsets))
    _, others, distances = jaccard.pairs_up_to(1.0, 20, offsets, columns, values)
    assert len(others) <= 190 and (distances >= 0).all() and (distances <= 1).all()


def test_more_neighbors_than_needed_are_not_used() -> None:
    rows = people(80)[0]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    graph = graph_of_neighbors(*nearest_neighbors(rows, 50), unit, k1=20)
    np.testing.assert_allclose(graph.toarray(), jaccard_graph(rows, k1=20).toarray(), atol=2e-6)


def test_input_is_left_as_it_was() -> None:
    rows = people(60)[0].astype(np.float64)[:, ::-1]
    before = rows.copy()
    graph = jaccard_graph(rows)
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_allclose(graph.toarray(), jaccard_graph(np.ascontiguousarray(3 * rows)).toarray(), atol=2e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k1": 0}, "at least 1; got 0, 6"),
        ({"k2": 0}, "at least 1; got 30, 0"),
        ({"max_distance": 1.0}, r"max_distance must be in \[0, 1\); got 1.0"),
        ({"max_distance": -0.1}, "max_distance must be in"),
        ({"embeddings": np.full((3, 2), np.inf)}, "must be finite"),
        ({"embeddings": np.empty((0, 2))}, "at least one row"),
    ],
)
def test_refuses_what_makes_no_sense(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        jaccard_graph(**{"embeddings": np.ones((3, 2)), **arguments})


@pytest.mark.parametrize(("k1", "k2"), [(4, 1), (7, 3), (20, 6)])
def test_neighborhoods_can_count_the_row_itself_extra_as_zhong_does(k1: int, k2: int) -> None:
    rows = people(120)[0]
    expected = jaccard_by_sets(rows, k1, k2, itself=False)
    found = jaccard_graph(rows, k1, k2, 0.9, k1_includes_self=False)
    np.testing.assert_allclose(found.toarray()[found.toarray() > 0], expected[found.toarray() > 0], rtol=0, atol=2e-6)
    assert found.nnz == (expected <= 0.9).sum()
    assert found.nnz != jaccard_graph(rows, k1, k2, 0.9).nnz
