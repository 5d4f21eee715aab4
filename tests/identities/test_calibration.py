"""Probabilities and thresholds against pairs in loops, known answers, and real features."""

import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

import reunite.identities.pairs as pairs_module
from oracles.features import NASTY, nasty, people
from reunite import Encoder, embed, images, nearest_neighbors
from reunite.errors import InputError
from reunite.identities.beta_map import BetaMap, fit_beta_map
from reunite.identities.calibration import Calibration, calibrate
from reunite.identities.pairs import BINS, PARTS, bin_of, centers, count_pairs
from reunite.identities.reliability import expected_calibration_error
from reunite.types import unit_rows


def pairs_by_loops(rows: np.ndarray, identity: np.ndarray) -> tuple[list[float], list[float]]:
    """Similarities of all pairs of the same and of different identity."""
    same: list[float] = []
    different: list[float] = []
    rows = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            if identity[i] >= 0 and identity[j] >= 0:
                (same if identity[i] == identity[j] else different).append(float(rows[i] @ rows[j]))
    return same, different


def counted(values: list[float]) -> np.ndarray:
    return np.bincount(bin_of(np.array(values)), minlength=BINS)


def made(same: dict[float, int], different: dict[float, int], error: float = 0.0) -> Calibration:
    """A calibration of pairs at a few similarities."""
    counts = [np.zeros(BINS), np.zeros(BINS)]
    for each, given_ in zip(counts, (same, different), strict=True):
        for similarity, number in given_.items():
            each[bin_of(np.array(similarity))] = number
    return Calibration(fit_beta_map(*counts), *counts, np.full(BINS, error), 9, 3, True)


@pytest.mark.parametrize(("n", "seed"), [(3, 2), (40, 0), (300, 1)])
def test_pairs_are_those_of_the_loops(n: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, identity, _ = people(n, seed=seed)
    names, individual = np.unique(identity, return_inverse=True)
    monkeypatch.setattr(pairs_module, "ROWS", 32)
    monkeypatch.setattr(pairs_module, "COLUMNS", 50)
    counts = count_pairs(unit_rows(rows), individual)
    same, different = pairs_by_loops(rows, identity)
    assert (counts.same.sum(), counts.different.sum()) == (len(same), len(different))
    for found, true in ((counts.same, same), (counts.different, different)):  # rounding may move a pair by one bin
        assert np.abs(np.cumsum(found) - np.cumsum(counted(true))).max() <= 1
    assert len(counts.parts) == min(PARTS, len(names))


def test_a_part_is_what_is_left_without_some_individuals() -> None:
    rows, identity, _ = people(200)
    individual = np.unique(identity, return_inverse=True)[1]
    counts = count_pairs(unit_rows(rows), individual, seed=3)
    part = np.random.default_rng(3).permutation(individual.max() + 1)[individual] % PARTS
    for number in (0, 7, 15):
        kept = part != number
        same, different = pairs_by_loops(rows[kept], individual[kept])
        assert counts.parts[number].sum(axis=1).tolist() == [len(different), len(same)]


def test_of_many_rows_some_are_drawn_and_the_share_of_the_same_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, identity, _ = people(2_000, spread=0.4)
    individual = np.unique(identity, return_inverse=True)[1]
    every = count_pairs(unit_rows(rows), individual)
    monkeypatch.setattr(pairs_module, "ALL_PAIRS", 600)
    monkeypatch.setattr(pairs_module, "LEAST_DRAWN", 300)
    some = [count_pairs(unit_rows(rows), individual, seed) for seed in range(4)]
    for each in some:
        assert each.same.sum() + each.different.sum() == 300 * 1_700 + 300 * 299 // 2
    assert not np.array_equal(some[0].same, some[1].same)
    prior = every.same.sum() / every.different.sum()
    assert np.mean([each.same.sum() / each.different.sum() for each in some]) == pytest.approx(prior, rel=0.05)
    high = bin_of(np.array(0.6))
    share = every.different[high:].sum() / every.same[high:].sum()
    assert np.mean([e.different[high:].sum() / e.same[high:].sum() for e in some]) == pytest.approx(share, rel=0.15)


def test_the_map_is_the_minimum_that_scipy_finds() -> None:
    rows, identity, _ = people(120)
    found = calibrate(rows, identity)
    s, total = centers(), found.same + found.different
    seen = total > 0
    variables = np.stack([np.log1p(s), -np.log1p(-s)], axis=1)[seen]
    mean = np.average(variables, axis=0, weights=total[seen])
    scale = np.sqrt(np.average((variables - mean) ** 2, axis=0, weights=total[seen]))

    def loss(at: np.ndarray) -> float:
        line = ((variables - mean) / scale) @ at[:2] + at[2]
        fit = (total[seen] * np.logaddexp(0, line) - found.same[seen] * line).sum()
        return fit + (at[:2] ** 2).sum() / 2

    best = minimize(loss, np.zeros(3), bounds=[(0, None), (0, None), (None, None)], tol=1e-12)
    slopes = np.array([found.map.near, found.map.far]) * scale
    ours = np.append(slopes, found.map.offset + np.array([found.map.near, found.map.far]) @ mean)
    assert loss(ours) <= best.fun + 1e-6 * abs(best.fun)


def test_a_map_that_made_the_pairs_is_found_again(rng: np.random.Generator) -> None:
    true = BetaMap(2.0, 1.5, -4.0)
    total = np.full(BINS, 2_000)
    same = rng.binomial(total, expit(true.log_odds(centers())))
    found = fit_beta_map(same.astype(float), (total - same).astype(float))
    assert (found.near, found.far, found.offset) == pytest.approx((2.0, 1.5, -4.0), abs=0.03)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(4, 40), st.integers(2, 6), st.floats(0.01, 0.9))
