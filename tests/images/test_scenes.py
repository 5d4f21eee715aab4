"""Rendered scenes: same bytes, boxes inside the picture, the truth about every row, tracks that break and mix."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from reunite.errors import InputError
from reunite.images.rendering.cameras import Moment
from reunite.images.rendering.passes import Person
from reunite.images.rendering.shots import Sighting, shoot
from reunite.images.rendering.streets import random_street
from reunite.images.rendering.tracker import Tracker
from reunite.images.rendering.walkers import random_walker
from reunite.images.scenes import render_scenes

HEIGHT, WIDTH = 120, 200
SMALL = {"walkers": 14, "cameras": 3, "seconds": 40, "rate": 4, "seed": 1, "size": (HEIGHT, WIDTH)}
QUICK = {"walkers": 2, "cameras": 1, "seconds": 30, "rate": 1, "seed": 1, "size": (96, 128)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_scenes(tmp_path_factory.mktemp("scenes") / "small", **SMALL)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, camera: int) -> np.ndarray:
    return np.loadtxt(folder / f"cam{camera}.txt", delimiter=",", ndmin=2)


def truth(folder: Path) -> list[tuple[int, int, int, int]]:
    with (folder / "truth.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["camera", "frame", "track", "identity"]
    return [tuple(map(int, line)) for line in lines]


def test_same_arguments_same_bytes(scenes, tmp_path):
    assert files(render_scenes(tmp_path / "again", **SMALL)) == files(scenes)
    quick = files(render_scenes(tmp_path / "quick", **QUICK))
    other = files(render_scenes(tmp_path / "other", **{**QUICK, "seed": 2}))
    assert quick.keys() == other.keys() and quick["cam1.txt"] != other["cam1.txt"]
    assert not set(quick.values()) & set(other.values()) - {quick["README.txt"]}


def test_the_folder(scenes):
    frames = {f"cam{camera}/{frame:06d}.jpg" for camera in (1, 2, 3) for frame in range(1, 161)}
    texts = {"cam1.txt", "cam2.txt", "cam3.txt", "truth.csv", "scenes.json", "README.txt"}
    assert set(files(scenes)) == frames | texts
    assert "Nobody shown here exists" in (scenes / "README.txt").read_text()
    assert cv2.imread(str(scenes / "cam2" / "000160.jpg")).shape == (HEIGHT, WIDTH, 3)
    assert json.loads((scenes / "scenes.json").read_text()) == {
        **{name: value for name, value in SMALL.items() if name != "size"},
        "height": HEIGHT,
        "width": WIDTH,
        "video": False,
        "renderer": 1,
    }


def test_boxes_are_inside_and_no_id_is_twice_in_a_frame(scenes):
    for camera in (1, 2, 3):
        found = rows(scenes, camera)
        frame, track, x, y, width, height, confidence = found[:, :7].T
        assert (found[:, 7:] == -1).all() and found.shape[1] == 10
        assert frame.min() >= 1 and frame.max() <= 160
        assert x.min() >= 0 and y.min() >= 0 and width.min() > 0 and height.min() > 0
        assert (x + width).max() <= WIDTH and (y + height).max() <= HEIGHT
        assert confidence.min() > 0 and confidence.max() <= 1
        pairs = list(zip(frame, track, strict=True))
        assert pairs == sorted(set(pairs))
        first = {number: place for place, number in reversed(list(enumerate(track.tolist())))}
        assert set(first) == set(range(1, len(first) + 1))  # ids from 1, in the order in which they appear
        tall = height[(x > 5) & (x + width < WIDTH - 5)]
        assert 0.18 * HEIGHT < np.median(tall) < 0.45 * HEIGHT


def test_truth_has_one_row_for_each(scenes):
    told = truth(scenes)
    found = [(camera, int(f), int(t)) for camera in (1, 2, 3) for f, t in rows(scenes, camera)[:, :2]]
    assert [row[:3] for row in told] == found
    assert {row[3] for row in told} <= set(range(1, 15))
    assert max(Counter((camera, frame, identity) for camera, frame, _, identity in told).values()) == 1


def test_people_meet_and_are_in_one_place_at_a_time(scenes):
    told = truth(scenes)
    assert max(Counter((camera, frame) for camera, frame, _, _ in told).values()) >= 3
    places = defaultdict(set)
    for camera, frame, _, identity in told:
        places[frame, identity].add(camera)
    assert max(map(len, places.values())) == 1
    seen = defaultdict(set)
    for camera, _, _, identity in told:
        seen[identity].add(camera)
    assert set(seen) == set(range(1, 15)) and all(len(cameras) == 3 for cameras in seen.values())


def test_tracks_break_and_mix(scenes):
    people, tracks, frames = defaultdict(set), defaultdict(set), defaultdict(list)
    for camera, frame, track, identity in truth(scenes):
        people[camera, track].add(identity)
        tracks[camera, identity].add(track)
        frames[camera, track].append(frame)
    mixed = [key for key, who in people.items() if len(who) > 1]
    assert 1 <= len(mixed) < 0.3 * len(people)
    assert any(len(numbers) > 1 for numbers in tracks.values())
    assert max(np.diff(numbers).max(initial=0) for numbers in frames.values()) <= 3  # of which two are missing


def test_boxes_show_who_the_truth_says(scenes):
    """The colour of the upper body is nearer to that of the same identity by this camera than to another's."""
    told = iter(truth(scenes))
    chests = defaultdict(list)
    for camera in (1, 2, 3):
        for frame, _, x, y, width, height, *_ in rows(scenes, camera):
            identity = next(told)[3]
            image = cv2.imread(str(scenes / f"cam{camera}" / f"{int(frame):06d}.jpg"))
            chest = image[
                int(y + 0.25 * height) : int(y + 0.4 * height) + 1, int(x + 0.4 * width) : int(x + 0.6 * width) + 1
            ]
            chests[camera, identity].append(chest.mean(axis=(0, 1)))
    typical = {key: np.median(colours, axis=0) for key, colours in chests.items()}
    right = total = 0
    for (camera, identity), colours in chests.items():
        for colour in colours:
            own = np.linalg.norm(colour - typical[camera, identity])
            others = [np.linalg.norm(colour - typical[c, i]) for c, i in typical if c == camera and i != identity]
            right += sum(own < other for other in others)
            total += len(others)
    assert right > 0.75 * total  # by chance: half


