"""All pairs of rows, counted by similarity and by whether they show one individual; no pair is ever stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from reunite.identities.pair_kernels import add_pairs
from reunite.threads import blas_on_one_thread, in_blocks

BINS = 5_000
"""Bins of similarity between -1 and 1, 0.0004 wide."""

PARTS = 16
"""Groups of individuals that are left out in turn, to see how much an answer depends on who was there."""

ALL_PAIRS = 20_000
"""Rows up to which every pair is counted. Of more rows some are drawn, so that about as many pairs are counted."""

LEAST_DRAWN = 1_000
"""Rows that are drawn at least."""

ROWS, COLUMNS = 256, 2_048
"""Shape of a block of similarities."""


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Pairs of rows by similarity.

    Attributes:
        same: pairs that show one individual, by bin of similarity from -1 up, (bins,).
        different: pairs that show two individuals, (bins,).
        parts: both, different first, of the pairs that are left without one part of the individuals, (parts, 2, bins).
    """

    same: Int64[np.ndarray, " bins"]
    different: Int64[np.ndarray, " bins"]
    parts: Int64[np.ndarray, "parts 2 bins"]


def count_pairs(rows: Float32[np.ndarray, "n d"], individual: Int64[np.ndarray, " n"], seed: int = 0) -> PairCounts:
    """Count pairs of rows by cosine similarity.

    Up to 20,000 rows every pair of two rows is counted once. Of n more rows m are drawn at random, 2e8 / n of them but 1,000 at
    least, and every pair that has a drawn row in it is counted once. Each pair is as likely to be counted as any other, so
    the share of pairs that show one individual, at any similarity, is that of all pairs up to chance. (Drawing whole
    individuals instead would drop most pairs of different individuals and few of the same: half the individuals have half of
    the pairs of the same one, and a quarter of the others.)

    Args:
        rows: (n, d) of length one.
        individual: (n,) who each row shows, 0 to c - 1.
        seed: of the drawn rows and of the parts.
    """
    rng = np.random.default_rng(seed)
    count, individuals = len(rows), int(individual.max(initial=-1)) + 1
    part = rng.permutation(individuals)[individual] % PARTS
    drawn = count
    if count > ALL_PAIRS:
        drawn = max(ALL_PAIRS**2 // (2 * count), LEAST_DRAWN)
        order = rng.permutation(count)
        rows, individual, part = rows[order], individual[order], part[order]
    parts = min(PARTS, individuals)
    with blas_on_one_thread():
        found = in_blocks(drawn, ROWS, partial(_count_rows, rows, individual, part, parts))
    counts = sum(found, np.zeros((parts + 1, 2, BINS), np.int64))
    return PairCounts(counts[-1, 1], counts[-1, 0], counts[-1] - counts[:-1])


def bin_of(similarity: Float64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """The bin that counts a similarity."""
    return np.clip(((similarity + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)


def centers() -> Float64[np.ndarray, " bins"]:
    """The similarity in the middle of each bin."""
    return (np.arange(BINS) + 0.5) / (BINS / 2) - 1


def at_or_above(counts: Shaped[np.ndarray, "*shape bins"]) -> Shaped[np.ndarray, "*shape bins"]:
    """What is counted in each bin and those above it."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def _count_rows(
    rows: Float32[np.ndarray, "n d"],
    individual: Int64[np.ndarray, " n"],
    part: Int64[np.ndarray, " n"],
    parts: int,
    start: int,
    stop: int,
) -> Int64[np.ndarray, "parts+1 2 bins"]:
    counts = np.zeros((parts + 1, 2, BINS), np.int64)
    for left in range(start, len(rows), COLUMNS):
        similarity = rows[start:stop] @ rows[left : left + COLUMNS].T
        add_pairs(similarity, start, left, individual, part, counts)
    return counts
