"""Bottom-up merging against the published programs' labels, plain loops, single linkage, and points placed by hand."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from oracles.features import NASTY, nasty, people
from oracles.merging import dispersed_linkage, members_of, merge_by_scan, minimum_distance, ranked, unit
from reunite.cluster.bottom_up import BottomUp
from reunite.cluster.closest_pairs import Pairs
from reunite.cluster.criteria import Criterion, Dispersion, MinimumDistance
from reunite.cluster.merging import merge_closest
from reunite.errors import InputError
from reunite.types import Clusters

CRITERIA: list[Criterion] = [
    MinimumDistance(),
    MinimumDistance(0.2, "euclidean"),
    Dispersion(),
    Dispersion(weight=0.0),
    Dispersion(0.8, "euclidean", "n"),
    Dispersion(0.8, intra_norm="n(n-1)"),
]
RULES = ("union", "skip_absorbed")
PROGRAMS = {"buc": MinimumDistance(), "dbc_penalised": Dispersion(), "dbc_unpenalised": Dispersion(weight=0.0)}


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a[:, None] == a[None], b[:, None] == b[None])


def on_a_circle(*degrees: float) -> np.ndarray:
    return np.column_stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


@pytest.mark.data
@pytest.mark.parametrize("program", PROGRAMS)
def test_equals_the_published_program(shared: Callable[[str], Path], program: str) -> None:
    golden = np.load(shared("golden/merging.npz"))
    clusterer = BottomUp(PROGRAMS[program], merge_percent=0.05)
    labels = None
    for expected in golden[program]:
        labels = clusterer.fit_predict(golden["embeddings"], labels)
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.data
def test_the_default_is_the_published_buc(shared: Callable[[str], Path]) -> None:
    golden = np.load(shared("golden/merging.npz"))
    np.testing.assert_array_equal(BottomUp().fit_predict(golden["embeddings"]), golden["buc"][0])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(2, 16),
    st.integers(1, 16),
    st.sampled_from(CRITERIA),
    st.sampled_from(RULES),
    st.floats(0.05, 1.0),
)
def test_equals_the_published_loops(
    seed: int, n: int, clusters: int, criterion: Criterion, rule: str, merge_percent: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 4)).astype(np.float32)
    start = Clusters.of(rng.integers(0, clusters, n)).labels
    points = unit(rows)

    def value(a: list[int], b: list[int]) -> float:
        if isinstance(criterion, MinimumDistance):
            return minimum_distance(points, a, b, criterion.size_penalty, criterion.metric)
        return dispersed_linkage(points, a, b, criterion.weight, criterion.metric, criterion.intra_norm)

    merges = int(n * merge_percent)
    expected = merge_by_scan(start, ranked(members_of(start), value), merges, rule)
    labels = BottomUp(criterion, merge_percent, rule).fit_predict(rows, start)
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int64
    assert labels.max() + 1 == max(start.max() + 1 - merges, 1)
    np.testing.assert_array_equal(labels, Clusters.of(labels).labels)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(0.05, 0.95))
def test_without_a_penalty_buc_is_single_linkage(seed: int, n: int, merge_percent: float) -> None:
    rows = np.random.default_rng(seed).standard_normal((n, 5)).astype(np.float32)
    labels = BottomUp(MinimumDistance(size_penalty=0), merge_percent).fit_predict(rows)
    tree = linkage(unit(rows), "single")
    assert same_partition(labels, fcluster(tree, n - int(n * merge_percent), "maxclust"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(CRITERIA), st.sampled_from(RULES))
def test_merging_never_splits_a_cluster(seed: int, criterion: Criterion, rule: str) -> None:
    rows, start, _ = people(40, seed=seed)
    labels = BottomUp(criterion, 0.2, rule).fit_predict(rows, start)
    assert all(len(set(labels[start == c].tolist())) == 1 for c in set(start.tolist()))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(CRITERIA))
def test_permuting_rows_permutes_the_union(seed: int, criterion: Criterion) -> None:
    rows, start, _ = people(50, seed=seed)
    order = np.random.default_rng(seed).permutation(50)
    clusterer = BottomUp(criterion, 0.2, "union")
    assert same_partition(clusterer.fit_predict(rows, start)[order], clusterer.fit_predict(rows[order], start[order]))


def test_skip_absorbed_depends_on_the_order_by_construction() -> None:
    # b is nearest to both of its neighbors; the lower label absorbs, and b's other near pair is dropped with it.
    a, b, c, far, farther = on_a_circle(0, 10, 21, 150, 165)
    clusterer = BottomUp(Dispersion(), merge_percent=0.4)
    assert clusterer.fit_predict(np.array([a, b, c, far, farther])).tolist() == [0, 0, 1, 2, 2]
    assert clusterer.fit_predict(np.array([b, a, c, far, farther])).tolist() == [0, 0, 0, 1, 2]


def test_the_rules_differ_in_what_an_absorbed_cluster_leaves_behind() -> None:
    rows = on_a_circle(0, 10, 21, 150, 165)
    assert BottomUp(Dispersion(), 0.4, "union").fit_predict(rows).tolist() == [0, 0, 0, 1, 2]
    assert BottomUp(Dispersion(), 0.4, "skip_absorbed").fit_predict(rows).tolist() == [0, 0, 1, 2, 2]
    for criterion in (Dispersion(), MinimumDistance()):
        published = BottomUp(criterion, 0.4, criterion.published_rule).fit_predict(rows)
        np.testing.assert_array_equal(BottomUp(criterion, 0.4).fit_predict(rows), published)


def test_the_dispersion_penalty_changes_what_merges() -> None:
    """The authors' program computes the penalty and then ranks without it; ours must not."""
    # Two clusters 40 degrees wide, 20 apart (mean 0.340, dispersions 0.234), and two single rows 36 apart (0.382).
    rows = on_a_circle(0, 40, 20, 60, 180, 216)
    start = [0, 0, 1, 1, 2, 3]
    assert BottomUp(Dispersion(weight=0.0), 0.2).fit_predict(rows, start).tolist() == [0, 0, 0, 0, 1, 2]
    assert BottomUp(Dispersion(weight=0.1), 0.2).fit_predict(rows, start).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(("weight", "order"), [(0.0, ["loose", "tight", "alone"]), (0.5, ["alone", "tight", "loose"])])
