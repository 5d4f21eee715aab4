"""Shared rows and spreads against loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.corrections import shared_by_loops, spreads_by_loops
from reunite.identities.shared_rows import Spread, shared_rows, spreads

NUMBERS = st.sampled_from([-1, 0, 1, 2, 7, 10**15])  # far apart: products of numbers would not fit
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_equal_the_loops(rows: list) -> None:
    first, second = np.array(rows, np.int64).reshape(-1, 2).T
    cells = shared_rows(first, second)
    table = shared_by_loops(first, second)
    assert list(zip(*map(np.ndarray.tolist, cells[:2]), strict=True)) == list(table)
    assert cells.rows.tolist() == list(table.values())
    found = [(each.number, list(each.parts)) for each in spreads(*cells)]
    assert found == spreads_by_loops(table)
    order = np.random.default_rng(0).permutation(len(cells.rows))
    assert spreads(*(each[order] for each in cells)) == spreads(*cells)


def test_rows_on_their_own_are_a_piece_each() -> None:
    whole, part, rows = np.array([0, 0, 1, 2, 3]), np.array([5, -1, -1, -1, 5]), np.array([4, 1, 3, 1, 9])
    found = spreads(whole, part, rows, np.where(part < 0, rows, 1))
    assert found == (Spread(1, ((-1, 3),)), Spread(0, ((5, 4), (-1, 1))))
