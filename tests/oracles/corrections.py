"""Constraints and numbers of identities from their definitions: closures by repetition, all assignments."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def closure(pairs: list[tuple[int, int]], count: int) -> list[set[int]]:
    """The rows that each row is the same as, itself included, uniting until nothing changes."""
    groups = [{row} for row in range(count)]
    changed = True
    while changed:
        changed = False
        for i, j in pairs:
            union = groups[i] | groups[j]
            for row in union:
                changed |= groups[row] != union
                groups[row] = union
    return groups


def shared_by_loops(first: np.ndarray, second: np.ndarray) -> dict[tuple[int, int], int]:
    """Rows of each pair of groups."""
    found: dict[tuple[int, int], int] = {}
    for pair in zip(first.tolist(), second.tolist(), strict=True):
        found[pair] = found.get(pair, 0) + 1
    return dict(sorted(found.items()))


def spreads_by_loops(table: dict[tuple[int, int], int]) -> list[tuple[int, list[tuple[int, int]]]]:
    """First numbers that share rows with several second ones, those with most rows outside their largest part first."""
    found = []
    for number in sorted({whole for whole, _ in table}):
        parts = [(other, rows) for (whole, other), rows in table.items() if whole == number]
        if len(parts) > 1:
            found.append((number, sorted(parts, key=lambda part: (-part[1], part[0]))))
    return sorted(found, key=lambda each: (-sum(rows for _, rows in each[1][1:]), each[0]))


def all_assignments(cells: list[tuple[int, int]]) -> list[tuple[tuple[int, int], ...]]:
    """Every choice of cells that has no group and no number twice."""
    return [
        chosen
        for size in range(len(cells) + 1)
        for chosen in combinations(cells, size)
        if len({group for group, _ in chosen}) == len({number for _, number in chosen}) == size
    ]


def best_assignment_by_trying_all(table: dict[tuple[int, int], int]) -> tuple[tuple[int, int], ...]:
    """(group, number) cells with most rows together; ties as `keep_numbers` promises them."""
    order = sorted(table, key=lambda cell: (-table[cell], cell[1], cell[0]))

    def value(chosen: tuple[tuple[int, int], ...]) -> tuple:
        return sum(table[cell] for cell in chosen), tuple(cell in chosen for cell in order)

    return max(all_assignments(list(table)), key=value)