def test_what_always_holds(seed: int, n: int, individuals: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 3)).astype(np.float32)
    identity = np.append([0, 0, 1], rng.integers(-1, individuals, n - 3))
    before = rows.copy()
    found = calibrate(rows, identity)
    said = found.probability(np.linspace(-1.1, 1.1, 200))
    assert (np.diff(said) >= 0).all() and (said >= 0).all() and (said <= 1).all()
    assert np.array_equal(rows, before)
    line, merged = found.threshold(precision=1 - rate), found.threshold(rate)
    same, different = (np.array(each) for each in pairs_by_loops(rows, identity))
    if math.isfinite(line):  # the nearest other pair is a whole bin away, but for rounding
        far = [int((each >= line - 1e-6).sum()) for each in (different, same)]
        few = [int((each >= line + 1e-6).sum()) for each in (different, same)]
        assert (few[0] + 1) / (sum(far) + 1) <= rate + 1e-12
    if math.isfinite(merged):
        assert ((different >= merged + 1e-6).sum() + 1) / (len(different) + 1) <= rate + 1e-12
        assert found.false_merge_rate(merged) <= rate
    assert found.threshold(precision=1 - rate, confidence=0.9) >= line
    assert found.threshold(precision=1 - rate / 2) >= line
    assert found.threshold(rate / 2) >= merged


def test_thresholds_made_by_hand() -> None:
    found = made({0.9: 100, 0.5: 100, 0.1: 10}, {0.5: 1, 0.1: 99, -0.5: 900})
    at = 2 / BINS
    # From 0.9 on 0 of 100 are false, from 0.5 on 1 of 201, from 0.1 on 100 of 310; one more is assumed of each.
    for rate, line in ((0.0098, math.inf), (1 / 101, 0.5), (0.3, 0.5), (101 / 311, 0.1), (0.82, 0.1), (0.9, -0.5)):
        assert found.threshold(precision=1 - rate) == pytest.approx(line, abs=at), rate
    # Of 1,000 different pairs none is at 0.9, one at 0.5 or above, and 100 at 0.1 or above.
    for rate, line in ((0.0009, math.inf), (1 / 1001, 0.9), (2 / 1001, 0.5), (0.1, 0.5), (101 / 1001, 0.1)):
        assert found.threshold(rate) == pytest.approx(line, abs=at), rate
    assert found.precision(0.3) == pytest.approx(200 / 201) and math.isnan(found.precision(0.95))
    assert found.false_merge_rate(0.3) == pytest.approx(1 / 1000) and found.false_merge_rate(0.95) == 0
    assert found.prior == 210 / 1210


def test_confidence_is_a_margin_of_standard_errors() -> None:
    found = made({0.9: 1_000, 0.5: 1_000}, {0.5: 10, -0.5: 900}, error=0.004)
    lines = [found.threshold(precision=0.994, confidence=confidence) for confidence in (0.5, 0.54, 0.56, 0.89, 0.91)]
    # 11 of 2,011 are 0.0055, and so are 0.0001 of 0.004; 1 of 1,001 leaves room for 1.25 errors, which is 0.8944.
    np.testing.assert_allclose(lines, [0.5, 0.5, 0.9, 0.9, math.inf], atol=2 / BINS)


