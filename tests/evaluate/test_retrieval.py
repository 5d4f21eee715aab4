"""Retrieval scores against sorting every query, known values, public features and published programs."""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracles.features import NASTY, nasty, people
from oracles.retrieval import average_precision_of_ranks, score_by_sorting
from reunite.errors import InputError
from reunite.evaluate import close_calls, retrieval
from reunite.evaluate.retrieval import retrieval_scores
from reunite.evaluate.retrieval_kernels import FEW, count_ranks, search_ranks
from reunite.types import Scores

AXES = np.eye(3, dtype=np.float32)


@pytest.fixture(params=["float32", "bfloat16"], autouse=True)
def precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything at both: what the processor is fast at does not show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "bfloat16_pays", lambda: request.param == "bfloat16")
        patch.setattr(close_calls, "MOST_COMPARED", 2)
        yield


def case(seed: int, q: int = 25, g: int = 90) -> dict[str, np.ndarray]:
    """Queries and a gallery with junk, distractors and unknown cameras; identities from 1."""
    rows, identity, camera = people(q + g, seed=seed)
    rng = np.random.default_rng(seed)
    gallery_identity = identity[q:] + 1
    gallery_identity[rng.random(g) < 0.1] = -1
    gallery_identity[rng.random(g) < 0.1] = 0
    camera[rng.random(q + g) < 0.1] = -1
    query_identity = identity[:q] + 1
    query_identity[rng.random(q) < 0.1] = -1
    return {
        "query": rows[:q],
        "gallery": rows[q:],
        "query_identity": query_identity,
        "gallery_identity": gallery_identity,
        "query_camera": camera[:q],
        "gallery_camera": camera[q:],
    }


def by_sorting(case: dict[str, np.ndarray], **options: object) -> dict[str, object]:
    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    known = case["query_identity"] >= 0
    identity = np.where(known, case["query_identity"], -2)  # matches nothing
    similarity = unit(case["query"]) @ unit(case["gallery"]).T
    cameras = case["query_camera"], case["gallery_camera"]
    return score_by_sorting(similarity, identity, case["gallery_identity"], *cameras, **options)


def assert_scores(scores: Scores, expected: dict[str, object]) -> None:
    np.testing.assert_allclose(scores.average_precision, expected["average_precision"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.cmc, expected["cmc"], rtol=0, atol=1e-12)
    assert scores.mAP == pytest.approx(expected["mAP"], abs=1e-12)
    assert scores.mINP == pytest.approx(expected["mINP"], abs=1e-12)
    assert scores.queries == np.isfinite(expected["average_precision"]).sum()
    assert scores.queries + scores.skipped == len(expected["average_precision"])
    assert scores.rank1 == scores.cmc[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rule", ["step", "trapezoid"])
def test_equals_sorting(seed: int, rule: str) -> None:
    given_case = case(seed)
    scores = retrieval_scores(**given_case, average_precision=rule, block_size=7, max_rank=20)
    assert_scores(scores, by_sorting(given_case, rule=rule, max_rank=20))


def test_excluded_images_are_ignored_for_their_query_only() -> None:
    given_case = case(1)
    gallery = np.concatenate([given_case["gallery"], given_case["query"]])
    same = {
        **given_case,
        "gallery": gallery,
        "gallery_identity": np.concatenate([given_case["gallery_identity"], given_case["query_identity"]]),
        "gallery_camera": np.full(len(gallery), -1),
        "query_camera": np.full(25, -1),
    }
    exclude = np.where(np.arange(25) % 4, 90 + np.arange(25), -1)
    assert_scores(retrieval_scores(**same, exclude=exclude), by_sorting(same, exclude=exclude))
    elsewhere = np.argsort(-(same["query"] @ gallery.T), axis=1)[:, 3]  # whatever it shows, it is ignored
    assert_scores(retrieval_scores(**same, exclude=elsewhere), by_sorting(same, exclude=elsewhere))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 3), st.integers(-1, 1)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(-1, 1)), min_size=1, max_size=8),
)
def test_ties_rank_in_gallery_order(gallery: list, query: list) -> None:
    # Rows on three axes: all similarities are exactly 0 or 1, so the order is decided by ties alone.
    g, q = np.array([*gallery, (0, 1, -1)]), np.array([*query, (0, 1, -1)])
    given_case = {
        "query": AXES[q[:, 0]],
        "gallery": AXES[g[:, 0]],
        "query_identity": q[:, 1],
        "gallery_identity": g[:, 1],
        "query_camera": q[:, 2],
        "gallery_camera": g[:, 2],
    }
    assert_scores(retrieval_scores(**given_case), by_sorting(given_case))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.booleans())
