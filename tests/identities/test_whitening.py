"""The metric against its definition by a slow road: the same covariance, its root from scipy."""

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.covariance import ledoit_wolf

import reunite.identities.whitening as whitening_module
from oracles.merging import unit
from reunite.identities.whitening import Space, half_whitening, within_whitening
from reunite.types import unit_rows


def whitened(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return Space(within=within_whitening(rows, rows, labels))(rows)


def by_definition(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    within = []
    for label in sorted(set(labels.tolist())):
        members = rows[labels == label].astype(np.float64)
        if len(members) > 1:
            within += [(row - members.mean(axis=0)) * np.sqrt(len(members) / (len(members) - 1)) for row in members]
    root = fractional_matrix_power(ledoit_wolf(np.array(within), assume_centered=True)[0], -0.5)
    return unit((rows - rows.mean(axis=0)) @ root)


def some_rows(rng: np.random.Generator, groups: int, each: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(groups), each)
    noise = rng.standard_normal((len(labels), d)) * np.linspace(0.1, 1, d)
    return unit_rows((rng.standard_normal((groups, d))[labels] + noise).astype(np.float32)), labels


@pytest.mark.parametrize(("groups", "each", "d"), [(30, 8, 6), (3, 4, 20), (2, 3, 5), (10, 3, 1)])
def test_equals_the_definition(rng: np.random.Generator, groups: int, each: int, d: int) -> None:
    """Also with more dimensions than rows, where only the shrinkage makes the covariance invertible."""
    rows, labels = some_rows(rng, groups, each, d)
    labels[-1] = groups  # somebody who is alone, and in a cluster of no weight
    before = rows.copy(), labels.copy()
    found = whitened(rows, labels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_definition(rows, labels), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(rows, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize(("count", "d"), [(200, 6), (10, 30), (5, 2)])
def test_half_whitening_equals_the_definition(rng: np.random.Generator, count: int, d: int) -> None:
    rows = unit_rows((rng.standard_normal((count, d)) * np.linspace(0.1, 1, d) + 0.3).astype(np.float32))
    others = unit_rows(rng.standard_normal((7, d)).astype(np.float32))
    mean = rows.mean(axis=0)
    root = fractional_matrix_power(ledoit_wolf(rows.astype(np.float64) - mean, assume_centered=True)[0], -0.25)
    before = rows.copy()
    learned = half_whitening(rows)
    assert learned is not None
    for each in (rows, others):
        np.testing.assert_allclose(learned(each), unit((each - mean) @ root), atol=1e-4)
        assert learned(each).dtype == np.float32
    np.testing.assert_array_equal(rows, before)


def test_rows_that_are_all_alike_are_not_half_whitened(rng: np.random.Generator) -> None:
    others = unit_rows(rng.standard_normal((7, 4)).astype(np.float32))
    for rows in (np.empty((0, 4), np.float32), np.repeat(others[:1], 5, axis=0), others[:1]):
        assert half_whitening(rows) is None


def test_individuals_are_easier_to_tell_apart_where_one_direction_is_noise(rng: np.random.Generator) -> None:
    labels = np.repeat(np.arange(40), 6)
    rows = rng.standard_normal((40, 8))[labels] + 0.1 * rng.standard_normal((240, 8))
    rows[:, 0] += 6 * rng.standard_normal(240)
    rows = unit_rows(rows.astype(np.float32))

    def right(each: np.ndarray) -> float:
        similarity = each @ each.T - 2 * np.eye(240)
        return float((labels[similarity.argmax(axis=1)] == labels).mean())

    assert right(rows) < 0.85 < 0.95 < right(whitened(rows, labels))


def test_rows_are_left_alone_where_nothing_can_be_learned(rng: np.random.Generator) -> None:
    rows = unit_rows(rng.standard_normal((6, 4)).astype(np.float32))
    assert within_whitening(rows, rows, np.arange(6)) is None  # no cluster of two
    assert within_whitening(rows, rows, np.zeros(6, np.int64)) is None  # nothing to tell apart
    twice = np.repeat(rows, 3, axis=0)
    assert within_whitening(twice, twice, np.repeat(np.arange(6), 3)) is None  # nothing varies
    nobody = np.empty((0, 4), np.float32)
    assert within_whitening(nobody, nobody, np.empty(0, np.int64)) is None


def test_a_space_is_one_after_the_other(rng: np.random.Generator) -> None:
    rows, labels = some_rows(rng, 20, 4, 6)
    half = half_whitening(rows)
    assert half is not None
    within = within_whitening(half(rows), half(rows), labels)
    assert within is not None
    np.testing.assert_array_equal(Space(half, within)(rows), within(half(rows)))
    assert Space()(rows) is rows
    assert [each.dimensions for each in (Space(), Space(half), Space(None, within))] == [None, 6, 6]


def test_few_of_many_rows_are_enough(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = some_rows(rng, 300, 4, 6)
    full = whitened(rows, labels)
    monkeypatch.setattr(whitening_module, "MOST_ROWS", 400)
    some = whitened(rows, labels)
    assert not np.array_equal(some, full)
    assert np.einsum("ij,ij->i", some, full).min() > 0.95
