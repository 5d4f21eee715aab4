"""The criteria of BUC and DBC against plain loops and the numbers of the method notes."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.merging import (
    METRICS,
    NINE,
    NINE_LABELS,
    dispersed_linkage,
    dispersion,
    members_of,
    minimum_distance,
    ranked,
    unit,
)
from reunite.cluster.criteria import Criterion, Dispersion, MinimumDistance
from reunite.errors import InputError
from reunite.types import Clusters

NORMS = ("n2", "n", "n(n-1)")
OPTIONS: list[Criterion] = [
    *(MinimumDistance(penalty, metric) for penalty in (0.0, 0.003, 0.4) for metric in METRICS),
    *(Dispersion(weight, metric, norm) for weight in (0.0, 0.1, 1.5) for metric in METRICS for norm in NORMS),
]


def values_of(criterion: Criterion) -> dict[tuple[int, int], float]:
    pairs = criterion.closest_pairs(NINE, Clusters.of(NINE_LABELS), 10)
    return dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.values.tolist(), strict=True))


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (MinimumDistance(), (1.018000, 0.899614, 0.786677)),
        (Dispersion(weight=0.0), (2.898473, 2.936968, 2.471871)),
        (Dispersion(weight=0.1), (2.956403, 3.031214, 2.588197)),
        (Dispersion(weight=0.1, intra_norm="n"), (3.072262, 3.219707, 2.820848)),
        (Dispersion(weight=0.0, metric="euclidean"), (1.675692, 1.670995, 1.520823)),
    ],
)
def test_the_numbers_of_the_method_notes(criterion: Criterion, expected: tuple[float, ...]) -> None:
    found = values_of(criterion)
    for pair, value in zip(((0, 1), (0, 2), (1, 2)), expected, strict=True):
        assert found[pair] == pytest.approx(value, abs=6e-7)


def test_the_dispersions_of_the_method_notes() -> None:
    """Dispersions solved from the values of the three pairs with the penalty, without it, and their sums."""
    bare, penalised = values_of(Dispersion(weight=0.0)), values_of(Dispersion(weight=1.0))
    sums = {pair: penalised[pair] - bare[pair] for pair in bare}
    total = sum(sums.values()) / 2
    found = [total - sums[1, 2], total - sums[0, 2], total - sums[0, 1]]
    np.testing.assert_allclose(found, [0.179251, 0.400044, 0.763211], atol=6e-7)
    assert found == pytest.approx([dispersion(NINE, group, "sqeuclidean", "n2") for group in members_of(NINE_LABELS)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 20), st.integers(1, 20), st.sampled_from(OPTIONS), st.integers(1, 60))
def test_equals_the_definition(seed: int, n: int, clusters: int, criterion: Criterion, want: int) -> None:
    rng = np.random.default_rng(seed)
    rows, partition = unit(rng.standard_normal((n, 4))), Clusters.of(rng.integers(0, clusters, n))

    def value(a: list[int], b: list[int]) -> float:
        if isinstance(criterion, MinimumDistance):
            return minimum_distance(rows, a, b, criterion.size_penalty, criterion.metric)
        return dispersed_linkage(rows, a, b, criterion.weight, criterion.metric, criterion.intra_norm)

    expected = ranked(members_of(partition.labels), value)[:want]
    found = criterion.closest_pairs(rows, partition, want)
    np.testing.assert_allclose(found.values, [each[0] for each in expected], rtol=1e-12, atol=1e-10)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [each[1:] for each in expected]


def test_rows_of_zeros_have_a_distance_too() -> None:
    rows = np.vstack([NINE, np.zeros((2, 2))])
    labels = np.array([*NINE_LABELS, 0, 3])
    members = members_of(labels)
    for criterion in (Dispersion(weight=0.3), Dispersion(weight=0.3, metric="euclidean")):
        found = criterion.closest_pairs(rows, Clusters.of(labels), 100)
        for value, a, b in zip(found.values, found.first, found.second, strict=True):
            expected = dispersed_linkage(rows, members[a], members[b], 0.3, criterion.metric, "n2")
            assert value == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(
    "criterion", [MinimumDistance(), Dispersion(), Dispersion(metric="euclidean")], ids=["buc", "dbc", "euclidean"]
)
@pytest.mark.parametrize("partition", ["alone", "one giant cluster"])
def test_memory_does_not_grow_with_the_square_of_the_rows(criterion: Criterion, partition: str) -> None:
    n = 5000
    rows = unit(np.random.default_rng(0).standard_normal((n, 2)))
    labels = np.arange(n) if partition == "alone" else np.maximum(np.arange(n) - 4500, 0)
    tracemalloc.start()
    try:
        criterion.closest_pairs(rows, Clusters.of(labels), 1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * n * n / 2  # half of a float32 matrix; blocks take 35 MB whatever n is


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MinimumDistance(size_penalty=-0.1),
            "size_penalty weighs cluster sizes and must be 0 or more; got -0.1",
        ),
        (lambda: MinimumDistance(size_penalty=float("nan")), "got nan"),
        (lambda: MinimumDistance(metric="cosine"), "metric must be one of sqeuclidean, euclidean; got 'cosine'"),
        (lambda: Dispersion(weight=-1), "weight multiplies the dispersions and must be 0 or more; got -1"),
        (lambda: Dispersion(weight=float("inf")), "got inf"),
        (lambda: Dispersion(metric="l1"), "got 'l1'"),
        (lambda: Dispersion(intra_norm="n3"), r"intra_norm must be one of n2, n, n\(n-1\); got 'n3'"),
    ],
)
def test_refuses_settings_that_make_no_sense(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_criterion_is_a_value() -> None:
    assert repr(MinimumDistance()) == "MinimumDistance(size_penalty=0.003, metric='sqeuclidean')"
    assert repr(Dispersion()) == "Dispersion(weight=0.1, metric='sqeuclidean', intra_norm='n2')"
    assert all(a != b for a, b in itertools.combinations(OPTIONS, 2))
    assert MinimumDistance() == MinimumDistance() and hash(Dispersion()) == hash(Dispersion())