def test_counting_and_searching_give_the_ranks_of_a_stable_sort(seed: int, g: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(-1, 1, g).astype(np.float32)
    if coarse:
        similarity = np.round(similarity * 3) / np.float32(3)
    matches = np.sort(rng.choice(g, rng.integers(1, g + 1), replace=False))
    place = np.empty(g, np.int64)
    place[np.argsort(-similarity, kind="stable")] = np.arange(1, g + 1)
    np.testing.assert_array_equal(count_ranks(similarity, matches), place[matches])
    np.testing.assert_array_equal(search_ranks(similarity, matches), np.sort(place[matches]))


@pytest.mark.parametrize("levels", [3, 300, 10**6])
@pytest.mark.parametrize("count", [1, 20, 1023, 1024])
def test_ranks_in_a_large_gallery(levels: int, count: int) -> None:
    # The gallery is larger than what either kernel takes at a time.
    rng = np.random.default_rng(levels)
    similarity = (rng.integers(-levels, levels + 1, 20_000) / levels).astype(np.float32)
    similarity[rng.random(20_000) < 0.1] = -np.inf
    matches = rng.choice(np.flatnonzero(np.isfinite(similarity)), count, replace=False)
    place = np.empty(20_000, np.int64)
    place[np.argsort(-similarity, kind="stable")] = np.arange(1, 20_001)
    np.testing.assert_array_equal(count_ranks(similarity, matches), place[matches])
    np.testing.assert_array_equal(search_ranks(similarity, matches), np.sort(place[matches]))


@pytest.mark.parametrize("dimensions", [1, 16])
def test_many_matches_equal_sorting(dimensions: int) -> None:
    given_case = case(2, q=6, g=700)
    for name in ("query", "gallery"):  # in one dimension, every similarity is 1 or -1
        given_case[name] = given_case[name][:, :dimensions]
    for name in ("query_identity", "gallery_identity"):
        given_case[name] = np.where(given_case[name] > 0, 1 + given_case[name] % 2, given_case[name])
    assert np.bincount(given_case["gallery_identity"] + 1)[2:].min() > 1.3 * FEW
    assert_scores(retrieval_scores(**given_case), by_sorting(given_case))


def test_one_similarity_for_all_ranks_in_gallery_order() -> None:
    given_case = case(6)
    given_case |= {"query": np.ones((25, 4)), "gallery": np.full((90, 4), 3.0)}  # 1 in any order of summation
    assert_scores(retrieval_scores(**given_case), by_sorting(given_case))


@pytest.mark.parametrize("junk", [0.0, 0.3, 0.9])
def test_any_share_of_junk(junk: float) -> None:
    given_case = case(7, g=300)
    rng = np.random.default_rng(7)
    exclude = rng.integers(-1, 300, 25)
    known = rng.random(300) >= junk
    identity = rng.integers(0, 9, 300)
    given_case["query_identity"] = np.where(given_case["query_identity"] > 0, 1 + np.arange(25) % 8, -1)
    given_case["gallery_identity"] = np.where(known, identity, -1)
    assert_scores(retrieval_scores(**given_case, exclude=exclude), by_sorting(given_case, exclude=exclude))


@pytest.mark.parametrize("block_size", [1, 6, 24, 25, 1000])
def test_blocks_change_nothing(block_size: int) -> None:
    given_case = case(8)
    for name in ("query", "gallery"):
        given_case[name] = AXES[np.argmax(given_case[name][:, :3], axis=1)]
    exclude = np.random.default_rng(8).integers(-1, 90, 25)
    expected = retrieval_scores(**given_case, exclude=exclude)
    scores = retrieval_scores(**given_case, exclude=exclude, block_size=block_size)
    np.testing.assert_array_equal(scores.average_precision, expected.average_precision)
    np.testing.assert_array_equal(scores.cmc, expected.cmc)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 1), st.integers(-1, 2)), max_size=4),
    st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 1)), min_size=3, max_size=5),
)
@example([(1, 0, -1), (-1, 0, 1)], [(1, 0)] * 3)  # nothing is ignored for a query of unknown identity
def test_refuses_if_and_only_if_nothing_matches(query: list, gallery: list) -> None:
    matches, ignored = 0, 0
    for identity, camera, exclude in query:
        for j, (other, its_camera) in enumerate(gallery):
            if identity >= 0 and other >= 0:
                same_camera = identity == other and camera == its_camera >= 0
                ignored += same_camera or j == exclude
                matches += identity == other and not same_camera and j != exclude
    q, g = np.array(query, int).reshape(-1, 3), np.array(gallery)
    arguments = np.ones((len(q), 2)), np.ones((len(g), 2)), q[:, 0], g[:, 0], q[:, 1], g[:, 1]
    if matches:
        assert retrieval_scores(*arguments, exclude=q[:, 2]).queries > 0
        return
    shared = ignored and np.isin(q[q[:, 0] >= 0, 0], g[:, 0]).any() and (q[:, 1] >= 0).any()
    with pytest.raises(InputError) as refusal:
        retrieval_scores(*arguments, exclude=q[:, 2])
    counts = f"{len(q)} queries and {(g[:, 0] >= 0).sum()} gallery images"
    assert (f"all {ignored} gallery images" if shared else counts) in str(refusal.value)


