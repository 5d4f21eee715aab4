"""From closest pairs of clusters to fewer clusters: the two rules of the published programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numba import njit
from numpy.typing import ArrayLike, NDArray

from reunite.cluster.closest_pairs import Pairs
from reunite.cluster.density_kernels import root
from reunite.errors import InputError
from reunite.types import Clusters, check_codes

MergeRule = Literal["union", "skip_absorbed"]

PAIRS_PER_MERGE = 4
"""Pairs asked for at first, for each merge: a few of them join what is joined already, or are skipped."""


def check_merge_percent(merge_percent: float) -> None:
    """Raise `InputError` unless `merge_percent` is a fraction."""
    if not 0 < merge_percent <= 1:
        raise InputError(
            f"merge_percent is the share of the rows that is merged, in (0, 1]; got {merge_percent}. 5 % is 0.05."
        )


def clusters_to_merge(labels: ArrayLike | None, count: int) -> Clusters:
    """The partition of `count` rows to start from; None, and every negative label, is a cluster of one row."""
    if labels is None:
        return Clusters(np.arange(count), count)
    given = check_codes(labels, count, "y")
    return Clusters.of(np.where(given < 0, given.max(initial=0) + 1 + np.arange(count), given))


def merge_closest(
    search: Callable[[int], Pairs], clusters: int, merges: int, rule: MergeRule
) -> tuple[Int64[np.ndarray, " c"], Float64[np.ndarray, " m"]]:
    """Merge clusters along their closest pairs, in the order of the pairs, until `merges` merges are done.

    "union" unites the two clusters that the two of the pair have become by now; a pair within one cluster is no merge.
    "skip_absorbed" skips a pair if one of the two is no more, and otherwise the first absorbs the second.

    Args:
        search: gives the closest pairs, as many as it is asked for; fewer mean that there are no others.
        clusters: how many clusters there are.
        merges: how many merges to do; less than `clusters`.
        rule: which pairs merge.

    Returns:
        the new cluster of each old one, numbered by the lowest old one in it, and the values of the merges.
    """
    if merges == 0:
        return np.arange(clusters), np.empty(0)
    want = PAIRS_PER_MERGE * merges
    while True:
        pairs = search(want)
        lowest, taken = merge_in_order(pairs.first, pairs.second, clusters, merges, rule == "union")
        if len(taken) == merges or len(pairs.values) < want:
            return np.unique(lowest, return_inverse=True)[1], pairs.values[taken]
        want *= PAIRS_PER_MERGE


@njit(cache=True)
def merge_in_order(
    first: NDArray[np.int64], second: NDArray[np.int64], clusters: int, merges: int, union: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lowest cluster that each one has become part of after up to `merges` merges, and which pairs merged."""
    parents = np.arange(clusters)
    taken = np.empty(merges, np.int64)
    done = 0
    for pair in range(first.shape[0]):
        if done == merges:
            break
        a, b = first[pair], second[pair]
        if union:
            a, b = root(parents, a), root(parents, b)
        if a == b or parents[a] != a or parents[b] != b:
            continue
        parents[max(a, b)] = min(a, b)
        taken[done] = pair
        done += 1
    for i in range(clusters):
        parents[i] = root(parents, i)
    return parents, taken[:done]
