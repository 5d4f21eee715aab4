"""Who is who among few rows of which each is a mean of many images: average linkage on cosine distance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from reunite.cluster.linkage_tree import check_apart, linkage_tree
from reunite.identities.centering import camera_means, without
from reunite.identities.confidence import confidence
from reunite.identities.overlap import overlapping, span_of
from reunite.identities.result import Identities
from reunite.identities.silhouette import choose_by_silhouette
from reunite.types import check_codes, check_unit_rows


def identify_by_cosine(
    embeddings: Float[np.ndarray, "n d"],
    camera: ArrayLike | None = None,
    time: ArrayLike | None = None,
    constraints: ArrayLike | None = None,
    eps: float | None = None,
    *,
    overlap: bool = True,
    center: bool = True,
) -> Identities:
    """Group rows, such as tracks of several cameras, by individual; how many there are need not be known.

    The mean of each camera is subtracted (`camera_means`). Then average linkage on cosine distance, cut at `eps`
    (`linkage_tree`). Two rows that one camera saw at the same moment are not the same individual: they, and whatever has been
    united with either, are never united. Holds one n x n matrix in float32, 100 MB for 5,000 rows.

    Args:
        embeddings: (n, d) rows; their lengths do not matter.
        camera: (n,) the camera of each row; -1 or None is unknown.
        time: (n,) seconds, or (n, 2) seconds of the begin and the end of each track; NaN or None is unknown.
        constraints: (p, 2) more pairs of rows that show different individuals.
        eps: mean cosine distance up to which groups are united, above 0; None chooses it, see `choose_by_silhouette`.
        overlap: False unites what one camera saw at the same moment as anything else, for cameras that draw two boxes
            around one individual, or that see mirrors and screens.
        center: False leaves embeddings as they are, for cameras that see different individuals.

    Raises:
        InputError: shapes that do not fit, rows that are not finite or all zeros, a track that ends before it begins, `eps`
            out of range, constraints that are no pairs of rows, or a matrix that does not fit into memory.
    """
    rows = check_unit_rows(embeddings)
    cameras = check_codes(camera, len(rows), "camera")
    given = None if constraints is None or np.size(constraints) == 0 else constraints
    apart = check_apart(given, len(rows), "constraints")
    if overlap and time is not None:
        apart = np.concatenate([apart, overlapping(cameras, *span_of(time, len(rows)))])
    apart = np.unique(np.sort(apart, axis=1), axis=0)
    if center:
        rows = without(rows, camera_means(rows, cameras))
    tree = linkage_tree(rows, apart)
    evidence = choose_by_silhouette(rows, tree, eps)
    labels = tree.cut(evidence.eps)
    sure = confidence(rows, labels, evidence.eps, apart)
    return Identities(labels, sure.value, sure.value, sure.second_best, evidence.eps, evidence, apart)
