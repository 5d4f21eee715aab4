"""The silhouette against scikit-learn's, which compares all pairs of rows; and the cut that it chooses."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples, silhouette_score

import reunite.identities.silhouette as choose_module
from oracles.features import people
from reunite.cluster.linkage_tree import LinkageTree, linkage_tree
from reunite.errors import InputError
from reunite.identities.evidence import Evidence
from reunite.identities.silhouette import CUTS, FALLBACK, choose_by_silhouette, mean_silhouette
from reunite.types import Clusters, unit_rows


def cosine_distances(rows: np.ndarray) -> np.ndarray:
    distances = 1 - rows.astype(np.float64) @ rows.astype(np.float64).T
    np.fill_diagonal(distances, 0)
    return np.maximum(distances, 0)


def some_people(n: int, seed: int = 0, spread: float = 0.6) -> np.ndarray:
    return unit_rows(people(n, seed=seed, spread=spread)[0])


def silhouette_by_sklearn(rows: np.ndarray, tree: LinkageTree, evidence: Evidence) -> list[float]:
    """At each cut that was looked at."""
    distances, found = cosine_distances(rows), []
    for cut in evidence.cuts:
        labels = tree.cut(cut)
        groups = labels.max() + 1
        defined = 1 < groups < len(rows)
        found.append(silhouette_score(distances, labels, metric="precomputed") if defined else np.nan)
    return found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(3, 40), st.integers(2, 12))
def test_equals_scikit_learn(seed: int, n: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    rows = unit_rows(rng.standard_normal((n, 6)).astype(np.float32))
    labels = Clusters.of(rng.integers(0, min(groups, n - 1), n)).labels
    if labels.max() == 0:
        labels[0] = 1
        labels = Clusters.of(labels).labels
    shown = np.flatnonzero(rng.random(n) < 0.5)
    samples = silhouette_samples(cosine_distances(rows), labels, metric="precomputed")
    assert mean_silhouette(rows, labels, np.arange(n)) == pytest.approx(samples.mean(), abs=1e-5)
    if len(shown):
        assert mean_silhouette(rows, labels, shown) == pytest.approx(samples[shown].mean(), abs=1e-5)


def test_made_by_hand() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
    labels = np.array([0, 0, 1, 2])
    # Row 0: 0.4 to its own, 1 to the next. Row 1: 0.4 and 0.2. Rows 2 and 3 are alone and have 0.
    expected = [(1 - 0.4) / 1, (0.2 - 0.4) / 0.4, 0, 0]
    for row, value in enumerate(expected):
        assert mean_silhouette(rows, labels, np.array([row])) == pytest.approx(value, abs=1e-6)
    assert mean_silhouette(rows, labels, np.arange(4)) == pytest.approx(np.mean(expected), abs=1e-6)


def test_copies_of_two_rows_are_as_tight_and_apart_as_can_be() -> None:
    rows = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    assert mean_silhouette(rows, np.repeat([0, 1], 5), np.arange(10)) == pytest.approx(1)
    assert mean_silhouette(np.ones((4, 1), np.float32), np.repeat([0, 1], 2), np.arange(4)) == 0


@pytest.mark.parametrize("labels", [[0], [0, 0, 0], [0, 1, 2]])
def test_one_group_or_all_alone_has_no_silhouette(labels: list[int]) -> None:
    rows = np.eye(3, dtype=np.float32)[: len(labels)]
    assert np.isnan(mean_silhouette(rows, np.array(labels), np.arange(len(labels))))


@pytest.mark.parametrize(("n", "seed", "spread"), [(3, 0, 0.6), (20, 1, 0.6), (80, 2, 0.3), (80, 3, 1.0)])
def test_the_cut_with_the_largest_silhouette_is_chosen(n: int, seed: int, spread: float) -> None:
    rows = some_people(n, seed, spread)
    tree = linkage_tree(rows)
    evidence = choose_by_silhouette(rows, tree)
    theirs = silhouette_by_sklearn(rows, tree, evidence)
    np.testing.assert_allclose(evidence.curve("silhouette"), theirs, atol=1e-5)
    assert evidence.eps in evidence.cuts
    assert theirs[evidence.cuts.tolist().index(evidence.eps)] == pytest.approx(np.nanmax(theirs), abs=1e-5)
    assert evidence.clusters.tolist() == [len(set(tree.cut(cut).tolist())) for cut in evidence.cuts]
    assert (
        evidence.chosen.startswith(f"{evidence.eps:.3f} was chosen") and f"{np.nanmax(theirs):.3f}" in evidence.chosen
    )


def test_cuts_are_spread_over_the_tree() -> None:
    rows = some_people(60)
    tree = linkage_tree(rows)
    cuts = choose_by_silhouette(rows, tree).cuts
    assert len(cuts) == CUTS and cuts[0] == max(tree.heights[0], 0.01) and cuts[-1] == tree.heights[-1]
    np.testing.assert_allclose(np.diff(cuts), (cuts[-1] - cuts[0]) / (CUTS - 1))


def test_people_that_are_apart_are_found() -> None:
    rng = np.random.default_rng(0)
    identity = rng.permutation(np.repeat(np.arange(15), rng.integers(1, 10, 15)))
    rows = unit_rows(np.eye(16)[identity] + 0.1 * rng.standard_normal((len(identity), 16))).astype(np.float32)
    tree = linkage_tree(rows)
    np.testing.assert_array_equal(tree.cut(choose_by_silhouette(rows, tree).eps), Clusters.of(identity).labels)


def test_a_given_cut_is_used_and_the_evidence_is_the_same() -> None:
    rows = some_people(50)
    tree = linkage_tree(rows)
    free, given_one = choose_by_silhouette(rows, tree), choose_by_silhouette(rows, tree, np.float32(0.125))
    assert given_one.eps == 0.125 and isinstance(given_one.eps, float) and given_one.chosen == "0.125 was given."
    assert free.eps != 0.125
    for name in ("cuts", "clusters"):
        np.testing.assert_array_equal(getattr(given_one, name), getattr(free, name))
    np.testing.assert_array_equal(given_one.curve("silhouette"), free.curve("silhouette"))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_of_too_few_rows_no_cut_is_chosen(n: int) -> None:
    rows = np.eye(3, dtype=np.float32)[:n]
    evidence = choose_by_silhouette(rows, linkage_tree(rows))
    assert evidence.eps == FALLBACK and "too few rows" in evidence.chosen
    assert np.isnan(evidence.curve("silhouette")).all() and len(evidence.cuts) == len(evidence.clusters) == (n > 1)
    assert choose_by_silhouette(rows, linkage_tree(rows), 0.2).eps == 0.2


def test_of_three_rows_the_two_that_are_near_are_united() -> None:
    rows = unit_rows(np.array([[1, 0], [0, 1], [1, 0.5]], np.float32))
    tree = linkage_tree(rows)
    evidence = choose_by_silhouette(rows, tree)
    assert tree.heights[0] == pytest.approx(1 - 1 / 1.25**0.5)
    alike = evidence.cuts[evidence.cuts < tree.heights[1]]  # every one of these cuts gives the same groups
    assert evidence.eps == alike[(len(alike) - 1) // 2]
    assert tree.cut(evidence.eps).tolist() == [0, 1, 0]


def test_copies_of_one_row_are_one_group() -> None:
    rows = np.ones((20, 1), np.float32)
    tree = linkage_tree(rows)
    evidence = choose_by_silhouette(rows, tree)
    assert evidence.eps == FALLBACK and "too few groups" in evidence.chosen
    assert set(evidence.clusters.tolist()) == {1}


def test_rows_that_all_stay_apart_have_no_cut() -> None:
    rows = some_people(5)
    apart = np.argwhere(np.triu(np.ones((5, 5)), 1))
    evidence = choose_by_silhouette(rows, linkage_tree(rows, apart))
    assert evidence.eps == FALLBACK and len(evidence.cuts) == 0


def test_the_cut_is_above_zero_also_where_all_merges_are_at_zero() -> None:
    """Two people who must stay apart, copies of one row each: `confidence` divides by the cut."""
    rows = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    tree = linkage_tree(rows, [[0, 3]])
    evidence = choose_by_silhouette(rows, tree)
    assert tree.heights.max() < 0.01 and evidence.eps == 0.01 and evidence.chosen.startswith("0.010 was chosen")
    assert tree.cut(evidence.eps).tolist() == [0, 0, 0, 1, 1, 1]


def test_a_sample_of_rows_is_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = some_people(300)
    tree = linkage_tree(rows)
    every = choose_by_silhouette(rows, tree)
    seen = []

    def recorded(rows: np.ndarray, labels: np.ndarray, shown: np.ndarray) -> float:
        seen.append(shown)
        return mean_silhouette(rows, labels, shown)

    monkeypatch.setattr(choose_module, "mean_silhouette", recorded)
    assert choose_by_silhouette(rows, tree).eps == every.eps
    assert all(shown.tolist() == list(range(300)) for shown in seen)
    seen.clear()
    monkeypatch.setattr(choose_module, "ROWS", 100)
    few = choose_by_silhouette(rows, tree)
    assert len(seen) == CUTS and all(len(shown) == 100 for shown in seen)
    assert seen[0][0] == 0 and seen[0][-1] == 299 and set(np.diff(seen[0]).tolist()) == {3, 4}
    defined = ~np.isnan(few.curve("silhouette"))
    assert not np.array_equal(few.curve("silhouette")[defined], every.curve("silhouette")[defined])
    np.testing.assert_allclose(few.curve("silhouette")[defined], every.curve("silhouette")[defined], atol=0.1)


def test_one_matrix_of_rows_and_groups_is_held() -> None:
    rows = some_people(1000)
    labels = np.append(np.arange(998), [0, 1])
    tracemalloc.start()
    mean_silhouette(rows, labels, np.arange(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * 1000 * 998 * 4


@pytest.mark.parametrize("eps", [0.0, -0.1, float("nan"), float("inf")])
def test_refuses_a_cut_that_is_none(eps: float) -> None:
    rows = some_people(5)
    with pytest.raises(InputError, match=f"eps must be a mean cosine distance above 0; got {eps}"):
        choose_by_silhouette(rows, linkage_tree(rows), eps)


def test_between_groups_far_apart_the_middle_is_chosen(rng: np.random.Generator) -> None:
    """Any cut between 0.002 and 1 finds the four groups; the lowest would flag a track for a frame or two of somebody else."""
    centers = np.eye(4, 8, dtype=np.float32).repeat(6, axis=0)
    rows = unit_rows(centers + 0.01 * rng.standard_normal(centers.shape).astype(np.float32))
    evidence = choose_by_silhouette(rows, linkage_tree(rows))
    assert 0.4 < evidence.eps < 0.6
    assert evidence.clusters[np.searchsorted(evidence.cuts, evidence.eps)] == 4