def test_the_background_stands_still(scenes):
    """Where nobody is detected, frames differ by noise and slow light only."""
    first, second = (cv2.imread(str(scenes / "cam1" / f"{frame:06d}.jpg")).astype(float) for frame in (80, 81))
    empty = np.ones((HEIGHT, WIDTH), bool)
    for _, _, x, y, width, height, *_ in rows(scenes, 1)[np.isin(rows(scenes, 1)[:, 0], (79, 80, 81, 82))]:
        empty[max(0, int(y - 8)) : int(y + height + 12), max(0, int(x - 16)) : int(x + width + 16)] = False
    assert empty.mean() > 0.2
    assert np.abs(cv2.blur(first, (5, 5)) - cv2.blur(second, (5, 5)))[empty].mean() < 6


def test_the_near_hide_the_far():
    """Two on one line of sight, and one behind what stands in the street; the order of the list does not count."""
    rng = np.random.default_rng(3)
    street, walker, moment = random_street(rng, 1, (180, 240)), random_walker(rng), Moment.random(rng, (180, 240))
    ground, folds = street.ground, np.zeros((14, 8), np.float32)

    def person(share: float, z: float) -> Person:
        return Person(walker, share * ground.half(z), z, 0.0, 0.5, folds)

    near, far = person(0.0, ground.near), person(0.0, 1.2 * ground.near)
    for people in ([near, far], [far, near]):
        seen = {one.z: sight.share for one, sight in zip(people, shoot(street, people, moment)[1], strict=True)}
        assert seen[near.z] == 1.0 and seen[far.z] < 0.5
    stamp = street.stamps[0]
    columns = stamp.window[1]
    middle = (columns.start + columns.stop) / ground.width - 1.0
    (behind,), (before,) = (shoot(street, [person(middle, z)], moment)[1] for z in (stamp.z + 0.3, stamp.z - 0.3))
    assert before.share == 1.0 and (behind is None or behind.share < 0.7)


