"""The search for near pairs against all pairs in float64: what it may not miss, in both precisions, and when it declines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reunite.cluster.near_pairs as module
import reunite.neighbors.filter as filters
from oracles.features import NASTY, nasty, people
from oracles.merging import members_of, unit
from oracles.precisions import NAMES, PRECISIONS
from reunite.cluster.blocks import ROUNDING
from reunite.cluster.bottom_up import BottomUp
from reunite.cluster.closest_pairs import Pairs
from reunite.cluster.cluster_means import ROUNDING_OF_PRODUCTS, ClusterMeans
from reunite.cluster.criteria import Dispersion, MinimumDistance
from reunite.cluster.near_pairs import near_pairs
from reunite.cluster.near_pairs_kernels import collect_near, count_levels
from reunite.neighbors.filter import Filter
from reunite.neighbors.operands import BFLOAT16_LEVELS
from reunite.neighbors.precision import Precision
from reunite.types import Clusters

Ranked = list[tuple[float, int, int]]


@pytest.fixture(params=NAMES)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Precision:
    monkeypatch.setattr(filters, "fastest", lambda *_: request.param)
    monkeypatch.setattr(filters, "COARSE", 1e9)
    return request.param


def alone(count: int) -> Clusters:
    return Clusters(np.arange(count), count)


def all_values(means: np.ndarray, added: np.ndarray) -> np.ndarray:
    """In steps of `ROUNDING`, as whole numbers."""
    return np.rint((added[:, None] + added - 2 * means @ means.T) / ROUNDING)


def all_pairs(means: np.ndarray, added: np.ndarray, labels: np.ndarray) -> Ranked:
    """Every pair of clusters by its smallest value in float64, rounded, then by its labels."""
    values, best = all_values(means, added) * ROUNDING, {}
    for i in range(len(means)):
        for j in range(i):
            pair = min(labels[i], labels[j]), max(labels[i], labels[j])
            if pair[0] != pair[1]:
                best[pair] = min(best.get(pair, np.inf), values[i, j])
    return sorted((value, int(a), int(b)) for (a, b), value in best.items())


def listed(pairs: Pairs | None) -> list[tuple[int, int]]:
    assert pairs is not None
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


@pytest.mark.parametrize("clusters", [alone(150), Clusters.of(np.arange(150) % 40), Clusters.of(np.arange(150) // 5)])
@pytest.mark.parametrize("want", [1, 7, 60])
@pytest.mark.usefixtures("precision")
def test_finds_the_first_of_all_pairs(clusters: Clusters, want: int) -> None:
    rows, _, _ = people(150, seed=want)
    added = 1 + 0.01 * clusters.sizes[clusters.labels] * np.random.default_rng(0).random(150)
    found = near_pairs(ClusterMeans(rows, alone(150)), added, clusters, want)
    expected = all_pairs(unit(rows), added, clusters.labels)[:want]
    assert listed(found) == [pair[1:] for pair in expected]
    np.testing.assert_allclose(found.values, [pair[0] for pair in expected], rtol=0, atol=2 * ROUNDING)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("make", [MinimumDistance, Dispersion])
@pytest.mark.usefixtures("precision")
def test_nasty_rows_give_the_same_either_way(name: str, make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties too: what can be near goes through here, or all pairs through blocks; the order is that of the labels."""
    rows = nasty(name, n=120)
    for partition in (alone(120), Clusters.of(np.arange(120) % 50)):
        found = make().closest_pairs(rows, partition, 90)
        with monkeypatch.context() as blocks_only:
            blocks_only.setattr("reunite.cluster.criteria.near_pairs", lambda *_: None)
            expected = make().closest_pairs(rows, partition, 90)
        assert listed(found) == listed(expected)
        np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=2 * ROUNDING)


