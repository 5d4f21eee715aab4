"""Tiles of reduced distances and the closest pairs in them, against plain loops, ties and all sizes of blocks."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.features import NASTY, nasty
from oracles.merging import METRICS, members_of, unit
from reunite.cluster.blocks import ClusterBlocks, Tile, distances
from reunite.cluster.closest_pairs import closest_pairs
from reunite.types import Clusters

REDUCTIONS = {np.add: sum, np.minimum: min, np.maximum: max}


def random_partition(seed: int, n: int, clusters: int) -> Clusters:
    return Clusters.of(np.random.default_rng(seed).integers(0, clusters, n))


def cut(matrix: np.ndarray, block: int) -> Iterator[Tile]:
    for a in range(0, len(matrix), block):
        for b in range(a, len(matrix), block):
            yield Tile(a, b, matrix[a : a + block, b : b + block])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(1, 30),
    st.sampled_from(list(METRICS)),
    st.sampled_from(list(REDUCTIONS)),
)
def test_tiles_hold_every_pair_of_clusters_once(
    seed: int, n: int, clusters: int, block_size: int, metric: str, reduction: np.ufunc
) -> None:
    rows = unit(np.random.default_rng(seed).standard_normal((n, 3)))
    partition = random_partition(seed, n, clusters)
    members = members_of(partition.labels)
    blocks = ClusterBlocks(rows, partition, block_size=block_size)
    seen = np.full((partition.count, partition.count), np.nan)
    for tile in blocks.tiles(metric, reduction):
        assert np.isnan(seen[tile.rows, tile.columns]).all()
        assert tile.values.shape[0] <= block_size and tile.values.shape[1] <= block_size
        seen[tile.rows, tile.columns] = tile.values
    for a in range(partition.count):
        for b in range(a, partition.count):
            pairs = [METRICS[metric](rows[i], rows[j]) for i in members[a] for j in members[b]]
            assert seen[a, b] == pytest.approx(REDUCTIONS[reduction](pairs), rel=1e-12, abs=1e-10)
    within = [sum(METRICS[metric](rows[i], rows[j]) for i in group for j in group) for group in members]
    np.testing.assert_allclose(blocks.within(metric), within, rtol=1e-12, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 200), st.integers(1, 25), st.integers(1, 30))
def test_the_closest_pairs_are_the_first_of_a_stable_sort(
    seed: int, count: int, want: int, block: int, levels: int
) -> None:
    values = np.random.default_rng(seed).integers(0, levels, (count, count)) / 7  # few levels: many exact ties
    values = np.triu(values) + np.triu(values, 1).T
    expected = sorted((values[a, b], a, b) for a in range(count) for b in range(a + 1, count))[:want]
    found = closest_pairs(cut(values, block), count, want)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [pair[1:] for pair in expected]
    np.testing.assert_allclose(found.values, [pair[0] for pair in expected], atol=1e-12)
    assert found.first.dtype == found.second.dtype == np.int64


def test_a_tie_in_a_later_tile_may_come_first() -> None:
    values = np.ones((6, 6))
    values[0, 1] = 2  # (0, 2) and (1, 2) are in the first tile of three, (0, 3) is in the second
    found = closest_pairs(cut(values, 3), 6, 2)
    assert (found.first.tolist(), found.second.tolist()) == ([0, 0], [2, 3])


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("metric", METRICS)
def test_ties_do_not_depend_on_the_blocks(name: str, metric: str) -> None:
    rows = unit(nasty(name))
    partition = random_partition(1, len(rows), 15)

    def search(block_size: int) -> tuple[list[int], list[int]]:
        blocks = ClusterBlocks(rows, partition, block_size=block_size)
        found = closest_pairs(blocks.tiles(metric, np.minimum), partition.count, 60)
        return found.first.tolist(), found.second.tolist()

    whole = search(1024)
    assert all(search(block_size) == whole for block_size in (1, 3, 7, 16))
    if name == "constant":
        first, second = np.triu_indices(partition.count, 1)
        assert whole == (first[:60].tolist(), second[:60].tolist())


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_are_exactly_at_distance_zero(metric: str) -> None:
    rows = unit(np.random.default_rng(0).standard_normal((50, 37)))
    assert (np.diagonal(distances(rows, rows.copy(), metric)) == 0).all()
    assert (distances(rows, rows, metric)[~np.eye(50, dtype=bool)] > 0.1).all()
