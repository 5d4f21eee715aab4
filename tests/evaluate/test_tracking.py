"""IDF1 against all assignments, the dense assignment of SciPy, and examples made by hand."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from oracles.identities import identity_f1_by_permutations
from reunite.errors import InputError
from reunite.evaluate.tracking import IdentityScores, identity_f1

ROWS = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3), st.integers(0, 9)), max_size=25)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_equals_the_best_of_all_assignments(rows: list) -> None:
    labels, identity, frames = np.array([*rows, (0, 0, 1)]).T
    scores = identity_f1(labels, identity, frames)
    assert (scores.idf1, scores.idp, scores.idr) == pytest.approx(identity_f1_by_permutations(labels, identity, frames))


@pytest.mark.parametrize("seed", range(10))
def test_equals_the_dense_assignment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, true = rng.integers(2, 60, 2)
    identity = rng.integers(0, true, 400)
    labels = np.where(rng.random(400) < 0.5, identity % found, rng.integers(0, found, 400))
    table = np.zeros((found, true))
    np.add.at(table, (labels, identity), 1)
    assert identity_f1(labels, identity).idf1 == table[linear_sum_assignment(table, maximize=True)].sum() / 400


@settings(max_examples=50, deadline=None)
@given(ROWS, st.integers(0, 10**6))
def test_a_row_of_many_detections_is_many_rows(rows: list, seed: int) -> None:
    labels, identity, frames = np.array([*rows, (0, 0, 1)]).T
    order = np.random.default_rng(seed).permutation(frames.sum())
    each = identity_f1(np.repeat(labels, frames)[order], np.repeat(identity, frames)[order])
    assert each == identity_f1(labels, identity, frames)


def test_one_individual_split_in_two_halves() -> None:
    assert identity_f1(np.repeat([0, 1], 5), np.zeros(10, np.int64)) == IdentityScores(0.5, 0.5, 0.5)


def test_two_individuals_under_one_identity() -> None:
    scores = identity_f1(np.zeros(10, np.int64), np.repeat([0, 1], [7, 3]))
    assert (scores.idf1, scores.idp, scores.idr) == pytest.approx((0.7, 0.7, 0.7))


def test_the_best_assignment_is_not_the_greedy_one() -> None:
    """Identity 0 shares 5 with A and 4 with B, identity 1 shares 4 with A only: 0 is B and 1 is A, 8 of 13."""
    labels, identity = np.repeat([0, 0, 1], [5, 4, 4]), np.repeat([0, 1, 0], [5, 4, 4])
    assert identity_f1(labels, identity).idf1 == pytest.approx(8 / 13)


def test_missed_and_wrong_detections_count() -> None:
    labels, identity = np.array([0, 0, 0, -1, 0, 0]), np.array([7, 7, 7, 7, -1, -1])
    scores = identity_f1(labels, identity)  # 3 right of 5 reported and 4 true
    assert (scores.idf1, scores.idp, scores.idr) == pytest.approx((6 / 9, 3 / 5, 3 / 4))


def test_nothing_reported_and_nothing_right() -> None:
    assert identity_f1(np.full(4, -1), np.arange(4)) == IdentityScores(0.0, 0.0, 0.0)
    assert identity_f1(np.array([0, -1]), np.array([-1, 0])) == IdentityScores(0.0, 0.0, 0.0)


@pytest.mark.parametrize("identity", [[0], [3, 3, 9], [5, 1, 1, 8]])
def test_a_perfect_match_scores_one(identity: list[int]) -> None:
    assert identity_f1(10 - np.array(identity), np.array(identity)) == IdentityScores(1.0, 1.0, 1.0)


def test_input_is_left_as_it_was() -> None:
    labels, identity, frames = np.array([4, 4, -1]), np.array([1, 2, 2]), np.array([3, 4, 5])
    before = [each.copy() for each in (labels, identity, frames)]
    identity_f1(labels, identity, frames)
    for was, now in zip(before, (labels, identity, frames), strict=True):
        np.testing.assert_array_equal(was, now)


def test_five_thousand_identities_take_a_moment(rng: np.random.Generator) -> None:
    identity = rng.integers(0, 5000, 200_000)
    labels = np.where(rng.random(200_000) < 0.5, identity, rng.integers(0, 5000, 200_000))
    start = time.perf_counter()
    scores = identity_f1(labels, identity)
    assert time.perf_counter() - start < 10
    assert 0.5 < scores.idf1 < 0.51


@pytest.mark.parametrize(
    ("labels", "identity", "frames", "message"),
    [
        ([0, 1], [0], None, r"identity must have shape \(2,\)"),
        ([0, 1], [0, 1], [1], r"frames must have shape \(2,\)"),
        ([0.5], [0], None, "labels must be whole numbers"),
        ([0, 1], [0, 1], [1, -2], "frames must be 0 or more detections a row; got -2 in row 1"),
        ([0, 1], [-1, -1], None, "of 2 rows none is"),
        ([0, 1], [-1, 1], [1, 0], "of 2 rows none is"),
        ([], [], None, "of 0 rows none is"),
    ],
)
def test_refuses_what_cannot_be_compared(labels: list, identity: list, frames: list | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        identity_f1(np.array(labels), np.array(identity), None if frames is None else np.array(frames))
