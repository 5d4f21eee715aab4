"""Exact search against sorting, and what it promises about ties, duplicates and its input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.features import NASTY, nasty, people
from oracles.neighbors import nearest_by_sorting
from reunite.errors import InputError
from reunite.neighbors import on_device
from reunite.neighbors.knn import nearest_neighbors


def cosines(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    def unit(x: np.ndarray) -> np.ndarray:
        norm = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
        return x / np.where(norm == 0, 1, norm)

    return unit(queries) @ unit(rows).T


@pytest.mark.parametrize("block_size", [7, 64, 1000])
@pytest.mark.parametrize("k", [1, 5, 90])
def test_equals_sorting(k: int, block_size: int) -> None:
    rows = people(90)[0]
    indices, similarity = nearest_neighbors(rows, k, block_size=block_size)
    assert indices.dtype == np.int64 and similarity.dtype == np.float32
    np.testing.assert_array_equal(indices, nearest_by_sorting(rows, k))
    np.testing.assert_allclose(similarity, np.take_along_axis(cosines(rows, rows), indices, axis=1), atol=1e-6)


@pytest.mark.parametrize("block_size", [7, 1000])
def test_queries_equal_sorting(block_size: int) -> None:
    rows, queries = people(90)[0], people(30, seed=1)[0]
    indices, similarity = nearest_neighbors(rows, 8, queries, block_size=block_size)
    np.testing.assert_array_equal(indices, nearest_by_sorting(rows, 8, queries))
    np.testing.assert_allclose(similarity, np.take_along_axis(cosines(rows, queries), indices, axis=1), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=40), st.integers(1, 40), st.integers(1, 50))
def test_ties_go_to_the_lower_index(axes: list[int], k: int, block_size: int) -> None:
    # Rows on the axes have cosines of exactly 0 and 1: nearly everything ties, also at the k-th place.
    rows = np.eye(3, dtype=np.float32)[axes]
    k = min(k, len(rows))
    np.testing.assert_array_equal(nearest_neighbors(rows, k, block_size=block_size)[0], nearest_by_sorting(rows, k))
    found = nearest_neighbors(rows, k, rows, block_size=block_size)[0]
    np.testing.assert_array_equal(found, nearest_by_sorting(rows, k, rows))


@pytest.mark.parametrize("name", NASTY)
def test_nasty_rows(name: str) -> None:
    rows, k = nasty(name), 10
    indices, similarity = nearest_neighbors(rows, k, block_size=16)
    exact = cosines(rows, rows)
    np.testing.assert_array_equal(indices[:, 0], np.arange(len(rows)))
    assert all(len(set(row)) == k for row in indices.tolist())
    np.testing.assert_allclose(similarity, np.take_along_axis(exact, indices, axis=1), atol=1e-6)
    assert (np.diff(similarity[:, 1:], axis=1) <= 0).all()
    ascending = np.diff(indices[:, 1:], axis=1) > 0
    assert ascending[np.diff(similarity[:, 1:], axis=1) == 0].all()
    left_out = exact.copy()
    np.put_along_axis(left_out, indices, -np.inf, axis=1)
    assert (left_out.max(axis=1) <= similarity[:, -1] + 1e-6).all()


def test_similarities_are_symmetric_to_the_last_bit() -> None:
    rows = people(150, dimensions=33)[0]
    indices, similarity = nearest_neighbors(rows, 150, block_size=32)
    dense = np.empty((150, 150), np.float32)
    np.put_along_axis(dense, indices, similarity, axis=1)
    np.testing.assert_array_equal(dense, dense.T)


def test_permuting_rows_permutes_the_neighbors(rng: np.random.Generator) -> None:
    rows, order = people(80)[0], rng.permutation(80)
    direct, permuted = nearest_neighbors(rows, 6)[0], nearest_neighbors(rows[order], 6)[0]
    np.testing.assert_array_equal(direct[order], order[permuted])


def test_input_of_any_layout_is_left_as_it_was() -> None:
    rows = np.asfortranarray(people(60)[0].astype(np.float64) * 7)
    before = rows.copy()
    everything = nearest_neighbors(rows, 4)[0]
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(everything, nearest_neighbors(people(60)[0], 4)[0])
    twice = np.repeat(rows, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(everything, nearest_neighbors(twice, 4)[0])


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [*NASTY, "people"])
def test_a_device_gives_the_same(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, in parts, and with fewer bits allowed in products than the bounds ask for."""
    monkeypatch.setattr(on_device, "VALUES", 7000)
    monkeypatch.setattr(on_device, "SPARE", 2)
    rows = people(500, dimensions=64)[0] if name == "people" else nasty(name)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        for queries in (None, rows[::3]):
            for k in (1, 12, 40):
                for here, there in zip(
                    nearest_neighbors(rows, k, queries),
                    nearest_neighbors(rows, k, queries, device=device),
                    strict=True,
                ):
                    np.testing.assert_array_equal(here, there)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 11}, "k must be between 1 and the number of embeddings, 10; got 11"),
        ({"k": 0}, "k must be between 1"),
        ({"k": 1, "block_size": 0}, "block_size must be at least 1"),
        ({"k": 1, "queries": np.ones((2, 3))}, "as many columns as embeddings, 4; got 3"),
        ({"k": 1, "queries": np.full((2, 4), np.nan)}, "queries must be finite"),
    ],
)
def test_refuses_what_makes_no_sense(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nearest_neighbors(np.ones((10, 4)), **arguments)
