"""Agglomeration against greedy loops, SciPy, the published tree of nine points, and the limits of memory."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import reunite.cluster.available_memory as available_memory
import reunite.cluster.blocks as blocks
import reunite.cluster.distance_matrix as distance_matrix
from oracles.features import NASTY, nasty, people
from oracles.merging import METRICS, NINE, agglomerate, agglomerate_in_batches, unit
from reunite.cluster.blocks import distances
from reunite.cluster.hierarchy import CODES, AverageLinkage, linkage_matrix, merge_exactly
from reunite.cluster.hierarchy_kernels import CHUNK, GONE, nearest, nearest_neighbor_chain
from reunite.errors import InputError
from reunite.types import Clusters

LINKAGES = ("average", "single", "complete", "ward", "centroid")
PAIRWISE = ("average", "single", "complete")
MODES = [*((linkage, "exact") for linkage in LINKAGES), *((linkage, "batch") for linkage in PAIRWISE)]
# Distances are held in float32: examples are drawn once and for all, so that no run meets two that agree to 7 digits.
drawn_once = settings(max_examples=40, deadline=None, derandomize=True)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a[:, None] == a[None], b[:, None] == b[None])


def cut_tree(tree: np.ndarray, merges: int) -> np.ndarray:
    """Labels after the first merges of a SciPy tree, by relabelling."""
    labels = np.arange(len(tree) + 1)
    for merge, (a, b) in enumerate(tree[:merges, :2]):
        labels[(labels == a) | (labels == b)] = len(tree) + 1 + merge
    return labels


def test_the_tree_of_the_method_notes() -> None:
    clusterer = AverageLinkage(merge_percent=0.12, steps=8).fit(NINE)
    expected = [0.1743, 0.2264, 0.2956, 0.6174, 0.9297, 1.1754, 1.3156, 1.7483]
    np.testing.assert_allclose(clusterer.heights_, expected, atol=6e-5)
    assert clusterer.labels_.tolist() == [0] * 9
    assert AverageLinkage(merge_percent=0.12, steps=6).fit_predict(NINE).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 0]


@pytest.mark.data
def test_equals_the_published_partition(shared: Callable[[str], Path]) -> None:
    golden = np.load(shared("golden/merging.npz"))
    labels = AverageLinkage().fit_predict(golden["embeddings"])
    assert labels.max() + 1 == 400 - 13 * 28
    assert same_partition(labels, golden["average_linkage"])
    np.testing.assert_array_equal(labels, Clusters.of(golden["average_linkage"]).labels)


@pytest.mark.data
def test_equals_scipy_in_float64_on_market(shared: Callable[[str], Path]) -> None:
    rows = np.load(shared("data/features/market1501_retail0288.npz"))["gallery"][:3000]
    tree = scipy_linkage(unit(rows), "average")
    merges = 13 * int(len(rows) * 0.07)
    found = AverageLinkage().fit(rows)
    np.testing.assert_allclose(found.heights_, tree[:merges, 2], atol=2e-6)
    assert same_partition(found.labels_, cut_tree(tree, merges))


@drawn_once
@given(st.integers(0, 10**6), st.integers(2, 14), st.sampled_from(LINKAGES), st.sampled_from(list(METRICS)))
def test_equals_greedy_merging(seed: int, n: int, linkage: str, metric: str) -> None:
    metric = metric if linkage in PAIRWISE else "euclidean"
    rows = np.random.default_rng(seed).standard_normal((n, 3)).astype(np.float32)
    steps = 1 + seed % (n - 1)
    expected, heights = agglomerate(unit(rows), np.arange(n), linkage, metric, steps)
    found = AverageLinkage(1.01 / n, steps, linkage, metric=metric).fit(rows)
    assert same_partition(found.labels_, expected)
    np.testing.assert_array_equal(found.labels_, Clusters.of(found.labels_).labels)
    assert found.labels_.dtype == np.int64
    if linkage == "centroid":  # heights may fall
        np.testing.assert_allclose(found.heights_, heights, rtol=1e-6)
    else:
        np.testing.assert_allclose(found.heights_, heights, rtol=1e-5)
        assert (np.diff(found.heights_) >= 0).all()


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("merge_percent", [0.02, 0.05, 0.0745])
def test_equals_scipy(linkage: str, merge_percent: float) -> None:
    rows = people(300, spread=1.0)[0]
    tree = scipy_linkage(unit(rows), linkage)
    found = AverageLinkage(merge_percent, 13, linkage).fit(rows)
    merges = 13 * int(300 * merge_percent)
    assert same_partition(found.labels_, cut_tree(tree, merges))
    np.testing.assert_allclose(found.heights_, tree[:merges, 2], rtol=1e-5)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_equals_scipy_on_rows_of_an_untrained_network(linkage: str) -> None:
    """Similarities within 0.001 of 1, of which products of float32 hold four digits."""
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal(256) + 0.02 * rng.standard_normal((700, 256))).astype(np.float32)
    tree = scipy_linkage(unit(rows), linkage)
    found = AverageLinkage(0.05, 13, linkage).fit(rows)
    np.testing.assert_allclose(found.heights_, tree[: 13 * 35, 2], rtol=2e-5)
    assert same_partition(found.labels_, cut_tree(tree, 13 * 35))


@drawn_once
@given(st.integers(0, 10**6), st.integers(2, 90), st.sampled_from(["average", "single", "complete", "ward"]))
def test_the_chain_equals_scipy_on_any_distances(seed: int, n: int, linkage: str) -> None:
    """Also those that no points have. All merges, and the lowest members of the sides."""
    matrix = squareform(np.random.default_rng(seed).uniform(0.1, 1, n * (n - 1) // 2).astype(np.float32))
    tree = scipy_linkage(squareform(matrix), linkage)
    if linkage == "ward":
        matrix = matrix**2
    np.fill_diagonal(matrix, np.inf)
    first, second, heights = nearest_neighbor_chain(matrix, np.ones(n, np.int64), CODES[linkage])
    order = np.argsort(heights, kind="stable")
    heights = np.sqrt(heights[order]) if linkage == "ward" else heights[order]
    np.testing.assert_allclose(heights, tree[:, 2], rtol=1e-5)
    lowest = list(range(n))
    for merge, (a, b) in enumerate(tree[:, :2].astype(int).tolist()):
        lowest.append(min(lowest[a], lowest[b]))
        assert [first[order][merge], second[order][merge]] == sorted((lowest[a], lowest[b]))


@drawn_once
@given(st.integers(0, 10**6), st.integers(2, 3 * CHUNK))
def test_the_nearest_is_the_favorite_or_the_first_of_what_is_left(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    row = rng.choice(np.array([0, 1e-40, 0.5, 1.5, 1e30, np.inf], np.float32)[rng.integers(0, 5) :], n)
    gone = np.where(rng.random(n) < 0.5, GONE, 0).astype(np.int32)
    gone[rng.integers(0, n)] = 0
    left = np.flatnonzero(gone == 0)
    lowest = row[left].min()
    first = int(left[row[left] == lowest][0])
    assert nearest(row, gone, -1) == first
    for favorite in left:
        assert nearest(row, gone, favorite) == (favorite if row[favorite] == lowest else first)


@pytest.mark.parametrize("linkage", ["average", "single", "complete", "ward"])
@pytest.mark.parametrize("seed", range(5))
def test_no_merge_is_lower_than_those_below_it(linkage: str, seed: int) -> None:
    """Where nearly all distances agree to the last digits, and rounding of means could turn them around."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, 3, 300 * 299 // 2)
    matrix = squareform((1 / 3 + steps * 2.0**-25).astype(np.float32))
    np.fill_diagonal(matrix, np.inf)
    first, second, heights = nearest_neighbor_chain(matrix, np.ones(300, np.int64), CODES[linkage])
    height_of = np.zeros(300)
    for a, b, height in zip(first.tolist(), second.tolist(), heights.tolist(), strict=True):
        assert a < b and height >= max(height_of[a], height_of[b])
        height_of[a] = height


