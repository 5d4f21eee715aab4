"""Which rows of a batch a process takes through the network, and in how many parts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from reunite.errors import InputError


@dataclass(frozen=True)
class Share:
    """The part of a batch that one process takes.

    Attributes:
        lengths: rows of each process, in their order.
        own: this process's rows of the batch.
        parts: own rows, counted from the first of them, that go through the network together.
        groups: where batch norm groups reach over processes, the rows of each group, (first, past) counted from the first own
            row and cut to own rows; None where each process has whole groups.
        sizes: rows of each group in the whole batch.
    """

    lengths: tuple[int, ...]
    own: slice
    parts: tuple[slice, ...]
    groups: tuple[tuple[int, int], ...] | None
    sizes: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows are own."""
        return self.own.stop - self.own.start


def share_of(size: int, group: int | None, rank: int = 0, processes: int = 1, parts: int = 1) -> Share:
    """What a process does of a batch.

    Groups of batch norm stay whole where there are as many as processes, so that nothing needs to be exchanged within the
    network. Where there are fewer, rows are divided evenly, and the statistics of a group are made by several processes.

    Args:
        size: rows of the batch.
        group: rows that batch norm sees together; None is the whole batch.
        rank: of this process.
        processes: how many there are.
        parts: in how many parts each process takes its rows, whole groups each; fewer where it has fewer groups.

    Raises:
        InputError: a group of one row has no statistics, or parts are asked for where a group cannot be divided.
    """
    group = size if group is None else min(group, size)
    if size == 1 or (group > 1 and size % group == 1):
        raise InputError(
            f"A batch of {size} images leaves one image alone in a batch norm group of {group}; change either."
        )
    starts = [*range(0, size, group), size]
    sizes = tuple(high - low for low, high in pairwise(starts))
    if len(sizes) < processes:
        if parts > 1:
            raise InputError(
                f"A batch of {size} cannot be taken in {parts} parts by {processes} processes: batch norm sees groups of "
                f"{group} at once. Set a smaller bn_group_size, or accumulate=1."
            )
        ends = _cuts(0, size, processes)
        first, past = ends[rank], ends[rank + 1]
        groups = tuple(
            (min(max(low, first), past) - first, min(max(high, first), past) - first) for low, high in pairwise(starts)
        )
        return Share(_lengths(ends), slice(first, past), (slice(0, past - first),), groups, sizes)
    if parts > 1 and len(sizes) == 1:
        raise InputError(
            f"A batch of {size} cannot be taken in {parts} parts: batch norm sees all of it at once. Set bn_group_size, "
            "or accumulate=1."
        )
    cuts = _cuts(0, len(sizes), processes)
    ends = [starts[cut] for cut in cuts]
    first = ends[rank]
    own = _cuts(cuts[rank], cuts[rank + 1], min(parts, cuts[rank + 1] - cuts[rank]))
    pieces = tuple(slice(starts[low] - first, starts[high] - first) for low, high in pairwise(own))
    return Share(_lengths(ends), slice(first, ends[rank + 1]), pieces, None, sizes)


def _cuts(start: int, stop: int, parts: int) -> list[int]:
    """Where so many parts of a range begin, as even as whole numbers allow, and its end."""
    return [start + (stop - start) * each // parts for each in range(parts + 1)]


def _lengths(ends: list[int]) -> tuple[int, ...]:
    return tuple(high - low for low, high in pairwise(ends))
