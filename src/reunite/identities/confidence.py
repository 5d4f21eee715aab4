"""How clearly a track belongs to its identity, and which other one it would be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy.typing import ArrayLike

from reunite.cluster.centroids import centroids
from reunite.cluster.linkage_tree import check_apart
from reunite.errors import InputError
from reunite.types import NOISE, check_codes, check_embeddings, unit_rows

BLOCK_SIZE = 512
"""Rows compared with all clusters at once."""


@dataclass(frozen=True, eq=False)
class Confidence:
    """How clearly each row belongs to its cluster.

    Attributes:
        value: a margin, (n,) float64 in [0, 1]: 0 could as well be the other cluster, 1 is far from all others. It is
            no probability.
        second_best: the label of the nearest other cluster, (n,) int64; -1 where there is none.
    """

    value: Float64[np.ndarray, " n"]
    second_best: Int64[np.ndarray, " n"]


def confidence(
    embeddings: Float[np.ndarray, "n d"],
    labels: Int64[np.ndarray, " n"],
    eps: float,
    apart: ArrayLike | None = None,
) -> Confidence:
    """The margin between a row's own cluster and the nearest other one that it may be in.

    With a the mean cosine distance to the other members of its cluster and b that to the nearest other cluster, the
    value is (b - a) / max(b, eps), cut to [0, 1]. This is the silhouette (Rousseeuw 1987) but for its denominator,
    max(a, b), which calls two clusters well apart that are both within `eps`; and it stops at 0. A row alone in its
    cluster has a = eps: the nearest other cluster would have taken it at that distance. A row with no other cluster has
    value 1, and a row of no cluster has value 0.

    The value is a margin, not a probability: it puts rows in order for somebody who looks at the doubtful ones first, and
    a value of 0.9 does not say that nine of ten are right.

    Means of clusters stand for their members, which is exact for cosine distance: O(n c d) time, and memory for the
    distances of a block of rows to the c clusters.

    Args:
        embeddings: (n, d) rows; their lengths do not matter.
        labels: (n,) the cluster of each row; -1 is none.
        eps: the mean distance up to which clusters were united, the height of the cut.
        apart: (p, 2) pairs of rows that must not share a cluster. A cluster with a row that this one must stay apart
            from is not its nearest other cluster, however near.

    Raises:
        InputError: rows that are not finite, labels that are not one whole number for each row, `eps` not above 0, or
            pairs that are no pairs of rows.
    """
    rows = unit_rows(check_embeddings(embeddings).astype(np.float64))
    count = len(rows)
    given = check_codes(labels, count, "labels")
    pairs = check_apart(apart, count)
    if not (eps > 0 and math.isfinite(eps)):
        raise InputError(f"eps must be a cosine distance above 0; got {eps}.")
    kept = given >= 0
    value, second_best = np.zeros(count), np.full(count, NOISE, np.int64)
    if not kept.any():
        return Confidence(value, second_best)
    names, own = np.unique(given[kept], return_inverse=True)
    cluster = np.full(count, NOISE, np.int64)
    cluster[kept] = own
    means, sizes = centroids(rows, cluster), np.bincount(cluster[kept])
    row, barred = _barred(pairs, cluster)
    for start in range(0, count, BLOCK_SIZE):
        block = slice(start, start + BLOCK_SIZE)
        similarity = rows[block] @ means.T
        inside = _own_distances(rows[block], similarity, cluster[block], sizes, eps)
        distances = 1 - similarity
        here = slice(*np.searchsorted(row, [start, start + BLOCK_SIZE]))
        distances[row[here] - start, barred[here]] = np.inf
        member = np.flatnonzero(kept[block])
        distances[member, cluster[block][member]] = np.inf
        nearest = distances.argmin(axis=1)
        outside = distances[np.arange(len(nearest)), nearest]
        others = np.isfinite(outside)
        second_best[block][others] = names[nearest[others]]
        value[block][member] = _margin(inside, outside, eps)[member]
    return Confidence(value, second_best)


def _own_distances(
    rows: Float64[np.ndarray, "b d"],
    similarity: Float64[np.ndarray, "b c"],
    cluster: Int64[np.ndarray, " b"],
    sizes: Int64[np.ndarray, " c"],
    eps: float,
) -> Float64[np.ndarray, " b"]:
    """Mean distance to the other members of the row's own cluster; `eps` where there are none."""
    size = np.where(cluster >= 0, sizes[cluster], 1)
    total = size * similarity[np.arange(len(rows)), cluster] - np.einsum("bd,bd->b", rows, rows)
    return np.where(size > 1, 1 - total / np.maximum(size - 1, 1), eps)


def _margin(
    inside: Float64[np.ndarray, " b"], outside: Float64[np.ndarray, " b"], eps: float
) -> Float64[np.ndarray, " b"]:
    alone = np.isinf(outside)
    b = np.where(alone, 0.0, outside)
    return np.where(alone, 1.0, np.clip((b - inside) / np.maximum(b, eps), 0, 1))


def _barred(
    pairs: Int64[np.ndarray, "p 2"], cluster: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " q"], Int64[np.ndarray, " q"]]:
    """Rows, ascending, and the clusters that each must not be in."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[cluster[both[:, 1]] >= 0]
    both = both[np.argsort(both[:, 0], kind="stable")]
    return both[:, 0], cluster[both[:, 1]]
