"""How much ranking in bfloat16 leaves to float32; that the ranks are right is in test_retrieval.py, at both precisions."""

from __future__ import annotations

import numpy as np
import pytest

from oracles.features import people
from reunite.evaluate import close_calls
from reunite.evaluate.close_calls import CloseCalls
from reunite.types import unit_rows


def test_few_images_are_compared_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as rounding to bfloat16 leaves open; where that is most of them, products of all are quicker."""
    rows, identity, _ = people(2000, dimensions=256)
    rows = unit_rows(rows)
    columns, codes = np.argsort(identity, kind="stable"), np.sort(identity)
    low = np.searchsorted(codes, identity[:40])
    spans = np.stack([low, low + 3, low + 3, low + 3], axis=1)
    compared: list[int] = []
    count = close_calls.count_tile
    monkeypatch.setattr(close_calls, "count_tile", lambda *given: compared.append(count(*given)) or compared[-1])
    monkeypatch.setattr(close_calls, "MOST_COMPARED", 0.12)
    calls = CloseCalls(rows[:40], rows, columns, spans, np.full(40, -1), np.array([], np.int64))
    found = calls.scores(False)
    share = sum(compared) / (40 * 2000)
    assert found is not None and 0.001 < share < 0.1, share
    uniform = unit_rows(np.random.default_rng(0).standard_normal((2000, 256)).astype(np.float32))
    many = spans.copy()
    many[:, 0], many[:, 1:] = 0, 2000
    calls = CloseCalls(uniform[:40], uniform, columns, many, np.full(40, -1), np.array([], np.int64))
    assert calls.scores(False) is None
