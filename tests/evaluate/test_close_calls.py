"""How much ranking in bfloat16 leaves to float32; that the ranks are right is in test_retrieval.py, at both precisions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oracles.features import people
from reunite.evaluate import close_calls
from reunite.evaluate.close_calls import CloseCalls
from reunite.evaluate.close_calls_kernels import count_tile
from reunite.neighbors.operands import BFLOAT16_LEVELS
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


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("error", [0.0, 0.004, 0.3])
def test_counts_stay_exact_where_every_key_is_as_wrong_as_it_may_be(error: float, seed: int) -> None:
    """Values are moved by the whole error to either side, and rounded to bfloat16; many are equal."""
    rng = np.random.default_rng(seed)
    similarity = np.round(rng.random(500) * (1 - 2 * (seed % 10) / 10), rng.integers(1, 5)).astype(np.float32)
    own = rng.choice(500, 1 + 2 * seed, replace=False)
    own = own[np.lexsort((own, -similarity[own]))]
    value = similarity[own[-1]].astype(float) - similarity + rng.choice([-error, 0, error], 500)
    keys = torch.from_numpy(value).bfloat16().view(torch.int16).numpy()[None]
    between = np.zeros(len(own), np.int64)
    one = np.ones((1, 1), np.float32)
    bounds, errors = np.array([0, len(own)]), np.array([error])
    sides, matches = (one, similarity[:, None]), (bounds, own, similarity[own])
    count_tile(keys, 0, np.arange(500), BFLOAT16_LEVELS, errors, *sides, *matches, between)
    expected = np.zeros(len(own), np.int64)
    for image in range(500):
        ahead = sum(
            similarity[match] > similarity[image] or (similarity[match] == similarity[image] and match < image)
            for match in own
        )
        if ahead < len(own):
            expected[ahead] += 1
    np.testing.assert_array_equal(between, expected)
