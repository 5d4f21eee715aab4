"""Numbers that stay, against all assignments and by hand."""

import json
import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oracles.corrections import best_assignment_by_trying_all, shared_by_loops, spreads_by_loops
from reunite.errors import InputError
from reunite.identities.numbering import DECIDED_TIES, keep_numbers
from reunite.identities.shared_rows import Spread
from reunite.types import Clusters

ROWS = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), max_size=30)


def counts(table: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Groups and numbers that share as many rows as the table says: a line per group, a column per number."""
    cells = [(group, number) for group, line in enumerate(table) for number, k in enumerate(line) for _ in range(k)]
    labels, previous = np.array(cells).T
    return labels, previous


def numbers_of(table: list[list[int]]) -> list[int]:
    """The number that each line of the table gets."""
    labels, previous = counts(table)
    found = keep_numbers(labels, previous).labels
    return [int(found[labels == group][0]) for group in range(len(table))]


@settings(max_examples=300, deadline=None)
@given(ROWS)
def test_equals_trying_all_assignments(rows: list) -> None:
    labels, previous = np.array(rows, np.int64).reshape(-1, 2).T
    labels = Clusters.of(labels).labels
    both = (labels >= 0) & (previous >= 0)
    table = shared_by_loops(labels[both], previous[both])
    assume(len(table) <= 11)
    best = dict(best_assignment_by_trying_all(table))
    found = keep_numbers(labels, previous)
    given_ = dict(zip(labels.tolist(), found.labels.tolist(), strict=True))
    groups, largest = range(labels.max(initial=-1) + 1), int(previous.max(initial=-1))
    fresh = [group for group in groups if group not in best]
    expected = {**best, **{group: largest + 1 + k for k, group in enumerate(fresh)}}
    assert {group: given_[group] for group in groups} == expected
    assert given_.get(-1, -1) == -1

    assert found.kept == sum(table[cell] for cell in best.items())
    assert found.kept == ((found.labels == previous) & (previous >= 0)).sum()
    assert found.known == (previous >= 0).sum() and found.largest == largest + len(fresh)
    assert found.new.tolist() == [expected[group] for group in fresh]
    assert found.vanished.tolist() == sorted(set(previous[previous >= 0].tolist()) - {number for _, number in table})
    now = {(expected[group], number): rows for (group, number), rows in table.items()}
    assert [(each.number, list(each.parts)) for each in found.merges] == spreads_by_loops(now)
    then = {(number, new): rows for (new, number), rows in now.items()}
    assert [(each.number, list(each.parts)) for each in found.splits] == spreads_by_loops(dict(sorted(then.items())))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 1000]))
def test_larger_tables_keep_as_many_rows_as_a_dense_assignment(seed: int, a: int, b: int, most: int) -> None:
    from scipy.optimize import linear_sum_assignment

    table = np.random.default_rng(seed).integers(0, most + 1, (a, b))
    table[0, 0] += 1
    labels, previous = counts(table.tolist())
    rows, columns = linear_sum_assignment(table, maximize=True)
    assert keep_numbers(labels, previous).kept == table[rows, columns].sum()


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(-1, 9))
def test_numbers_are_one_to_one_and_new_ones_never_given_before(rows: list, largest: int) -> None:
    labels, previous = np.array(rows, np.int64).reshape(-1, 2).T
    found = keep_numbers(labels, previous, largest=largest)
    pairs = set(zip(labels.tolist(), found.labels.tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert (found.new > max(largest, previous.max(initial=-1))).all()
    assert set(found.labels.tolist()) - {-1} <= set(previous.tolist()) | set(found.new.tolist())
    again = keep_numbers(found.labels, found.labels, largest=found.largest)
    np.testing.assert_array_equal(again.labels, found.labels)
    assert (again.largest, again.merges, again.splits, len(again.new)) == (found.largest, (), (), 0)


def test_the_first_result_is_numbered_by_first_member() -> None:
    found = keep_numbers([7, -1, 3, 7], [-1, -1, -1, -1])
    assert found.labels.tolist() == [0, -1, 1, 0]
    assert (found.largest, found.known, found.kept, found.new.tolist()) == (1, 0, 0, [0, 1])
    assert keep_numbers([], []).largest == -1


def test_a_folder_that_grew_by_hand() -> None:
    #        0 and 1 merge      2 splits        4 is noise now, 3 as it was, new
    labels = [0, 0, 0, 0, 0,    1, 1, 1, 2, 2,  -1, -1,         3, 3,        4, 4]  # fmt: skip
    before = [0, 0, 0, 1, 1,    2, 2, 2, 2, 2,   4, 4,          3, 3,       -1, -1]  # fmt: skip
    found = keep_numbers(labels, before, numbers=[0, 1, 2, 3, 4, 6], largest=8)
    assert found.labels.tolist() == [0, 0, 0, 0, 0, 2, 2, 2, 9, 9, -1, -1, 3, 3, 10, 10]
    assert (found.largest, found.known, found.kept) == (10, 14, 8)
    assert found.merges == (Spread(0, ((0, 3), (1, 2))),)
    assert found.splits == (Spread(2, ((2, 3), (9, 2))),)
    assert (found.vanished.tolist(), found.new.tolist()) == ([4, 6], [9, 10])
    assert found.lines() == [
        "8 of 14 images with an identity before kept its number (57.1 %); 2 new identities, 2 vanished, 1 merge, 1 split",
        "merge: identity 0 has images of 0 (3), 1 (2)",
        "split: identity 2 is now in 2 (3), 9 (2)",
    ]
    assert found.lines(most=0)[1:] == ["and 2 more merges and splits"]
    summary = json.loads(json.dumps(found.summary()))
    assert summary["first_merges"] == [{"identity": 0, "images_of": [[0, 3], [1, 2]]}]
    assert summary["first_splits"] == [{"identity": 2, "images_in": [[2, 3], [9, 2]]}]
    assert (summary["largest_number"], summary["images_that_kept_it"], summary["first_vanished"]) == (10, 8, [4, 6])
    assert found.summary(most=0)["first_merges"] == [] and found.summary(most=0)["merges"] == 1


@pytest.mark.parametrize(
    ("table", "numbers"),
    [
        ([[5, 5]], [0]),  # the lower number
        ([[5], [5]], [0, 1]),  # the group that begins first; 1 is new
        ([[4, 4], [4, 4]], [0, 1]),
        ([[1] * 30], [0]),  # more cells than ties are decided for, but no tangle
        ([[10, 5], [5, 0]], [0, 2]),  # the largest cell, not two halves
        ([[6, 5], [5, 0]], [1, 0]),  # but more rows in all count first
        ([[2, 3, 3], [3, 2, 3], [3, 3, 2]], [2, 0, 1]),  # a tangle of two best rotations: number 0 goes to the earlier
    ],
)
def test_ties_by_hand(table: list, numbers: list) -> None:
    assert numbers_of(table) == numbers


def test_a_tangle_larger_than_ties_are_decided_for_is_still_best_and_always_the_same() -> None:
    table = 1 + (np.add.outer(np.arange(8), np.arange(8)) % 3 == 0)
    assert table.size > DECIDED_TIES
    labels, previous = counts(table.tolist())
    found = keep_numbers(labels, previous)
    assert found.kept == 15  # the twos are blocks of 3 x 3, 3 x 2 and 2 x 3: 7 of 8 can be had
    np.testing.assert_array_equal(keep_numbers(labels, previous).labels, found.labels)


def test_input_is_left_as_it_was() -> None:
    labels, previous = np.array([2, 2, -1, 5]), np.array([4, -1, 4, 9])
    before = labels.copy(), previous.copy()
    keep_numbers(labels, previous)
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(previous, before[1])


def test_a_million_rows_take_seconds(rng: np.random.Generator) -> None:
    who = rng.integers(0, 50_000, 1_000_000)
    labels, previous = (np.where(rng.random(len(who)) < 0.02, rng.integers(0, 50_000, len(who)), who) for _ in range(2))
    previous[rng.random(len(who)) < 0.2] = -1
    start = time.perf_counter()
    found = keep_numbers(labels, previous)
    assert time.perf_counter() - start < 10
    assert found.kept > 0.95 * found.known


@pytest.mark.parametrize("steps", [np.arange(1_000, 0, -1), np.full(30_000, 2)], ids=["falling", "level"])
def test_a_long_chain_is_no_pass_for_each_cell(steps: np.ndarray) -> None:
    cells = np.arange(len(steps))  # each stands in the way of the next, and shares its number or its group with it
    labels, previous = np.repeat((cells + 1) // 2, steps), np.repeat(cells // 2, steps)
    start = time.perf_counter()
    found = keep_numbers(labels, previous)
    assert time.perf_counter() - start < 10
    assert found.kept == steps[::2].sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0]), r"previous must have shape \(2,\)"),
        (([0.5], [0]), "labels must be whole numbers"),
        (([0], ["a"]), "previous must be whole numbers"),
        (([0], [0], -2), "largest must be the largest number ever given.*got -2"),
        (([0], [0], 1.5), "got 1.5"),
    ],
)
def test_refuses_what_cannot_be_numbered(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        keep_numbers(*arguments[:2], largest=arguments[2] if len(arguments) > 2 else -1)
