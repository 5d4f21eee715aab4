"""Where to draw the line: the distance up to which two groups of rows are one individual, chosen without labels."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Int64

from reunite.cluster.centroids import centroids
from reunite.cluster.linkage_tree import LinkageTree
from reunite.errors import InputError
from reunite.identities.evidence import Evidence

CUTS = 48
"""Cuts that are looked at."""

ROWS = 1024
"""Rows whose silhouette is looked at, at most; of more, evenly spread ones."""

TIE = 1e-6
"""Silhouettes this close are equal: between groups far apart many cuts are the same, and the middle one is chosen."""

FALLBACK = 0.4
"""The cut where there are too few rows to choose one from: about where it was chosen on rendered scenes."""


def choose_by_silhouette(rows: Float32[np.ndarray, "n d"], tree: LinkageTree, eps: float | None = None) -> Evidence:
    """The cut of `tree` with the largest mean silhouette (Rousseeuw 1987), or `eps` if it is given.

    A row's silhouette compares its mean distance to its own group with that to the nearest other one; a row alone has 0. So
    a cut is good where groups are tight and apart. It is not defined for one group, nor where all rows are alone: with rows
    of a single individual, or of individuals seen once each, pass `eps`.

    Args:
        rows: (n, d) of length one, those of the tree.
        tree: of mean cosine distances.
        eps: a cut to use; the evidence is gathered all the same.

    Raises:
        InputError: `eps` is not a number above 0.
    """
    if eps is not None and not (eps > 0 and math.isfinite(eps)):
        raise InputError(f"eps must be a mean cosine distance above 0; got {eps}.")
    cuts = np.empty(0)
    if len(tree.heights):
        lowest = max(tree.heights[0], 0.01)
        cuts = np.unique(np.linspace(lowest, max(tree.heights[-1], lowest), CUTS))
    labels = [tree.cut(cut) for cut in cuts]
    clusters = np.array([each.max() + 1 for each in labels], dtype=np.int64)
    shown = np.unique(np.linspace(0, max(tree.count - 1, 0), ROWS).round().astype(np.int64))
    found = np.array([mean_silhouette(rows, each, shown) for each in labels], dtype=np.float64)
    if eps is not None:
        return Evidence(float(eps), f"{eps:g} was given.", cuts, clusters, (("silhouette", found),))
    if np.isnan(found).all():
        sentence = f"{FALLBACK} was taken: there are too few rows, or too few groups of them, to choose from."
        return Evidence(FALLBACK, sentence, cuts, clusters, (("silhouette", found),))
    best = int(np.nanargmax(found))
    lower = np.flatnonzero(~(found[best:] >= found[best] - TIE))  # NaN is lower than anything
    last = best + int(lower[0]) - 1 if len(lower) else len(found) - 1
    chosen = float(cuts[(best + last) // 2])
    sentence = f"{chosen:.3f} was chosen: there the mean silhouette is largest, {found[best]:.3f}."
    return Evidence(chosen, sentence, cuts, clusters, (("silhouette", found),))


def mean_silhouette(
    rows: Float32[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"], shown: Int64[np.ndarray, " s"]
) -> float:
    """Mean silhouette of the rows `shown`, on cosine distance; NaN for one group, or where all rows are alone.

    For rows of length one the mean distance to a group is 1 - <row, mean of the group>, so no two rows are compared.
    """
    sizes = np.bincount(labels)
    if not 1 < len(sizes) < len(labels):
        return float("nan")
    own, size = labels[shown], sizes[labels[shown]]
    distance = rows[shown] @ centroids(rows, labels).T
    np.subtract(1, distance, out=distance)  # in place: nearly as large as the matrix of the tree
    place = np.arange(len(shown))
    # The row itself is among its group, at distance 0: n times the mean is n - 1 times the mean of the others.
    inside = np.maximum(distance[place, own], 0) * size / np.maximum(size - 1, 1)
    distance[place, own] = np.inf
    outside = np.maximum(distance.min(axis=1), 0)
    silhouette = (outside - inside) / np.maximum(np.maximum(inside, outside), np.finfo(np.float32).tiny)
    return float(np.where(size > 1, silhouette, 0.0).mean())
