"""The farthest of each row against all products."""

from __future__ import annotations

import numpy as np
import pytest

from oracles.features import NASTY, nasty, people
from oracles.precisions import PRECISIONS
from reunite.neighbors.farthest import ROOM, Farthest
from reunite.neighbors.filter import Filter
from reunite.neighbors.knn import show_tiles
from reunite.neighbors.operand_kernels import dot
from reunite.neighbors.precision import Precision
from reunite.types import unit_rows


def smallest_by_definition(rows: np.ndarray) -> np.ndarray:
    products = np.array([[dot(a, b) for b in rows] for a in rows], np.float32)
    np.fill_diagonal(products, np.inf)
    return products.min(axis=1)


def found(rows: np.ndarray, precision: Precision) -> np.ndarray:
    filter = Filter(rows, precision=precision)
    farthest = Farthest(filter)
    show_tiles(filter, farthest, block_size=64)
    return farthest.smallest()


@PRECISIONS
@pytest.mark.parametrize("name", [*NASTY, "people", "opposite", "alone"])
def test_equals_the_smallest_of_all_products(name: str, precision: Precision) -> None:
    rows = {
        "people": lambda: people(300)[0],
        "opposite": lambda: np.concatenate([nasty("duplicates"), -nasty("duplicates").repeat(3 * ROOM, axis=0)])[:900],
        "alone": lambda: np.ones((1, 3), np.float32),
    }.get(name, lambda: nasty(name))()
    rows = unit_rows(rows)
    np.testing.assert_allclose(found(rows, precision), smallest_by_definition(rows), rtol=0, atol=2e-7)
