"""How well global identities match the truth across cameras: IDF1, identity precision and identity recall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int64
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from reunite.errors import InputError
from reunite.types import check_codes


@dataclass(frozen=True)
class IdentityScores:
    """Shares of detections that carry the right identity. Fractions in [0, 1].

    Attributes:
        idf1: identity F1: twice the detections with the right identity over reported and true ones together.
        idp: identity precision: over the reported ones; 0 where none is reported.
        idr: identity recall: over the true ones.
    """

    idf1: float
    idp: float
    idr: float


def identity_f1(
    labels: Int[np.ndarray, " n"], identity: Int[np.ndarray, " n"], frames: Int[np.ndarray, " n"] | None = None
) -> IdentityScores:
    """IDF1 of Ristani et al. 2016, "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking".

    Each global identity found stands for at most one true individual and the other way round, so that most detections
    are right: the best one-to-one assignment over all cameras together. An individual split in two identities gets
    credit for the larger one only, and two individuals under one identity for the more frequent of them.

    Boxes are taken as given. The published measure matches the boxes of a tracker with those of the truth by their
    overlap (IoU) first, and counts those without a match as wrong or missed; here each detection is its own match, a
    wrong box is a row whose `identity` is -1, and a person not detected at all is missing from the count unless it has
    a row with label -1. Values equal the published ones where the boxes are those of the truth.

    Args:
        labels: global identity given to each detection; -1 is not reported.
        identity: the true one; -1 is nobody, so a reported detection is wrong.
        frames: how many detections a row stands for, 0 or more, for rows that are tracks; None is one each.

    Raises:
        InputError: different lengths, not whole numbers, or no row with a true identity.
    """
    found = check_codes(labels, np.size(labels), "labels")
    truth = check_codes(identity, len(found), "identity")
    weight = np.ones(len(found), np.int64) if frames is None else check_codes(frames, len(found), "frames")
    if (weight < 0).any():
        row = int(np.flatnonzero(weight < 0)[0])
        raise InputError(f"frames must be 0 or more detections a row; got {weight[row]} in row {row}.")
    reported, true = int(weight[found >= 0].sum()), int(weight[truth >= 0].sum())
    if not true:
        raise InputError(
            f"identity must be known (0 or more) for some detections to compare with; of {len(truth):,} rows none is. "
            "Without identities there is nothing to score against."
        )
    both = (found >= 0) & (truth >= 0)
    right = _best_assignment(found[both], truth[both], weight[both])
    return IdentityScores(2 * right / (reported + true), right / reported if reported else 0.0, right / true)


def _best_assignment(
    found: Int64[np.ndarray, " m"], truth: Int64[np.ndarray, " m"], weight: Int64[np.ndarray, " m"]
) -> int:
    """Most detections that a one-to-one assignment of identities found to true ones can share.

    A matching of all rows of a sparse table: the identity found may also be matched with nobody, a column of its own in
    which it shares nothing. Costs are above zero, since zero means no cell.
    """
    if not len(found):
        return 0
    labels, row = np.unique(found, return_inverse=True)
    names, column = np.unique(truth, return_inverse=True)
    cells, cell = np.unique(row * len(names) + column, return_inverse=True)
    shared = np.bincount(cell, weights=weight)
    nothing = shared.max() + 1
    alone = np.arange(len(labels))
    costs = np.append(nothing - shared, np.full(len(labels), nothing))
    places = np.append(cells // len(names), alone), np.append(cells % len(names), len(names) + alone)
    matched, to = min_weight_full_bipartite_matching(csr_array((costs, places)))
    somebody = to < len(names)
    return int(shared[np.searchsorted(cells, matched[somebody] * len(names) + to[somebody])].sum())
