"""Distances of float32 products against float64 differences, where products alone would be wrong, and what is held."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

import reunite.cluster.distance_matrix as module
import reunite.threads as threads
from oracles.features import NASTY, nasty, people
from oracles.merging import unit
from reunite.cluster.blocks import ROUNDING
from reunite.cluster.distance_kernels import NEAR, TILE, from_products
from reunite.cluster.distance_matrix import PANEL, centered_unit_rows, distance_matrix, distance_matrix_bytes

METRICS = ("euclidean", "sqeuclidean")


def by_differences(rows: np.ndarray, metric: str) -> np.ndarray:
    """Distances by SciPy's loops over the differences of unit rows in float64."""
    matrix = squareform(pdist(unit(rows), metric))
    np.fill_diagonal(matrix, np.inf)
    return matrix


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 2, TILE - 1, TILE, TILE + 1, PANEL, PANEL + 1, 2 * PANEL + TILE + 3])
def test_equals_the_differences(metric: str, n: int) -> None:
    rows = people(n, 24, spread=1.0)[0]
    before = rows.copy()
    found = distance_matrix(rows, metric)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_differences(rows, metric), atol=2e-6)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", NASTY)
def test_nasty_rows(metric: str, name: str) -> None:
    rows = nasty(name, 200)
    found = distance_matrix(rows, metric)
    np.testing.assert_allclose(found, by_differences(rows, metric), atol=2e-6)
    assert not np.signbit(found).any()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_rows_of_an_untrained_network_keep_their_digits(metric: str, noise: float) -> None:
    """Products of float32 of rows at similarity 0.9996, or 0.99, leave three digits of the distance, or five."""
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal(512) + noise * rng.standard_normal((300, 512))).astype(np.float32)
    np.testing.assert_allclose(distance_matrix(rows, metric), by_differences(rows, metric), rtol=3e-6)


def test_rows_of_an_untrained_network_are_not_measured_one_by_one() -> None:
    """The difference of each pair would be right too, and slow."""
    rng = np.random.default_rng(0)
    rows = centered_unit_rows((rng.standard_normal(512) + 0.02 * rng.standard_normal((300, 512))).astype(np.float32))
    squares = (rows**2).sum(axis=1)
    apart = pdist(rows, "sqeuclidean")
    assert apart.min() > 10 * NEAR * 2 * squares.max()


@pytest.mark.parametrize("apart", [1e-1, 1e-2, 1e-3, 1e-4])
def test_near_rows_among_others_keep_their_digits(apart: float) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((100, 512))
    near = (rows + apart * rng.standard_normal(rows.shape)).astype(np.float32)
    rows = np.concatenate([rows.astype(np.float32), near])
    np.testing.assert_allclose(
        distance_matrix(rows, "euclidean"), by_differences(rows, "euclidean"), atol=4e-7, rtol=1e-6
    )


@pytest.mark.parametrize("columns", [1, 7, 300, 20_000])
def test_equal_directions_are_at_distance_zero_exactly_and_no_others(columns: int) -> None:
    """Rows of one sign, whose products round in one direction, and multiples that round each number anew."""
    rng = np.random.default_rng(columns)
    rows = rng.uniform(0, 1, (6, columns)).astype(np.float32)
    rows[:, 0] += np.arange(6)
    rows[1] *= -1
    given = np.concatenate([rows, rows, rows * np.float32(3), rows * np.float32(0.7)])
    same = np.eye(6, dtype=bool) if columns > 1 else np.sign(rows) == np.sign(rows.T)
    for metric in METRICS:
        found = distance_matrix(given, metric)
        np.testing.assert_array_equal((found == 0) | np.isinf(found), np.tile(same, (4, 4)))


def test_rows_of_one_direction_are_all_at_distance_zero() -> None:
    """Less their mean they are rounding and nothing else."""
    rng = np.random.default_rng(0)
    rows = np.outer(rng.uniform(0.1, 10, 200), rng.standard_normal(300)).astype(np.float32)
    for metric in METRICS:
        found = distance_matrix(rows, metric)
        assert (found[~np.eye(200, dtype=bool)] == 0).all()


def test_what_is_smaller_than_rounding_is_zero_and_what_is_larger_is_not() -> None:
    base = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float32)
    for step, is_zero in ((0.5, True), (2.0, False)):
        moved = base.copy()
        moved[:, 0] += step * np.sqrt(ROUNDING) * np.linalg.norm(base, axis=1)
        found = distance_matrix(np.concatenate([base, moved]), "euclidean")
        assert ((found[:2, 2:].diagonal() == 0) == is_zero).all()


def test_length_of_rows_does_not_matter() -> None:
    rows = people(150)[0]
    expected = distance_matrix(rows, "euclidean")
    scaled = rows * (2.0 ** (40 * (np.arange(150) % 5 - 2)))[:, None].astype(np.float32)  # 1e-24 to 1e24
    np.testing.assert_array_equal(distance_matrix(scaled, "euclidean"), expected)


def test_is_symmetric_where_products_are_not() -> None:
    """Libraries may add up the two products of a pair in different orders."""
    rows = unit(people(300)[0]).astype(np.float32)
    noise = np.random.default_rng(0).uniform(0, 1e-6, (300, 300))
    matrix = (rows @ rows.T + noise).astype(np.float32)
    from_products(matrix, rows, (rows**2).sum(axis=1), True, 0, 300, 0, 300)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(matrix, by_differences(rows, "euclidean"), atol=1e-5)


def test_threads_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = people(900, 32)[0]
    expected = distance_matrix(rows, "euclidean")
    monkeypatch.setattr(module, "COLUMNS_PER_TASK", TILE)
    monkeypatch.setattr(threads, "thread_count", lambda: 4)
    np.testing.assert_array_equal(distance_matrix(rows, "euclidean"), expected)


def test_holds_what_it_says() -> None:
    rows = people(1500, 256)[0]
    distance_matrix(rows[:2], "euclidean")
    tracemalloc.start()
    distance_matrix(rows, "euclidean")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.99 < peak / distance_matrix_bytes(*rows.shape) < 1.05
