"""Infomap: its graph against loops, its partition against another way into the package, and both houses' rules."""

from __future__ import annotations

import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import estimator_checks_generator

from oracles.features import NASTY, nasty, people
from oracles.flow import links_by_loops
from reunite.cluster.flow import InfomapClustering, similarity_links
from reunite.errors import InputError
from reunite.types import Clusters


@pytest.fixture
def infomap() -> ModuleType:
    return pytest.importorskip("infomap", reason='needs infomap (GPL): pip install "reunite[infomap]"')


needs_infomap = pytest.mark.usefixtures("infomap")


def groups(*sizes: int, spread: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows near orthogonal centers, in random order, and the group of each."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.eye(len(sizes))[group] + spread * rng.standard_normal((len(group), len(sizes))), group


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(2, 12), st.floats(0.05, 0.95))
def test_links_equal_loops(seed: int, n: int, k: int, min_similarity: float) -> None:
    rows = np.random.default_rng(seed).standard_normal((n, 4))
    cosines = np.corrcoef(np.hstack([rows, -rows]))  # of rows with mean zero correlation is cosine
    assume(np.abs(cosines - min_similarity).min() > 1e-5)
    expected = links_by_loops(rows, k, min_similarity)
    found = similarity_links(rows, k, min_similarity)
    assert found.shape == (len(expected), 3)
    np.testing.assert_allclose(found, np.array(expected).reshape(-1, 3), atol=1e-6)
    assert set(found[:, 1]) <= set(found[:, 0])


@pytest.mark.parametrize(("min_similarity", "linked"), [(0.499, True), (0.5, True), (0.501, False), (1.0, False)])
def test_a_cosine_of_exactly_the_least_is_linked(min_similarity: float, linked: bool) -> None:
    links = similarity_links(np.array([[3.0, 0, 0, 0], [2.0, 2, 2, 2]]), 15, min_similarity)
    assert links.tolist() == ([[0, 1, 0.5], [1, 0, 0.5]] if linked else [])


def test_links_have_a_direction() -> None:
    angle = np.deg2rad([0, 1, 2.5, 9])  # the last is far from all: nobody's nearest, though its own nearest is row 2
    links = similarity_links(np.stack([np.cos(angle), np.sin(angle)], axis=1), 2, 0.5)
    assert links[:, :2].tolist() == [[0, 1], [1, 0], [2, 1], [3, 2]]


@needs_infomap
def test_planted_groups_are_found() -> None:
    rows, group = groups(*range(5, 35))
    labels = InfomapClustering().fit_predict(rows)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, Clusters.of(group).labels)


@needs_infomap
def test_small_modules_and_rows_without_links_are_noise() -> None:
    rows, group = groups(1, 3, 4, 5, 6, 1)
    for least, kept in ((5, (3, 4)), (4, (2, 3, 4)), (7, ()), (1, (1, 2, 3, 4))):
        labels = InfomapClustering(min_cluster_size=least).fit_predict(rows)
        np.testing.assert_array_equal(labels >= 0, np.isin(group, kept))
        np.testing.assert_array_equal(labels, Clusters.of(np.where(np.isin(group, kept), group, -1)).labels)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_partition_is_that_of_single_links(infomap: ModuleType, seed: int) -> None:
    rows = people(400, spread=1.0)[0]
    links = [(int(i), int(j), weight) for i, j, weight in similarity_links(rows, 10, 0.6)]
    options = {"two_level": True, "num_trials": 1, "seed": seed + 1, "silent": True}
    partitions = []
    for directed in (True, False):
        modules = infomap.run(links, directed=directed, **options).modules()
        sizes = Counter(modules.values())
        raw = [modules[row] if sizes[modules.get(row)] >= 5 else -1 for row in range(400)]
        partitions.append(Clusters.of(raw).labels)
    labels = InfomapClustering(k=10, min_similarity=0.6, seed=seed).fit_predict(rows)
    np.testing.assert_array_equal(labels, partitions[0])
    assert (labels != partitions[1]).any(), "undirected links would be something else"
    assert (labels == -1).any()


