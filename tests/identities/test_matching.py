"""Who is it, or someone new: against loops, known answers, and strangers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reunite.identities.matching as matching_module
from oracles.features import people
from reunite.errors import InputError
from reunite.identities.calibration import calibrate
from reunite.identities.matching import calibrate_matches, match
from reunite.identities.pairs import BINS, bin_of
from reunite.identities.reliability import expected_calibration_error


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cases_by_loops(
    rows: np.ndarray, identity: np.ndarray, group: np.ndarray
) -> tuple[list[float], list[float], list[float]]:
    """Similarity of the nearest row where it is right, where it is wrong, and where the individual is left out."""
    rows, right, wrong, new = unit(rows.astype(np.float64)), [], [], []
    for i in range(len(rows)):
        seen = [j for j in range(len(rows)) if j != i and not group[i] == group[j] >= 0 and identity[j] >= 0]
        if identity[i] < 0:
            continue
        others = [j for j in seen if identity[j] != identity[i]]
        if len(others) < len(seen):
            nearest = max(seen, key=lambda j: rows[i] @ rows[j])
            (right if identity[nearest] == identity[i] else wrong).append(float(rows[i] @ rows[nearest]))
        if others:
            new.append(max(float(rows[i] @ rows[j]) for j in others))
    return right, wrong, new


def crowd(individuals: int, each: int, seed: int, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(individuals), each)
    rows = rng.standard_normal((individuals, 16))[identity] + spread * rng.standard_normal((len(identity), 16))
    return rows.astype(np.float32), identity


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(1, 5), st.booleans(), st.floats(0.1, 0.9))
def test_the_cases_are_those_of_the_loops(seed: int, n: int, individuals: int, grouped: bool, new: float) -> None:
    rng = np.random.default_rng(seed)
    identity = np.concatenate([[0, 0, 1, 1], rng.integers(-1, individuals, n - 4)])
    rows = (np.eye(6)[identity % 6] + 0.3 * rng.standard_normal((n, 6))).astype(np.float32)
    group = np.concatenate([[-1] * 4, rng.integers(-1, 3, n - 4)]) if grouped else np.full(n, -1)
    right, wrong, strangers = cases_by_loops(rows, identity, group)
    if not right:
        with pytest.raises(InputError):
            calibrate_matches(rows, identity, new=new, group=group)
        return
    found = calibrate_matches(rows, identity, new=new, group=group)
    known, cases = len(right) + len(wrong), len(right) + len(wrong) + len(strangers)
    assert found.same.sum() == pytest.approx(len(right) * (1 - new) * cases / known)
    assert found.same.sum() + found.different.sum() == pytest.approx(cases)
    expected = np.bincount(bin_of(np.array(right)), minlength=BINS) * (1 - new) * cases / known
    assert np.abs(np.cumsum(found.same - expected)).max() <= 1.001 * max(1, (1 - new) * cases / known)
    mean = sum(wrong) * (1 - new) / known + sum(strangers) * new / len(strangers)
    centers = (np.arange(BINS) + 0.5) * 2 / BINS - 1
    assert (found.different @ centers) / cases == pytest.approx(mean, abs=1e-3)


def test_best_and_second_best_are_those_of_the_loops() -> None:
    gallery, identity, _ = people(80, seed=4)
    identity = np.where(np.arange(80) % 9 == 0, -1, 10 * identity)
    query = people(30, seed=9)[0]
    found = match(query, gallery, identity, precision=0.8)
    for i, row in enumerate(unit(query.astype(np.float64))):
        best: dict[int, float] = {}
        for other, who in zip(unit(gallery.astype(np.float64)), identity.tolist(), strict=True):
            if who >= 0:
                best[who] = max(best.get(who, -2.0), float(row @ other))
        first, second = sorted(best, key=best.__getitem__, reverse=True)[:2]
        assert (found.nearest[i], found.second_best[i]) == (first, second)
        assert (found.similarity[i], found.second_similarity[i]) == pytest.approx((best[first], best[second]), abs=1e-5)
        assert found.identity[i] == (first if found.similarity[i] >= found.threshold else -1)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, identity = crowd(20, 4, 0)
    whole = match(gallery[::3] + 0.1, gallery, identity)
    monkeypatch.setattr(matching_module, "HELD", 300)
    small = match(gallery[::3] + 0.1, gallery, identity)
    for name, value in vars(whole).items():
        np.testing.assert_allclose(getattr(small, name), value, atol=1e-6, err_msg=name)


def test_strangers_are_new_and_acquaintances_are_found() -> None:
    """Of those who are given an individual about as many are wrong as was asked for, and probabilities keep their word."""
    rows, identity = crowd(400, 6, 1, spread=0.6)
    known = identity < 200
    asked = np.where(known, np.arange(len(rows)) % 6 == 0, np.arange(len(rows)) % 6 == 1)
    query, truth = rows[asked], np.where(known, identity, -1)[asked]
    gallery = known & ~asked
    found = match(query, rows[gallery], identity[gallery], precision=0.95)
    answered = found.identity >= 0
    wrong = (found.identity != truth)[answered].mean()
    assert 0.01 <= wrong <= 0.12 and answered[truth >= 0].mean() > 0.5 and answered[truth < 0].mean() < 0.2
    assert expected_calibration_error(found.probability, found.nearest == truth, 8) < 0.06
    # The calibration of pairs does not know of the search: here it believes strangers too easily or hardly anybody.
    pairs = calibrate(rows[gallery], identity[gallery]).probability(found.similarity)
    assert expected_calibration_error(pairs, found.nearest == truth, 8) > 0.1


def test_more_strangers_make_every_answer_less_likely() -> None:
    gallery, identity = crowd(50, 5, 2, spread=0.8)
    few, many = (calibrate_matches(gallery, identity, new=new) for new in (0.1, 0.9))
    s = np.linspace(0.3, 0.95, 20)
    assert (few.probability(s) > many.probability(s)).all()
    assert few.threshold(precision=0.95) < many.threshold(precision=0.95)


def test_rows_of_a_group_are_not_compared() -> None:
    rows, identity = crowd(30, 6, 3, spread=0.8)
    rows = np.repeat(rows, 2, axis=0) + 0.01 * np.random.default_rng(0).standard_normal((360, 16)).astype(np.float32)
    identity, track = np.repeat(identity, 2), np.repeat(np.arange(180), 2)
    apart, close = (calibrate_matches(rows, identity, group=group) for group in (track, None))
    assert (
        close.threshold(precision=0.95) < apart.threshold(precision=0.95) or apart.threshold(precision=0.95) == math.inf
    )
    assert close.same[bin_of(np.array(0.98)) :].sum() > 300 and apart.same[bin_of(np.array(0.98)) :].sum() < 30


def test_where_no_similarity_will_do_all_are_new() -> None:
    gallery, identity = crowd(3, 4, 0)
    found = match(gallery, gallery, identity, precision=0.99)
    assert found.threshold == math.inf and (found.identity == -1).all() and (found.nearest == identity).all()


def test_some_rows_of_a_large_gallery_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, identity = crowd(60, 5, 0)
    monkeypatch.setattr(matching_module, "CASES", 100)
    found = calibrate_matches(gallery, identity)
    assert found.same.sum() + found.different.sum() == pytest.approx(200) and found.rows == 300
    assert not np.array_equal(found.same, calibrate_matches(gallery, identity, seed=1).same)


def test_a_gallery_of_one_individual_answers_with_a_given_calibration() -> None:
    rows, identity = crowd(20, 5, 0)
    learned = calibrate_matches(rows, identity)
    found = match(rows[:10], rows[:5], identity[:5], learned, 0.05)
    assert found.identity[:5].tolist() == [0] * 5 and (found.second_best == -1).all()
    assert np.isneginf(found.second_similarity).all()
    assert len(match(rows[:0], rows, identity, learned).identity) == 0


def test_bad_input_is_named() -> None:
    gallery, identity = crowd(6, 3, 0)
    with pytest.raises(InputError, match="one of pairs"):
        match(gallery, gallery, identity, calibrate(gallery, identity))
    with pytest.raises(InputError, match="16; got 3"):
        match(gallery[:, :3], gallery, identity)
    with pytest.raises(InputError, match="all 18 are unknown"):
        match(gallery, gallery, np.full(18, -1))
    with pytest.raises(InputError, match="two individuals at least"):
        calibrate_matches(gallery, np.zeros(18, int))
    with pytest.raises(InputError, match="0 have another one"):
        calibrate_matches(gallery, np.arange(18))
    with pytest.raises(InputError, match="tell nobody apart"):
        calibrate_matches(np.eye(4)[[0, 1, 0, 1]], [5, 5, 6, 6])
    with pytest.raises(InputError, match="new must be"):
        calibrate_matches(gallery, identity, new=1.0)
    with pytest.raises(InputError, match="group must"):
        calibrate_matches(gallery, identity, group=[1])
