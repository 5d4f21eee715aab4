"""Margins against the distances to all members."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reunite.identities.confidence as confidence_module
from oracles.features import people
from oracles.identities import confidence_by_loops
from reunite.errors import InputError
from reunite.identities.confidence import confidence


def at(*degrees: float) -> np.ndarray:
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 25), st.integers(0, 6), st.integers(0, 25), st.floats(0.05, 1))
def test_equals_the_loops(seed: int, n: int, clusters: int, count: int, eps: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 4)).astype(np.float32)
    labels = 7 * rng.integers(-1, clusters, n) if clusters else np.full(n, -1)
    labels[labels < 0] = -1
    apart = rng.integers(0, n, (count, 2))
    apart = apart[apart[:, 0] != apart[:, 1]]
    found = confidence(rows, labels, eps, apart)
    value, second_best = confidence_by_loops(rows, labels, eps, apart.tolist())
    np.testing.assert_allclose(found.value, value, atol=1e-6)
    np.testing.assert_array_equal(found.second_best, second_best)
    assert found.value.dtype == np.float64 and found.second_best.dtype == np.int64


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels, _ = people(90)
    labels = np.where(np.arange(90) % 9 == 0, -1, labels)
    apart = np.stack([np.arange(80), np.arange(80) + 10], axis=1)
    whole = confidence(rows, labels, 0.4, apart)
    monkeypatch.setattr(confidence_module, "BLOCK_SIZE", 7)
    small = confidence(rows, labels, 0.4, apart)
    np.testing.assert_allclose(small.value, whole.value, atol=1e-12)
    np.testing.assert_array_equal(small.second_best, whole.second_best)


def test_three_people_made_by_hand() -> None:
    rows = at(0, 0, 60, 60, 180)
    found = confidence(rows, np.array([4, 4, 2, 2, 9]), 0.4)
    # The nearest other is at 1 - cos 60 = 0.5, of 9 at 1 - cos 120 = 1.5; alone in its cluster, 9 has a = eps.
    np.testing.assert_allclose(found.value, [1, 1, 1, 1, (1.5 - 0.4) / 1.5], atol=1e-7)
    assert found.second_best.tolist() == [2, 2, 4, 4, 2]


def test_between_two_clusters_is_zero_and_nearer_to_the_other_is_no_less() -> None:
    rows = at(0, 40, 80, 50)
    found = confidence(rows, np.array([0, 0, 1, 0]), 0.4)
    assert found.value[3] == 0.0 and found.second_best[3] == 1
    middle = confidence(at(0, 40, 80), np.array([0, 0, 1]), 0.1)
    assert middle.value[1] == pytest.approx(0, abs=1e-6)


def test_clusters_within_eps_of_each_other_are_doubtful() -> None:
    rows, labels = at(0, 0, 20, 20), np.array([0, 0, 1, 1])
    near = 1 - np.cos(np.radians(20))
    np.testing.assert_allclose(confidence(rows, labels, 0.5).value, near / 0.5, atol=1e-6)
    np.testing.assert_allclose(confidence(rows, labels, near / 2).value, 1, atol=1e-5)


def test_a_cluster_it_must_stay_apart_from_does_not_count() -> None:
    rows, labels = at(0, 0, 20, 25, 90), np.array([0, 0, 1, 1, 2])
    assert confidence(rows, labels, 0.4).second_best.tolist() == [1, 1, 0, 0, 1]
    apart = confidence(rows, labels, 0.4, [[3, 0]])  # 0 from all of cluster 1, 3 from all of cluster 0; 1 from nobody
    assert apart.second_best.tolist() == [2, 1, 0, 2, 1]
    assert apart.value[0] == pytest.approx(1) and apart.value[1] < 0.2


def test_nobody_else() -> None:
    for labels in ([0, 0, 0], [5, 5, -1]):
        found = confidence(at(0, 10, 20), np.array(labels), 0.4)
        assert found.value.tolist() == [1, 1, 1 + min(labels)]
        assert found.second_best.tolist() == [-1, -1, 5 if labels[2] else -1]
    both_apart = confidence(at(0, 10), np.array([0, 1]), 0.4, [[0, 1]])
    assert both_apart.value.tolist() == [1, 1] and both_apart.second_best.tolist() == [-1, -1]


def test_noise_has_value_zero_and_the_nearest_cluster() -> None:
    found = confidence(at(0, 0, 90, 10), np.array([3, 3, 1, -1]), 0.4)
    assert found.value[3] == 0 and found.second_best[3] == 3
    assert confidence(at(0, 0, 90, 10), np.array([3, 3, 1, -1]), 0.4, [[0, 3]]).second_best[3] == 1
    nothing = confidence(at(0, 10), np.array([-1, -1]), 0.4)
    assert nothing.value.tolist() == [0, 0] and nothing.second_best.tolist() == [-1, -1]
    assert confidence(np.empty((0, 2)), np.empty(0, np.int64), 0.4).value.shape == (0,)


def test_length_of_rows_does_not_matter_and_input_is_left_as_it_was() -> None:
    rows, labels, _ = people(50)
    before = rows.copy(), labels.copy()
    expected = confidence(rows, labels, 0.4)
    found = confidence(rows * (2.0 ** (np.arange(50) % 4))[:, None], labels, 0.4)
    np.testing.assert_array_equal(found.value, expected.value)
    np.testing.assert_array_equal(rows, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize(
    ("labels", "eps", "apart", "message"),
    [
        ([0, 1], 0.4, None, r"labels must have shape \(3,\)"),
        ([0, 1, 1], 0.0, None, "eps must be a cosine distance above 0; got 0.0"),
        ([0, 1, 1], float("nan"), None, "got nan"),
        ([0, 1, 1], 0.4, [[0, 3]], r"from 0 to 2; 1 of 1 pairs are not \(the first is pair 0, \[0, 3\]\)"),
    ],
)
def test_refuses_what_makes_no_sense(labels: list, eps: float, apart: list | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        confidence(np.eye(3), np.array(labels), eps, apart)