@pytest.mark.parametrize("linkage", PAIRWISE)
def test_equals_scipy_on_squared_distances(linkage: str) -> None:
    rows = people(200, spread=1.0)[0]
    found = AverageLinkage(0.05, linkage=linkage, metric="sqeuclidean").fit(rows)
    assert same_partition(found.labels_, cut_tree(scipy_linkage(pdist(unit(rows), "sqeuclidean"), linkage), 130))


@drawn_once
@given(
    st.integers(0, 10**6),
    st.integers(4, 16),
    st.integers(1, 3),
    st.sampled_from(PAIRWISE),
    st.sampled_from(list(METRICS)),
    st.booleans(),
)
def test_batches_equal_the_loops(seed: int, n: int, steps: int, linkage: str, metric: str, reinit_labels: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 3)).astype(np.float32)
    start = np.arange(n) if reinit_labels else Clusters.of(rng.integers(0, n, n)).labels
    each = start.max() // steps
    assume(each > 0)
    expected = agglomerate_in_batches(unit(rows), start, linkage, metric, each, steps)
    clusterer = AverageLinkage((each + 0.01) / n, steps, linkage, "batch", metric, reinit_labels)
    labels = clusterer.fit_predict(rows, start)
    np.testing.assert_array_equal(labels, expected)
    assert len(clusterer.heights_) == each * steps


