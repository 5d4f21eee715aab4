"""Who is it, or is it someone new? Rows against a gallery of known individuals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy.typing import ArrayLike

from reunite.errors import InputError
from reunite.identities.beta_map import fit_beta_map
from reunite.identities.calibration import Calibration
from reunite.identities.pairs import BINS, bin_of
from reunite.types import UNKNOWN, check_codes, check_unit_rows

CASES = 5_000
"""Gallery rows that are asked for at most, to learn how often the nearest one is right."""

HELD = 2**24
"""Similarities that are held at a time."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Answers to "who is it?" for q rows.

    Attributes:
        identity: of each row, (q,) int64; -1 is someone new.
        probability: that the nearest individual is the right one, (q,) float64, also where the answer is someone new.
        nearest: the nearest individual, whatever the answer, (q,) int64.
        similarity: to its nearest image, (q,) float32.
        second_best: the nearest other individual, (q,) int64; -1 where the gallery has only one.
        second_similarity: to its nearest image, (q,) float32; -inf where there is none.
        threshold: the similarity from which on a row was answered with an individual. Infinity: on this gallery no
            similarity keeps the rate that was asked for, and all are someone new.
    """

    identity: Int64[np.ndarray, " q"]
    probability: Float64[np.ndarray, " q"]
    nearest: Int64[np.ndarray, " q"]
    similarity: Float32[np.ndarray, " q"]
    second_best: Int64[np.ndarray, " q"]
    second_similarity: Float32[np.ndarray, " q"]
    threshold: float


def match(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "n d"],
    identity: ArrayLike,
    calibration: Calibration | None = None,
    precision: float = 0.99,
) -> Matches:
    """Find the individual that each row shows, or say that it shows someone new.

    The nearest image of the gallery proposes an individual, and is believed from the similarity on where at least `precision`
    of those that are believed are right. The nearest of many images is no random image: with a larger
    gallery a stranger finds somebody who looks like him sooner. So what its similarity is worth is learned from this
    gallery and this question, see `calibrate_matches`, and not from pairs at random.

    Args:
        query: (q, d) rows to ask for; their lengths do not matter.
        gallery: (n, d) rows of individuals.
        identity: (n,) who each row of the gallery shows; -1 is unknown, and those rows are never an answer.
        calibration: what `calibrate_matches` gave for this gallery; None computes it. Compute it once for many calls.
        precision: share of right answers among the rows that are given an individual, above 0 and below 1.

    Raises:
        InputError: shapes that do not fit, rows that are not finite, a gallery that nothing can be learned from, or a
            calibration of pairs, which `calibrate` gives.
    """
    found = calibrate_matches(gallery, identity) if calibration is None else calibration
    if found.of != "matches":
        raise InputError(
            f"calibration must be what calibrate_matches gives for the gallery; this is one of {found.of}. "
            "Leave it out, and it is computed."
        )
    rows, names, individual = _known(gallery, identity)
    asked = check_unit_rows(query, "query")
    if asked.shape[1] != rows.shape[1]:
        raise InputError(
            f"query must have as many columns as gallery, {rows.shape[1]}; got {asked.shape[1]}. "
            "Embed both with the same encoder."
        )
    best, similarity = np.empty((len(asked), 2), np.int64), np.empty((len(asked), 2), np.float32)
    for block, products in _products(asked, rows):
        best[block], similarity[block] = _best_two(products, individual)
    threshold = found.threshold(precision=precision)
    label = np.append(names, UNKNOWN)[best]
    answer = np.where(similarity[:, 0] >= threshold, label[:, 0], UNKNOWN)
    probability = found.probability(similarity[:, 0])
    return Matches(answer, probability, label[:, 0], similarity[:, 0], label[:, 1], similarity[:, 1], threshold)


def calibrate_matches(
    gallery: Float[np.ndarray, "n d"],
    identity: ArrayLike,
    *,
    new: float = 0.5,
    group: ArrayLike | None = None,
    seed: int = 0,
) -> Calibration:
    """Learn from a gallery how often its nearest image is right, when some of those who are asked for are not in it.

    Each image of the gallery, or 5,000 of them drawn at random, is asked for twice: once with only itself taken out, where
    the nearest image is right or wrong, and once with its whole individual taken out, where every answer is wrong.
    The first kind counts for 1 - `new` and the second for `new`. Whoever is there once has no other image to be found
    by, and is asked for the second way only.

    Args:
        gallery: (n, d) rows; their lengths do not matter.
        identity: (n,) who each row shows; -1 is unknown, and those rows are left out.
        new: expected share of rows to ask for that show someone new, above 0 and below 1. It is part of every probability.
        group: (n,) rows of one group, such as a camera, a track or a day, are not compared; -1 is of no group. Give it where
            rows to ask for come from elsewhere: the next frame of a video is found more easily than anybody will be.
        seed: of the drawn rows.

    Returns:
        A calibration of matches: its pairs are an image and the nearest one that it was compared with.

    Raises:
        InputError: shapes that do not fit, rows that are not finite, `new` out of range, nobody who is there twice, or only
            one individual.
    """
    if not 0 < new < 1:
        raise InputError(f"new must be a share above 0 and below 1; got {new}.")
    rows, names, individual = _known(gallery, identity)
    groups = check_codes(group, len(gallery), "group")[np.asarray(identity) >= 0]
    asked = np.arange(len(rows))
    if len(rows) > CASES:
        asked = np.sort(np.random.default_rng(seed).choice(len(rows), CASES, replace=False))
    best, similarity = np.empty((len(asked), 2), np.int64), np.empty((len(asked), 2), np.float32)
    partner = np.empty(len(asked), np.bool_)
    for block, products in _products(rows[asked], rows):
        row = asked[block]
        products[np.arange(len(row)), row] = -np.inf
        if (groups[row] >= 0).any():
            products[(groups[row, None] == groups) & (groups[row, None] >= 0)] = -np.inf
        partner[block] = (np.isfinite(products) & (individual[row, None] == individual)).any(axis=1)
        best[block], similarity[block] = _best_two(products, individual)
    right = best[:, 0] == individual[asked]
    stranger = np.where(right, similarity[:, 1], similarity[:, 0])
    stranger = stranger[np.isfinite(stranger)]
    if not partner.any() or not len(stranger):
        raise InputError(
            f"The gallery must have two individuals at least, and one of them twice, to learn from; of {len(rows):,} known "
            f"rows of {len(names):,} individuals {int(partner.sum()):,} have another one to be found by."
        )
    cases = int(partner.sum()) + len(stranger)
    same, wrong = (_counted(similarity[partner & (right == ok), 0]) for ok in (True, False))
    known_weight, new_weight = (1 - new) * cases / partner.sum(), new * cases / len(stranger)
    different = wrong * known_weight + _counted(stranger) * new_weight
    if not same.any():
        raise InputError(
            f"The nearest row is of another individual for all {int(partner.sum()):,} rows asked for: these embeddings tell "
            "nobody apart. Look at how they were made."
        )
    same = same * known_weight
    return Calibration(
        fit_beta_map(same, different), same, different, np.zeros(BINS), len(rows), len(names), True, "matches"
    )


def _known(
    gallery: Float[np.ndarray, "n d"], identity: ArrayLike
) -> tuple[Float32[np.ndarray, "m d"], Int64[np.ndarray, " c"], Int64[np.ndarray, " m"]]:
    """Unit rows of known identity, the identities, and which of them each row shows."""
    rows = check_unit_rows(gallery, "gallery")
    codes = check_codes(identity, len(rows), "identity")
    known = codes >= 0
    if not known.any():
        raise InputError(
            f"identity must be known (0 or more) for some rows of the gallery; all {len(rows):,} are unknown."
        )
    names, individual = np.unique(codes[known], return_inverse=True)
    return rows if known.all() else rows[known], names, individual.reshape(-1)


def _products(
    asked: Float32[np.ndarray, "q d"], rows: Float32[np.ndarray, "n d"]
) -> Iterator[tuple[slice, Float32[np.ndarray, "b n"]]]:
    size = max(1, HELD // len(rows))
    for start in range(0, len(asked), size):
        block = slice(start, min(start + size, len(asked)))
        yield block, asked[block] @ rows.T


def _best_two(
    similarity: Float32[np.ndarray, "b n"], individual: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, "b 2"], Float32[np.ndarray, "b 2"]]:
    """The two nearest individuals and their similarities; -1 and -inf where there is none. Changes `similarity`."""
    place = np.arange(len(similarity))
    best, value = np.full((len(similarity), 2), -1, np.int64), np.empty((len(similarity), 2), np.float32)
    for column in (0, 1):
        nearest = similarity.argmax(axis=1)
        value[:, column] = similarity[place, nearest]
        there = value[:, column] > -math.inf
        best[there, column] = individual[nearest[there]]
        similarity[individual[nearest][:, None] == individual] = -np.inf
    return best, value


def _counted(similarity: Float32[np.ndarray, " m"]) -> Float64[np.ndarray, " bins"]:
    return np.bincount(bin_of(similarity.astype(np.float64)), minlength=BINS).astype(np.float64)
