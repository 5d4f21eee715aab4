"""Which individuals are split over several clusters, and which clusters mix several individuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from reunite.identities.shared_rows import Spread, shared_rows, spreads
from reunite.types import NOISE, check_codes


@dataclass(frozen=True)
class Confusions:
    """Where clusters and true identities differ; those with most rows outside their largest part come first.

    Attributes:
        splits: identities in several clusters: the identity, and (cluster, rows) for each. Noise is a cluster for each row,
            listed together as (-1, rows).
        merges: clusters with several identities: the cluster, and (identity, rows) for each.
    """

    splits: tuple[Spread, ...]
    merges: tuple[Spread, ...]


def confusions(labels: Int[np.ndarray, " n"], identity: Int[np.ndarray, " n"]) -> Confusions:
    """Compare clusters with true identities, one by one: `clustering_scores` has how many there are.

    Args:
        labels: cluster of each row; negative is noise.
        identity: true identity of each row; rows of unknown identity (negative) are left out.

    Raises:
        InputError: different lengths, or not whole numbers.
    """
    found = check_codes(labels, np.size(labels), "labels")
    truth = check_codes(identity, len(found), "identity")
    known = truth >= 0
    cells = shared_rows(np.maximum(found[known], NOISE), truth[known])
    pieces = np.where(cells.first == NOISE, cells.rows, 1)
    clusters = cells.first != NOISE
    return Confusions(
        splits=spreads(cells.second, cells.first, cells.rows, pieces),
        merges=spreads(cells.first[clusters], cells.second[clusters], cells.rows[clusters]),
    )