@drawn_once
@given(st.integers(0, 10**6), st.integers(3, 14), st.sampled_from(PAIRWISE), st.sampled_from(list(METRICS)))
def test_starts_from_given_clusters(seed: int, n: int, linkage: str, metric: str) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 3)).astype(np.float32)
    start = Clusters.of(rng.integers(0, n, n)).labels
    steps = start.max()
    assume(steps > 0)
    expected, heights = agglomerate(unit(rows), start, linkage, metric, steps - steps // 2)
    clusterer = AverageLinkage(1.01 / n, steps - steps // 2, linkage, metric=metric, reinit_labels=False)
    labels = clusterer.fit_predict(rows, start)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_allclose(clusterer.heights_, heights, rtol=1e-5)
    assert all(len(set(labels[start == c].tolist())) == 1 for c in set(start.tolist()))


def test_given_labels_are_ignored_unless_asked_for() -> None:
    rows, start, _ = people(60)
    alone = AverageLinkage().fit_predict(rows)
    np.testing.assert_array_equal(AverageLinkage().fit_predict(rows, start), alone)
    for nothing_known in (None, np.full(60, -1)):
        again = AverageLinkage(reinit_labels=False).fit_predict(rows, nothing_known)
        np.testing.assert_array_equal(again, alone)


def test_one_batch_of_single_linkage_is_exact() -> None:
    rows = people(100)[0]
    exact = AverageLinkage(0.6, 1, "single").fit_predict(rows)
    np.testing.assert_array_equal(AverageLinkage(0.6, 1, "single", "batch").fit_predict(rows), exact)
    assert not same_partition(
        AverageLinkage(0.6, 1, "average", "batch").fit_predict(rows), AverageLinkage(0.6, 1).fit_predict(rows)
    )


@pytest.mark.parametrize(("linkage", "merge_mode"), MODES)
@pytest.mark.parametrize("seed", range(3))
def test_permuting_rows_permutes_the_partition(linkage: str, merge_mode: str, seed: int) -> None:
    rows = people(150, seed=seed)[0]
    order = np.random.default_rng(seed).permutation(150)
    clusterer = AverageLinkage(linkage=linkage, merge_mode=merge_mode)
    assert same_partition(clusterer.fit_predict(rows)[order], clusterer.fit_predict(rows[order]))


def test_the_matrix_is_symmetric_to_the_last_bit() -> None:
    rows = people(1500, 64)[0]  # more than one panel, and more than one block
    for labels in (np.arange(1500), np.arange(1500) // 3):
        for linkage in PAIRWISE:
            matrix = linkage_matrix(rows, Clusters.of(labels), linkage, "euclidean")
            assert matrix.dtype == np.float32 and np.isinf(matrix.diagonal()).all()
            np.testing.assert_array_equal(matrix, matrix.T)


def test_the_matrix_is_symmetric_where_products_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries may add up the two products of a pair in different orders."""
    noise = np.random.default_rng(0).uniform(0, 1e-6, (180, 180))
    monkeypatch.setattr(blocks, "distances", lambda a, b, metric: distances(a, b, metric) + noise)
    rows = people(180)[0]
    for linkage in PAIRWISE:
        matrix = linkage_matrix(rows, Clusters.of(np.arange(180) % 90), linkage, "euclidean")
        np.testing.assert_array_equal(matrix, matrix.T)


def test_ties_end_and_heights_never_fall() -> None:
    # Corners of a simplex: all distances tie, and a chain of nearest neighbors must not run in circles.
    corners = np.eye(60, dtype=np.float32)
    for linkage in ("average", "single", "complete", "ward"):
        merged, heights = merge_exactly(corners, Clusters.of(np.arange(60)), linkage, "euclidean", 59)
        assert merged.tolist() == [0] * 60
        assert (np.diff(heights) >= 0).all() and heights[0] == pytest.approx(2**0.5)


@pytest.mark.parametrize("seed", range(20))
def test_heights_of_single_linkage_do_not_depend_on_ties(seed: int) -> None:
    rows = nasty("lattice", n=80, seed=seed)
    rows = rows[rows.any(axis=1)]
    n = len(rows)
    _, heights = merge_exactly(rows, Clusters.of(np.arange(n)), "single", "sqeuclidean", n - 1)
    np.testing.assert_allclose(heights, scipy_linkage(pdist(unit(rows), "sqeuclidean"), "single")[:, 2], atol=1e-6)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize(("linkage", "merge_mode"), MODES)
def test_nasty_rows(name: str, linkage: str, merge_mode: str) -> None:
    rows = nasty(name)
    before = rows.copy()
    labels = AverageLinkage(0.1, 8, linkage, merge_mode).fit_predict(rows)  # 8 clusters
    assert sorted(set(labels.tolist())) == list(range(8))
    if name == "duplicates" and merge_mode == "exact":
        np.testing.assert_array_equal(labels, np.repeat(np.arange(8), 5))
    np.testing.assert_array_equal(rows, before)


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
    for linkage in LINKAGES:
        assert AverageLinkage(0.5, 1, linkage).fit_predict(rows).tolist() == expected
    assert AverageLinkage().fit_predict(rows).tolist() == list(range(len(rows)))


def test_layout_type_and_length_of_rows_do_not_matter() -> None:
    rows = people(60)[0]
    expected = AverageLinkage().fit_predict(rows)
    wide = np.zeros((60, 32))
    wide[:, ::2] = rows
    scaled = rows * (2.0 ** (np.arange(60) % 5))[:, None]  # powers of two: the same directions to the last bit
    for same in (rows.astype(np.float64), np.asfortranarray(rows), wide[:, ::2], scaled):
        before = same.copy()
        np.testing.assert_array_equal(AverageLinkage().fit_predict(same), expected)
        np.testing.assert_array_equal(same, before)


@pytest.mark.parametrize(
    ("linkage", "reinit_labels", "needed"),
    [
        ("average", True, 4 * 100**2 + 4 * 100 * 16),
        ("centroid", True, 8 * 100**2 + 8 * 100 * 16),
        ("average", False, 4 * 98**2 + 16 * 100 * 16),
    ],
)
def test_refuses_what_does_not_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch, linkage: str, reinit_labels: bool, needed: int
) -> None:
    rows, start = people(100)[0], np.minimum(np.arange(100), 97)
    clusterer = AverageLinkage(linkage=linkage, reinit_labels=reinit_labels)
    monkeypatch.setattr(distance_matrix, "available_bytes", lambda: needed - 1)
    with pytest.raises(InputError, match=f"holds {needed:,} bytes; {needed - 1:,} are available.*BottomUp"):
        clusterer.fit(rows, start)
    for enough in (needed, None):
        monkeypatch.setattr(distance_matrix, "available_bytes", lambda enough=enough: enough)
        assert clusterer.fit(rows, start).labels_.max() == (8 if reinit_labels else 6)


def test_available_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = available_memory.available_bytes()
    assert found is not None and found > 2**20
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    monkeypatch.setattr(available_memory, "MEMINFO", meminfo)
    monkeypatch.setattr(available_memory, "CONTAINER_LIMIT", limit)
    installed = available_memory.available_bytes()
    assert installed is not None and installed >= found
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:    5000 kB\nHugePages_Total:  0\n")
    assert available_memory.available_bytes() == 5000 * 1024
    limit.write_text("max\n")
    assert available_memory.available_bytes() == 5000 * 1024
    limit.write_text("4096\n")
    assert available_memory.available_bytes() == 4096


CHECKS = list(estimator_checks_generator(AverageLinkage()))


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_keeps_the_rules_of_scikit_learn(estimator: AverageLinkage, check: Callable) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(estimator)


def test_is_cloned_like_any_estimator() -> None:
    clusterer = AverageLinkage(0.05, 9, "single", "batch", "sqeuclidean", False)
    assert clone(clusterer).get_params() == clusterer.get_params()
    assert AverageLinkage().fit(people(60)[0]).n_features_in_ == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"merge_percent": 0}, "share of the rows that is merged"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"linkage": "median"}, "linkage must be one of average, single, complete, ward, centroid; got 'median'"),
        ({"merge_mode": "fast"}, "merge_mode must be one of exact, batch; got 'fast'"),
        ({"metric": "cosine"}, "metric must be one of sqeuclidean, euclidean; got 'cosine'"),
        ({"linkage": "ward", "merge_mode": "batch"}, "merge_mode='batch' works with linkage average, single, complete"),
        ({"linkage": "centroid", "metric": "sqeuclidean"}, "got 'centroid'. Use one of these, or metric='euclidean'"),
        ({"linkage": "ward", "reinit_labels": False}, "reinit_labels=False works with linkage average"),
        (
            {"merge_percent": 0.1, "steps": 10},
            r"10 steps of int\(20 rows \* 0.1\) = 2 merges need more than 20 clusters",
        ),
    ],
)
def test_refuses_what_makes_no_sense(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AverageLinkage(**options).fit(np.ones((20, 2)))


def test_refuses_more_merges_than_clusters_given() -> None:
    with pytest.raises(InputError, match="need more than 13 clusters to start from; got 10"):
        AverageLinkage(reinit_labels=False).fit(people(20)[0], np.arange(20) // 2)
