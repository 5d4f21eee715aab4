"""Made-up tracks, of which some switch from one person to another half way: who is who, and which are flagged."""

import time
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from oracles.identities import nearest_identities
from reunite.errors import InputError
from reunite.identities.by_cosine import identify_by_cosine as identify
from reunite.identities.silhouette import FALLBACK
from reunite.identities.summaries import Summaries, summarise
from reunite.identities.tracks import TrackIdentities, identify_tracks
from reunite.images.tracklets import Tracklets, group_tracklets
from reunite.types import Clusters, Images, unit_rows

D = 64


@dataclass(frozen=True, eq=False)
class Scene:
    """Frames of tracks, the person in each frame (k,), and the tracks of which the second half is another person."""

    frames: np.ndarray
    tracks: Tracklets
    person: np.ndarray
    switched: np.ndarray

    @property
    def first(self) -> np.ndarray:
        return self.person[self.tracks.starts[:-1]]

    @property
    def last(self) -> np.ndarray:
        return self.person[self.tracks.starts[1:] - 1]


def embedded(rng: np.random.Generator, person: np.ndarray, camera: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """One row a frame: the person, the camera, the person as this track shows them, and noise."""
    people, shift = rng.standard_normal((2, 64, D)) / D**0.5
    _, shown = np.unique(np.stack([owner, person]), axis=1, return_inverse=True)
    looks = 0.4 * rng.standard_normal((shown.max(initial=0) + 1, D)) / D**0.5
    noise = 0.5 * rng.standard_normal((len(person), D)) / D**0.5
    return (people[person] + 1.5 * shift[camera] + looks[shown.ravel()] + noise).astype(np.float32)


def scene(
    seed: int = 0, people: int = 12, cameras: int = 3, switches: int = 6, length: int = 12, wrong: int = 0
) -> Scene:
    """Every camera sees everybody twice, at times of their own. `wrong` frames within each track show somebody else."""
    rng = np.random.default_rng(seed)
    who, camera = (each.ravel() for each in np.meshgrid(np.repeat(np.arange(people), 2), np.arange(cameras)))
    order = rng.permutation(len(who))
    who, camera = who[order], camera[order]
    person = np.repeat(who[:, None], length, axis=1)
    switched = np.sort(rng.choice(len(who), switches, replace=False))
    person[switched, length // 2 :] = (
        person[switched, length // 2 :] + rng.integers(1, people, (switches, 1))
    ) % people
    for row in np.setdiff1d(np.arange(len(who)), switched):
        at = rng.integers(1, length - wrong)
        person[row, at : at + wrong] = (who[row] + 1) % people
    owner = np.repeat(np.arange(len(who)), length)
    begin = 100.0 * np.arange(len(who))
    seconds = (begin[:, None] + np.arange(length)).ravel()
    images = Images.of(owner.astype(str), camera=camera[owner], track=owner, time=seconds)
    frames = embedded(rng, person.ravel(), camera[owner], owner)
    return Scene(frames, group_tracklets(images), person.ravel(), switched)


def found_by(found: TrackIdentities, made: Scene) -> np.ndarray:
    """The label of each person: that of their whole tracks."""
    whole = np.setdiff1d(np.arange(len(made.tracks)), made.switched)
    names = np.full(made.person.max() + 1, -9)
    names[made.first[whole]] = found.identities.labels[whole]
    return names


def some_summaries(rng: np.random.Generator, m: int, people: int = 4) -> Summaries:
    """Rows as `summarise` might give them, many of which overlap or fall in two."""
    who = rng.standard_normal((people, 6))
    seen = who[rng.integers(0, people, (m, 3))] + 0.4 * rng.standard_normal((m, 3, 6))
    rows = unit_rows(seen.astype(np.float32).reshape(-1, 6)).reshape(m, 3, 6)
    begin = rng.integers(0, 30, m).astype(np.float64)
    distance = np.where(rng.random(m) < 0.3, rng.uniform(0, 1.5, m), 0.0)
    return Summaries(rows[:, 0], rng.integers(-1, 3, m), begin, begin + 3, rows[:, 1:], np.full(m, 4), distance)


def take(made: Summaries, rows: np.ndarray) -> Summaries:
    return Summaries(**{name: value[rows] for name, value in vars(made).items()})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_switched_tracks_are_flagged_and_all_others_are_right(seed: int) -> None:
    made = scene(seed)
    summaries = summarise(made.frames, made.tracks)
    found = identify_tracks(summaries)
    who = found.identities
    assert np.flatnonzero(found.mixed).tolist() == made.switched.tolist()
    assert (who.labels[found.mixed] == -1).all() and not who.confidence[found.mixed].any()
    assert (who.second_best[found.mixed] == -1).all()
    np.testing.assert_array_equal(who.labels[~found.mixed], Clusters.of(made.first[~found.mixed]).labels)
    assert (who.confidence[~found.mixed] > 0.3).all()
    names = found_by(found, made)
    expected = np.stack([names[made.first], names[made.last]], axis=1)
    np.testing.assert_array_equal(found.parts[found.mixed], expected[found.mixed])
    assert (found.parts[~found.mixed] == -1).all()
    assert (summaries.place[found.mixed] == 6).all()
    assert (who.labels.dtype, found.mixed.dtype, found.parts.dtype) == (np.int64, np.bool_, np.int64)


def test_switched_tracks_that_are_left_in_unite_two_people() -> None:
    """Why they are set aside, and not used to draw the line either."""
    made = scene(2, people=6, cameras=2, switches=10)
    found = identify_tracks(summarise(made.frames, made.tracks))
    plain = identify(summarise(made.frames, made.tracks).embeddings, center=False)
    kept = ~found.mixed
    assert np.flatnonzero(found.mixed).tolist() == made.switched.tolist()
    assert adjusted_rand_score(made.first[kept], found.identities.labels[kept]) == 1
    assert adjusted_rand_score(made.first[kept], plain.labels[kept]) < 1


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("wrong", [1, 2])
def test_a_wrong_frame_or_two_are_no_switch(seed: int, wrong: int) -> None:
    """With a line at 0.3: two wrong frames of people who are farther apart than 1 make parts up to 0.25 apart here."""
    made = scene(seed, length=20, wrong=wrong)
    found = identify_tracks(summarise(made.frames, made.tracks), eps=0.3)
    assert np.flatnonzero(found.mixed).tolist() == made.switched.tolist()
    kept = ~found.mixed
    assert adjusted_rand_score(made.first[kept], found.identities.labels[kept]) == 1


def test_no_track_is_mixed() -> None:
    made = scene(4, switches=0)
    summaries = summarise(made.frames, made.tracks)
    found = identify_tracks(summaries)
    assert not found.mixed.any() and (found.parts == -1).all()
    plain = identify(
        summaries.embeddings, summaries.camera, np.stack([summaries.begin, summaries.end], axis=1), center=False
    )
    for name in ("labels", "confidence", "second_best", "eps", "apart"):
        np.testing.assert_array_equal(getattr(found.identities, name), getattr(plain, name))
    assert found.identities.evidence.chosen == plain.evidence.chosen


@pytest.mark.parametrize("eps", [None, 0.4])
def test_all_tracks_are_mixed(eps: float | None) -> None:
    made = scene(5, people=8, cameras=2, switches=32)
    summaries = summarise(made.frames, made.tracks)
    assert (summaries.distance > 0.5).all()
    found = identify_tracks(summaries, eps=eps)
    assert found.mixed.all() and (found.parts == -1).all()
    assert (found.identities.labels == -1).all() and not found.identities.confidence.any()
    assert found.identities.eps == (FALLBACK if eps is None else eps)


def test_few_tracks(rng: np.random.Generator) -> None:
    empty = identify_tracks(some_summaries(rng, 0))
    assert empty.mixed.shape == (0,) and empty.parts.shape == (0, 2) and empty.identities.labels.shape == (0,)
    for distance, label in ((0.0, 0), (2.0, -1)):
        single = identify_tracks(replace(some_summaries(rng, 1), distance=np.array([distance])))
        assert single.identities.labels.tolist() == [label] and single.mixed.tolist() == [label == -1]
        assert single.identities.confidence.tolist() == [label + 1] and single.parts.tolist() == [[-1, -1]]


def by_hand(**change: np.ndarray) -> Summaries:
    """Two people at right angles, two tracks each, and a fifth track that shows first one and then the other."""
    one, other, both = np.array([[1, 0], [0, 1], [0.5**0.5, 0.5**0.5]], np.float32)
    values = {
        "embeddings": np.stack([one, one, other, other, both]),
        "camera": np.array([0, 1, 0, 1, 0]),
        "begin": np.array([0.0, 0, 20, 20, 40]),
        "end": np.array([9.0, 9, 29, 29, 49]),
        "parts": np.stack([[one, one], [one, one], [other, other], [other, other], [one, other]]),
        "place": np.array([0, 0, 0, 0, 5]),
        "distance": np.array([0, 0, 0, 0, 1.0]),
    }
    return Summaries(**{**values, **change})


def test_parts_made_by_hand() -> None:
    found = identify_tracks(by_hand(), eps=0.2)
    assert found.identities.labels.tolist() == [0, 0, 1, 1, -1]
    assert found.mixed.tolist() == [False] * 4 + [True]
    assert found.parts.tolist() == [[-1, -1]] * 4 + [[0, 1]]
    assert found.identities.confidence.tolist() == [1, 1, 1, 1, 0]
    assert found.identities.second_best.tolist() == [1, 1, 0, 0, -1]


def test_a_part_is_nobody_that_the_camera_saw_elsewhere_at_that_moment() -> None:
    seen = by_hand(begin=np.array([0.0, 0, 20, 20, 25]))  # from 25 s, when camera 0 still saw the second person
    assert identify_tracks(seen, eps=0.2).parts[4].tolist() == [0, -1]
    assert identify_tracks(seen, eps=0.2, overlap=False).parts[4].tolist() == [0, 1]
    assert identify_tracks(by_hand(), [[1, 4]], eps=0.2).parts[4].tolist() == [-1, 1]
    assert identify_tracks(by_hand(), [[4, 1]], eps=0.2).parts[4].tolist() == [-1, 1]
    assert identify_tracks(by_hand(), [[4, 1], [2, 4]], eps=0.2).parts[4].tolist() == [-1, -1]
    for none in (None, [], np.empty((0, 2), np.int64)):
        assert identify_tracks(seen, none, eps=0.2).parts[4].tolist() == [0, -1]


def test_a_part_is_nobody_if_nobody_is_within_eps() -> None:
    seen = by_hand()
    seen.parts[4, 1] = [-0.6, 0.8]  # at 0.2 from the second person
    assert identify_tracks(seen, eps=0.19).parts[4].tolist() == [0, -1]
    assert identify_tracks(seen, eps=0.21).parts[4].tolist() == [0, 1]


def test_eps_itself_is_not_mixed() -> None:
    seen = by_hand(distance=np.array([0, 0, 0, 0, 0.125]))
    assert identify_tracks(seen, eps=0.125).mixed.tolist() == [False] * 5
    assert identify_tracks(seen, eps=0.124).mixed.tolist() == [False] * 4 + [True]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.integers(0, 30),
    st.integers(0, 6),
    st.one_of(st.none(), st.floats(0.05, 1)),
    st.booleans(),
)
def test_flags_labels_and_parts_from_their_definitions(
    seed: int, m: int, count: int, eps: float | None, overlap: bool
) -> None:
    rng = np.random.default_rng(seed)
    made = some_summaries(rng, m)
    constraints = rng.integers(0, max(m, 1), (count if m else 0, 2))
    constraints = constraints[constraints[:, 0] != constraints[:, 1]]
    found = identify_tracks(made, constraints, eps, overlap=overlap)
    who = found.identities
    span = np.stack([made.begin, made.end], axis=1)
    apart = identify(made.embeddings, made.camera, span, constraints, 1.0, overlap=overlap, center=False).apart
    np.testing.assert_array_equal(who.apart, apart)
    assert len(who.labels) == len(who.confidence) == len(who.second_best) == len(found.mixed) == len(found.parts) == m
    assert who.eps == (eps or who.eps) == who.evidence.eps
    np.testing.assert_array_equal(found.mixed, made.distance > who.eps)
    # The others are grouped as if there were no mixed ones.
    kept = np.flatnonzero(~found.mixed)
    place = np.full(m, -1)
    place[kept] = np.arange(len(kept))
    inside = place[apart][(place[apart] >= 0).all(axis=1)]
    alone = identify(made.embeddings[kept], None, None, inside, who.eps, center=False)
    np.testing.assert_array_equal(who.labels[kept], alone.labels)
    np.testing.assert_array_equal(who.confidence[kept], alone.confidence)
    np.testing.assert_array_equal(who.second_best[kept], alone.second_best)
    assert (who.labels[found.mixed] == -1).all() and not who.confidence[found.mixed].any()
    for i, j in apart.tolist():
        assert who.labels[i] != who.labels[j] or who.labels[i] == -1
    for track in range(m):
        others = [i for i in range(m) if [i, track] in apart.tolist() or [track, i] in apart.tolist()]
        taken = {int(who.labels[i]) for i in others} - {-1}
        expected = (-1, -1)
        if found.mixed[track]:
            expected = nearest_identities(made.parts[track], made.embeddings, who.labels, taken, who.eps)
        assert tuple(found.parts[track].tolist()) == expected
        assert not taken & set(found.parts[track].tolist())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 40))
