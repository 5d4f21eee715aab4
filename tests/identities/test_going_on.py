"""What was decided before stays where it is a close call, against the definition in loops."""

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


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(2, 24), st.integers(0, 10**6), st.floats(0.2, 0.9))
def test_only_close_calls_are_decided_by_the_past(count: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, count, share)
    previous = rng.integers(-1, 4, count)
    apart = np.array([[0, count - 1]]) if seed % 2 else NO_PAIRS
    tree = sparse_linkage_tree(graph, None, apart)
    found = pairs_of(regrouped(graph, tree, EPS, previous, apart))
    was = pairs_of(previous) & (previous >= 0)[:, None] & (previous >= 0)[None, :]
    tight, loose = pairs_of(tree.cut(EPS - SLACK)), pairs_of(tree.cut(EPS + SLACK))
    assert found[tight].all()  # clear without the past
    assert found[was & loose].all()  # together before, and still near
    for i, j in apart.tolist():
        assert not found[i, j]
    both_known = (previous >= 0)[:, None] & (previous >= 0)[None, :]
    stored = graph.toarray() > 0
    np.fill_diagonal(stored, False)
    # Two rows of different individuals are united only where that is clear, or by rows between them.
    assert loose[found & both_known & ~was & stored].all()


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
    fresh, on = identify(rows), identify(rows, previous=previous, eps=first.eps, k1=first.evidence.k1)
    kept, anew = keep_numbers(on.labels, previous), keep_numbers(fresh.labels, previous)
    assert kept.kept >= 0.95 * kept.known and kept.kept >= anew.kept
    assert adjusted_rand_score(identity, on.labels) > adjusted_rand_score(identity[old], first.labels) - 0.05
    np.testing.assert_array_equal(on.labels, Clusters.of(on.labels).labels)
