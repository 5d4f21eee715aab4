"""Tracklets of rendered walkers: same bytes, the table as documented, frames that follow from each other."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from reunite.errors import InputError
from reunite.images import read, render_walkers
from reunite.images.rendering.cameras import Moment
from reunite.images.rendering.walkers import random_walker
from reunite.images.rendering.walks import Gait
from reunite.types import Dataset

SMALL = {"identities": 8, "cameras": 2, "images": 2, "seed": 5, "size": (64, 32), "frames": 12}


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    folder = tmp_path_factory.mktemp("tracklets") / "small"
    return folder, render_walkers(folder, **SMALL)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tracklets(folder: Path) -> dict[int, list[dict[str, str]]]:
    by_track = defaultdict(list)
    for row in table(folder):
        by_track[int(row["track"])].append(row)
    return by_track


def pixels(folder: Path, row: dict[str, str]) -> np.ndarray:
    return cv2.imread(str(folder / row["path"])).astype(float)


def test_same_arguments_same_bytes(walkers, tmp_path):
    render_walkers(tmp_path / "again", **SMALL)
    assert files(tmp_path / "again") == files(walkers[0])
    other = render_walkers(tmp_path / "other", **{**SMALL, "seed": 6})
    drawn = {Path(path).read_bytes() for path in walkers[1].train.paths.tolist()}
    assert not drawn & {Path(path).read_bytes() for path in other.train.paths.tolist()}


def test_the_folder_and_its_record(walkers):
    folder, dataset = walkers
    assert sorted(path.name for path in folder.iterdir()) == ["README.txt", "table.csv", "tracklets", "walkers.json"]
    assert "Nobody shown here exists" in (folder / "README.txt").read_text()
    assert json.loads((folder / "walkers.json").read_text())["frames"] == 12
    assert dataset.name == "walkers" and "one tracklet of each identity and camera" in dataset.note
    assert {row["path"] for row in table(folder)} == {name for name in files(folder) if name.endswith(".jpg")}
    assert all(pixels(folder, row).shape == (64, 32, 3) for row in table(folder)[::20])


def test_lengths_differ_and_lie_within_range(walkers):
    lengths = [len(rows) for rows in tracklets(walkers[0]).values()]
    assert len(lengths) == 8 * 2 * 2
    assert min(lengths) >= 3 and max(lengths) <= 12 and len(set(lengths)) > 4


@pytest.mark.parametrize("frames", [1, 3])
def test_short_tracklets(frames, tmp_path):
    render_walkers(tmp_path / "short", 4, 2, 2, size=(32, 32), frames=frames)
    assert {len(rows) for rows in tracklets(tmp_path / "short").values()} == set(range(1, frames + 1))


def test_what_read_returns_is_what_the_table_says(walkers):
    folder, dataset = walkers
    rows = {str(folder / row["path"]): row for row in table(folder)}
    parts = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    for name, images in parts.items():
        told = [rows[path] for path in images.paths.tolist()]
        assert {row["split"] for row in told} == {name}
        for column, values in (("identity", images.identity), ("camera", images.camera), ("track", images.track)):
            assert values.tolist() == [int(row[column]) for row in told]
        assert images.time.tolist() == [float(row["time"]) for row in told]
    again = read(folder)
    assert again.query.paths.tolist() == dataset.query.paths.tolist()
    train, test = set(dataset.train.identity.tolist()), set(dataset.query.identity.tolist())
    assert train | test == set(range(1, 9)) and not train & test and len(train) == 4
    for images in (dataset.query, dataset.gallery):  # one tracklet of two of each identity and camera
        pairs = set(zip(images.identity.tolist(), images.camera.tolist(), images.track.tolist(), strict=True))
        assert Counter((i, c) for i, c, _ in pairs) == {(i, c): 1 for i in test for c in (1, 2)}


def test_one_tracklet_is_query_and_gallery(tmp_path):
    dataset = render_walkers(tmp_path / "one", 5, 2, 1, size=(32, 32), frames=4)
    assert dataset.query.paths.tolist() == dataset.gallery.paths.tolist()
    assert len(set(dataset.query.track.tolist())) == 3 * 2
    again = render_walkers(tmp_path / "one", 5, 2, 1, size=(32, 32), frames=4)
    assert again.query.paths.tolist() == dataset.query.paths.tolist()


def test_nobody_is_in_two_places(walkers):
    """Frames of a tracklet are 0.2 s apart; tracklets of an identity never overlap, those of a camera begin apart."""
    spans, begins = defaultdict(list), []
    for rows in tracklets(walkers[0]).values():
        frames = [round(5 * float(row["time"])) for row in rows]
        assert frames == list(range(frames[0], frames[0] + len(frames)))
        assert len({(row["identity"], row["camera"], row["split"]) for row in rows}) == 1
        spans[rows[0]["identity"]].append((frames[0], frames[-1]))
        begins.append(frames[0])
    assert len(set(begins)) == len(begins)
    for times in spans.values():
        times.sort()
        assert all(end < begin for (_, end), (begin, _) in pairwise(times))
    everyone = [(begin, end) for times in spans.values() for begin, end in times]
    assert any(a[0] < b[0] <= a[1] for a in everyone for b in everyone)  # but people do meet


def test_frames_follow_from_each_other(walkers):
    """Mean differences: neighbouring frames < any two of one tracklet < of different identities by one camera."""
    folder, _ = walkers
    near, within, across = [], [], []
    means = defaultdict(list)
    for rows in tracklets(folder).values():
        shown = [pixels(folder, row) for row in rows if row["switched"] == "0"]
        near += [np.abs(a - b).mean() for a, b in pairwise(shown)]
        within += [np.abs(shown[0] - later).mean() for later in shown[2:]]
        means[rows[0]["camera"]].append((rows[0]["identity"], shown[0]))
    for drawn in means.values():
        across += [np.abs(a - b).mean() for who, a in drawn for other, b in drawn if who < other]
    assert np.mean(near) < 0.9 * np.mean(within) < 0.9 * np.mean(across)


def test_the_gait_is_even_and_the_light_changes_slowly(walkers):
    rng = np.random.default_rng(0)
    for _ in range(20):
        gait = Gait.random(rng, random_walker(rng), 1.0, 30)
        steps = np.diff(gait.phase)
        assert 0.8 < steps[0] < 1.5 and np.allclose(steps, steps[0])
        assert np.abs(np.diff(gait.yaw)).max() < 0.2 and np.abs(gait.yaw - 1.0).max() < 1.5
        assert (np.sign(gait.speed) == np.sign(np.sin(gait.yaw))).all()
    bright = [[pixels(walkers[0], row).mean() for row in rows] for rows in tracklets(walkers[0]).values()]
    slow = np.mean([np.abs(np.diff(levels)).mean() for levels in bright])
    assert slow < 0.4 * np.std([level for levels in bright for level in levels])
    moments = [Moment.random(rng, (64, 32))]
    for _ in range(2000):
        moments.append(moments[-1].later(rng, (64, 32)))
    exposure = np.array([moment.exposure for moment in moments])
    assert 0.7 < exposure.std() < 1.3 and 0.15 < np.diff(exposure).std() < 0.25


def test_switched_frames_show_the_wrong_person(tmp_path):
    folder = tmp_path / "walkers"
    render_walkers(folder, 12, 2, 3, seed=2, size=(64, 32), frames=8)
    wrong, right, runs = [], [], []
    for rows in tracklets(folder).values():
        switched = np.array([row["switched"] == "1" for row in rows])
        if not switched.any():
            continue
        runs.append(int(switched.sum()))
        assert len(rows) >= 4 and 1 <= runs[-1] <= 2 and np.diff(np.flatnonzero(switched)).tolist() in ([], [1])
        chest = np.array([pixels(folder, row)[17:28, 13:19].mean(axis=(0, 1)) for row in rows])
        usual = np.median(chest[~switched], axis=0)
        wrong += np.linalg.norm(chest[switched] - usual, axis=1).tolist()
        right += np.linalg.norm(chest[~switched] - usual, axis=1).tolist()
    eligible = sum(len(rows) >= 4 for rows in tracklets(folder).values())
    assert 0.05 < len(runs) / eligible < 0.3 and set(runs) == {1, 2}
    assert np.median(wrong) > 3.0 * np.median(right)


def test_progress_and_interruption(tmp_path):
    calls = []
    render_walkers(tmp_path / "w", 4, 1, 1, size=(32, 32), frames=3, progress=lambda *call: calls.append(call))
    total = len(table(tmp_path / "w"))
    assert calls[-1] == (total, total) and calls == sorted(calls)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_walkers(tmp_path / "x", 4, 1, 1, size=(32, 32), frames=3, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_another_number_of_frames_is_another_rendering(walkers):
    for other in (None, 13):
        with pytest.raises(InputError, match="another rendering"):
            render_walkers(walkers[0], **{**SMALL, "frames": other})


@pytest.mark.parametrize("frames", [0, 1000, 2.5, True, "8"])
def test_bad_numbers_of_frames(frames, tmp_path):
    with pytest.raises(InputError, match=r"^frames must be a whole number from 1 to 999"):
        render_walkers(tmp_path / "walkers", **{**SMALL, "frames": frames})
    assert list(tmp_path.iterdir()) == []
