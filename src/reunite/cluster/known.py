"""The identities themselves as clusters: what supervised training learns from."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from reunite.errors import InputError
from reunite.types import check_codes, check_embeddings


class KnownIdentities(ClusterMixin, BaseEstimator):
    """The clusterer of supervised recipes: the labels it is given are the clusters it finds.

    The only part that makes `train` look at identities. A recipe with any other clusterer never learns who is in an image;
    one with this clusterer is trained on the identities of its images and is no longer unsupervised. Images of an unknown
    identity, -1, are noise: they are embedded and not trained on.

    Attributes:
        labels_: the identity of each row, (n,) int64, as given; -1 is unknown.
        n_features_in_: columns seen in `fit`.
    """

    def fit(self, X: Any, y: Any = None) -> KnownIdentities:
        """Take the identities `y`, (n,) whole numbers with -1 for unknown, of the rows of `X`, (n, d).

        Raises:
            InputError: no identities, not one whole number >= -1 for each row, or rows that are not finite.
            ValueError: `X` is no such array; scikit-learn's message says why.
        """
        X = check_embeddings(validate_data(self, X, dtype=np.float32, ensure_all_finite=False))
        if y is None:
            raise InputError(
                "KnownIdentities requires y to be passed, but the target y is None. It clusters by identities that are "
                "known: call fit(X, identities); `train` passes those of its images. To train without identities, take "
                "another clusterer, such as JaccardDBSCAN."
            )
        labels = check_codes(y, len(X), "y, the identities of the rows,")
        if labels.min() < -1:
            raise InputError(f"y, the identities of the rows, must be at least -1 (unknown); got {labels.min()}.")
        self.labels_ = labels
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Int64[np.ndarray, " n"]:
        """`fit`, and the labels."""
        return self.fit(X, y).labels_

    def __sklearn_tags__(self) -> Tags:
        """Says that `y` is required."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
