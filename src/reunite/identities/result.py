"""Who is who: rows that show one individual, how sure that is, and where the line was drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64

from reunite.identities.evidence import Evidence
from reunite.identities.whitening import Space


@dataclass(frozen=True, eq=False)
class Identities:
    """Who is who among n rows.

    Attributes:
        labels: identity of each row, (n,) int64, numbered by first member; -1 is nobody.
        confidence: in [0, 1], (n,). It puts rows in order for somebody who looks at the doubtful ones first; what else it says
            is said where it is made.
        margin: by how much the row is nearer to its own identity than to the second best, (n,) in [-1, 1].
        second_best: the nearest other identity that the row may have, (n,) int64; -1 where there is none.
        eps: mean distance up to which groups of rows were united.
        evidence: what `eps` was chosen from.
        apart: pairs of rows i < j that had to stay apart, each once, (p, 2).
        space: how embeddings were changed before they were compared.
    """

    labels: Int64[np.ndarray, " n"]
    confidence: Float64[np.ndarray, " n"]
    margin: Float64[np.ndarray, " n"]
    second_best: Int64[np.ndarray, " n"]
    eps: float
    evidence: Evidence
    apart: Int64[np.ndarray, "p 2"]
    space: Space = field(default_factory=Space)
