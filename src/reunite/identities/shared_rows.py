"""Two groupings of the same rows side by side: which groups share rows, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class SharedRows(NamedTuple):
    """The pairs of groups that share rows, each once, in ascending order: (c,) numbers of both, and rows shared."""

    first: Int64[np.ndarray, " c"]
    second: Int64[np.ndarray, " c"]
    rows: Int64[np.ndarray, " c"]


@dataclass(frozen=True)
class Spread:
    """A group whose rows are in several groups of another grouping.

    Attributes:
        number: of the group.
        parts: (number of the other group, rows shared), most rows first, lower numbers first where they tie.
    """

    number: int
    parts: tuple[tuple[int, int], ...]


def shared_rows(first: Int64[np.ndarray, " n"], second: Int64[np.ndarray, " n"]) -> SharedRows:
    """Count the rows of each pair of groups; any numbers, -1 like every other. O(n log n)."""
    names, a = np.unique(first, return_inverse=True)
    others, b = np.unique(second, return_inverse=True)
    cells, rows = np.unique(a * len(others) + b, return_counts=True)
    if not len(cells):
        return SharedRows(*np.empty((3, 0), np.int64))
    return SharedRows(names[cells // len(others)], others[cells % len(others)], rows)


def spreads(
    whole: Int64[np.ndarray, " c"],
    part: Int64[np.ndarray, " c"],
    rows: Int64[np.ndarray, " c"],
    pieces: Int64[np.ndarray, " c"] | None = None,
) -> tuple[Spread, ...]:
    """Each number of `whole` that has more than one piece; those with most rows outside their largest piece come first.

    Args:
        whole: a group; the same number may come many times, in any order.
        part: the group of the other grouping with which it shares rows.
        rows: how many.
        pieces: how many equal pieces these rows are: 1 when left out, as many as there are rows if each is on its own.
    """
    if not len(whole):
        return ()
    many = np.ones_like(rows) if pieces is None else pieces
    order = np.lexsort((part, -rows, whole))
    starts = np.flatnonzero(np.diff(whole[order], prepend=whole[order[0]] - 1))
    ends = np.append(starts[1:], len(order))
    outside = np.add.reduceat(rows[order], starts) - np.maximum.reduceat((rows // many)[order], starts)
    chosen = np.flatnonzero(outside)
    found = []
    for k in chosen[np.lexsort((starts[chosen], -outside[chosen]))]:
        cells = order[starts[k] : ends[k]]
        parts = tuple(zip(part[cells].tolist(), rows[cells].tolist(), strict=True))
        found.append(Spread(int(whole[cells[0]]), parts))
    return tuple(found)