@pytest.mark.parametrize("seed", range(3))
def test_parts_of_the_gallery_and_of_the_queries_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given_case = case(seed, g=300)
    expected = by_sorting(given_case)
    for name, value in {
        "OPERAND_BYTES": 4096,
        "WIDTH": 32,
        "TRIED": 4,
        "QUERIES_AT_ONCE": 10,
        "QUERIES_PER_TILE": 3,
    }.items():
        monkeypatch.setattr(close_calls, name, value)
    assert_scores(retrieval_scores(**given_case), expected)


@pytest.mark.parametrize("listed", [0, 10**6])
def test_much_that_would_be_listed_is_ranked_in_float32(listed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(retrieval, "bfloat16_pays", lambda: True)
    monkeypatch.setattr(retrieval, "MOST_LISTED", listed)
    monkeypatch.setattr(retrieval, "CloseCalls", lambda *given: asked.append(1) or close_calls.CloseCalls(*given))
    given_case = case(9)
    assert_scores(retrieval_scores(**given_case), by_sorting(given_case))
    assert len(asked) == (listed > 0)


@pytest.mark.parametrize("junk", [False, True])
def test_memory_is_one_block_of_similarities(junk: bool) -> None:
    rng = np.random.default_rng(0)
    gallery = np.zeros((20_000, 300), np.float32)
    gallery[np.arange(20_000), rng.integers(0, 300, 20_000)] = 1
    identity = rng.integers(-1 if junk else 0, 999, 20_000)
    retrieval_scores(gallery[:9], gallery[:99], np.arange(9), np.arange(99) % 9)  # compiled and loaded now
    tracemalloc.start()
    try:
        retrieval_scores(gallery[:2000], gallery, identity[:2000], identity)
        _, default = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        retrieval_scores(gallery[:20], gallery, identity[:20], identity, block_size=5)
        _, least = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert default < 60e6  # all similarities: 160 MB
    assert least < 6e6  # a copy of the gallery: 24 MB


@pytest.mark.parametrize(("rule", "expected"), [("step", 0.465476), ("trapezoid", 0.363690)])
def test_known_average_precision(rule: str, expected: float) -> None:
    angle = np.linspace(0, 1, 20)
    gallery = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    identity = np.zeros(20, int)
    identity[[1, 2, 6, 14]] = 5
    scores = retrieval_scores(gallery[:1], gallery, np.array([5]), identity, average_precision=rule)
    assert scores.mAP == pytest.approx(expected, abs=1e-6)
    assert average_precision_of_ranks([2, 3, 7, 15], rule) == pytest.approx(expected, abs=1e-6)
    assert scores.mINP == pytest.approx(4 / 15)
    assert scores.cmc.tolist() == [0.0] + [1.0] * 19


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 120))
def test_properties(seed: int, max_rank: int) -> None:
    given_case = case(seed)
    scores = retrieval_scores(**given_case, max_rank=max_rank)
    assert 0 <= scores.mAP <= 1 and 0 <= scores.mINP <= 1
    assert (np.diff(scores.cmc) >= 0).all() and scores.cmc[-1] <= 1
    assert len(scores.cmc) == min(max_rank, (given_case["gallery_identity"] >= 0).sum())
    assert retrieval_scores(**given_case, average_precision="trapezoid").mAP <= scores.mAP


def test_junk_changes_nothing() -> None:
    given_case = case(3)
    more = {
        **given_case,
        "gallery": np.concatenate([given_case["query"], given_case["gallery"]]),
        "gallery_identity": np.concatenate([np.full(25, -1), given_case["gallery_identity"]]),
        "gallery_camera": np.concatenate([given_case["query_camera"], given_case["gallery_camera"]]),
    }
    for name, value in vars(retrieval_scores(**given_case)).items():
        np.testing.assert_array_equal(getattr(retrieval_scores(**more), name), value)


def test_images_of_the_same_identity_and_camera_change_nothing_for_the_query() -> None:
    given_case = case(3)
    expected = retrieval_scores(**given_case).average_precision
    scored = np.flatnonzero(np.isfinite(expected) & (given_case["query_camera"] >= 0))
    assert len(scored) > 5
    for q in scored:
        joined = {"gallery": "query", "gallery_identity": "query_identity", "gallery_camera": "query_camera"}
        more = {
            gallery: np.concatenate([given_case[query][[q, q, q]], given_case[gallery]])
            for gallery, query in joined.items()
        }
        assert retrieval_scores(**{**given_case, **more}).average_precision[q] == expected[q]


