"""Summaries of tracks against loops over their frames; and that frames are read one track at a time."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import reunite.identities.centering as centering_module
from oracles.identities import summaries_by_loops
from reunite.errors import InputError
from reunite.identities.centering import FEWEST
from reunite.identities.summaries import Summaries, summarise
from reunite.images.tracklets import Tracklets, group_tracklets
from reunite.types import Images, unit_rows

FIELDS = ("embeddings", "camera", "begin", "end", "parts", "place", "distance")


def tracks_of(lengths: np.ndarray, camera: np.ndarray, time: np.ndarray | None = None) -> Tracklets:
    """Tracks of so many frames, one after the other in the order of the images."""
    number = np.repeat(np.arange(len(lengths)), lengths)
    return group_tracklets(Images.of(number.astype(str), camera=np.asarray(camera)[number], track=number, time=time))


def some_frames(rng: np.random.Generator, lengths: np.ndarray, camera: np.ndarray, d: int = 6) -> np.ndarray:
    """Frames of tracks, of any length, each moved by its camera; a third of the tracks changes half way."""
    frames = []
    shift = rng.standard_normal((camera.max(initial=0) + 2, d))
    for track, length in enumerate(lengths):
        who = np.repeat(rng.standard_normal((2, d)), [length // 2, length - length // 2], axis=0)
        who = who if track % 3 == 0 else who[:1]
        rows = who + shift[camera[track]] + 0.5 * rng.standard_normal((length, d))
        frames.append(rows * rng.uniform(0.5, 2, (length, 1)))
    return np.concatenate(frames).astype(np.float32)


def assert_equal(found: Summaries, expected: Summaries) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


class OneSliceAtATime:
    """Frames of which nothing can be had but slices, which are counted."""

    ndim = 2

    def __init__(self, frames: np.ndarray) -> None:
        self.frames, self.shape, self.read = frames, frames.shape, []

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: slice) -> np.ndarray:
        assert isinstance(key, slice) and key.step is None
        self.read.append((int(key.start), int(key.stop)))
        return self.frames[key]


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("broken", [0.0, 0.2])
@pytest.mark.parametrize("cameras", [1, 3])
def test_equals_the_loops(rng: np.random.Generator, center: bool, broken: float, cameras: int) -> None:
    lengths = rng.integers(1, 25, 40)
    camera = rng.choice(cameras + 1, 40, p=[*np.full(cameras, 0.95 / cameras), 0.05]) % (cameras + 1)
    camera[camera == cameras] = -1
    frames = some_frames(rng, lengths, camera)
    starts = np.append(0, lengths.cumsum())
    unreadable = rng.random(len(frames)) < broken
    unreadable[starts[1:] - 1] = False  # every track keeps one frame
    frames[unreadable, rng.integers(0, 6, unreadable.sum())] = np.nan
    before = frames.copy()
    found = summarise(frames, tracks_of(lengths, camera), center=center)
    expected = summaries_by_loops(np.split(frames, starts[1:-1]), camera, center, FEWEST)
    assert len(found) == len(expected) == 40
    for track, (embedding, parts, place, distance) in enumerate(expected):
        np.testing.assert_allclose(found.embeddings[track], embedding, atol=1e-5)
        np.testing.assert_allclose(found.parts[track], parts, atol=1e-5)
        assert found.place[track] == place
        assert found.distance[track] == pytest.approx(distance, abs=1e-5)
    np.testing.assert_array_equal(found.camera, camera)
    np.testing.assert_array_equal(frames, before)
    kinds = [getattr(found, name).dtype.str[1:] for name in FIELDS]
    assert kinds == ["f4", "i8", "f8", "f8", "f4", "i8", "f8"]
    assert found.parts.shape == (40, 2, 6) and (found.place > 0).any() and (found.place == 0).any()


def test_the_means_of_cameras_make_a_difference(rng: np.random.Generator) -> None:
    camera = np.repeat([0, 1], FEWEST)
    frames = some_frames(rng, np.full(2 * FEWEST, 9), camera)
    tracks = tracks_of(np.full(2 * FEWEST, 9), camera)
    plain, centred = summarise(frames, tracks, center=False), summarise(frames, tracks)
    assert np.abs(plain.embeddings - centred.embeddings).max() > 0.1
    assert np.abs(plain.parts - centred.parts).max() > 0.1
    assert np.abs(plain.distance - centred.distance).max() > 0.1


def test_a_track_made_by_hand() -> None:
    one, other = [1.0, 0.0], [0.6, 0.8]
    found = summarise(np.array([one] * 4 + [other] * 6 + [one] * 3), tracks_of([10, 3], [0, 0]))
    np.testing.assert_allclose(found.embeddings, [unit_rows(np.array([[7.6, 4.8]]))[0], one], atol=1e-6)
    np.testing.assert_allclose(found.parts, [[one, other], [one, one]], atol=1e-6)
    assert found.place.tolist() == [4, 0]
    np.testing.assert_allclose(found.distance, [0.4, 0], atol=1e-6)


def test_lengths_of_frames_do_not_matter_and_those_of_the_mean_are_one(rng: np.random.Generator) -> None:
    lengths, camera = np.full(30, 9), np.repeat([0, 1], 15)
    frames = some_frames(rng, lengths, camera)
    tracks = tracks_of(lengths, camera)
    found = summarise(frames, tracks)
    assert_equal(summarise(frames * 2.0 ** rng.integers(-3, 4, (len(frames), 1)).astype(np.float32), tracks), found)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.parts, axis=2), 1, atol=1e-6)


def test_frames_that_could_not_be_read_do_not_count_but_the_cut_counts_them() -> None:
    one, other, nothing = [1.0, 0.0], [0.0, 1.0], [np.nan, 0.0]
    frames = np.array([nothing, one, one, nothing, one, one, nothing, other, other, other, other, nothing])
    found = summarise(frames, tracks_of([12], [0], np.arange(12.0)))
    assert found.place.tolist() == [7]
    np.testing.assert_allclose(found.parts, [[one, other]], atol=1e-6)
    np.testing.assert_allclose(found.embeddings, [[0.5**0.5, 0.5**0.5]], atol=1e-6)
    assert (found.begin[0], found.end[0]) == (0, 11)
    short = summarise(np.delete(frames, 4, axis=0), tracks_of([11], [0]))
    assert short.place.tolist() == [0] and short.distance.tolist() == [0]  # of 7 readable frames


def test_begin_and_end_are_those_of_the_first_and_the_last_frame(rng: np.random.Generator) -> None:
    """Images in any order: tracks are numbered by their first image, and frames are in order of time."""
    track = np.repeat([4, 9, 2], [5, 1, 7])
    time = np.where(track == 2, np.nan, 100.0 * track + np.concatenate([np.arange(5), [0], np.arange(7)]))
    order = rng.permutation(13)
    images = Images.of(np.arange(13).astype(str), camera=track % 3, track=track, time=time).take(order)
    tracks = group_tracklets(images)
    names = images.track[tracks.rows[tracks.starts[:-1]]]
    frames = np.eye(13)[order][tracks.rows]  # a row per entry of `rows`, not per image
    found = summarise(frames, tracks)
    spans = {4: (400, 404), 9: (900, 900), 2: (np.nan, np.nan)}
    np.testing.assert_array_equal(np.stack([found.begin, found.end], axis=1), [spans[name] for name in names])
    np.testing.assert_array_equal(found.camera, names % 3)
    np.testing.assert_allclose(
        found.embeddings**2, [np.eye(13)[track == name].mean(axis=0) for name in names], atol=1e-6
    )


def test_a_file_and_other_numbers_give_the_same(rng: np.random.Generator, tmp_path: Path) -> None:
    lengths, camera = rng.integers(1, 20, 30), np.repeat([0, 1, 2], 10)
    frames = some_frames(rng, lengths, camera).astype(np.float16).astype(np.float32)
    frames[np.append(0, lengths.cumsum())[:-1][lengths > 3]] = np.nan
    tracks = tracks_of(lengths, camera)
    found = summarise(frames, tracks)
    np.save(tmp_path / "frames.npy", frames)
    np.save(tmp_path / "half.npy", frames.astype(np.float16))
    assert_equal(summarise(np.load(tmp_path / "frames.npy", mmap_mode="r"), tracks), found)
    assert_equal(summarise(np.load(tmp_path / "half.npy", mmap_mode="r"), tracks), found)
    assert_equal(summarise(frames.astype(np.float64), tracks), found)
    assert_equal(summarise(np.asfortranarray(frames), tracks), found)


def test_one_track_is_read_at_once(rng: np.random.Generator) -> None:
    lengths, camera = rng.integers(1, 30, 50), rng.integers(0, 3, 50)
    frames = some_frames(rng, lengths, camera)
    tracks = tracks_of(lengths, camera)
    reader = OneSliceAtATime(frames)
    assert_equal(summarise(reader, tracks), summarise(frames, tracks))
    each = list(zip(tracks.starts[:-1].tolist(), tracks.starts[1:].tolist(), strict=True))
    assert reader.read == each * 2


def test_memory_does_not_grow_with_the_frames(rng: np.random.Generator, tmp_path: Path) -> None:
    """1,000 tracks of 10 and of 40 frames: 30,000 frames more, of 256 bytes each."""
    peaks = []
    for length in (10, 40):
        lengths, camera = np.full(1000, length), np.arange(1000) % 3
        np.save(tmp_path / "frames.npy", rng.standard_normal((1000 * length, 64)).astype(np.float32))
        tracks = tracks_of(lengths, camera, np.arange(1000.0 * length))
        frames = np.load(tmp_path / "frames.npy", mmap_mode="r")
        tracemalloc.start()
        summarise(frames, tracks)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 30_000 * 40  # some numbers of each frame: its time, its track, its identity
    assert peaks[1] < 40_000 * 256 / 2


def test_few_tracks(rng: np.random.Generator) -> None:
    empty = summarise(np.empty((0, 6), np.float32), tracks_of([], np.empty(0, np.int64)))
    assert len(empty) == 0 and empty.embeddings.shape == (0, 6) and empty.parts.shape == (0, 2, 6)
    assert len(summarise(np.empty((0, 0), np.float32), tracks_of([], np.empty(0, np.int64)))) == 0
    single = summarise(np.array([[0.0, 2.0]]), tracks_of([1], [-1]))
    assert single.embeddings.tolist() == [[0, 1]] and single.parts.tolist() == [[[0, 1], [0, 1]]]
    assert single.camera.tolist() == [-1] and np.isnan([single.begin, single.end]).all()


def test_the_fewest_tracks_of_a_camera_are_counted_in_tracks(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, camera = np.full(8, 30), np.repeat([0, 1], 4)  # many frames, but of four tracks a camera
    frames, tracks = some_frames(rng, lengths, camera), tracks_of(lengths, camera)
    assert_equal(summarise(frames, tracks), summarise(frames, tracks, center=False))
    monkeypatch.setattr(centering_module, "FEWEST", 4)
    assert np.abs(summarise(frames, tracks).embeddings - summarise(frames, tracks, center=False).embeddings).max() > 0.1


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.ones((8, 2)), r"frames must have shape \(9, d\), a row per frame; got shape \(8, 2\)"),
        (np.ones((10, 2)), r"got shape \(10, 2\)"),
        (np.ones(9), r"got shape \(9,\)"),
        (np.ones((9, 0)), r"frames of track 0 must have shape \(n, d\) with d >= 1"),
        (np.where(np.arange(9)[:, None] < 4, 1.0, np.full((9, 2), np.nan)), "Track 1 has no frame with an embedding"),
        (
            np.where(np.arange(9)[:, None] == 5, np.inf, np.ones((9, 2))),
            r"frames of track 1 must be finite; 1 of 5 rows",
        ),
    ],
)
def test_refuses_what_makes_no_sense(frames: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        summarise(frames, tracks_of([4, 5], [0, 1]))


def test_tracks_may_lie_anywhere_in_the_frames(rng: np.random.Generator) -> None:
    lengths, camera = rng.integers(1, 20, 30), rng.integers(0, 2, 30)
    frames, tracks = some_frames(rng, lengths, camera), tracks_of(lengths, camera)
    kept = np.sort(rng.permutation(30)[:22])
    some = tracks.take(kept)
    expected = summarise(np.concatenate([frames[tracks.starts[t] : tracks.starts[t + 1]] for t in kept]), some)
    assert_equal(summarise(frames, some, starts=tracks.starts[:-1][kept]), expected)


def test_begin_and_end_are_of_the_times_that_are_known(rng: np.random.Generator) -> None:
    nan = np.nan
    tracks = tracks_of(np.array([3, 2, 2]), np.zeros(3, np.int64), np.array([9.0, nan, 4.0, nan, nan, 1.0, 2.0]))
    found = summarise(rng.standard_normal((7, 4)).astype(np.float32), tracks)
    np.testing.assert_array_equal(found.begin, [4.0, nan, 1.0])
    np.testing.assert_array_equal(found.end, [9.0, nan, 2.0])
