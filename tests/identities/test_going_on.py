"""What was decided before stays where it is a close call, against the definition in loops."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

from reunite.cluster.sparse_linkage import sparse_linkage_tree
from reunite.identities.going_on import SLACK, regrouped
from reunite.identities.identify import identify
from reunite.identities.numbering import keep_numbers
from reunite.types import Clusters, unit_rows


def random_graph(rng: np.random.Generator, count: int, share: float) -> csr_array:
    """Symmetric distances in (0, 1) with a diagonal of zeros."""
    upper = np.triu(np.where(rng.random((count, count)) < share, rng.uniform(0.01, 0.95, (count, count)), 0), 1)
    return csr_array(np.float32(upper + upper.T))


NO_PAIRS = np.empty((0, 2), np.int64)
EPS = 0.6


def pairs_of(labels: np.ndarray) -> np.ndarray:
    return labels[:, None] == labels[None, :]


def linked_by_loops(
    distance: np.ndarray, groups: list[set[int]], apart: set[frozenset[int]], radius: float
) -> list[set[int]]:
    """Average linkage from `groups` on: the nearest two that may be united, until none are within the radius."""
    groups = [set(group) for group in groups]
    while True:
        near = [
            (np.mean([distance[i, j] for i in a for j in b]), x, y)
            for (x, a), (y, b) in combinations(enumerate(groups), 2)
            if not any(frozenset((i, j)) in apart for i in a for j in b)
            and min(distance[i, j] for i in a for j in b) < 1
        ]
        if not near or min(near)[0] > radius:
            return groups
        _, x, y = min(near)
        groups[x] |= groups.pop(y)


def regrouped_by_loops(
    distance: np.ndarray, previous: np.ndarray, apart: set[frozenset[int]], eps: float
) -> list[set[int]]:
    """Earlier groups by themselves; what is clear from there; and the rest, earlier groups that are near kept apart."""
    count = len(previous)
    known = (previous >= 0)[:, None] & (previous >= 0)
    alone = np.where(known & pairs_of(previous), distance, 1)
    held = linked_by_loops(alone, [{i} for i in range(count)], apart, eps + SLACK)
    clear = linked_by_loops(distance, held, apart, eps - SLACK)
    of = {i: number for number, group in enumerate(clear) for i in group}
    two = {
        frozenset((i, j))
        for i, j in combinations(range(count), 2)
        if known[i, j] and previous[i] != previous[j] and of[i] != of[j] and distance[i, j] < 1
    }
    return linked_by_loops(distance, clear, apart | two, eps)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(2, 16), st.integers(0, 10**6), st.floats(0.2, 0.9))
def test_only_close_calls_are_decided_by_the_past(count: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, count, share)
    previous = rng.integers(-1, 4, count)
    apart = np.array([[0, count - 1]]) if seed % 2 else NO_PAIRS
    labels = regrouped(graph, sparse_linkage_tree(graph, None, apart), EPS, previous, apart)
    dense = graph.toarray()
    distance = np.where(dense > 0, dense, 1).astype(float)
    expected = regrouped_by_loops(distance, previous, {frozenset(pair) for pair in apart.tolist()}, EPS)
    assert {frozenset(np.flatnonzero(labels == label)) for label in labels} == {frozenset(group) for group in expected}


def test_what_a_person_says_now_is_above_the_past() -> None:
    graph = csr_array(np.float32([[0, 0.1, 0.1, 0.9], [0.1, 0, 0.1, 0.9], [0.1, 0.1, 0, 0.9], [0.9, 0.9, 0.9, 0]]))
    apart, previous = np.array([[0, 2]]), np.array([0, 0, 0, 1])
    together = np.array([0, 1, 2, 0])  # the first and the last, whatever their distance
    tree = sparse_linkage_tree(graph, together, apart)
    labels = regrouped(graph, tree, EPS, previous, apart)
    assert labels[0] == labels[3] and labels[0] != labels[2]


def test_without_a_past_nothing_changes(rng: np.random.Generator) -> None:
    graph = random_graph(rng, 30, 0.3)
    tree = sparse_linkage_tree(graph)
    labels = regrouped(graph, tree, EPS, np.full(30, -1), NO_PAIRS)
    np.testing.assert_array_equal(labels, tree.cut(EPS))
    np.testing.assert_array_equal(regrouped(graph, tree, EPS, tree.cut(EPS), NO_PAIRS), tree.cut(EPS))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_folder_that_grows_keeps_its_individuals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(80), 6)
    rows = unit_rows(rng.standard_normal((80, 48))[identity] + 1.0 * rng.standard_normal((480, 48)))
    old = np.sort(rng.permutation(480)[:400])
    first = identify(rows[old])
    previous = np.full(480, -1)
    previous[old] = first.labels
    fresh = identify(rows)
    on = identify(rows, previous=previous, eps=first.eps, k1=first.evidence.k1, space=first.space)
    kept, anew = keep_numbers(on.labels, previous), keep_numbers(fresh.labels, previous)
    assert kept.kept >= 0.97 * kept.known and kept.kept >= anew.kept
    assert adjusted_rand_score(identity, on.labels) > adjusted_rand_score(identity[old], first.labels) - 0.05
    np.testing.assert_array_equal(on.labels, Clusters.of(on.labels).labels)
