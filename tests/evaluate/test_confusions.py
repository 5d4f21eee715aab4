"""Splits and merges against loops, and their counts among the scores."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.clustering import with_singletons
from oracles.corrections import shared_by_loops, spreads_by_loops
from reunite.errors import InputError
from reunite.evaluate.clustering import clustering_scores
from reunite.evaluate.confusions import Confusions, confusions
from reunite.identities.shared_rows import Spread

ROWS = st.lists(st.tuples(st.integers(-2, 4), st.integers(-2, 4)), max_size=30)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_equal_the_loops(rows: list) -> None:
    labels, identity = np.array([*rows, (0, 0)]).T
    known = identity >= 0
    alone = with_singletons(labels)[known]
    truth = identity[known]
    expected = spreads_by_loops(shared_by_loops(truth, alone))
    found = confusions(labels, identity)
    merges = spreads_by_loops(shared_by_loops(alone, truth))
    assert [(each.number, list(each.parts)) for each in found.merges] == merges

    together = []  # clusters of noise, one each, listed as one part
    for number, parts in expected:
        noise = sum(rows for cluster, rows in parts if cluster > labels.max())
        real = [(cluster, rows) for cluster, rows in parts if cluster <= labels.max()]
        together.append(
            (number, sorted([*real, *([(-1, noise)] if noise else [])], key=lambda part: (-part[1], part[0])))
        )
    assert [(each.number, list(each.parts)) for each in found.splits] == together

    scores = clustering_scores(labels, identity)
    assert (scores.splits, scores.merges) == (len(expected), len(merges)) == (len(found.splits), len(found.merges))


def test_by_hand() -> None:
    identity = [7, 7, 7, 7, 8, 8, 9, 9, 9, 3, -1, 5, 5]
    labels = [0, 0, 0, 1, 1, 1, 2, -1, -1, -1, 1, -1, -1]
    assert confusions(np.array(labels), np.array(identity)) == Confusions(
        splits=(Spread(9, ((-1, 2), (2, 1))), Spread(5, ((-1, 2),)), Spread(7, ((0, 3), (1, 1)))),
        merges=(Spread(1, ((8, 2), (7, 1))),),
    )


@pytest.mark.parametrize("labels", [[], [0, 1, 2], [5, 5, 5]])
def test_nothing_known_or_nothing_wrong(labels: list) -> None:
    assert confusions(np.array(labels), np.full(len(labels), -1)) == Confusions((), ())
    assert confusions(np.array(labels), np.array(labels)) == Confusions((), ())


def test_a_million_rows_take_seconds(rng: np.random.Generator) -> None:
    identity = rng.integers(0, 40_000, 1_000_000)
    labels = np.where(rng.random(len(identity)) < 0.05, -1, identity // 2)
    start = time.perf_counter()
    found = confusions(labels, identity)
    assert time.perf_counter() - start < 10
    assert len(found.merges) == 20_000


def test_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(InputError, match=r"identity must have shape \(2,\)"):
        confusions(np.array([0, 1]), np.array([0]))
    with pytest.raises(InputError, match="labels must be whole numbers"):
        confusions(np.array([0.5]), np.array([0]))
