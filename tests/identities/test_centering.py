"""Means of cameras against a loop over the rows of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.identities import camera_means_by_loops
from reunite.identities.centering import FEWEST, camera_means, without
from reunite.types import unit_rows


def some_rows(rng: np.random.Generator, n: int, d: int = 5) -> np.ndarray:
    return unit_rows(rng.standard_normal((n, d)).astype(np.float32))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 2 * FEWEST), max_size=5), st.integers(0, 20))
def test_equals_the_loops(seed: int, sizes: list[int], unknown: int) -> None:
    rng = np.random.default_rng(seed)
    camera = rng.permutation(np.concatenate([7 * np.repeat(np.arange(len(sizes)), sizes), np.full(unknown, -1)]))
    rows = some_rows(rng, len(camera))
    before = rows.copy()
    means = camera_means(rows, camera.astype(np.int64))
    assert means.shape == rows.shape and means.dtype == np.float32
    np.testing.assert_allclose(means, camera_means_by_loops(rows, camera, FEWEST), atol=1e-6)
    np.testing.assert_array_equal(rows, before)


def test_a_camera_of_just_enough_rows_has_a_mean_of_its_own(rng: np.random.Generator) -> None:
    camera = np.repeat([0, 1, 2], [FEWEST, FEWEST, FEWEST - 1])
    rows = some_rows(rng, len(camera))
    means = camera_means(rows, camera)
    np.testing.assert_allclose(means[0], rows[:FEWEST].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(means[FEWEST], rows[FEWEST : 2 * FEWEST].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(means[-1], rows.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {0: 1},
        {0: 50},
        {-1: 50},
        {0: 50, -1: 50},  # rows of unknown cameras are no camera
        {0: 50, 1: FEWEST - 1},
        {0: FEWEST - 1, 1: FEWEST - 1, 2: FEWEST - 1},
    ],
)
def test_nothing_is_subtracted_without_two_cameras(rng: np.random.Generator, sizes: dict[int, int]) -> None:
    camera = np.repeat(np.array(list(sizes), np.int64), list(sizes.values()))
    rows = some_rows(rng, len(camera))
    means = camera_means(rows, camera)
    assert means.shape == rows.shape and not means.any()
    np.testing.assert_allclose(without(rows, means), rows, atol=1e-6)


def test_the_shift_of_a_camera_is_gone(rng: np.random.Generator) -> None:
    """Both cameras see the same people, the second moved: without the means, the rows of a person are alike."""
    people = rng.standard_normal((40, 8))
    people -= people.mean(axis=0)
    shift = rng.standard_normal((2, 8))
    rows = (people + shift[:, None]).reshape(-1, 8).astype(np.float32)
    rest = without(rows, camera_means(rows, np.repeat([0, 1], 40)))
    np.testing.assert_allclose(rest, np.tile(unit_rows(people), (2, 1)), atol=1e-5)


def test_without_is_of_length_one_and_keeps_what_would_vanish() -> None:
    rows = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float32)
    means = np.array([[1, 0], [0, 0.5], [0.6, 0], [0.5, 0.5]], np.float32)
    before = rows.copy(), means.copy()
    # The first equals its camera's mean; the last has no direction, and what is left of it would be the mean's.
    np.testing.assert_allclose(without(rows, means), [[1, 0], [0, 1], [0, 1], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(rows, before[0])
    np.testing.assert_array_equal(means, before[1])


def test_what_rounding_leaves_is_nothing() -> None:
    row = unit_rows(np.array([[1, 2, 3]], np.float32))
    np.testing.assert_allclose(without(row, row * np.float32(1 - 1e-6)), row, atol=1e-6)
    np.testing.assert_allclose(without(row, row + np.array([[0.01, 0, 0]], np.float32)), [[-1, 0, 0]], atol=1e-4)