def test_the_error_is_the_jackknife_s() -> None:
    rows, identity, _ = people(150, spread=1.0)
    individual = np.unique(identity, return_inverse=True)[1]
    found = calibrate(rows, identity, seed=5)
    part = np.random.default_rng(5).permutation(individual.max() + 1)[individual] % PARTS
    place = 2_600
    line = place * 2 / BINS - 1
    shares = []
    for number in range(PARTS):
        same, different = pairs_by_loops(rows[part != number], individual[part != number])
        far = sum(each >= line for each in different)
        shares.append((far + 1) / (far + sum(each >= line for each in same) + 1))
    mean = sum(shares) / PARTS
    error = math.sqrt((PARTS - 1) / PARTS * sum((each - mean) ** 2 for each in shares))
    assert found.error[place] == pytest.approx(error, rel=1e-3)


def test_another_prior_moves_the_odds() -> None:
    found = made({0.9: 100, 0.5: 100}, {0.5: 100, -0.5: 900})
    said = found.probability([0.2, 0.6])
    moved = found.probability([0.2, 0.6], prior=0.5)
    np.testing.assert_allclose(logit(moved) - logit(said), -logit(found.prior))
    np.testing.assert_allclose(found.probability([0.2, 0.6], prior=found.prior), said)
    assert found.probability(0.3).shape == () and found.probability(np.zeros((2, 3))).shape == (2, 3)


def test_ten_images_get_probabilities_and_no_threshold() -> None:
    rows = np.repeat(np.eye(8)[:2], 5, axis=0) + 0.1 * np.random.default_rng(0).standard_normal((10, 8))
    found = calibrate(rows, np.repeat([0, 1], 5))
    near, far = found.probability([0.95, 0.0])
    assert 0.5 < near < 1 and 0 < far < 0.5
    assert found.threshold() == math.inf and math.isfinite(found.threshold(0.2))
    assert found.threshold(precision=0.99) == math.inf and math.isfinite(found.threshold(precision=0.8))


@pytest.mark.parametrize("name", NASTY)
def test_nasty_embeddings(name: str) -> None:
    found = calibrate(nasty(name), np.arange(40) % 8)
    said = found.probability(np.linspace(-1, 1, 50))
    assert np.isfinite(said).all() and (np.diff(said) >= 0).all()
    assert found.error.shape == (BINS,) and np.isfinite(found.error).all()


def test_similarity_that_says_the_opposite_says_nothing() -> None:
    found = made({-0.5: 50, 0.0: 50}, {0.5: 100, 0.1: 100})
    assert found.map == BetaMap(0.0, 0.0, pytest.approx(math.log(100 / 200)))
    np.testing.assert_allclose(found.probability([-1, 0, 1]), 1 / 3)


@pytest.mark.parametrize(("left", "counts"), [("near", (1.0, 0.0)), ("far", (0.0, 1.0))])
def test_a_slope_that_would_be_negative_is_left_out(left: str, counts: tuple[float, float]) -> None:
    true = BetaMap(*(3 * each - 0.5 * (1 - each) for each in reversed(counts)), -3.0)
    total = np.where(np.abs(centers()) < 0.9, 1_000.0, 0.0)
    same = total * expit(true.log_odds(centers()))
    found = fit_beta_map(same, total - same)
    other = "far" if left == "near" else "near"
    assert getattr(found, left) == 0.0 and getattr(found, other) > 1


def test_kept_as_json() -> None:
    rows, identity, _ = people(80)
    found = calibrate(rows, np.where(identity % 7 == 0, -1, identity))
    back = Calibration.from_json(json.loads(json.dumps(found.to_json())))
    for name, value in vars(found).items():
        np.testing.assert_array_equal(getattr(back, name), value, err_msg=name)
    with pytest.raises(InputError, match="format 9"):
        Calibration.from_json({**found.to_json(), "format": 9})
    for broken in ({}, {**found.to_json(), "seen": [BINS]}, {**found.to_json(), "map": {"near": 1}}):
        with pytest.raises(InputError, match="not what Calibration"):
            Calibration.from_json(broken)


def test_found_labels_take_the_place_of_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, identity, _ = people(90)
    labels = np.where(np.arange(90) % 10 == 0, -1, identity)

    class Found:
        def __init__(self, _: np.ndarray) -> None:
            self.labels = labels

    monkeypatch.setattr(sys.modules["reunite.identities.identify"], "identify", Found)
    found, given_ = calibrate(rows), calibrate(rows, labels)
    assert np.array_equal(found.same, given_.same) and found.map == given_.map and found.rows == 81
    assert (found.labelled, given_.labelled) == (False, True)