@PRECISIONS
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    dimensions=st.sampled_from([1, 2, 3, 16, 65, 300]),
    spread=st.sampled_from([1e-3, 0.03, 1.0]),
)
def test_no_pair_at_most_the_limit_is_missed(seed: int, dimensions: int, spread: float, precision: Precision) -> None:
    """The limit is put on values that pairs have: anything too low, by however little, loses the pair that has it."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal(dimensions) + spread * rng.standard_normal((60, dimensions))
    rows = np.vstack([rows * rng.choice([1.0, 1e-3, 30.0], (60, 1)), rows[:5], np.zeros((2, dimensions))])
    means = ClusterMeans(rows.astype(np.float32), alone(67))
    added = 1 + rng.choice([0.0, 0.03, 5.0]) * rng.random(67)
    halves = all_values(means.exact(), added) * ROUNDING / 2
    first, second = np.triu_indices(67, 1)
    filter = Filter(means.rounded, added / 2, precision=precision)
    values = halves[first, second]
    for limit in rng.permutation(values)[:15]:
        found = module._candidates(filter, float(limit), np.arange(67), 10**6)
        assert found is not None
        seen = set(zip(found[0].tolist(), found[1].tolist(), strict=True))
        near = np.flatnonzero(values <= limit)
        assert seen >= set(zip(first[near].tolist(), second[near].tolist(), strict=True))


@PRECISIONS
def test_rounding_that_goes_one_way_loses_nothing(precision: Precision) -> None:
    """All numbers of all rows are rounded towards zero, by nearly as much as can be: products of near rows come out lowest."""
    sizes = np.arange(100, 1000)
    kept = (1 / np.sqrt(sizes)).astype(np.float32).view(np.uint32) & 0xFFFF
    dimensions = int(
        sizes[np.argmax(np.where(kept < 0x8000, kept / np.sqrt(sizes) * 2 ** np.ceil(np.log2(sizes) / 2), 0))]
    )
    rng = np.random.default_rng(0)
    base = rng.choice([-1.0, 1.0], dimensions)
    rows = np.tile(base, (40, 1))
    rows[np.arange(40), np.arange(40)] *= -1  # any two differ in two columns
    rows = np.concatenate([rows, -rows]).astype(np.float32) / np.float32(np.sqrt(dimensions))
    means = ClusterMeans(rows, alone(80))
    limit = 4 / dimensions
    filter = Filter(means.rounded, precision=precision)
    found = module._candidates(filter, limit + 1e-9, np.arange(80), 10**6)
    assert found is not None and len(found[0]) == 2 * 40 * 39 // 2
    if precision == "bfloat16":  # the attack is one: the same tiles, taken at their word, miss pairs
        filter.slack[:] = 0
        missed = module._candidates(filter, limit + 1e-9, np.arange(80), 10**6)
        assert missed is not None and len(missed[0]) < len(found[0])


@PRECISIONS
def test_few_others_are_candidates(precision: Precision) -> None:
    """A bound that lets everything through would be as right, and of no use."""
    rows, _, _ = people(400, dimensions=64)
    means = ClusterMeans(rows, alone(400))
    values = np.sort((1 - unit(rows) @ unit(rows).T)[np.triu_indices(400, 1)])
    found = module._candidates(Filter(means.rounded, precision=precision), values[1000], np.arange(400), 10**6)
    assert found is not None and 1001 <= len(found[0]) < {"float32": 1010, "bfloat16": 1400, "int8": 4000}[precision]


@PRECISIONS
def test_tiles_of_any_shape_hold_each_pair_once(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _, _ = people(300)
    filter = Filter(ClusterMeans(rows, alone(300)).rounded, precision=precision)
    monkeypatch.setattr(filter.operands, "width", 70)
    monkeypatch.setattr(filter, "visit", lambda look: Filter.visit(filter, look, 90))
    found = module._candidates(filter, 10.0, np.arange(300), 10**6)
    assert found is not None
    assert sorted(zip(*(side.tolist() for side in found), strict=True)) == [
        (i, j) for i in range(300) for j in range(i + 1, 300)
    ]


@pytest.mark.parametrize("times", [4.0, 30.0])
@pytest.mark.usefixtures("precision")
def test_a_sample_that_misleads_costs_scans_only(times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    estimate, scan, scans = module._pairs_up_to_level, module._candidates, []
    monkeypatch.setattr(module, "_pairs_up_to_level", lambda *given: times * estimate(*given))
    monkeypatch.setattr(module, "_candidates", lambda *given: scans.append(given[1]) or scan(*given))
    rows, _, _ = people(200, seed=4)
    found = near_pairs(ClusterMeans(rows, alone(200)), np.ones(200), alone(200), 50)
    assert listed(found) == [pair[1:] for pair in all_pairs(unit(rows), np.ones(200), np.arange(200))[:50]]
    assert len(scans) > 1 and scans == sorted(scans)


@pytest.mark.parametrize("late", [3, 40])
def test_candidates_above_the_limit_are_not_results_yet(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They came because they could have been below it; others like them did not come, so the limit is raised to them."""
    rows, _, _ = people(90)
    means, expected = ClusterMeans(rows, alone(90)), all_pairs(unit(rows), np.ones(90), np.arange(90))
    scan, limits = module._candidates, []

    def one_is_left_out(filter: Filter, limit: float, *given: object) -> module.Candidates | None:
        """All pairs are candidates at first, except one that is above the limit."""
        limits.append(2 * limit)
        left_out = next(pair for pair in expected[late:] if pair[0] > 2 * limit)[1:]
        first, second = scan(filter, 10.0, *given)
        kept = (first != left_out[0]) | (second != left_out[1])
        return first[kept], second[kept]

    monkeypatch.setattr(module, "_pairs_up_to_level", lambda *given: np.linspace(0, 4005, len(BFLOAT16_LEVELS)))
    monkeypatch.setattr(module, "_candidates", one_is_left_out)
    found = near_pairs(means, np.ones(90), alone(90), 60)
    assert listed(found) == [pair[1:] for pair in expected[:60]]
    assert len(limits) == 2 and limits[0] < expected[late][0] and limits[1] >= expected[59][0]


