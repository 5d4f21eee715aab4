"""The closest pairs of clusters without the others: seen at low precision, decided in float64."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int32, Int64, Shaped

from reunite.cluster.blocks import ROUNDING
from reunite.cluster.closest_pairs import Pairs
from reunite.cluster.cluster_means import ROUNDING_OF_PRODUCTS, ClusterMeans
from reunite.cluster.near_pairs_kernels import collect_near, count_levels
from reunite.neighbors.filter import Filter, Tile
from reunite.neighbors.operands import BFLOAT16_LEVELS as LEVELS
from reunite.types import Clusters

SAMPLE = 256
"""Rows compared with all others to see how near the closest pairs will be."""

MARGIN = 1.5
"""Times the wanted pairs that the sample is to let through, so that one scan nearly always suffices."""

GROWTH = 4.0
"""Times as many pairs are let through where there were too few."""

MOST_CANDIDATES = 2**19
"""Pairs that are held at most, or 16 for each one wanted if that is more; at some 70 bytes each."""

PAIRS_AT_ONCE = 2**16
"""Pairs whose products are computed together: each takes some 16 bytes for every `COLUMNS` columns of the rows."""

LARGEST_ADDED = 2.0**100
"""What is added is far from overflowing the precision of a tile up to here."""

ROWS_PER_TASK, WIDTH = 64, 32768
"""Of the tiles of the sample: a pair of clusters is counted once in each."""

Candidates = tuple[Int32[np.ndarray, " p"], Int32[np.ndarray, " p"]]
"""Rows and columns of pairs."""


def near_pairs(means: ClusterMeans, added: Float64[np.ndarray, " m"], clusters: Clusters, want: int) -> Pairs | None:
    """The `want` pairs of clusters with the smallest min of added_i + added_j - 2 <mean_i, mean_j> over their means i and j.

    Looks at all pairs at the precision of `Filter`, keeps those that can be at most a limit, and computes these in float64:
    what is found up to the limit is complete, and rounded as `closest_pairs` does. The limit comes from a sample, and is
    raised if it lets too few through: to the farthest of the pairs wanted, if as many were found at all, which is then far
    enough. O(m^2 d) time, and O(m + want) memory besides the filter.

    Args:
        means: m rows to compare.
        added: of each of them, 0 or more.
        clusters: what each of them belongs to. Pairs within a cluster do not count.
        want: pairs wanted, at least 1.

    Returns:
        None where this is no good way: most pairs are wanted, too many can be near, as with thousands of equal rows, or
        what is added is beyond `LARGEST_ADDED`.
    """
    if added.max(initial=0) > LARGEST_ADDED:
        return None
    filter = Filter(means.rounded, added / 2)
    nearer = _pairs_up_to_level(filter, added / 2, clusters)
    expected = MARGIN * want
    known: float | None = None
    while known is not None or expected < nearer[-1]:
        limit = known or float(LEVELS[np.searchsorted(nearer, expected) + 1])
        found = _candidates(filter, limit, clusters.labels, max(MOST_CANDIDATES, 16 * want))
        if found is None:
            return None
        pairs = _decide(means, added, clusters, found, want)
        if len(pairs.values) < want:
            expected *= GROWTH
        elif pairs.values[-1] > 2 * limit:  # nearer ones may have been left out, but none are needed that are farther
            known = float(pairs.values[-1]) / 2
        else:
            return pairs
    return None


def _pairs_up_to_level(
    filter: Filter, offsets: Float64[np.ndarray, " m"], clusters: Clusters
) -> Float64[np.ndarray, " b"]:
    """How many pairs of clusters are as near as each of `LEVELS`, from those of a few random clusters with all others."""
    order = np.random.default_rng(0).permutation(clusters.count)
    asked = np.argsort(order[clusters.labels], kind="stable")[:SAMPLE]
    own = clusters.labels[asked]

    counts: list[Int64[np.ndarray, " b"]] = []

    def count(tile: Tile) -> None:
        keys = tile.keys
        if len(filter.operands.levels) == 1:
            values = keys.astype(np.float32) * filter.operands.levels[0]
            keys = (values.view(np.int32) >> 16).astype(np.int16)  # the bits of bfloat16, cut off
        rows = own[tile.first_row : tile.first_row + len(keys)]
        counts.append(count_levels(keys, rows, tile.first_column, clusters.labels, len(LEVELS)))

    sample = Filter(filter.rows[asked], offsets[asked], beside=filter)
    filter.visit_pairs(sample, count, ROWS_PER_TASK, WIDTH)
    return np.cumsum(np.sum(counts, axis=0)) * (clusters.count / (2 * len(np.unique(own))))


def _candidates(filter: Filter, limit: float, owners: Int64[np.ndarray, " m"], most: int) -> Candidates | None:
    """All pairs of different owners whose value can be at most `limit`; None if there are more than `most`."""
    limits = _key_limits(filter, limit)

    found: list[Candidates] = [(np.empty(0, np.int32), np.empty(0, np.int32))]
    held = [0]

    def collect(tile: Tile) -> None:
        rows, columns = collect_near(tile.keys, tile.first_row, tile.first_column, limits, owners, most)
        if len(rows):
            found.append((rows, columns))
            held[0] += len(rows)  # between threads, a sum may get lost: the count that decides is below
            if held[0] > most:
                raise _TooManyError

    try:
        filter.visit(collect)
    except _TooManyError:
        return None
    if sum(len(rows) for rows, _ in found) > most:
        return None
    return np.concatenate([rows for rows, _ in found]), np.concatenate([columns for _, columns in found])


class _TooManyError(Exception):
    pass


def _key_limits(filter: Filter, limit: float) -> Shaped[np.ndarray, " m"]:
    """The largest key, for each row, of a pair whose value is at most `limit`.

    Half of `slack` is how far what a tile holds before it is rounded can be off; `ROUNDING_OF_PRODUCTS` also covers that
    values are rounded to `ROUNDING` in the end. A value rounds at most to the next level that is not below it.
    """
    levels, largest = filter.operands.levels, filter.operands.largest_value
    highest = limit + filter.slack.astype(np.float64) / 2 + ROUNDING_OF_PRODUCTS
    highest *= 1 + 2.0**-22  # float32 rounds levels and limits
    keys = np.searchsorted(levels, highest) if len(levels) > 1 else highest / levels[0]
    return np.minimum(keys, largest).astype(largest.dtype)


def _decide(
    means: ClusterMeans, added: Float64[np.ndarray, " m"], clusters: Clusters, found: Candidates, want: int
) -> Pairs:
    """The `want` pairs of clusters with the smallest values of candidates, or all of them."""
    values = np.empty(len(found[0]))
    for start in range(0, len(values), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        a, b = found[0][part], found[1][part]
        values[part] = np.rint((added[a] + added[b] - 2 * means.products(a, b)) / ROUNDING) * ROUNDING
    a, b = (clusters.labels[side] for side in found)
    keys = np.minimum(a, b) * clusters.count + np.maximum(a, b)
    order = np.lexsort((values, keys))
    nearest = order[np.diff(keys[order], prepend=-1) > 0]
    order = nearest[np.lexsort((keys[nearest], values[nearest]))][:want]
    first, second = np.divmod(keys[order], clusters.count)
    return Pairs(values[order], first, second)
