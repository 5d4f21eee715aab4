"""Tracks of two individuals: against a scan of all cuts, and what is found on simulated tracks."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.identities import cut_by_scan
from reunite.errors import InputError
from reunite.identities.mixed import TwoParts, mixed_tracks, two_parts
from reunite.types import unit_rows

DIMENSIONS = 128
EPS = 0.3


def random_directions(rng: np.random.Generator, count: int) -> np.ndarray:
    return unit_rows(rng.standard_normal((count, DIMENSIONS)))


def seen(rng: np.random.Generator, directions: np.ndarray, noise: float) -> np.ndarray:
    """Frames of these directions; two frames of one person have a cosine of about 1 / (1 + noise^2)."""
    shaken = directions + noise * rng.standard_normal(directions.shape) / DIMENSIONS**0.5
    return unit_rows(shaken).astype(np.float32)


def distance_of_means(frames: np.ndarray, place: int) -> float:
    means = unit_rows(np.stack([frames[:place].mean(axis=0), frames[place:].mean(axis=0)]))
    return 1 - float(means[0] @ means[1])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(0, 25), st.integers(2, 5), st.floats(0, 3))
def test_equals_the_scan_of_all_cuts(seed: int, count: int, shortest: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((3, 6))
    frames = unit_rows(people[np.sort(rng.integers(0, 3, count))] + noise * rng.standard_normal((count, 6)))
    frames = frames.astype(np.float32)
    place, distance = cut_by_scan(frames, shortest)
    found = two_parts(frames, shortest)
    assert found.place == place
    assert found.distance == pytest.approx(distance, abs=1e-6)
    assert isinstance(found.place, int) and isinstance(found.distance, float)


def test_two_people_made_by_hand() -> None:
    one, other = np.array([1.0, 0.0]), np.array([0.6, 0.8])
    assert two_parts(np.stack([one] * 4 + [other] * 7)) == TwoParts(4, pytest.approx(0.4))
    assert two_parts(np.stack([one] * 3 + [-one] * 3), 3) == TwoParts(3, 2.0)
    assert two_parts(np.stack([one] * 9)).distance == 0.0


@pytest.mark.parametrize("shortest", [2, 3, 4, 7])
def test_short_tracks_are_not_cut(shortest: int) -> None:
    frames = np.repeat(np.eye(2), shortest, axis=0)
    assert two_parts(frames, shortest) == TwoParts(shortest, 1.0)
    for count in range(2 * shortest):
        assert two_parts(frames[:count], shortest) == TwoParts(0, 0.0)


@pytest.mark.parametrize(("wrong", "least", "most"), [(1, 0, 0), (2, 0, 0.14), (3, 0.6, 0.7), (4, 1, 1)])
def test_a_frame_or_two_of_somebody_else_are_not_two_people(wrong: int, least: float, most: float) -> None:
    """The numbers of the docstring, where it is hardest to tell: people at distance 1, at either end of the track."""
    for order in (slice(None), slice(None, None, -1)):
        frames = np.repeat(np.eye(2), [20 - wrong, wrong], axis=0)[order]
        assert least - 1e-9 <= two_parts(frames).distance <= most + 1e-9


@pytest.mark.parametrize("wrong", [1, 2])
@pytest.mark.parametrize("count", [8, 9, 12, 30])
def test_a_frame_or_two_of_somebody_else_anywhere(rng: np.random.Generator, wrong: int, count: int) -> None:
    for at in range(count - wrong + 1):
        who = np.zeros(count, np.int64)
        who[at : at + wrong] = 1
        clean, noisy = np.eye(2)[who], seen(rng, random_directions(rng, 2)[who], 0.5)
        assert mixed_tracks(np.concatenate([clean, clean]), [0, count, 2 * count], EPS).tolist() == [False, False]
        assert not mixed_tracks(noisy, [0, count], EPS)[0]


@pytest.mark.parametrize("wrong", [2, 3, 10, 100])
def test_a_part_of_which_half_is_wrong(wrong: int) -> None:
    frames = np.repeat(np.eye(2), [20 * wrong, wrong], axis=0)
    assert two_parts(frames, wrong).distance == pytest.approx(1)
    within = (wrong - 1) / (2 * wrong - 1)  # of the 2 * wrong (2 * wrong - 1) pairs of frames, those of one person
    assert two_parts(frames, 2 * wrong).distance == pytest.approx(1 - 0.5 / within**0.5)
    assert two_parts(frames, 2 * wrong).distance < 0.3


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 1.5])
def test_the_distance_of_two_people_does_not_depend_on_noise(rng: np.random.Generator, noise: float) -> None:
    found = []
    for _ in range(100):
        one, other = random_directions(rng, 2)
        across = other - (other @ one) * one
        other = 0.5 * one + 0.75**0.5 * across / np.linalg.norm(across)
        parts = two_parts(seen(rng, np.repeat([one, other], [12, 8], axis=0), noise))
        found.append(parts.distance if parts.place == 12 else np.nan)
    assert np.isfinite(found).mean() > 0.85
    assert np.nanmean(found) == pytest.approx(0.5, abs=0.03)


def test_noise_of_few_frames_is_not_taken_for_two_people(rng: np.random.Generator) -> None:
    """What the docstring says of the distance of means: most short noisy tracks of one person would be flagged."""
    plain, found = [], []
    for _ in range(200):
        frames = seen(rng, np.repeat(random_directions(rng, 1), 8, axis=0), 2.0)
        parts = two_parts(frames)
        plain.append(distance_of_means(frames, parts.place))
        found.append(parts.distance)
    assert np.mean(np.array(plain) > EPS) > 0.8
    assert np.mean(np.array(found) > EPS) < 0.05


@pytest.mark.parametrize("count", [8, 12, 20, 60])
def test_three_frames_of_somebody_else_are_found(rng: np.random.Generator, count: int) -> None:
    found = []
    for _ in range(100):
        who = np.repeat(random_directions(rng, 2), [count - 3, 3], axis=0)
        parts = two_parts(seen(rng, who, 1.0))
        found.append(parts.distance > EPS)
    assert np.mean(found) > 0.9


def test_who_turns_slowly_is_a_quarter_as_far_apart_as_who_turns_at_once(rng: np.random.Generator) -> None:
    """Each part of a slow turn holds one half of it, and cosine distance grows with the square of the angle."""
    front, side = random_directions(rng, 2)
    side -= (side @ front) * front
    angles = np.linspace(0, np.radians(60), 40)[:, None]
    slow = np.cos(angles) * front + np.sin(angles) * side / np.linalg.norm(side)
    sudden = slow[np.repeat([0, -1], 20)]
    assert two_parts(sudden).distance == pytest.approx(0.5, abs=1e-6)
    assert two_parts(slow).distance == pytest.approx(0.125, abs=0.02)


def test_frames_without_anything_in_common_are_not_two_people() -> None:
    assert two_parts(np.eye(8)).distance == 0.0
    assert two_parts(np.zeros((8, 4))).distance == 0.0
    assert two_parts(np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]), 2) == TwoParts(2, 0.0)


def test_length_of_frames_does_not_matter(rng: np.random.Generator) -> None:
    frames = seen(rng, np.repeat(random_directions(rng, 2), 10, axis=0), 1.0)
    before = frames.copy()
    assert two_parts(frames * (2.0 ** (np.arange(20) % 4))[:, None]) == two_parts(frames)
    np.testing.assert_array_equal(frames, before)


def test_tracks_of_a_file_one_by_one(rng: np.random.Generator, tmp_path: Path) -> None:
    lengths = rng.integers(0, 25, 40)
    starts = np.append(0, np.cumsum(lengths))
    frames = seen(rng, random_directions(rng, 3)[rng.integers(0, 3, starts[-1])], 0.5)
    for start, stop in pairwise(starts[:21]):
        frames[start:stop] = frames[start : start + 1]
    np.save(tmp_path / "frames.npy", frames)
    file = np.load(tmp_path / "frames.npy", mmap_mode="r")
    expected = [two_parts(frames[a:b], 4).distance > 0.1 for a, b in pairwise(starts)]
    found = mixed_tracks(file, starts, 0.1, 4)
    assert found.dtype == np.bool_ and found.tolist() == expected
    assert any(expected) and not any(expected[:20])


def test_eps_itself_is_still_one_person() -> None:
    frames = np.repeat([[1.0, 0.0], [0.6, 0.8]], 4, axis=0)
    distance = two_parts(frames).distance
    assert mixed_tracks(frames, [0, 8], distance).tolist() == [False]
    assert mixed_tracks(frames, [0, 8], np.nextafter(distance, 0)).tolist() == [True]
    assert mixed_tracks(frames[:0], [0], 0.3).tolist() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": [0, 4, 9]}, r"from 0 to the number of frames.*got starts \[0, 4, 9\].*shape \(8, 2\)"),
        ({"starts": [0, 4, 7]}, "starts must rise"),
        ({"starts": [1, 8]}, "starts must rise"),
        ({"starts": [0, 6, 4, 8]}, "starts must rise"),
        ({"starts": []}, "starts must rise"),
        ({"starts": [0.5, 8]}, "starts must be whole numbers"),
        ({"frames": np.ones(8)}, r"frames have shape \(n, d\).*shape \(8,\)"),
        ({"eps": -0.1}, "eps must be a cosine distance of 0 or more; got -0.1"),
        ({"eps": float("nan")}, "got nan"),
        ({"shortest": 1}, "shortest must be at least 2 frames.*got 1"),
        ({"frames": np.where(np.arange(8)[:, None] == 5, np.nan, np.ones((8, 2)))}, "frames of track 1 must be finite"),
    ],
)
def test_refuses_what_makes_no_sense(change: dict, message: str) -> None:
    arguments = {"frames": np.ones((8, 2)), "starts": [0, 4, 8], "eps": 0.3, **change}
    with pytest.raises(InputError, match=message):
        mixed_tracks(**arguments)


def test_refuses_parts_of_one_frame() -> None:
    with pytest.raises(InputError, match="shortest must be at least 2"):
        two_parts(np.eye(4), 1)
