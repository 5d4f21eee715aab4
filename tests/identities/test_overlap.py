"""Overlapping tracks against a double loop."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.identities import overlapping_by_pairs
from reunite.errors import InputError
from reunite.identities.overlap import overlapping

SECONDS = st.one_of(st.integers(0, 9).map(float), st.just(float("nan")))  # few moments: many touch
TRACKS = st.lists(st.tuples(st.integers(-1, 2), SECONDS, st.integers(0, 4)), max_size=25)


def columns(tracks: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    camera, begin, length = np.array(tracks, np.float64).reshape(-1, 3).T
    return camera.astype(np.int64), begin, begin + length


@settings(max_examples=200, deadline=None)
@given(TRACKS)
def test_equals_the_double_loop(tracks: list) -> None:
    camera, begin, end = columns(tracks)
    pairs = overlapping(camera, begin, end)
    assert pairs.dtype == np.int64 and pairs.shape == (len(pairs), 2)
    assert pairs.tolist() == overlapping_by_pairs(camera, begin, end)


@settings(max_examples=50, deadline=None)
@given(TRACKS, st.integers(0, 10**6))
def test_the_order_of_the_tracks_does_not_matter(tracks: list, seed: int) -> None:
    camera, begin, end = columns(tracks)
    order = np.random.default_rng(seed).permutation(len(camera))
    again = order[overlapping(camera[order], begin[order], end[order])]
    assert sorted(map(sorted, again.tolist())) == overlapping(camera, begin, end).tolist()


def test_a_day_of_two_cameras() -> None:
    camera = np.array([0, 0, 0, 1, -1, 0, 0])
    begin = np.array([0.0, 5.0, 10.0, 0.0, 0.0, np.nan, 4.0])
    end = np.array([10.0, 6.0, 12.0, 12.0, 12.0, 12.0, np.nan])
    assert overlapping(camera, begin, end).tolist() == [[0, 1], [0, 2]]  # 0 ends in the moment in which 2 begins


def test_tracks_without_end() -> None:
    assert overlapping([0, 0, 0], [-np.inf, 3.0, 9.0], [np.inf, 5.0, np.inf]).tolist() == [[0, 1], [0, 2]]


@pytest.mark.parametrize("n", [0, 1])
def test_few_tracks(n: int) -> None:
    assert overlapping(np.zeros(n, np.int64), np.zeros(n), np.ones(n)).shape == (0, 2)


def test_input_is_left_as_it_was() -> None:
    camera, begin, end = np.array([1, 0, 1]), np.array([2.0, 1.0, 0.0]), np.array([3.0, 2.0, 2.5])
    before = [each.copy() for each in (camera, begin, end)]
    overlapping(camera, begin, end)
    for was, now in zip(before, (camera, begin, end), strict=True):
        np.testing.assert_array_equal(was, now)


def test_many_tracks_with_few_pairs_take_no_time(rng: np.random.Generator) -> None:
    begin = rng.uniform(0, 1e6, 200_000)  # all pairs of 200,000 tracks would be 320 GB
    start = time.perf_counter()
    pairs = overlapping(rng.integers(0, 20, 200_000), begin, begin + 10)
    assert time.perf_counter() - start < 5
    assert 15_000 < len(pairs) < 25_000


@pytest.mark.parametrize(
    ("camera", "begin", "end", "message"),
    [
        ([0, 0], [0.0], [1.0, 1.0], r"begin must have shape \(2,\), one number per track; got shape \(1,\)"),
        ([0, 0], [0.0, 0.0], [[1.0], [1.0]], r"end must have shape \(2,\)"),
        ([0.5], [0.0], [1.0], "camera must be whole numbers"),
        ([0], ["noon"], [1.0], "begin must be numbers of seconds.*noon"),
        (
            [0, 0, 1],
            [0.0, 2.0, 3.0],
            [1.0, 1.0, 2.0],
            r"2 of 3 do not \(the first is track 1, from 2.0 to 1.0 seconds\)",
        ),
    ],
)
def test_refuses_what_makes_no_sense(camera: list, begin: list, end: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        overlapping(camera, begin, end)
