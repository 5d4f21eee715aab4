"""Identities keep their numbers from one result to the next, and what became of each is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from reunite.errors import InputError
from reunite.identities.shared_rows import SharedRows, Spread, shared_rows, spreads
from reunite.images.splits import counted
from reunite.types import NOISE, Clusters, check_codes

DECIDED_TIES = 20
"""Cells of a tangle up to which ties are decided by rule: each takes a bit of a number that must stay exact."""


@dataclass(frozen=True, eq=False)
class Numbering:
    """A clustering whose groups have the numbers of a previous result where they go on, and new numbers where they do not.

    Attributes:
        labels: number of each row's group, (n,) int64; -1 is noise.
        largest: the largest number ever given, -1 for none. Hand it to the next call: no number is given twice.
        known: rows that had a number before.
        kept: those of them that have the same number now.
        merges: groups with rows of several previous numbers, the number now and the previous ones; those with most rows of
            other numbers first.
        splits: previous numbers whose rows are in several groups, the previous number and those now; likewise.
        vanished: previous numbers of which no row is in any group, ascending, int64.
        new: numbers that did not exist before, ascending, int64.
    """

    labels: Int64[np.ndarray, " n"]
    largest: int
    known: int
    kept: int
    merges: tuple[Spread, ...]
    splits: tuple[Spread, ...]
    vanished: Int64[np.ndarray, " v"]
    new: Int64[np.ndarray, " w"]

    def summary(self, most: int = 100) -> dict[str, Any]:
        """As JSON keeps it; of the lists the first `most` entries."""
        return {
            "largest_number": self.largest,
            "images_with_a_number_before": self.known,
            "images_that_kept_it": self.kept,
            "merges": len(self.merges),
            "splits": len(self.splits),
            "vanished": len(self.vanished),
            "new": len(self.new),
            "first_merges": [{"identity": each.number, "images_of": each.parts} for each in self.merges[:most]],
            "first_splits": [{"identity": each.number, "images_in": each.parts} for each in self.splits[:most]],
            "first_vanished": self.vanished[:most].tolist(),
        }

    def lines(self, most: int = 10) -> list[str]:
        """For a person: a line on the whole, then one for each of the first `most` merges and splits."""
        share = f" ({100 * self.kept / self.known:.1f} %)" if self.known else ""
        text = [
            f"{self.kept:,} of {self.known:,} images with an identity before kept its number{share}; "
            f"{counted(len(self.new), 'new identity')}, {len(self.vanished):,} vanished, "
            f"{counted(len(self.merges), 'merge')}, {counted(len(self.splits), 'split')}"
        ]
        text += [f"merge: identity {each.number} has images of {_listed(each)}" for each in self.merges[:most]]
        text += [f"split: identity {each.number} is now in {_listed(each)}" for each in self.splits[:most]]
        left = max(len(self.merges) - most, 0) + max(len(self.splits) - most, 0)
        return [*text, f"and {left:,} more merges and splits"] if left else text


def keep_numbers(
    labels: ArrayLike, previous: ArrayLike, *, numbers: ArrayLike | None = None, largest: int = NOISE
) -> Numbering:
    """Number the groups of a new clustering as in a previous result, so that as many rows as possible keep their number.

    Each previous number goes to at most one group, and each group has one number: a best one-to-one assignment over the
    rows that both results have. Of equally good assignments, the one that has the cell with most rows, then the lower
    number, then the group that begins first; then the next such cell, and so on. (In a tangle of more than 20 cells in
    which no cell outweighs those that it competes with, ties are left as the solver has them: always the same for the
    same input.) Other groups get new numbers in order of their first row, from the largest number ever given on, so that
    the number of somebody who is gone is nobody else's.

    Args:
        labels: (n,) group of each row; negative is noise.
        previous: (n,) the number that each row had; negative where it was noise or did not exist.
        numbers: all numbers of the previous result, to tell which vanished with their rows; those in `previous` when left
            out.
        largest: the largest number ever given, also before the previous result.

    Raises:
        InputError: different lengths, or not whole numbers.
    """
    groups = Clusters.of(labels)
    was = check_codes(previous, len(groups.labels), "previous")
    earlier = was if numbers is None else np.append(was, check_codes(numbers, np.size(numbers), "numbers"))
    earlier = np.unique(earlier[earlier >= 0])
    largest = max(_whole(largest), int(earlier.max(initial=NOISE)))
    both = (groups.labels >= 0) & (was >= 0)
    cells = shared_rows(groups.labels[both], was[both])

    number = np.full(groups.count, NOISE, np.int64)
    taken = _best_assignment(cells)
    number[cells.first[taken]] = cells.second[taken]
    fresh = np.flatnonzero(number == NOISE)
    number[fresh] = largest + 1 + np.arange(len(fresh))
    return Numbering(
        labels=np.append(number, NOISE)[groups.labels],  # noise is -1, and so the last
        largest=largest + len(fresh),
        known=int((was >= 0).sum()),
        kept=int(cells.rows[taken].sum()),
        merges=spreads(number[cells.first], cells.second, cells.rows),
        splits=spreads(cells.second, number[cells.first], cells.rows),
        vanished=np.setdiff1d(earlier, cells.second),
        new=number[fresh],
    )


def _best_assignment(cells: SharedRows) -> Int64[np.ndarray, " k"]:
    """The cells, at most one of each group and one of each number, that together have most rows."""
    order = np.lexsort((cells.first, cells.second, -cells.rows))  # as ties are decided
    taken = []
    while len(order):
        sure = _outweighs(cells, order)
        if 100 * sure.sum() < len(order):  # a tangle: going on would take a pass for each few cells
            taken.append(_untangle(cells, order))
            break
        taken.append(order[sure])
        used = np.isin(cells.first[order], cells.first[order[sure]])
        used |= np.isin(cells.second[order], cells.second[order[sure]])
        order = order[~used]
    return np.concatenate([np.empty(0, np.int64), *taken])


def _outweighs(cells: SharedRows, order: Int64[np.ndarray, " c"]) -> Bool[np.ndarray, " c"]:
    """Whether a cell has at least as many rows as the best other one of its group and of its number together.

    Those two are all that it can stand in the way of: an assignment without it is not better, and comes later in `order`.
    """
    rows = cells.rows[order]
    is_first = np.ones(len(order), bool)
    against = np.zeros(len(order), np.int64)
    for names in (cells.first[order], cells.second[order]):
        by_name = np.argsort(names, kind="stable")  # within a name still in order
        begins = np.diff(names[by_name], prepend=-1) != 0
        is_first[by_name[~begins]] = False
        after = np.append(~begins[1:], False) & begins
        against[by_name[after]] += rows[by_name[np.flatnonzero(after) + 1]]
    return is_first & (rows >= against)


def _untangle(cells: SharedRows, order: Int64[np.ndarray, " c"]) -> Int64[np.ndarray, " k"]:
    """The best assignment of the cells in `order` by a matching, one connected part of the table after the other."""
    groups, row = np.unique(cells.first[order], return_inverse=True)
    numbers, column = np.unique(cells.second[order], return_inverse=True)
    count = len(groups) + len(numbers)
    edges = csr_array((np.ones(len(order)), (row, len(groups) + column)), shape=(count, count))
    _, part = connected_components(edges, directed=False)
    by_part = np.argsort(part[row], kind="stable")
    each = np.split(by_part, np.flatnonzero(np.diff(part[row][by_part])) + 1)
    return np.concatenate(
        [order[inside[_matching(row[inside], column[inside], _weights(cells.rows[order[inside]]))]] for inside in each]
    )


def _weights(rows: Int64[np.ndarray, " c"]) -> Int64[np.ndarray, " c"]:
    """Rows of each cell, with bits below one that put cells of equal rows into order."""
    if len(rows) > DECIDED_TIES:
        return rows
    return (rows << len(rows)) + (1 << np.arange(len(rows))[::-1])


def _matching(
    row: Int64[np.ndarray, " c"], column: Int64[np.ndarray, " c"], weights: Int64[np.ndarray, " c"]
) -> Int64[np.ndarray, " k"]:
    """The cells of the heaviest matching; a row may also be matched with nobody, a column of its own of no weight.

    Weights are one more than they are, in all rows alike, since zero means no cell.
    """
    groups, r = np.unique(row, return_inverse=True)
    numbers, c = np.unique(column, return_inverse=True)
    alone = np.arange(len(groups))
    places = np.append(r, alone), np.append(c, len(numbers) + alone)
    values = np.append(weights + 1, np.ones(len(groups), np.int64)).astype(np.float64)
    matched, to = min_weight_full_bipartite_matching(csr_array((values, places)), maximize=True)
    chosen = np.zeros(len(groups), np.int64)
    chosen[matched] = to
    return np.flatnonzero(chosen[r] == c)


def _listed(spread: Spread, most: int = 6) -> str:
    listed = ", ".join(f"{number} ({rows:,})" for number, rows in spread.parts[:most])
    return f"{listed}, ..." if len(spread.parts) > most else listed


def _whole(largest: int) -> int:
    if not isinstance(largest, int | np.integer) or largest < NOISE:
        raise InputError(
            f"largest must be the largest number ever given, a whole number, or -1 for none; got {largest!r}."
        )
    return int(largest)
