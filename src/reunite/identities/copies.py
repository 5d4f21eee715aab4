"""Rows that are equal: one individual, and not all of them need to be looked at."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from jaxtyping import Float32, Int64

from reunite.cluster.merging import merge_in_order
from reunite.identities.constraints import Constraints

MOST = 30
"""Equal rows that are looked at. So many fill a neighborhood of the usual size; of more, every pair would be stored."""


def originals(
    rows: Float32[np.ndarray, "n d"], said: Constraints, apart: Int64[np.ndarray, "p 2"]
) -> Int64[np.ndarray, " n"]:
    """For each row the first one that is equal to it, itself where there is none, (n,).

    Equal rows show one individual, but a person's word and the rule of `apart` are above that: where together with `said` it
    would unite two rows that stay apart, none of the rows it would unite with these counts as a copy.
    """
    seen: dict[bytes, int] = {}
    first = np.array(
        [seen.setdefault(blake2b(row, digest_size=16).digest(), i) for i, row in enumerate(rows)], np.int64
    )
    own = np.arange(len(rows))
    copied = np.flatnonzero(first != own)
    groups = united(np.concatenate([said.same, np.stack([first[copied], copied], axis=1)]), len(rows))
    wrong = apart[groups[apart[:, 0]] == groups[apart[:, 1]], 0]
    return np.where(np.isin(groups, groups[wrong]), own, first)


def looked_at(first: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    """The rows among which no row, by `originals`, is there more than `MOST` times: the first ones of each."""
    order = np.argsort(first, kind="stable")
    behind = np.arange(len(first)) - np.searchsorted(first[order], first[order])  # how many equal ones come before
    return np.sort(order[behind < MOST])


def united(pairs: Int64[np.ndarray, "p 2"], count: int) -> Int64[np.ndarray, " n"]:
    """The lowest of the rows that these pairs unite with each row, directly or through others, (n,)."""
    first, second = np.ascontiguousarray(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1).T)
    return merge_in_order(first, second, count, len(first), True)[0]
