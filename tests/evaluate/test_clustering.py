"""Clustering scores against their definitions and scikit-learn."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from oracles.clustering import bcubed_f_by_rows, pairwise_f_by_pairs, purity_by_clusters, with_singletons
from reunite.errors import InputError
from reunite.evaluate.clustering import clustering_scores
from reunite.types import ClusterScores

PAIRS = st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 5)), min_size=1, max_size=40)


def assert_scores(scores: ClusterScores, labels: np.ndarray, identity: np.ndarray) -> None:
    found, truth = with_singletons(labels), identity
    assert scores.ari == pytest.approx(adjusted_rand_score(truth, found), abs=1e-9)
    assert scores.nmi == pytest.approx(normalized_mutual_info_score(truth, found), abs=1e-9)
    assert scores.pairwise_f == pytest.approx(pairwise_f_by_pairs(found, truth), abs=1e-12)
    assert scores.bcubed_f == pytest.approx(bcubed_f_by_rows(found, truth), abs=1e-12)
    assert scores.purity == pytest.approx(purity_by_clusters(found, truth), abs=1e-12)
    assert scores.clusters == len(set(labels[labels >= 0]))
    assert scores.noise == (labels < 0).sum()
    assert scores.identities == len(set(truth))


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_equals_the_definitions(pairs: list[tuple[int, int]]) -> None:
    labels, identity = np.array([*pairs, (0, 0)]).T
    known = identity >= 0
    assert_scores(clustering_scores(labels, identity), labels[known], identity[known])


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.integers(0, 10**6))
def test_order_and_names_do_not_matter(pairs: list[tuple[int, int]], seed: int) -> None:
    labels, identity = np.array([*pairs, (0, 0)]).T
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    renamed = np.where(labels < 0, -1, rng.permutation(100)[labels])
    changed = clustering_scores(renamed[order], np.where(identity < 0, -1, 7 * identity)[order])
    for name, value in vars(clustering_scores(labels, identity)).items():
        assert getattr(changed, name) == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("identity", [[0], [3, 3, 3], [0, 1, 2, 3], [5, 5, 1, 1, 8]])
def test_a_perfect_match_scores_one(identity: list[int]) -> None:
    scores = clustering_scores(np.array(identity), np.array(identity))
    perfect = (scores.ari, scores.nmi, scores.pairwise_f, scores.bcubed_f, scores.purity)
    assert perfect == pytest.approx((1, 1, 1, 1, 1))


def test_all_noise_is_pure_and_finds_nothing() -> None:
    scores = clustering_scores(np.full(6, -1), np.array([0, 0, 0, 1, 1, 1]))
    assert (scores.ari, scores.pairwise_f, scores.purity, scores.clusters, scores.noise) == (0, 0, 1, 0, 6)
    assert scores.bcubed_f == pytest.approx(0.5)


def test_input_is_left_as_it_was_and_rows_of_unknown_identity_left_out() -> None:
    labels, identity = np.array([-1, 4, 4, 9, 9]), np.array([0, 0, 0, -1, -1])
    before = labels.copy(), identity.copy()
    scores = clustering_scores(labels, identity)
    assert (scores.clusters, scores.noise, scores.identities) == (1, 1, 1)
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(identity, before[1])


def test_a_million_rows_take_seconds(rng: np.random.Generator) -> None:
    identity = rng.integers(0, 40_000, 1_000_000)
    labels = np.where(rng.random(1_000_000) < 0.3, -1, identity // 2)
    start = time.perf_counter()
    scores = clustering_scores(labels, identity)
    assert time.perf_counter() - start < 10
    assert scores.noise == (labels < 0).sum() and 0.5 < scores.purity < 0.75


@pytest.mark.parametrize(
    ("labels", "identity", "message"),
    [
        ([0, 1], [0], r"identity must have shape \(2,\)"),
        ([0.5], [0], "labels must be whole numbers"),
        ([0, 1], [-1, -1], "all 2 are unknown"),
        ([], [], "all 0 are unknown"),
    ],
)
def test_refuses_what_cannot_be_compared(labels: list, identity: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        clustering_scores(np.array(labels), np.array(identity))
