"""Re-ranking of search results by reciprocal neighborhoods."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from reunite.errors import InputError
from reunite.neighbors.candidates import Candidates
from reunite.neighbors.farthest import Farthest
from reunite.neighbors.filter import BLOCK_SIZE, Filter
from reunite.neighbors.grouping import grouped
from reunite.neighbors.jaccard import check_neighborhood, half_of, neighborhoods, pairs_up_to
from reunite.neighbors.knn import neighbors_of, show_tiles
from reunite.neighbors.rerank_kernels import mix
from reunite.threads import in_blocks
from reunite.types import check_embeddings, unit_rows

ROWS_PER_TASK = 32


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
    result = rows[: len(asked)] @ rows[len(asked) :].T
    order = np.concatenate([grouped(part, BLOCK_SIZE) for part in (rows[: len(asked)], rows[len(asked) :])])
    order[len(asked) :] += len(asked)
    filter = Filter(rows, order=order, known=True)
    near, far = Candidates(filter, filter, min(max(k1 + 1, k2), len(rows)) - 1), Farthest(filter)
    show_tiles(filter, near, far, known=result)
    farthest = np.maximum(2 - 2 * far.smallest(), np.finfo(np.float32).tiny)
    weights = neighborhoods(*neighbors_of(near, rows), rows, k1 + 1, half_of(k1), k2, 1 / farthest)
    del near, far, filter
    jaccard = pairs_up_to(1.0, len(asked), *weights)
    in_blocks(len(asked), ROWS_PER_TASK, lambda a, b: mix(a, b, result, 1 / farthest, lambda_value, *jaccard))
    return result
