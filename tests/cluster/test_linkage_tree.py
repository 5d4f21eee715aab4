"""The tree with rows that stay apart, against greedy merging in loops and SciPy's tree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage

import reunite.cluster.distance_matrix as distance_matrix
from oracles.features import NASTY, nasty, people
from oracles.identities import merges_apart
from reunite.cluster.linkage_tree import FAR, LinkageTree, linkage_tree
from reunite.errors import InputError
from reunite.types import Clusters

# Distances are held in float32: examples are drawn once and for all, so that no run meets two that agree to 7 digits.
drawn_once = settings(max_examples=60, deadline=None, derandomize=True)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a[:, None] == a[None], b[:, None] == b[None])


def some_pairs(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    pairs = rng.integers(0, n, (count, 2))
    return pairs[pairs[:, 0] != pairs[:, 1]]


def cuts(tree: LinkageTree) -> list[np.ndarray]:
    return [tree.cut(height) for height in [-1.0, *np.unique(tree.heights), 2.0, np.inf]]


@drawn_once
@given(st.integers(0, 10**6), st.integers(1, 14), st.integers(0, 30))
def test_equals_greedy_merging_that_skips_forbidden_pairs(seed: int, n: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 4)).astype(np.float32)
    apart = some_pairs(rng, n, count)
    tree = linkage_tree(rows, apart)
    expected = merges_apart(rows, apart.tolist())
    assert tree.count == n
    np.testing.assert_allclose(tree.heights, [height for height, _ in expected], atol=1e-5)
    for height, (_, labels) in zip(tree.heights, expected, strict=True):
        found = tree.cut(height)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, Clusters.of(labels).labels)


@pytest.mark.parametrize("n", [2, 3, 300, 1500])  # 1500: more than one block
def test_equals_scipy_without_pairs(n: int) -> None:
    rows = people(n, 24, spread=1.0)[0]
    tree = linkage_tree(rows, np.empty((0, 2), np.int64))
    theirs = scipy_linkage(rows, "average", "cosine")
    np.testing.assert_allclose(tree.heights, theirs[:, 2], atol=1e-5)
    for height in (0.1, 0.3, 0.5, 0.7):
        assert same_partition(tree.cut(height), fcluster(theirs, height, "distance"))


@drawn_once
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 80))
def test_pairs_are_apart_at_any_cut_and_cuts_are_nested(seed: int, n: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 3)).astype(np.float32)
    apart = some_pairs(rng, n, count)
    tree = linkage_tree(rows, apart)
    assert (np.diff(tree.heights) >= 0).all() and (tree.first < tree.second).all()
    finer = np.arange(n)
    for labels in cuts(tree):
        assert (labels[apart[:, 0]] != labels[apart[:, 1]]).all()
        np.testing.assert_array_equal(labels, Clusters.of(labels).labels)
        assert len(set(zip(finer.tolist(), labels.tolist(), strict=True))) == finer.max() + 1
        finer = labels


@drawn_once
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(0, 60), st.floats(0, 1.5))
def test_permuting_rows_permutes_labels(seed: int, n: int, count: int, height: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 5)).astype(np.float32)
    apart = some_pairs(rng, n, count)
    order = rng.permutation(n)
    place = np.argsort(order)
    labels = linkage_tree(rows, apart).cut(height)
    again = linkage_tree(rows[order], place[apart[:, ::-1]]).cut(height)
    assert same_partition(labels[order], again)


def test_two_who_stay_apart_split_a_group_that_would_be_one() -> None:
    angles = np.radians([0, 2, 10, 13])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert linkage_tree(rows).cut(0.1).tolist() == [0, 0, 0, 0]
    assert linkage_tree(rows, [[2, 1]]).cut(0.1).tolist() == [0, 0, 1, 1]
    assert linkage_tree(rows, [[0, 1]]).cut(0.1).tolist() == [0, 1, 1, 1]  # 2 joins 3, and 1 is nearer to them than 0
    assert linkage_tree(rows, [[0, 1], [2, 3]]).cut(0.1).tolist() == [0, 1, 1, 0]


def test_a_cut_includes_its_height() -> None:
    tree = linkage_tree(np.array([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]))
    np.testing.assert_allclose(tree.heights, [0.4, 1.8], atol=1e-6)  # 1 - 0.6, and the mean of 2 and 1.6
    assert tree.cut(tree.heights[0]).tolist() == [0, 0, 1]
    assert tree.cut(np.nextafter(tree.heights[0], 0)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 60])
def test_all_apart_is_one_cluster_each(n: int) -> None:
    apart = np.stack(np.triu_indices(n, 1), axis=1)
    tree = linkage_tree(np.ones((n, 4), np.float32), apart)
    assert len(tree.heights) == 0
    assert tree.cut(np.inf).tolist() == list(range(n))


@pytest.mark.parametrize("name", [name for name in NASTY if name != "zeros"])
def test_nasty_rows(name: str) -> None:
    rows = nasty(name)
    rows = rows[rows.any(axis=1)]
    before = rows.copy()
    apart = some_pairs(np.random.default_rng(0), len(rows), 30)
    tree = linkage_tree(rows, apart)
    assert np.isfinite(tree.heights).all() and (tree.heights >= 0).all() and (np.diff(tree.heights) >= 0).all()
    for labels in cuts(tree):
        assert (labels[apart[:, 0]] != labels[apart[:, 1]]).all()
    np.testing.assert_array_equal(rows, before)


def test_merges_unite_clusters_that_are_there_by_their_lowest_rows() -> None:
    """Also where nearly all heights tie."""
    tree = linkage_tree(np.repeat(np.eye(3), 200, axis=0), [[0, 1]])
    lowest = set(range(600))
    for first, second in zip(tree.first.tolist(), tree.second.tolist(), strict=True):
        assert first < second and {first, second} <= lowest
        lowest.remove(second)


def test_duplicates_are_at_distance_zero() -> None:
    rows = people(30, 512)[0]
    assert linkage_tree(np.repeat(rows, 4, axis=0)).cut(0.0).tolist() == np.repeat(np.arange(30), 4).tolist()


def test_one_pair_apart_keeps_two_large_groups_apart() -> None:
    """The mean over 1,000 x 1,000 pairs of which one is far, and the rest at distance zero."""
    tree = linkage_tree(np.ones((2000, 2), np.float32), [[0, 1999]])
    labels = tree.cut(np.inf)
    assert labels[0] == 0 and labels[-1] == 1 and labels.max() == 1
    assert FAR / (1e6 / 2) ** 2 * (1 - 2.0**-24) ** 1e6 > 1e18  # as in the docstring


def test_length_of_rows_and_direction_and_repetition_of_pairs_do_not_matter() -> None:
    rows = people(60)[0]
    apart = some_pairs(np.random.default_rng(0), 60, 40)
    expected = linkage_tree(rows, apart).cut(0.5)
    scaled = rows * (2.0 ** (np.arange(60) % 5))[:, None]
    np.testing.assert_array_equal(linkage_tree(scaled, np.concatenate([apart[:, ::-1], apart])).cut(0.5), expected)
    assert not same_partition(linkage_tree(rows).cut(0.5), expected)


def test_refuses_what_does_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = people(100)[0]
    needed = 4 * 100**2 + 4 * 100 * 16  # the matrix, and a copy of the rows
    monkeypatch.setattr(distance_matrix, "available_bytes", lambda: needed - 1)
    with pytest.raises(InputError, match="100 rows holds 46,400 bytes; 46,399 are available"):
        linkage_tree(rows)
    for enough in (needed, None):
        monkeypatch.setattr(distance_matrix, "available_bytes", lambda enough=enough: enough)
        assert len(linkage_tree(rows).heights) == 99


@pytest.mark.parametrize(
    ("apart", "message"),
    [
        ([0, 1], r"apart must have shape \(p, 2\).*got shape \(2,\)"),
        ([[0, 1, 2]], r"got shape \(1, 3\)"),
        ([[0.0, 1.0]], "whole numbers from 0 on; got float64"),
        ([[0, 1], [3, 2], [-1, 0]], r"from 0 to 2; 2 of 3 pairs are not \(the first is pair 1, \[3, 2\]\)"),
        ([[0, 1], [2, 2]], r"1 of 2 pairs are not \(the first is pair 1, \[2, 2\]\)"),
    ],
)
def test_refuses_pairs_that_are_none(apart: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        linkage_tree(np.eye(3), apart)


def test_refuses_rows_without_direction_and_heights_that_are_no_number() -> None:
    with pytest.raises(InputError, match=r"1 of 3 rows are all zeros \(the first is row 1\)"):
        linkage_tree(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    with pytest.raises(InputError, match="got NaN"):
        linkage_tree(np.eye(3)).cut(np.nan)