def sighting(left: float, share: float = 1.0) -> Sighting:
    edges = left, 20.0, left + 20.0, 80.0
    return Sighting(edges, edges, share, 60.0)


def test_a_track_that_finds_nobody_ends():
    """Hidden for five frames at 8 a second is more than half a second, for four it is not."""
    for hidden, tracks in ((4, {1}), (5, {1, 2})):
        given = []
        for seed in range(5):  # a miss for no reason, beside the gap, would make it longer
            tracker = Tracker(np.random.default_rng(seed), (100, 200), rate=8)
            shares = [1.0] * 4 + [0.1] * hidden + [1.0] * 4
            frames = [tracker.follow(n, {0: (7, sighting(50.0, share))}) for n, share in enumerate(shares, start=1)]
            given.append({row.track for seen in frames for row in seen})
            assert not any(frames[4 : 4 + hidden]) and {row.identity for seen in frames for row in seen} == {7}
        assert given.count(tracks) >= 3


def test_some_who_cross_exchange_their_tracks():
    switched = 0
    for seed in range(300):
        tracker = Tracker(np.random.default_rng(seed), (100, 200), rate=5)
        people = defaultdict(set)
        for frame in range(1, 20):
            there = {0: (1, sighting(20.0 + 6.0 * frame)), 1: (2, sighting(150.0 - 6.0 * frame))}
            for row in tracker.follow(frame, there):
                people[row.track].add(row.identity)
        assert set(people) == {1, 2}
        switched += len(people[1]) == 2
        assert len(people[1]) == len(people[2])
    assert 0.04 < switched / 300 < 0.13


def test_videos(tmp_path):
    folder = render_scenes(tmp_path / "video", **QUICK, video=True)
    again = render_scenes(tmp_path / "again", **QUICK, video=True)
    assert files(folder) == files(again)
    assert set(files(folder)) == {"cam1.mp4", "cam1.txt", "truth.csv", "scenes.json", "README.txt"}
    pictures = render_scenes(tmp_path / "pictures", **QUICK)
    assert (folder / "cam1.txt").read_bytes() == (pictures / "cam1.txt").read_bytes()
    video = cv2.VideoCapture(str(folder / "cam1.mp4"))
    for frame in range(1, 31):
        there, image = video.read()
        assert there and image.shape == (96, 128, 3)
        picture = cv2.imread(str(pictures / "cam1" / f"{frame:06d}.jpg"))
        assert np.abs(image.astype(float) - picture).mean() < 10
    assert not video.read()[0]
    video.release()


def test_a_rendering_is_reused_and_nothing_else_is_touched(tmp_path):
    calls = []
    folder = render_scenes(tmp_path / "scenes", **QUICK, progress=lambda *call: calls.append(call))
    assert calls[-1] == (30, 30) and calls == sorted(set(calls))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert render_scenes(folder, **QUICK) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InputError, match="another rendering"):
        render_scenes(folder, **{**QUICK, "rate": 2})
    with pytest.raises(InputError, match="is no rendering of scenes"):
        render_scenes(tmp_path, **QUICK)


def test_an_interrupted_rendering_leaves_nothing(tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_scenes(tmp_path / "scenes", progress=interrupt, **QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"walkers": 1}, "walkers must be"),
        ({"cameras": 10}, "cameras must be"),
        ({"seconds": 29}, "seconds must be"),
        ({"seconds": 40.0}, "seconds must be"),
        ({"rate": 0}, "rate must be"),
        ({"seed": -1}, "seed must be"),
        ({"size": (95, 128)}, "height must be"),
        ({"size": (96, 95)}, "width must be"),
        ({"size": (96, 194)}, "width must be at most twice"),
        ({"size": 96}, "size must be"),
        ({"video": 1}, "video must be"),
        ({"video": True, "size": (97, 128)}, "A video needs an even"),
    ],
)
def test_bad_arguments_are_named(wrong, message, tmp_path):
    with pytest.raises(InputError, match=f"^{message}"):
        render_scenes(tmp_path / "scenes", **{**QUICK, **wrong})
    assert list(tmp_path.iterdir()) == []