def test_bad_input_is_named() -> None:
    rows, identity, _ = people(20)
    with pytest.raises(InputError, match=r"shape \(20,\)"):
        calibrate(rows, identity[:5])
    with pytest.raises(InputError, match=r"No two of 20 rows.*\(20 known\)"):
        calibrate(rows, np.arange(20))
    with pytest.raises(InputError, match=r"No two of 20 rows.*\(0 known\)"):
        calibrate(rows, np.full(20, -1))
    with pytest.raises(InputError, match="All 15 known of 20 rows"):
        calibrate(rows, np.where(np.arange(20) < 5, -1, 3))
    found = calibrate(rows, identity)
    with pytest.raises(InputError, match="1 of 2 are NaN"):
        found.probability([0.5, np.nan])
    for wrong in (0, 1, np.nan):
        with pytest.raises(InputError, match="false_merge_rate"):
            found.threshold(wrong)
        with pytest.raises(InputError, match="prior"):
            found.probability(0.5, prior=wrong)
    with pytest.raises(InputError, match="precision must be"):
        found.threshold(precision=2)
    with pytest.raises(InputError, match="confidence must be"):
        found.threshold(precision=0.9, confidence=0.4)
    with pytest.raises(InputError, match="give both"):
        found.threshold(confidence=0.9)


def halves(identity: np.ndarray, seed: int) -> np.ndarray:
    """Whether each row is of one random half of the individuals."""
    names = np.unique(identity)
    return np.isin(identity, np.random.default_rng(seed).permutation(names)[: len(names) // 2])


def held_out(learn: tuple[np.ndarray, np.ndarray], check: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Errors on pairs of other individuals: all, those said to be 5 % or more, and each row with its 20 nearest."""
    found, truth = calibrate(*learn), calibrate(*check)
    said = np.tile(found.probability(centers()), 2)
    was, weight = np.repeat([1, 0], BINS), np.concatenate([truth.same, truth.different])
    indices, similarity = nearest_neighbors(check[0], 21)
    near = check[1][indices[:, 1:]] == check[1][:, None]
    line = found.threshold(precision=0.99)
    return {
        "all": expected_calibration_error(said, was, weight=weight),
        "mass": expected_calibration_error(said, was, weight=weight, spacing="mass"),
        "likely": expected_calibration_error(said, was, weight=np.where(said > 0.05, weight, 0)),
        "neighbors": expected_calibration_error(found.probability(similarity[:, 1:]), near),
        "false merge rate": truth.false_merge_rate(found.threshold(0.01)),
        "threshold": line,
        "false": 1 - truth.precision(line) if math.isfinite(line) else math.nan,
    }


@pytest.mark.data
@pytest.mark.slow
def test_held_out_individuals_of_market(shared) -> None:
    stored = np.load(shared("data/features/market1501_retail0288.npz"))
    known = stored["gallery_identity"] > 0
    rows, identity = stored["gallery"][known].astype(np.float32), stored["gallery_identity"][known]
    false = []
    for seed in range(3):
        one = halves(identity, seed)
        found = held_out((rows[one], identity[one]), (rows[~one], identity[~one]))
        print(seed, {name: round(value, 4) for name, value in found.items()})
        assert max(found["all"], found["mass"], found["likely"]) <= 0.05
        assert found["neighbors"] <= 0.15  # a row's neighborhood may be crowded or empty; the map knows the average
        assert 0.003 <= found["false merge rate"] <= 0.02
        false.append(found["false"])
    # A few people who look alike make most of the mistakes, so halves differ (0.2 to 5 % over eight seeds).
    assert 0.003 <= np.mean(false) <= 0.02


@pytest.mark.data
@pytest.mark.slow
def test_held_out_characters_of_omniglot(shared) -> None:
    weights = str(shared("data/weights/squeezenet1_1_imagenet_fp32.safetensors"))
    dataset = images.read(shared("data/omniglot"))
    encoder = Encoder("squeezenet1_1", False, weights, pooling="avg", neck="none", image_size=(64, 64), last_stride=2)
    train, test = (
        (embed(encoder, part.take(part.camera % 3 == 0), progress=False), part.identity[part.camera % 3 == 0])
        for part in (dataset.train, dataset.query)
    )
    across = held_out(train, test)
    print("other alphabets", {name: round(value, 4) for name, value in across.items()})
    assert max(across["all"], across["mass"]) <= 0.05
    assert 0.003 <= across["false merge rate"] <= 0.02
    for seed in range(3):
        one = halves(train[1], seed)
        found = held_out((train[0][one], train[1][one]), (train[0][~one], train[1][~one]))
        print(seed, {name: round(value, 4) for name, value in found.items()})
        assert max(found["all"], found["mass"], found["likely"]) <= 0.05
        assert 0.003 <= found["false merge rate"] <= 0.02
        assert not found["false"] > 0.02  # these embeddings are too poor for most rates: NaN, nothing is united
