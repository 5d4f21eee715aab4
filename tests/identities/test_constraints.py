"""Constraints against closures by repetition, and what a message tells somebody who has to correct them."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.corrections import closure
from reunite.errors import InputError
from reunite.identities.constraints import Constraints, violated

ROWS = st.integers(0, 7)
PAIRS = st.lists(st.tuples(ROWS, ROWS, st.sampled_from([1, 1, 0])).filter(lambda pair: pair[0] != pair[1]), max_size=9)


def split(pairs: list) -> tuple[list, list]:
    return [(i, j) for i, j, same in pairs if same], [(i, j) for i, j, same in pairs if not same]


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_contradictions_are_found_if_and_only_if_the_closure_has_some(pairs: list) -> None:
    same, different = split(pairs)
    groups = closure(same, 8)
    wrong = {frozenset((i, j)) for i, j in different if j in groups[i]}
    if wrong:
        count = len({frozenset(pair) for pair in different})
        with pytest.raises(InputError, match=f"; {len(wrong)} of {count} pairs said to be different"):
            Constraints.of(pairs, 8)
        return
    found = Constraints.of(pairs, 8)
    assert {tuple(pair) for pair in found.same.tolist()} == {(min(pair), max(pair)) for pair in same}
    assert {tuple(pair) for pair in found.different.tolist()} == {(min(pair), max(pair)) for pair in different}
    assert found.groups.tolist() == [min(group) for group in groups]
    assert found.groups.dtype == found.same.dtype == found.different.dtype == np.int64
    for array in (found.same, found.different):
        assert array.shape == (len(array), 2)
        assert array.tolist() == sorted(array.tolist()) and len(np.unique(array, axis=0)) == len(array)


@settings(max_examples=100, deadline=None)
@given(PAIRS, st.lists(st.tuples(ROWS, ROWS), max_size=9))
def test_a_person_stands_above_a_rule(pairs: list, ruled: list) -> None:
    same = [pair for pair in pairs if pair[2]]
    groups = closure(split(same)[0], 8)
    stays, falls = Constraints.of(same, 8).without_contradicted(np.array(ruled, np.int64).reshape(-1, 2))
    assert stays.tolist() == [[i, j] for i, j in ruled if j not in groups[i]]
    assert falls.tolist() == [[i, j] for i, j in ruled if j in groups[i]]


@settings(max_examples=150, deadline=None)
@given(PAIRS, st.lists(st.integers(-1, 2), min_size=8, max_size=8))
def test_violated_pairs_are_those_that_do_not_hold(pairs: list, labels: list) -> None:
    try:
        constraints = Constraints.of(pairs, 8)
    except InputError:
        return
    same, different = split(pairs)
    expected = {(min(i, j), max(i, j), 1) for i, j in same if labels[i] != labels[j] or labels[i] == -1}
    expected |= {(min(i, j), max(i, j), 0) for i, j in different if labels[i] == labels[j] != -1}
    found = violated(labels, constraints)
    assert found.shape == (len(expected), 3) and set(map(tuple, found.tolist())) == expected


def test_two_columns_are_all_different() -> None:
    found = Constraints.of([[4, 1], [1, 4], [0, 2]], 5)
    assert found.same.shape == (0, 2) and found.different.tolist() == [[0, 2], [1, 4]]
    assert found.groups.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("pairs", [None, [], np.empty((0, 2)), np.empty((0, 3), np.int64)])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_no_pairs(pairs: object, count: int) -> None:
    found = Constraints.of(pairs, count)
    assert found.same.shape == found.different.shape == (0, 2) and found.groups.tolist() == list(range(count))
    assert violated(np.zeros(count, np.int64), found).shape == (0, 3)


def test_input_is_left_as_it_was() -> None:
    pairs = np.array([[3, 1, 1], [0, 2, 0]])
    before = pairs.copy()
    Constraints.of(pairs, 4)
    np.testing.assert_array_equal(pairs, before)


def test_the_shortest_chain_is_told_with_names_and_places() -> None:
    names = [f"{letter}.jpg" for letter in "abcdef"]
    pairs = [(0, 1, 1), (1, 2, 1), (2, 3, 1), (4, 1, 1), (3, 4, 1), (3, 0, 0), (1, 0, 1), (5, 0, 0)]
    sources = [f"line {k + 2} of p.csv" for k in range(len(pairs))]
    with pytest.raises(InputError) as caught:
        Constraints.of(pairs, 6, names=names, sources=sources)
    told = str(caught.value)
    assert "1 of 2 pairs said to be different are the same by other pairs" in told
    assert "a.jpg and d.jpg are different (line 7 of p.csv), but a.jpg = b.jpg (line 2 of p.csv)" in told
    through = (
        "b.jpg = c.jpg (line 3 of p.csv), c.jpg = d.jpg (line 4",
        "b.jpg = e.jpg (line 5 of p.csv), e.jpg = d.jpg (line 6",
    )
    assert sum(each in told for each in through) == 1


def test_both_at_once_and_without_names() -> None:
    with pytest.raises(InputError, match=r"row 1 and row 2 are different \(pair 1\), but row 1 = row 2 \(pair 0\)\."):
        Constraints.of([[2, 1, 1], [1, 2, 0], [1, 2, 1], [2, 1, 0]], 3)


def test_many_contradictions_are_counted_and_the_first_ones_named_as_they_were_given() -> None:
    pairs = [*((k, k + 1, 1) for k in range(0, 20, 2)), *((k, k + 1, 0) for k in range(18, -2, -2))]
    with pytest.raises(InputError) as caught:
        Constraints.of(pairs, 20)
    told = str(caught.value)
    assert "10 of 10 pairs" in told and "; and 7 more. Correct" in told
    assert told.index("row 18 and row 19") < told.index("row 16 and row 17") < told.index("row 14 and row 15")
    assert "row 12" not in told


def test_a_long_chain_is_told_by_its_ends() -> None:
    pairs = [*((k, k + 1, 1) for k in range(30)), (30, 0, 0)]
    with pytest.raises(InputError) as caught:
        Constraints.of(pairs, 31)
    told = str(caught.value)
    assert "row 6 = row 7 (pair 6), ... 22 more ..., row 29 = row 30 (pair 29)." in told
    assert len(told) < 600


def test_many_pairs_take_seconds(rng: np.random.Generator) -> None:
    who = rng.integers(0, 60_000, 200_000)
    order = np.argsort(who, kind="stable")
    same = np.stack([order[:-1], order[1:]], axis=1)[np.diff(who[order]) == 0]
    pairs = np.concatenate([np.insert(same, 2, 1, axis=1), [[order[0], order[-1], 0]]])
    start = time.perf_counter()
    found = Constraints.of(pairs, len(who))
    assert time.perf_counter() - start < 5
    assert len(violated(who, found)) == 0 and len(np.unique(found.groups)) == len(np.unique(who))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([0, 1], r"must have shape \(p, 3\).*or \(p, 2\), all different; got shape \(2,\)"),
        ([[0, 1, 1, 1]], r"got shape \(1, 4\)"),
        ([[0, 1], [1, 1]], r"two different rows from 0 to 3; 1 of 2 pairs are not \(the first is pair 1, \[1, 1\]\)"),
        ([[0, 4, 1]], r"the first is pair 0, \[0, 4\]"),
        (
            [[0, 1, 1], [0, 2, 2], [1, 2, -1]],
            r"1 for same or 0 for different; 2 of 3 are not \(the first is pair 1, \[0, 2, 2\]\)",
        ),
        ([[0.0, 1.0, 1.0]], "whole numbers from 0 on; got float64 values"),
    ],
)
def test_refuses_what_are_no_pairs(pairs: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Constraints.of(pairs, 4)


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"labels must have shape \(4,\)"):
        violated([0, 0], Constraints.of([[0, 1]], 4))
