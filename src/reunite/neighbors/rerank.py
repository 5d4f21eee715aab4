"""Re-ranking of search results by reciprocal neighborhoods."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from reunite.errors import InputError
from reunite.neighbors.jaccard import check_neighborhood, half_of, neighborhoods, pairs_up_to
from reunite.neighbors.knn import nearest_neighbors
from reunite.types import check_embeddings, unit_rows

BLOCK_SIZE = 1024
"""Rows whose similarities to all others are held at a time."""


def rerank(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> Float32[np.ndarray, "q g"]:
    """Distances of queries to a gallery that also look at who else is near both (Zhong et al. 2017).

    ``(1 - lambda) J + lambda O``: O is the squared Euclidean distance divided by the largest one of the query to any image,
    J the Jaccard distance of the reciprocal neighborhoods of query and gallery image among all of both, with weights
    exp(-O). Neighborhoods have k1 + 1 images, the image itself included, as in the original; those of Cluster Contrast's
    clustering, `jaccard_graph`, have one less. A row is always its own first neighbor, also among duplicates. Equal to the
    authors' program on non-squared distances up to float32 rounding, with memory for q x g and O(n k1) instead of
    several (q + g) x (q + g) matrices.

    Args:
        query: rows of any length; normalised here, into a copy.
        gallery: likewise.
        k1: neighbors in a neighborhood besides the row itself.
        k2: neighborhoods averaged in the query expansion, the row's own included; 1 is none.
        lambda_value: weight of the original distance, in [0, 1].

    Returns:
        (q, g) float32; smaller is nearer.

    Raises:
        InputError: rows not finite or of different dimensions, no rows, or an option out of range.
    """
    check_neighborhood(k1, k2)
    if not 0 <= lambda_value <= 1:
        raise InputError(f"lambda_value weighs the original distance and must be in [0, 1]; got {lambda_value}.")
    asked, held = check_embeddings(query, "query"), check_embeddings(gallery, "gallery")
    if not len(asked) or not len(held) or asked.shape[1] != held.shape[1]:
        raise InputError(f"query and gallery must be rows of the same dimensions; got {asked.shape} and {held.shape}.")
    rows = unit_rows(np.concatenate([asked, held]))
    farthest = _farthest(rows)
    scale = 1 / np.maximum(farthest, np.finfo(np.float32).tiny)
    indices, similarity = nearest_neighbors(rows, min(max(k1 + 1, k2), len(rows)))
    weights = neighborhoods(indices, similarity, rows, k1 + 1, half_of(k1), k2, scale)
    offsets, columns, jaccard = pairs_up_to(1.0, len(asked), *weights)
    result = np.empty((len(asked), len(held)), np.float32)
    for start in range(0, len(asked), BLOCK_SIZE):
        part = slice(start, min(start + BLOCK_SIZE, len(asked)))
        distance = np.maximum(2 - 2 * (rows[part] @ rows[len(asked) :].T), 0) * scale[part, None]
        result[part] = (1 - lambda_value) + lambda_value * distance
    row = np.repeat(np.arange(len(asked)), np.diff(offsets))
    inside = columns >= len(asked)  # queries among themselves are neighbors, but nobody asked for their distance
    result[row[inside], columns[inside] - len(asked)] -= (1 - lambda_value) * (1 - jaccard[inside])
    return result


def _farthest(rows: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " n"]:
    """The largest squared distance of each row to any."""
    smallest = np.full(len(rows), np.inf, np.float32)
    for start in range(0, len(rows), BLOCK_SIZE):
        part = slice(start, start + BLOCK_SIZE)
        tile = rows[part] @ rows[start:].T  # what lies before it has met these rows already
        smallest[part] = np.minimum(smallest[part], tile.min(axis=1))
        smallest[start:] = np.minimum(smallest[start:], tile.min(axis=0))
    return 2 - 2 * smallest
