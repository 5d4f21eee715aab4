"""What a radius was chosen from, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

Curve = tuple[str, Float64[np.ndarray, " k"]]
"""What was measured, and its value at each cut; NaN where it is not defined."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the cut of a linkage was chosen from.

    Attributes:
        eps: the cut: mean distance up to which groups of rows are one individual.
        chosen: how it was chosen, in words.
        cuts: all cuts that were looked at, (k,), ascending.
        clusters: groups at each, (k,).
        curves: what was measured at each; the first is what decides.
        k1: neighbors of a row that count, itself included, see `jaccard_graph`; None where distances are not Jaccard's.
        neighborhoods: each k1 that was looked at, ascending, and how well its best cut is supported.
        half_whitened: whether directions in which rows vary most count less, see `half_whitening`.
    """

    eps: float
    chosen: str
    cuts: Float64[np.ndarray, " k"]
    clusters: Int64[np.ndarray, " k"]
    curves: tuple[Curve, ...]
    k1: int | None = None
    neighborhoods: tuple[tuple[int, float], ...] = ()
    half_whitened: bool = False

    def curve(self, name: str) -> Float64[np.ndarray, " k"]:
        """One of `curves`.

        Raises:
            KeyError: nothing of that name was measured.
        """
        return dict(self.curves)[name]

    def facts(self) -> dict[str, Any]:
        """All of it as JSON can hold it, curves by name; None where a value is not defined."""
        curves = {name: [None if np.isnan(each) else each for each in values.tolist()] for name, values in self.curves}
        neighborhoods: dict[str, Any] = {}
        if self.k1 is not None:
            neighborhoods = {
                "k1": self.k1,
                "neighborhoods": dict(self.neighborhoods),
                "half_whitened": self.half_whitened,
            }
        return {
            "eps": self.eps,
            "chosen": self.chosen,
            **neighborhoods,
            "cuts": self.cuts.tolist(),
            "clusters": self.clusters.tolist(),
            **curves,
        }