@pytest.mark.usefixtures("precision")
def test_the_sample_tells_how_many_pairs_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_TASK", 240)  # the clusters that tasks are cut in count twice
    rows, _, _ = people(240)
    labels = Clusters.of(np.arange(240) // 3)
    for clusters in (alone(240), labels):
        filter = Filter(ClusterMeans(rows, alone(240)).rounded)
        nearer = module._pairs_up_to_level(filter, np.full(240, 0.5), clusters)  # all rows are in the sample
        values = np.array([pair[0] for pair in all_pairs(unit(rows), np.ones(240), clusters.labels)]) / 2
        assert nearer[-1] == len(values)
        for limit in (0.1, 0.5, 0.9):
            level = np.searchsorted(BFLOAT16_LEVELS, limit)
            assert (values < 0.98 * limit).sum() <= nearer[level] <= (values < 1.02 * limit).sum()


@pytest.mark.usefixtures("precision")
def test_too_many_equal_rows_are_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.ones((100, 4), np.float32)
    means = ClusterMeans(rows, alone(100))
    assert listed(near_pairs(means, np.ones(100), alone(100), 20)) == [(0, j) for j in range(1, 21)]
    monkeypatch.setattr(module, "MOST_CANDIDATES", 400)
    assert near_pairs(means, np.ones(100), alone(100), 20) is None
    for make in (MinimumDistance, Dispersion):
        assert listed(make().closest_pairs(rows, alone(100), 20)) == [(0, j) for j in range(1, 21)]


@pytest.mark.usefixtures("precision")
def test_what_wants_most_pairs_or_adds_too_much_is_declined() -> None:
    rows, _, _ = people(60)
    means = ClusterMeans(rows, alone(60))
    assert near_pairs(means, np.ones(60), alone(60), 1180) is None
    assert near_pairs(means, np.full(60, 1e39), alone(60), 3) is None
    assert near_pairs(ClusterMeans(rows[:1], alone(1)), np.ones(1), alone(1), 3) is None
    assert near_pairs(means, np.ones(60), Clusters(np.zeros(60, np.int64), 1), 3) is None
    labels = BottomUp(MinimumDistance(1e39), merge_percent=0.05).fit_predict(rows)
    assert labels.max() == 56  # they tie, or nearly: three merge


def test_the_kernels_against_loops() -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(-20, 400, (30, 170)).astype(np.int16)
    owners = np.sort(rng.integers(0, 60, 200))
    limits = rng.integers(0, 60, 200).astype(np.int16)
    rows, columns = collect_near(keys[3:], 23, 10, limits, owners, 10**6)
    expected = [
        (20 + a, 10 + j)
        for a in range(3, 30)
        for j in range(170)
        if 20 + a < 10 + j and owners[20 + a] != owners[10 + j] and keys[a, j] <= limits[20 + a]
    ]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected and len(expected) > 200
    assert 50 < len(collect_near(keys[3:], 23, 10, limits, owners, 50)[0]) < 50 + 170
    own = owners[40:70]
    counts = np.zeros(300, np.int64)
    for group in set(own[5:25].tolist()):
        for other in set(owners[10:180].tolist()) - {group}:
            part = keys[5:25][own[5:25] == group][:, owners[10:180] == other]
            counts[min(max(part.min(), 0), 299)] += 1
    np.testing.assert_array_equal(count_levels(keys[5:25], own[5:25], 10, owners, 300), counts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_against_loops(dtype: type) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((50, 300)) * rng.choice([1e-20, 1.0, 1e15], (50, 1))).astype(dtype)
    rows[::9] = 0
    for clusters in (Clusters.of(rng.integers(0, 12, 50)), alone(50)):
        means = ClusterMeans(rows, clusters)
        expected = np.array([unit(rows)[group].mean(axis=0) for group in members_of(clusters.labels)])
        present = [(rows[group] != 0).any(axis=1).mean() for group in members_of(clusters.labels)]
        np.testing.assert_allclose(means.rounded, expected, rtol=2.0**-23, atol=1e-15)
        np.testing.assert_allclose(means.exact(), expected, rtol=0, atol=1e-15)
        np.testing.assert_allclose(means.squares, (expected**2).sum(axis=1), rtol=0, atol=1e-14)
        np.testing.assert_allclose(means.member_squares, present, rtol=1e-15)
        first, second = rng.integers(0, clusters.count, (2, 70)).astype(np.int32)
        products = (expected[first] * expected[second]).sum(axis=1)
        np.testing.assert_allclose(means.products(first, second), products, rtol=0, atol=1e-14)


def test_unit_rows_are_not_copied_and_their_products_are_near_those_of_the_directions() -> None:
    rows = unit(np.random.default_rng(0).standard_normal((80, 500)))
    for off in (0.0, 0.9, 1.1):
        scaled = (rows * (1 + off * 2.0**-20)).astype(np.float32)
        scaled[3] = 0
        means = ClusterMeans(scaled, alone(80))
        assert (means.rounded is scaled) == (off < 1)
        held = means.rounded.astype(np.float64)
        exact = means.exact()
        assert np.abs(held @ held.T - exact @ exact.T).max() < ROUNDING_OF_PRODUCTS
        assert means.squares.tolist() == pytest.approx([0.0 if i == 3 else 1.0 for i in range(80)], abs=1e-14)
