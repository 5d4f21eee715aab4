"""Every row of a batch belongs to one process, and to one batch norm group; by counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reunite.errors import InputError
from reunite.train.shares import share_of


@given(st.integers(2, 60), st.integers(1, 70), st.integers(1, 9), st.integers(1, 5))
def test_processes_and_parts_divide_the_groups(size, group, processes, parts):
    if min(group, size) > 1 and size % min(group, size) == 1:
        with pytest.raises(InputError, match="alone"):
            share_of(size, group, 0, processes, parts)
        return
    groups = [list(range(at, min(at + group, size))) for at in range(0, size, group)]
    if parts > 1 and (len(groups) < processes or len(groups) == 1):
        with pytest.raises(InputError, match="parts"):
            share_of(size, group, 0, processes, parts)
        return
    shares = [share_of(size, group, rank, processes, parts) for rank in range(processes)]
    assert [row for each in shares for row in range(each.own.start, each.own.stop)] == list(range(size))
    for each in shares:
        assert each.lengths == tuple(other.rows for other in shares)
        assert each.sizes == tuple(map(len, groups))
        in_parts = [each.own.start + row for part in each.parts for row in range(part.start, part.stop)]
        assert in_parts == list(range(each.own.start, each.own.stop))
        assert len(each.parts) <= parts
    if len(groups) >= processes:
        assert all(each.groups is None for each in shares)
        pieces = [range(e.own.start + p.start, e.own.start + p.stop) for e in shares for p in e.parts]
        for members in groups:
            assert sum(set(members) <= set(piece) for piece in pieces) == 1, "a group stays whole"
    else:
        assert max(each.rows for each in shares) - min(each.rows for each in shares) <= 1
        for number, members in enumerate(groups):
            found = [each.own.start + row for each in shares for row in range(*each.groups[number])]
            assert found == members


def test_a_batch_without_groups_is_one_group():
    assert share_of(8, None).sizes == (8,)
    assert share_of(8, None, 1, 2).groups == ((0, 4),)
    assert share_of(8, None, 1, 2).own == slice(4, 8)
