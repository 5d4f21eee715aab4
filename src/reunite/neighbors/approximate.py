"""Approximate nearest neighbors for sets too large to compare all pairs of, with the share of neighbors that was found."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Float, Float32, Int64

from reunite.errors import InputError
from reunite.neighbors.candidate_kernels import decide_given, own_products
from reunite.neighbors.knn import search
from reunite.threads import in_blocks, thread_count
from reunite.types import check_unit_rows

SPARE = 5
"""Neighbors asked for beside those wanted: the row itself may be among them or not."""


@dataclass(frozen=True, eq=False)
class ApproximateNeighbors:
    """Neighbors as `nearest_neighbors` gives them, some of them missed, and how many were found.

    Attributes:
        indices: (n, k) int64, the row itself first.
        similarity: (n, k) float32, of these; exact.
        recall: share of the true neighbors of the sampled rows that are among theirs, the row itself not counted; 1 is all.
        sampled: rows that were compared with the exact answer.
    """

    indices: Int64[np.ndarray, "n k"]
    similarity: Float32[np.ndarray, "n k"]
    recall: float
    sampled: int


def approximate_neighbors(
    embeddings: Float[np.ndarray, "n d"], k: int, *, sample: int = 1000, seed: int = 0
) -> ApproximateNeighbors:
    """Most of the `k` nearest rows of every row, by nearest-neighbor descent (Dong et al. 2011), with measured recall.

    For sets of hundreds of thousands of rows and more, where `nearest_neighbors`, which compares all pairs, takes too long.
    The descent is PyNNDescent's (BSD licence); it looks among neighbors of neighbors until nothing gets nearer. Neighbors
    that it finds are ranked by their exact similarity; a tie goes to the lower index. The answer depends on `seed`, and may
    depend on the number of threads.

    PyNNDescent is not installed with Reunite: ``pip install "reunite[approximate]"``. Its first call in a process
    compiles for some seconds.

    `reunite.neighbors.jaccard.graph_of_neighbors` makes a Jaccard graph of what comes out.

    Args:
        embeddings: rows to search, any length; normalised into a copy where they are not of unit length. No row may be zero.
        k: neighbors of a row, itself included, 2 <= k <= n.
        sample: rows for which the exact neighbors are found, to say how many were missed; at most n.
        seed: of the descent and of the sample.

    Raises:
        InputError: rows not finite or zero, a `k` or `sample` that does not fit, or PyNNDescent is not installed.
    """
    descent = _pynndescent()
    rows = check_unit_rows(embeddings)
    count = len(rows)
    if not 2 <= k <= count:
        raise InputError(f"k counts the row itself and must be between 2 and the number of rows, {count:,}; got {k}.")
    if sample < 1:
        raise InputError(f"sample must be at least 1 row; got {sample}.")
    if not (nonzero := rows.any(axis=1)).all():
        raise InputError(
            f"Rows of zeros have no nearest neighbors; {count - int(nonzero.sum()):,} of {count:,} rows are zero (the first is "
            f"row {int(np.argmin(nonzero))}). Drop them."
        )
    index = descent.NNDescent(
        rows, metric="cosine", n_neighbors=min(k + SPARE, count), random_state=seed, n_jobs=thread_count()
    )
    found = index.neighbor_graph[0].astype(np.int32)
    if len(short := np.flatnonzero((found < 0).any(axis=1))):  # it says -1 for neighbors that it did not find
        found[short] = search(rows[short], rows, found.shape[1])[0]
    own = found == np.arange(count)[:, None]
    given = np.take_along_axis(found, np.argsort(own, axis=1, kind="stable"), axis=1)[:, :-1]
    indices, similarity = np.empty((count, k), np.int64), np.empty((count, k), np.float32)
    indices[:, 0] = np.arange(count)
    in_blocks(count, 256, lambda a, b: own_products(a, b, rows, similarity))
    in_blocks(count, 256, lambda a, b: decide_given(a, b, k - 1, given, rows, rows, indices, similarity))
    which = np.random.default_rng(seed).choice(count, min(sample, count), replace=False)
    return ApproximateNeighbors(indices, similarity, _recall(which, indices, similarity, rows), len(which))


def _recall(
    which: Int64[np.ndarray, " s"],
    indices: Int64[np.ndarray, "n k"],
    similarity: Float32[np.ndarray, "n k"],
    rows: Float32[np.ndarray, "n d"],
) -> float:
    """The share of exact neighbors that was found: of equals at the last place any will do."""
    k = indices.shape[1]
    exact, nearness = search(rows[which], rows, k)
    others = exact != which[:, None]
    last = np.array([near[other][: k - 1].min() for near, other in zip(nearness, others, strict=True)])
    return float((similarity[which, 1:] >= last[:, None]).mean())


def _pynndescent() -> ModuleType:
    try:
        import pynndescent
    except ImportError as error:
        raise InputError(
            "approximate_neighbors needs PyNNDescent, which is not installed with Reunite. Install it with: "
            'pip install "reunite[approximate]"'
        ) from error
    return pynndescent
