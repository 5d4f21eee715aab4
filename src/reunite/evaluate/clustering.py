"""How well clusters match identities, from a sparse contingency table: seconds for a million rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from reunite.errors import InputError
from reunite.types import NOISE, Clusters, ClusterScores, check_codes


def clustering_scores(labels: Int[np.ndarray, " n"], identity: Int[np.ndarray, " n"]) -> ClusterScores:
    """Compare clusters with true identities; every score is 1 for a perfect match.

    Noise counts as singletons, one cluster a row: a clusterer that leaves everything out is pure but finds no pair.
    Rows of unknown identity (-1) are left out, with whatever cluster they are in. The adjusted Rand index (Hubert and
    Arabie 1985) and normalised mutual information (arithmetic mean) equal scikit-learn's; pairs and B-cubed (Bagga and
    Baldwin 1998) are F1 of precision and recall.

    Args:
        labels: cluster of each row; -1 is noise.
        identity: true identity of each row; -1 is unknown.

    Raises:
        InputError: different lengths, not whole numbers, or no row of known identity.
    """
    found = check_codes(labels, np.size(labels), "labels")
    truth = check_codes(identity, len(found), "identity")
    known = truth >= 0
    if not known.any():
        raise InputError(
            f"identity must be known (0 or more) for some rows to compare with; all {len(truth):,} are unknown. "
            "Without identities there is nothing to score against."
        )
    clusters = Clusters.of(found[known])
    table = _Contingency.of(clusters, truth[known])
    precision = _share(table.cells**2 / table.cluster_sizes[table.cluster_of_cell], table.n)
    recall = _share(table.cells**2 / table.identity_sizes[table.identity_of_cell], table.n)
    largest = np.zeros(len(table.cluster_sizes), np.int64)
    np.maximum.at(largest, table.cluster_of_cell, table.cells)
    return ClusterScores(
        ari=_adjusted_rand(table),
        nmi=_normalised_mutual_information(table),
        pairwise_f=_pairwise_f(table),
        bcubed_f=2 * precision * recall / (precision + recall),
        purity=_share(largest, table.n),
        clusters=clusters.count,
        noise=clusters.noise,
        identities=len(table.identity_sizes),
        splits=int((np.bincount(table.identity_of_cell) > 1).sum()),
        merges=int((np.bincount(table.cluster_of_cell) > 1).sum()),
    )


@dataclass(frozen=True, eq=False)
class _Contingency:
    """How many rows each cluster shares with each identity; only the cells that are not empty."""

    cells: NDArray[np.int64]
    cluster_of_cell: NDArray[np.int64]
    identity_of_cell: NDArray[np.int64]
    cluster_sizes: NDArray[np.int64]
    identity_sizes: NDArray[np.int64]
    n: int

    @classmethod
    def of(cls, clusters: Clusters, identity: NDArray[np.int64]) -> _Contingency:
        labels = clusters.labels.copy()
        labels[labels == NOISE] = clusters.count + np.arange(clusters.noise)
        truth = np.unique(identity, return_inverse=True)[1].reshape(-1)
        identities = int(truth.max()) + 1
        pairs, cells = np.unique(labels * identities + truth, return_counts=True)
        return cls(cells, pairs // identities, pairs % identities, np.bincount(labels), np.bincount(truth), len(labels))


def _share(parts: NDArray, n: int) -> float:
    return float(parts.sum() / n)


def _pairs(sizes: NDArray[np.int64]) -> int:
    """Pairs of rows within groups of these sizes."""
    return int((sizes * (sizes - 1) // 2).sum())


def _adjusted_rand(table: _Contingency) -> float:
    together, found, true = _pairs(table.cells), _pairs(table.cluster_sizes), _pairs(table.identity_sizes)
    if together == found == true:  # the same partition; also where the correction below is 0 / 0
        return 1.0
    expected = found * true / (table.n * (table.n - 1) / 2)
    return float((together - expected) / ((found + true) / 2 - expected))


def _pairwise_f(table: _Contingency) -> float:
    found, true = _pairs(table.cluster_sizes), _pairs(table.identity_sizes)
    return 2 * _pairs(table.cells) / (found + true) if found + true else 1.0


def _entropy(sizes: NDArray[np.int64], n: int) -> float:
    return float(-(sizes / n * np.log(sizes / n)).sum())


def _normalised_mutual_information(table: _Contingency) -> float:
    found, true = _entropy(table.cluster_sizes, table.n), _entropy(table.identity_sizes, table.n)
    if len(table.cluster_sizes) == len(table.identity_sizes) == 1:
        return 1.0  # one group on both sides: nothing to know, and nothing wrong
    independent = table.cluster_sizes[table.cluster_of_cell] * table.identity_sizes[table.identity_of_cell]
    information = float((table.cells / table.n * np.log(table.cells * (table.n / independent))).sum())
    return max(0.0, min(1.0, information / ((found + true) / 2)))