def test_groups_of_groups_are_split_on_two_levels_only(infomap: ModuleType) -> None:
    rng = np.random.default_rng(0)
    family, group = np.repeat(np.arange(6), 64), np.repeat(np.arange(48), 8)
    rows = rng.standard_normal((6, 24))[family] + rng.standard_normal((48, 24))[group]
    rows += 0.5 * rng.standard_normal(rows.shape)
    labels = InfomapClustering(min_similarity=0.3).fit_predict(rows)
    tree = infomap.Network().add_links(similarity_links(rows, 15, 0.3)).run(directed=True, num_trials=1, seed=1)
    assert tree.num_levels > 2 and len(set(tree.modules().values())) < 10, "this data has no levels to choose from"
    assert labels.max() > 15


@needs_infomap
def test_the_seed_and_nothing_else_decides() -> None:
    rows = people(600, spread=1.4)[0]
    found = [InfomapClustering(k=10, min_similarity=0.3, seed=seed).fit_predict(rows) for seed in range(6)]
    assert any((labels != found[0]).any() for labels in found), "this data has one answer only: the test says nothing"
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    state = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    for seed, labels in enumerate(found):
        again = InfomapClustering(k=10, min_similarity=0.3, seed=seed).fit(rows, y=np.zeros(600))
        np.testing.assert_array_equal(again.labels_, labels)
    assert state == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


@needs_infomap
def test_the_largest_seed_is_one_that_infomap_takes() -> None:
    rows, group = groups(6, 7)
    np.testing.assert_array_equal(InfomapClustering(seed=2**32 - 2).fit_predict(rows), Clusters.of(group).labels)


@needs_infomap
def test_permuting_rows_keeps_clear_groups() -> None:
    rows, group = groups(3, 5, 8, 13, 21, 40)
    order = np.random.default_rng(1).permutation(len(rows))
    direct, permuted = InfomapClustering().fit_predict(rows)[order], InfomapClustering().fit_predict(rows[order])
    np.testing.assert_array_equal(permuted, Clusters.of(direct).labels)
    assert adjusted_rand_score(group[order][permuted >= 0], permuted[permuted >= 0]) == 1


@needs_infomap
def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    InfomapClustering().fit(groups(6, 7)[0])
    assert capfd.readouterr() == ("", "")


@needs_infomap
@pytest.mark.parametrize("name", NASTY)
def test_nasty_rows(name: str) -> None:
    rows = nasty(name)
    before = rows.copy()
    labels = InfomapClustering(k=10).fit_predict(rows)
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(labels, Clusters.of(labels).labels)
    assert (np.bincount(labels[labels >= 0], minlength=1) >= 5).all() or labels.max() == -1
    if name in ("constant", "untrained"):
        assert (labels >= 0).any()
    if name == "zeros":
        assert (labels[::3] == -1).all()


@needs_infomap
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.ones((1, 3)), [-1]),
        (np.ones((4, 3)), [-1] * 4),
        (np.ones((5, 3)), [0] * 5),
        (np.eye(6), [-1] * 6),
        (np.zeros((6, 2)), [-1] * 6),
        (np.array([[1.0], [2], [-3], [1], [4], [5], [-1]]), [0, 0, -1, 0, 0, 0, -1]),
    ],
)
def test_few_rows_and_columns(rows: np.ndarray, expected: list[int]) -> None:
    assert InfomapClustering().fit_predict(rows).tolist() == expected


CHECKS = list(estimator_checks_generator(InfomapClustering()))


@needs_infomap
@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_keeps_the_rules_of_scikit_learn(estimator: InfomapClustering, check: Callable) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(estimator)


def test_without_infomap_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "infomap", None)
    with pytest.raises(InputError, match=r'GPL.*pip install "reunite\[infomap\]"'):
        InfomapClustering().fit(np.ones((5, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 1}, "k counts the row itself and must be at least 2; got 1"),
        ({"min_similarity": 0.0}, r"in \(0, 1\]; got 0.0"),
        ({"min_similarity": 1.1}, "got 1.1"),
        ({"min_similarity": float("nan")}, "got nan"),
        ({"min_cluster_size": 0}, "min_cluster_size counts rows"),
        ({"seed": -1}, "seed must be a whole number.*got -1"),
        ({"seed": 2**32 - 1}, "got 4294967295"),
        ({"seed": 0.5}, "got 0.5"),
    ],
)
def test_refuses_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InfomapClustering(**options).fit(np.ones((5, 2)))


@needs_infomap
def test_refuses_rows_that_are_not_finite() -> None:
    with pytest.raises(InputError, match="the first is row 1"):
        InfomapClustering().fit(np.array([[1.0, 2], [np.nan, 0]]))
