"""What somebody said about pairs of rows: the same individual, or different ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from reunite.cluster.linkage_tree import check_apart
from reunite.cluster.merging import merge_in_order
from reunite.errors import InputError
from reunite.types import check_codes

SAME, DIFFERENT = 1, 0
"""What the third number of a pair says."""

CONTRADICTIONS_SHOWN = 3
LINKS_SHOWN = 8
"""Of the pairs that unite two rows: somebody who reads the message follows them one by one."""


@dataclass(frozen=True, eq=False)
class Constraints:
    """Pairs of rows that show the same individual and pairs that show different ones, without contradiction.

    Build with `Constraints.of`.

    Attributes:
        same: pairs of rows i < j, each once, ascending, (s, 2) int64.
        different: likewise, (d, 2).
        groups: the lowest of the rows that are the same as this one, by `same`, directly or through others, (n,) int64. The
            rows of a group must get one label.
    """

    same: Int64[np.ndarray, "s 2"]
    different: Int64[np.ndarray, "d 2"]
    groups: Int64[np.ndarray, " n"]

    @classmethod
    def of(
        cls,
        pairs: ArrayLike | None,
        count: int,
        *,
        names: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
    ) -> Constraints:
        """Constraints on `count` rows, from pairs in any order, some of them perhaps said twice.

        Args:
            pairs: (p, 3) two rows, and 1 for the same individual or 0 for different ones; or (p, 2), all different. None,
                and anything empty, is no pair.
            count: rows.
            names: (n,) what rows are called in a message, such as paths; "row 5" when left out.
            sources: (p,) where each pair stands, such as "line 3 of pairs.csv"; "pair 2" when left out.

        Raises:
            InputError: no pairs of two different rows, a third number other than 0 and 1, or pairs that contradict each other:
                all are counted, and the first few named with the pairs that unite what another one keeps apart.
        """
        given = np.empty((0, 3), np.int64) if pairs is None or np.size(pairs) == 0 else np.asarray(pairs)
        rows, is_same = _checked(given, count)
        same, said_same = _each_once(rows, np.flatnonzero(is_same), count)
        different, said_different = _each_once(rows, np.flatnonzero(~is_same), count)
        first, second = np.ascontiguousarray(same.T)
        groups, _ = merge_in_order(first, second, count, len(same), True)
        wrong = np.flatnonzero(groups[different[:, 0]] == groups[different[:, 1]])
        if len(wrong):
            told = _Told(same, said_same, names, sources)
            wrong = wrong[np.argsort(said_different[wrong])]  # as they were given
            shown = [told.contradiction(different[k].tolist(), said_different[k]) for k in wrong[:CONTRADICTIONS_SHOWN]]
            more = f"; and {len(wrong) - len(shown):,} more" if len(wrong) > len(shown) else ""
            raise InputError(
                f"Constraints must not contradict each other; {len(wrong):,} of {len(different):,} pairs said to be "
                f"different are the same by other pairs. {'; '.join(shown)}{more}. Correct or remove one pair of each."
            )
        return cls(same, different, groups)

    def without_contradicted(
        self, pairs: Int64[np.ndarray, "p 2"]
    ) -> tuple[Int64[np.ndarray, "k 2"], Int64[np.ndarray, "c 2"]]:
        """Of pairs that a rule keeps apart, such as `overlapping`: those that may stand, and those that may not.

        A person's word is above a rule: a pair falls if `same` unites its two rows, directly or through others.
        """
        contradicted = self.groups[pairs[:, 0]] == self.groups[pairs[:, 1]]
        return pairs[~contradicted], pairs[contradicted]


def violated(labels: ArrayLike, constraints: Constraints) -> Int64[np.ndarray, "v 3"]:
    """The pairs that do not hold in `labels`: two rows, and 1 where they should be the same, 0 where different.

    Rows without an individual (-1) are not the same as any other row, and not different from none.

    Raises:
        InputError: labels that are not one whole number per row.
    """
    given = check_codes(labels, len(constraints.groups), "labels")
    a, b = given[constraints.same.T]
    united = constraints.same[(a != b) | (a < 0)]
    a, b = given[constraints.different.T]
    mixed = constraints.different[(a == b) & (a >= 0)]
    relation = np.repeat([SAME, DIFFERENT], [len(united), len(mixed)])
    return np.concatenate([np.concatenate([united, mixed]), relation[:, None]], axis=1)


def _checked(given: Int64[np.ndarray, "p k"], count: int) -> tuple[Int64[np.ndarray, "p 2"], Bool[np.ndarray, " p"]]:
    """The rows of each pair, and whether they are said to be the same."""
    if given.ndim != 2 or given.shape[1] not in (2, 3):
        raise InputError(
            "constraints must have shape (p, 3), two rows and 1 for same or 0 for different, or (p, 2), all different; "
            f"got shape {given.shape}."
        )
    rows = check_apart(given[:, :2], count, "constraints")
    if given.shape[1] == 2:
        return rows, np.zeros(len(rows), bool)
    wrong = np.flatnonzero((given[:, 2] != SAME) & (given[:, 2] != DIFFERENT))
    if len(wrong):
        raise InputError(
            f"The third number of a constraint must be 1 for same or 0 for different; {len(wrong):,} of {len(given):,} "
            f"are not (the first is pair {wrong[0]}, {given[wrong[0]].tolist()})."
        )
    return rows, given[:, 2] == SAME


def _each_once(
    rows: Int64[np.ndarray, "p 2"], chosen: Int64[np.ndarray, " k"], count: int
) -> tuple[Int64[np.ndarray, "m 2"], Int64[np.ndarray, " m"]]:
    """The chosen pairs, i < j, each once and ascending, and the first position at which each was given."""
    pairs = np.sort(rows[chosen], axis=1)
    _, first = np.unique(pairs[:, 0] * count + pairs[:, 1], return_index=True)
    return pairs[first], chosen[first]


@dataclass(frozen=True, eq=False)
class _Told:
    """Pairs said to be the same, in words."""

    same: Int64[np.ndarray, "s 2"]
    said: Int64[np.ndarray, " s"]
    names: Sequence[str] | None
    sources: Sequence[str] | None

    def contradiction(self, pair: list[int], said: int) -> str:
        """`i and j are different (where), but i = k (where), k = j (where)`."""
        i, j = pair
        chain = list(pairwise(self._shortest_path(i, j)))
        links = [f"{self._row(a)} = {self._row(b)} ({self._where(a, b)})" for a, b in chain[:LINKS_SHOWN]]
        if len(chain) > LINKS_SHOWN:
            links[-1] = f"... {len(chain) - LINKS_SHOWN:,} more ..."
            links.append(f"{self._row(chain[-1][0])} = {self._row(chain[-1][1])} ({self._where(*chain[-1])})")
        return f"{self._row(i)} and {self._row(j)} are different ({self._source(said)}), but {', '.join(links)}"

    def _shortest_path(self, i: int, j: int) -> list[int]:
        count = int(self.same.max()) + 1
        graph = csr_array((np.ones(len(self.same)), (self.same[:, 0], self.same[:, 1])), shape=(count, count))
        _, before = breadth_first_order(graph, i, directed=False)
        path = [j]
        while path[-1] != i:
            path.append(int(before[path[-1]]))
        return path[::-1]

    def _where(self, i: int, j: int) -> str:
        low, high = min(i, j), max(i, j)
        pair = np.flatnonzero((self.same[:, 0] == low) & (self.same[:, 1] == high))[0]
        return self._source(self.said[pair])

    def _row(self, row: int) -> str:
        return f"row {row}" if self.names is None else self.names[row]

    def _source(self, pair: int) -> str:
        return f"pair {pair}" if self.sources is None else self.sources[pair]