def test_isolated_rows_merge_first_and_loose_clusters_last(weight: float, order: list[str]) -> None:
    # Mean squared distances 0.340 (loose), 0.355 (tight) and 0.370 (alone); only the dispersions say otherwise.
    places = {"loose": (0, 40, 20, 60), "tight": (120, 140, 152, 172), "alone": (230, 265.4)}
    rows = on_a_circle(*(degree for group in places.values() for degree in group))
    names = [name for name, group in places.items() for _ in group]
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5])
    merged = []
    for _ in range(3):
        later = BottomUp(Dispersion(weight=weight), merge_percent=0.1).fit_predict(rows, labels)
        for name in places:
            mine = [i for i, each in enumerate(names) if each == name]
            if len(set(labels[mine].tolist())) > len(set(later[mine].tolist())):
                merged.append(name)
        labels = later
    assert merged == order


def test_small_clusters_merge_first_under_the_size_penalty() -> None:
    rows = on_a_circle(0, 1, 2, 20, 21, 22, 180, 200)  # two threes 18 degrees apart, two single rows 20 apart
    start = [0, 0, 0, 1, 1, 1, 2, 3]
    assert BottomUp(MinimumDistance(0.0), 0.125).fit_predict(rows, start).tolist() == [0] * 6 + [1, 2]
    assert BottomUp(MinimumDistance(0.01), 0.125).fit_predict(rows, start).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_labels_to_start_from() -> None:
    rows = on_a_circle(0, 90, 180, 270, 1)
    clusterer = BottomUp(merge_percent=0.1)  # int(0.5) merges: none
    assert clusterer.fit_predict(rows).tolist() == [0, 1, 2, 3, 4]
    assert clusterer.fit_predict(rows, [7, -1, 7, -1, 3]).tolist() == [0, 1, 0, 2, 3]
    assert clusterer.fit_predict(rows, [-1, 0, 4, 3, -1]).tolist() == [0, 1, 2, 3, 4]
    assert clusterer.fit_predict(rows, [-1] * 5).tolist() == [0, 1, 2, 3, 4]
    one = BottomUp(merge_percent=0.2)
    assert one.fit_predict(rows, [-1] * 5).tolist() == [0, 1, 2, 3, 0]
    assert one.fit_predict(rows, [5, 5, 5, 5, 5]).tolist() == [0] * 5  # a single cluster is left alone


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("criterion", CRITERIA, ids=repr)
@pytest.mark.parametrize("rule", RULES)
def test_nasty_rows(name: str, criterion: Criterion, rule: str) -> None:
    rows = nasty(name)
    before = rows.copy()
    labels = None
    for merges in (12, 24, 36, 39, 39):
        labels = BottomUp(criterion, 0.3, rule).fit_predict(rows, labels)
        assert sorted(set(labels.tolist())) == list(range(40 - merges))
    np.testing.assert_array_equal(rows, before)


def test_equal_rows_merge_before_all_others() -> None:
    rows = nasty("duplicates")  # eight rows, five times each
    groups = np.repeat(np.arange(8), 5)
    for rule in RULES:
        labels = BottomUp(MinimumDistance(size_penalty=0), merge_percent=0.8, merge_rule=rule).fit_predict(rows)
        np.testing.assert_array_equal(labels, groups)  # 32 merges need more pairs than are asked for at first


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.ones((1, 3)), [0]),
        (np.ones((2, 3)), [0, 0]),
        (np.array([[1.0], [-2.0], [3.0]]), [0, 1, 0]),
        (np.zeros((3, 2)), [0, 0, 1]),
    ],
)
def test_few_rows(rows: np.ndarray, expected: list[int]) -> None:
    for criterion in CRITERIA:
        labels = BottomUp(criterion, merge_percent=0.5, merge_rule="union").fit_predict(rows)
        np.testing.assert_array_equal(labels, expected)


