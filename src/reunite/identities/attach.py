"""Rows that are nobody's join the individual that they probably are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from reunite.errors import InputError
from reunite.identities.constraints import Constraints, violated
from reunite.identities.matching import calibrate_matches, match
from reunite.identities.result import Identities
from reunite.types import NOISE


def attached(
    found: Identities, embeddings: Float32[np.ndarray, "n d"], least: float, constraints: Constraints, *, seed: int = 0
) -> Identities:
    """Each row of noise becomes its nearest individual where that is right with probability `least` or more.

    The probability is learned from the groups themselves (`calibrate_matches`), so it is as good as these are. It becomes the
    confidence of the row, and its lead in cosine similarity the margin. A row that a person said is somebody else than a row
    of that individual stays noise, and so do rows that would then be together and were said to be different.

    Args:
        found: who is who; noise has label -1.
        embeddings: (n, d), their lengths do not matter.
        least: in (0, 1].
        constraints: what a person decided.
        seed: of the rows that the probability is learned from.

    Raises:
        InputError: `least` is no probability above 0, or there are too few groups to learn it from.
    """
    if not 0 < least <= 1:
        raise InputError(f"attach is a probability, above 0 and at most 1; got {least}.")
    noise = np.flatnonzero(found.labels == NOISE)
    if not len(noise):
        return found
    calibration = calibrate_matches(embeddings, found.labels, seed=seed)
    answers = match(embeddings[noise], embeddings, found.labels, calibration)
    sure = answers.probability >= least
    labels, confidence = found.labels.copy(), found.confidence.copy()
    margin, second_best = found.margin.copy(), found.second_best.copy()
    labels[noise[sure]] = answers.nearest[sure]
    apart = violated(labels, Constraints(constraints.same[:0], constraints.different, constraints.groups))
    labels[np.intersect1d(apart[:, :2], noise)] = NOISE
    joined = noise[labels[noise] != NOISE]
    confidence[joined] = answers.probability[np.searchsorted(noise, joined)]
    margin[joined] = (answers.similarity - answers.second_similarity)[np.searchsorted(noise, joined)].clip(0, 1)
    second_best[joined] = answers.second_best[np.searchsorted(noise, joined)]
    return replace(found, labels=labels, confidence=confidence, margin=margin, second_best=second_best)