def test_the_line_is_drawn_without_what_looks_mixed_at_first(seed: int, m: int) -> None:
    made = some_summaries(np.random.default_rng(seed), m)
    span = np.stack([made.begin, made.end], axis=1)
    first = identify(made.embeddings, made.camera, span, center=False)
    clean = np.flatnonzero(made.distance <= first.eps)
    again = take(made, clean)
    expected = identify(again.embeddings, again.camera, span[clean], center=False)
    found = identify_tracks(made)
    assert found.identities.eps == expected.eps
    assert found.identities.evidence.chosen == expected.evidence.chosen
    np.testing.assert_array_equal(found.identities.evidence.curve("silhouette"), expected.evidence.curve("silhouette"))


def test_a_given_line_is_kept() -> None:
    made = scene(6)
    found = identify_tracks(summarise(made.frames, made.tracks), eps=0.5)
    assert found.identities.eps == found.identities.evidence.eps == 0.5
    assert found.identities.evidence.chosen == "0.5 was given."
    assert np.flatnonzero(found.mixed).tolist() == made.switched.tolist()


def test_times_keep_people_apart_who_look_alike() -> None:
    """The first person of `by_hand` twice in one camera, at one moment; the second at two moments."""
    begin, end = np.array([0.0, 9, 20, 29.5, 40]), np.array([9.0, 9, 29, 39, 49])
    seen = by_hand(camera=np.zeros(5, np.int64), begin=begin, end=end)
    assert identify_tracks(seen, eps=0.2).identities.labels.tolist() == [0, 1, 2, 2, -1]
    assert identify_tracks(seen, eps=0.2).identities.apart.tolist() == [[0, 1]]
    assert identify_tracks(seen, eps=0.2, overlap=False).identities.labels.tolist() == [0, 0, 1, 1, -1]


