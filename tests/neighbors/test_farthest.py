"""The farthest of each row against all products."""

from __future__ import annotations

import numpy as np
import pytest

from oracles.features import NASTY, nasty, people
from reunite.neighbors.farthest import ROOM, Farthest
from reunite.neighbors.filter import Filter
from reunite.neighbors.filter_kernels import dot
from reunite.neighbors.knn import show_tiles
from reunite.types import unit_rows


def smallest_by_definition(rows: np.ndarray) -> np.ndarray:
    products = np.array([[dot(a, b) for b in rows] for a in rows], np.float32)
    np.fill_diagonal(products, np.inf)
    return products.min(axis=1)


def found(rows: np.ndarray, reduced: bool) -> np.ndarray:
    filter = Filter(rows, reduced=reduced)
    farthest = Farthest(filter)
    show_tiles(filter, farthest, block_size=64)
    return farthest.smallest()


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("name", [*NASTY, "people", "opposite", "alone"])
def test_equals_the_smallest_of_all_products(name: str, reduced: bool) -> None:
    rows = {
        "people": lambda: people(300)[0],
        "opposite": lambda: np.concatenate([nasty("duplicates"), -nasty("duplicates").repeat(3 * ROOM, axis=0)])[:900],
        "alone": lambda: np.ones((1, 3), np.float32),
    }.get(name, lambda: nasty(name))()
    rows = unit_rows(rows)
    np.testing.assert_allclose(found(rows, reduced), smallest_by_definition(rows), rtol=0, atol=2e-7)