def test_layout_type_and_length_of_rows_do_not_matter() -> None:
    rows = people(60)[0]
    expected = BottomUp(merge_percent=0.3).fit_predict(rows)
    wide = np.zeros((60, 40))
    wide[:, ::2][:, :16] = rows
    scaled = rows * (2.0 ** (np.arange(60) % 5))[:, None]  # powers of two: the same directions to the last bit
    for same in (rows.astype(np.float64), np.asfortranarray(rows), wide[:, ::2][:, :16], scaled):
        before = same.copy()
        np.testing.assert_array_equal(BottomUp(merge_percent=0.3).fit_predict(same), expected)
        np.testing.assert_array_equal(same, before)


def test_more_pairs_are_asked_for_until_there_are_no_more() -> None:
    asked = []

    def only_one_pair(want: int) -> Pairs:
        asked.append(want)
        return Pairs(np.zeros(1), np.zeros(1, np.int64), np.ones(1, np.int64))

    merged, values = merge_closest(only_one_pair, clusters=5, merges=3, rule="union")
    assert merged.tolist() == [0, 0, 1, 2, 3] and values.tolist() == [0.0] and len(asked) == 1

    def within_a_clique_first(want: int) -> Pairs:
        asked.append(want)
        first, second = np.triu_indices(20, 1)
        first, second = np.append(first, 20), np.append(second, 21)  # 190 pairs make 19 merges; the 191st is the 20th
        return Pairs(np.arange(len(first[:want]), dtype=float), first[:want], second[:want])

    asked.clear()
    merged, _ = merge_closest(within_a_clique_first, clusters=22, merges=20, rule="union")
    assert merged.tolist() == [0] * 20 + [1, 1]
    assert asked[0] < 191 <= asked[-1]


@dataclass(frozen=True)
class FirstCoordinate:
    """A criterion from elsewhere: clusters are as near as the first coordinates of their first members."""

    published_rule: ClassVar[str] = "union"

    def closest_pairs(self, rows: np.ndarray, clusters: Clusters, want: int) -> Pairs:
        place = [rows[np.flatnonzero(clusters.labels == c)[0], 0] for c in range(clusters.count)]
        first, second = np.triu_indices(clusters.count, 1)
        values = np.abs(np.array(place)[first] - np.array(place)[second])
        order = np.argsort(values, kind="stable")[:want]
        return Pairs(values[order], first[order], second[order])


def test_a_criterion_of_your_own() -> None:
    rows = on_a_circle(0, 90, 180, 271)
    assert BottomUp(FirstCoordinate(), merge_percent=0.25).fit_predict(rows).tolist() == [0, 1, 2, 1]


def test_is_cloned_and_printed_like_any_estimator() -> None:
    clusterer = BottomUp(Dispersion(weight=0.2), merge_percent=0.1)
    assert repr(clone(clusterer)) == repr(clusterer)
    assert "criterion=Dispersion(weight=0.2" in repr(clusterer) and "merge_percent=0.1" in repr(clusterer)
    rows = people(60)[0]
    np.testing.assert_array_equal(clone(clusterer).fit(rows).labels_, clusterer.fit_predict(rows))
    assert clusterer.n_features_in_ == 16


# merge_percent=0.9: one of the checks wants three blobs found in one fit, which 5 % of merges are not for.
CHECKS = list(estimator_checks_generator(BottomUp(merge_percent=0.9)))


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_keeps_the_rules_of_scikit_learn(estimator: BottomUp, check: Callable) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(estimator)


def test_without_a_criterion_it_is_buc() -> None:
    rows = people(80)[0]
    np.testing.assert_array_equal(BottomUp().fit_predict(rows), BottomUp(MinimumDistance(0.003)).fit_predict(rows))


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ({"merge_percent": 0.0}, None, r"share of the rows that is merged, in \(0, 1\]; got 0.0"),
        ({"merge_percent": 5}, None, r"got 5\. 5 % is 0.05"),
        ({"merge_percent": float("nan")}, None, "got nan"),
        ({"merge_rule": "greedy"}, None, "merge_rule must be None or one of union, skip_absorbed; got 'greedy'"),
        ({}, [0, 1], r"y must have shape \(5,\), one number per row; got shape \(2,\)"),
        ({}, [0.5] * 5, "y must be whole numbers"),
        ({}, list("abcde"), "y must be whole numbers"),
    ],
)
def test_refuses_what_makes_no_sense(options: dict, labels: list | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BottomUp(**options).fit(np.ones((5, 2)), labels)


def test_refuses_rows_that_are_not_finite() -> None:
    rows = np.ones((30, 2))
    rows[7, 1] = np.nan
    with pytest.raises(InputError, match="the first is row 7"):
        BottomUp().fit(rows)