def test_refuses_what_identify_refuses(rng: np.random.Generator) -> None:
    made = some_summaries(rng, 5)
    with pytest.raises(InputError, match="eps must be a mean cosine distance above 0; got 0"):
        identify_tracks(made, eps=0.0)
    with pytest.raises(InputError, match=r"the first is pair 0, \[0, 5\]"):
        identify_tracks(made, [[0, 5]])
    with pytest.raises(InputError, match="must end at or after its begin; 5 of 5"):
        identify_tracks(replace(made, end=made.begin - 1))


def many(folder: Path, tracks: int, length: int) -> tuple[np.ndarray, Tracklets, np.ndarray]:
    """A file of frames of 50 people in three cameras, the tracks, and who each track shows."""
    rng = np.random.default_rng(0)
    who, camera = np.arange(tracks) % 50, np.arange(tracks) // 50 % 3
    owner = np.repeat(np.arange(tracks), length)
    np.save(folder / "frames.npy", embedded(rng, who[owner], camera[owner], owner))
    images = Images.of(owner.astype(str), camera=camera[owner], track=owner, time=np.arange(tracks * length) / 10)
    return np.load(folder / "frames.npy", mmap_mode="r"), group_tracklets(images), who


def test_5000_tracks_of_a_file_take_seconds(tmp_path: Path) -> None:
    frames, tracks, who = many(tmp_path, 5000, 20)
    start = time.perf_counter()
    summaries = summarise(frames, tracks)
    tracemalloc.start()
    found = identify_tracks(summaries, eps=0.4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - start < 30
    assert peak < 1.6 * 5000**2 * 4  # the matrix, and blocks of it while it is filled
    assert not found.mixed.any()
    np.testing.assert_array_equal(found.identities.labels, Clusters.of(who).labels)


def test_memory_is_that_of_the_matrix_and_does_not_grow_with_frames(tmp_path: Path) -> None:
    """1,000 tracks of 10 and of 40 frames: 30,000 frames more, of 256 bytes each; the matrix is 4 MB."""
    identify_tracks(some_summaries(np.random.default_rng(0), 9))  # what is compiled and imported once is no part of it
    peaks = []
    for length in (10, 40):
        frames, tracks, _ = many(tmp_path, 1000, length)
        tracemalloc.start()
        found = identify_tracks(summarise(frames, tracks))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.identities.labels.max() == 49
    assert peaks[1] - peaks[0] < 30_000 * 40
    assert peaks[1] < 1000**2 * 4 + 30e6  # the matrix, and blocks of up to 1,024 rows while it is filled
