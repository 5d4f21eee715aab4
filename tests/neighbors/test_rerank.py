"""Re-ranking against sets, the published program, and a table by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.features import NASTY, nasty, people
from oracles.rerank import rerank_by_sets
from reunite.errors import InputError
from reunite.evaluate import retrieval_scores
from reunite.neighbors import filter as filter_room
from reunite.neighbors import rerank

ANGLES = np.deg2rad([0, 10, 41, 101, 150, 163, 215, 232, 304])
NINE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def test_nine_points_in_the_plane() -> None:
    expected = [
        [0.1957, 0.7867, 0.9611, 0.9749, 0.9179, 0.8867, 0.3142],
        [0.1806, 0.7642, 0.9528, 0.9725, 0.9390, 0.9133, 0.3399],
    ]
    found = rerank(NINE[:2], NINE[2:], k1=4, k2=2, lambda_value=0.3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=6e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.floats(0, 1)
)
def test_equals_sets(seed: int, q: int, g: int, k1: int, k2: int, mix: float) -> None:
    rows = np.random.default_rng(seed).standard_normal((q + g, 5))
    k2 = min(k2, q + g)
    found = rerank(rows[:q], rows[q:], k1, k2, mix)
    np.testing.assert_allclose(found, rerank_by_sets(rows[:q], rows[q:], k1, k2, mix), rtol=0, atol=2e-6)


@pytest.mark.data
def test_equals_the_published_program(shared: Callable[[str], Path]) -> None:
    stored = np.load(shared("golden/retrieval.npz"))
    found = rerank(stored["query"], stored["gallery"], k1=20, k2=6, lambda_value=0.3)
    np.testing.assert_allclose(found, stored["reranked"], rtol=0, atol=2e-6)


def test_precision_of_the_first_look_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = people(90)[0]
    found = []
    for precision in ("float32", "bfloat16"):
        monkeypatch.setattr(filter_room, "fastest", lambda *_, precision=precision: precision)
        found.append(rerank(rows[:20], rows[20:]))
    np.testing.assert_array_equal(*found)


def test_it_finds_more_of_a_person_than_distance_alone() -> None:
    rows, who = people(600, spread=1.0)[:2]
    order = np.random.default_rng(0).permutation(len(rows))
    query, gallery = order[:100], order[100:]
    plain = retrieval_scores(rows[query], rows[gallery], who[query], who[gallery]).mAP
    distance = rerank(rows[query], rows[gallery])
    hits = who[gallery][np.argsort(distance, axis=1, kind="stable")] == who[query][:, None]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    found = hits.any(axis=1)
    again = ((precision * hits).sum(axis=1)[found] / hits.sum(axis=1)[found]).mean()
    assert again > plain


@pytest.mark.parametrize("name", NASTY)
def test_nasty_rows(name: str) -> None:
    rows = nasty(name)
    before = rows.copy()
    found = rerank(rows[:3], rows[3:], k1=5, k2=3)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lambda_value": 1.5}, r"in \[0, 1\]; got 1.5"),
        ({"k1": 0}, "k1 and k2"),
        ({"query": np.ones((2, 3))}, r"same dimensions; got \(2, 3\) and \(4, 2\)"),
        ({"query": np.empty((0, 2))}, "same dimensions"),
        ({"gallery": np.full((4, 2), np.nan)}, "gallery must be finite"),
    ],
)
def test_refuses_what_makes_no_sense(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        rerank(**{"query": np.ones((2, 2)), "gallery": np.ones((4, 2))} | arguments)
