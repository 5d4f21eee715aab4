"""The adjusted Rand index against scikit-learn's, except where agreement is no evidence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from reunite.identities.agreement import agreement


def pairs_together(first: np.ndarray, second: np.ndarray) -> int:
    both = (first[:, None] == first[None]) & (second[:, None] == second[None])
    return (int(both.sum()) - len(first)) // 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=20))
def test_equals_scikit_learn_where_pairs_are_together_and_not_all(pairs: list) -> None:
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    found = agreement(first, second)
    together = pairs_together(first, second)
    if together == 0 or together == len(first) * (len(first) - 1) // 2:
        assert found == 0
    else:
        assert found == pytest.approx(adjusted_rand_score(first, second))
    assert agreement(second, first) == pytest.approx(found)


def test_what_any_data_agree_in_is_no_evidence() -> None:
    alone, one, two = np.arange(6), np.zeros(6, np.int64), np.array([0, 0, 0, 1, 1, 1])
    assert agreement(alone, alone) == agreement(one, one) == agreement(alone, one) == agreement(one, two) == 0
    assert agreement(two, two) == agreement(two, 1 - two) == 1
    for n in (0, 1):
        assert agreement(np.zeros(n, np.int64), np.zeros(n, np.int64)) == 0


def test_a_million_rows_do_not_overflow() -> None:
    rows = np.arange(3_000_000)
    assert agreement(rows // 1_000_000, rows // 1_000_000) == 1