def test_order_of_gallery_and_length_of_rows_do_not_matter() -> None:
    given_case = case(4)
    before = {name: values.copy() for name, values in given_case.items()}
    order = np.random.default_rng(0).permutation(90)
    changed = {name: values[order] if name.startswith("gallery") else values for name, values in given_case.items()}
    changed["gallery"] = np.asfortranarray(changed["gallery"].astype(np.float64) * 3)
    assert retrieval_scores(**changed).mAP == pytest.approx(retrieval_scores(**given_case).mAP, abs=1e-9)
    for name, values in given_case.items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize("name", NASTY)
def test_nasty_rows(name: str) -> None:
    rows, identity = nasty(name), np.arange(40) % 4
    scores = retrieval_scores(rows[:10], rows[10:], identity[:10], identity[10:])
    assert 0 < scores.mAP <= 1 and scores.queries == 10


@pytest.mark.data
def test_published_market_features(shared: Callable[[str], Path]) -> None:
    stored = np.load(shared("data/features/market1501_retail0288.npz"))
    codes = {name: stored[name] for name in stored.files if "_" in name}
    scores = retrieval_scores(stored["query"].astype(np.float32), stored["gallery"].astype(np.float32), **codes)
    percent = 100 * np.array([scores.rank1, scores.mAP, scores.mINP])
    np.testing.assert_allclose(percent, [86.0154, 59.7809, 16.5422], rtol=0, atol=1e-4)
    assert (scores.queries, scores.skipped) == (3368, 0)


@pytest.mark.data
def test_equals_the_published_program(shared: Callable[[str], Path]) -> None:
    stored = np.load(shared("golden/retrieval.npz"))
    # The program ranked by Euclidean distance: the same order as ours only if all rows have length one.
    for side in ("query", "gallery"):
        np.testing.assert_allclose(np.linalg.norm(stored[side], axis=1), 1, rtol=0, atol=1e-6)
    names = ("query", "gallery", "query_identity", "gallery_identity", "query_camera", "gallery_camera")
    scores = retrieval_scores(*(stored[name] for name in names))
    assert scores.mAP == pytest.approx(float(stored["mAP"]), abs=1e-9)
    np.testing.assert_allclose(scores.cmc, stored["cmc"], rtol=0, atol=1e-6)


def test_says_why_nothing_matches() -> None:
    rows, one, ones = np.ones((3, 2)), np.zeros(3, int), np.ones(3, int)
    with pytest.raises(InputError, match=r"all 9 gallery images.*camera of that query.*pass query_camera=None"):
        retrieval_scores(rows, rows, ones, ones, one, one)
    assert retrieval_scores(rows, rows, ones, ones).mAP == 1.0
    with pytest.raises(InputError, match="no identity in common"):
        retrieval_scores(rows, rows, ones, 2 * ones)
    with pytest.raises(InputError, match="no identity in common"):
        retrieval_scores(rows, rows, -ones, -ones)
    with pytest.raises(InputError, match="only the query image itself"):
        retrieval_scores(rows, rows, np.arange(3), np.arange(3), exclude=np.arange(3))
    with pytest.raises(InputError, match="3 queries and 0 gallery images"):
        retrieval_scores(rows, rows, ones, -ones)
    with pytest.raises(InputError, match="3 queries and 0 gallery images"):
        retrieval_scores(rows, rows[:0], ones, one[:0])
    with pytest.raises(InputError, match="0 queries"):
        retrieval_scores(rows[:0], rows, one[:0], ones)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"average_precision": "area"}, '"step" or "trapezoid"; got \'area\''),
        ({"max_rank": 0}, "at least 1; got 0"),
        ({"block_size": 0}, "at least 1; got 50 and 0"),
        ({"query": np.ones((3, 5))}, "same number of columns; got 5 and 2"),
        ({"query_camera": np.zeros(3, int)}, "one of query and gallery only"),
        ({"exclude": np.array([0, 1, 4])}, "below 4, or -1; got 4"),
        ({"gallery_identity": np.ones(3)}, r"gallery_identity must have shape \(4,\)"),
    ],
)
def test_refuses_what_does_not_fit(changes: dict, message: str) -> None:
    good = {"query": np.ones((3, 2)), "gallery": np.ones((4, 2)), "query_identity": np.ones(3, int)}
    with pytest.raises(InputError, match=message):
        retrieval_scores(**{**good, "gallery_identity": np.ones(4, int), **changes})
