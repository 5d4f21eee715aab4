"""The order that puts rows which are alike next to each other."""

from __future__ import annotations

import numpy as np

from reunite.neighbors.grouping import grouped
from reunite.types import unit_rows


def test_rows_that_are_alike_are_grouped() -> None:
    rng = np.random.default_rng(0)
    which = rng.permutation(np.arange(640) // 40)
    rows = unit_rows(rng.standard_normal((16, 32))[which] + 0.1 * rng.standard_normal((640, 32)))
    order = grouped(rows, 40)
    assert sorted(order) == list(range(640))
    parts = which[order].reshape(16, 40)
    alike = np.mean([(part[:, None] == part).mean() for part in parts])
    assert alike > 0.5, "in random order, one sixteenth"
    assert sorted(grouped(np.ones((100, 3), np.float32), 8)) == list(range(100)), "copies are divided, too"
    assert sorted(grouped(np.zeros((9, 1), np.float32), 1)) == list(range(9))
