"""Bottom-up merging from one round to the next: the clustering of BUC and DBC."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from jaxtyping import Int64
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from reunite.cluster.criteria import Criterion, MinimumDistance
from reunite.cluster.merging import MergeRule, check_merge_percent, clusters_to_merge, merge_closest
from reunite.errors import InputError
from reunite.types import check_embeddings


class BottomUp(ClusterMixin, BaseEstimator):
    """Merge a share of the clusters a round, the closest first: BUC (Lin et al. 2019) and DBC (BMVC 2019).

    A scikit-learn clusterer whose `y` are the labels of the round before. Each fit merges int(n * merge_percent) times,
    so n rows that began alone are n * (1 - r * merge_percent) clusters after r rounds. Distances and sizes are computed
    once a fit and not refreshed between its merges, as in the authors' programs; the labels are theirs element by element,
    for DBC those of the program with its penalty at work (see `Dispersion`). Distances are those of the directions of the
    rows. Pairs that tie up to rounding merge in the order of their labels.

    With squared distances, the default, only the closest pairs are formed: products at low precision, with a bound on their
    error, show which can be among these (`reunite.cluster.near_pairs`), and float64 decides. Beside the rows that takes a
    bfloat16 copy of the rows or means, where the processor is quick at it, the float32 means of clusters of more than one
    row, and a copy of the rows if they are not of unit length. Where too many pairs can be near, as among thousands of
    equal rows, and with Euclidean distances, all of them are computed in float64, in blocks, from float64 copies of the
    rows. Memory is O(n d), never O(n^2).

    Merging stops quietly when one cluster is left.

    The merge rules differ in what becomes of a cluster's near pairs once it was absorbed. "union" follows them into the
    cluster that absorbed it, and depends on the order of the rows by ties only. "skip_absorbed" drops them for the
    round, and of two clusters the one with the lower label survives: its partition depends on the order of the rows by
    construction. Report which rule and which order made a result.

    Args:
        criterion: which clusters are closest: `MinimumDistance` (BUC, and None), `Dispersion` (DBC), or yours, a
            `Criterion`.
        merge_percent: share of the rows merged in one fit, in (0, 1].
        merge_rule: "union" (BUC's program), "skip_absorbed" (DBC's), or None for the rule of the program that the
            criterion comes from.

    Attributes:
        labels_: cluster of each row, (n,) int64, numbered by first member; no noise.
        n_features_in_: columns seen in `fit`.
    """

    def __init__(
        self, criterion: Criterion | None = None, merge_percent: float = 0.05, merge_rule: MergeRule | None = None
    ) -> None:
        self.criterion = criterion
        self.merge_percent = merge_percent
        self.merge_rule = merge_rule

    def fit(self, X: Any, y: Any = None) -> BottomUp:
        """Merge the clusters `y` of the rows of `X`, (n, d).

        Args:
            X: the rows; their lengths do not matter.
            y: (n,) labels to merge from, numbered anyhow; rows labelled -1 are a cluster each. None: all rows are.

        Raises:
            InputError: an option out of range, rows that are not finite, or labels that are not whole numbers.
            ValueError: `X` is no such array; scikit-learn's message says why.
        """
        self.check_options()
        criterion = MinimumDistance() if self.criterion is None else self.criterion
        rule = self.merge_rule or criterion.published_rule
        X = check_embeddings(validate_data(self, X, dtype=np.float32, ensure_all_finite=False))
        clusters = clusters_to_merge(y, len(X))
        merges = min(int(len(X) * self.merge_percent), clusters.count - 1)
        merged, _ = merge_closest(lambda want: criterion.closest_pairs(X, clusters, want), clusters.count, merges, rule)
        self.labels_ = merged[clusters.labels]
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Int64[np.ndarray, " n"]:
        """`fit`, and the labels."""
        return self.fit(X, y).labels_

    def check_options(self) -> None:
        """Raise `InputError` for an option out of range; `train` asks before it decodes an image."""
        check_merge_percent(self.merge_percent)
        if self.merge_rule is not None and self.merge_rule not in get_args(MergeRule):
            raise InputError(
                f"merge_rule must be None or one of {', '.join(get_args(MergeRule))}; got {self.merge_rule!r}."
            )
