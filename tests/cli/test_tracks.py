"""Tracks on the command line: train, evaluate, embed and report on tracklets; a tracker's output to individuals."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from accelerate import Accelerator

from reunite import render_walkers
from reunite.cli.options import recipe_of
from reunite.cli.train import run_training
from reunite.images import group_tracklets, read, render_scenes
from reunite.images.tracker.footage import find_cameras
from reunite.images.tracker.mot import read_mot

QUICK = [
    "--set", "encoder.backbone=conv4",
    "--set", "encoder.pretrained=False",
    "--set", "encoder.image_size=32,16",
    "--set", "encoder.embedding_size=16",
    "--set", "encoder.last_stride=2",
    "--set", "encoder.frozen=()",
    "--set", "tracklets.train=2",
    "--set", "clusterer.merge_percent=0.2",
    "--set", "rounds=2",
    "--set", "first_epochs=1",
    "--set", "epochs=1",
    "--set", "batches.images=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "walkers"
    render_walkers(folder, identities=8, cameras=3, images=2, frames=5, size=(64, 32), seed=0)
    return folder


@pytest.fixture(scope="module")
def trained(walkers, tmp_path_factory):
    """A run of `dbc-video`, small, and the Python of its recipe."""
    out = tmp_path_factory.mktemp("run") / "run"
    recipe = recipe_of("dbc-video", QUICK[1::2])
    facts = {"path": str(walkers), "name": "dbc-video"}
    return run_training(recipe, read(walkers), out, seed=0, accelerator=Accelerator(cpu=True), facts=facts).folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return render_scenes(
        tmp_path_factory.mktemp("data") / "scene", walkers=6, cameras=2, seconds=30, rate=4, size=(120, 200)
    )


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_training_evaluation_embeddings_and_report_are_of_tracklets(reunite, walkers, tmp_path):
    dataset = read(walkers)
    units = group_tracklets(dataset.train)
    run = tmp_path / "run"
    code, printed, err = reunite("train", "dbc-video", walkers, "--out", run, "--device", "cpu", *QUICK)
    assert code == 0, err
    assert f"{len(units)} training tracklets of {len(dataset.train)} images" in printed
    assert json.loads((run / "scores.jsonl").read_text().splitlines()[-1])["images"] == len(units)
    code, _, err = reunite("evaluate", run, walkers, "--device", "cpu")
    assert code == 0, err
    scores = json.loads((run / "scores.json").read_text())
    assert (scores["unit"], scores["queries"]) == ("tracklet", len(group_tracklets(dataset.query)))
    code, _, err = reunite("evaluate", run, walkers, "--device", "cpu", "--images", "--out", tmp_path / "images.json")
    assert code == 0, err
    scores = json.loads((tmp_path / "images.json").read_text())
    assert (scores["unit"], scores["queries"]) == ("image", len(dataset.query))
    for option, count in (
        ("--tracklets", 8 * 3 * 2),
        ("--images", sum(map(len, (dataset.train, dataset.query, dataset.gallery)))),
    ):
        code, _, err = reunite("embed", run, walkers, "--out", tmp_path / "e.parquet", "--device", "cpu", option)
        assert code == 0, err
        table = pq.read_table(tmp_path / "e.parquet")
        assert table.num_rows == count
        assert sum(table["frames"].to_pylist()) == sum(map(len, (dataset.train, dataset.query, dataset.gallery)))
    code, _, err = reunite("report", run, "--device", "cpu")
    assert code == 0, err
    assert f"{len(units)} training tracklets" in (run / "report.html").read_text()


def test_a_trackers_output_becomes_individuals_and_no_track_is_lost(reunite, trained, scene, tmp_path):
    out = tmp_path / "result"
    asked = ("identify", scene, "--run", trained, "--out", out, "--rate", 4, "--device", "cpu")
    code, printed, err = reunite(*asked)
    assert code == 0, err
    assert "individuals in" in printed and "were kept apart" in printed
    truth = {(f"cam{row['camera']}", row["track"]) for row in rows_of(scene / "truth.csv")}
    rows = rows_of(out / "identities.csv")
    found = Counter((row["camera"], row["track"]) for row in rows)
    assert set(found) == truth and set(found.values()) == {1}
    assert pq.read_table(out / "identities.parquet").num_rows == len(rows)
    spans = [(row["camera"], int(row["identity"]), float(row["begin"]), float(row["end"])) for row in rows]
    for place, (camera, label, begin, end) in enumerate(spans):
        for other, same, start, stop in spans[:place]:
            if camera == other and label == same >= 0:
                assert stop < begin or end < start, "the same individual twice at one moment"
    label = {(row["camera"], int(row["track"])): int(row["identity"]) for row in rows}
    for camera in find_cameras(scene):
        was, now = read_mot(camera.tracks), read_mot(out / "mot" / f"{camera.name}.txt")
        expected = [label[camera.name, track] for track in was.track.tolist()]
        assert sorted(zip(now.frame.tolist(), now.track.tolist(), strict=True)) == sorted(
            (frame, each) for frame, each in zip(was.frame.tolist(), expected, strict=True) if each >= 0
        )
    about = json.loads((out / "summary.json").read_text())
    assert about["tracks"] == len(rows) and about["overlap_rule"] and about["overlapping_pairs"] > 0
    assert "</html>" in (out / "report.html").read_text()
    assert all((out / row["path"]).is_file() for row in rows if row["path"])
    frames = next(out.glob(".frames.*.npy")).stat().st_mtime_ns
    code, printed, _ = reunite(*asked, "--no-overlap", "--eps", 0.3)
    assert code == 0 and "--overlap keeps them apart" in printed and "0.3 was given" in printed
    assert next(out.glob(".frames.*.npy")).stat().st_mtime_ns == frames, "frames are embedded once"


def test_crops_are_a_data_set(reunite, scene, trained, tmp_path):
    code, printed, err = reunite("crop", scene, "--out", tmp_path / "crops")
    assert code == 0, err
    assert "cam1: " in printed and "frame number counts as time" in printed
    dataset = read(tmp_path / "crops")
    assert len(dataset.train) == len(rows_of(scene / "truth.csv"))
    code, printed, err = reunite(
        "identify", tmp_path / "crops", "--run", trained, "--out", tmp_path / "result", "--device", "cpu"
    )
    assert code == 0, err
    assert "may be one individual (--overlap" in printed, (
        "a table is no tracker's output: the rule is off unless asked for"
    )


def test_broken_crops_are_skipped_and_their_tracks_are_in_the_result(reunite, scene, trained, tmp_path):
    crops = tmp_path / "crops"
    assert reunite("crop", scene, "--out", crops)[0] == 0
    rows = rows_of(crops / "table.csv")
    broken = rows[0]["camera"], rows[0]["track"]
    for row in rows:
        if (row["camera"], row["track"]) == broken:
            (crops / row["path"]).write_bytes(b"no image")
    asked = ("identify", crops, "--run", trained, "--out", tmp_path / "result", "--device", "cpu")
    code, _, err = reunite(*asked)
    assert code == 2 and "cannot be read" in err
    code, _, err = reunite(*asked, "--on-error", "skip")
    assert code == 0, err
    assert f"track {broken[1]} of {broken[0]} has no usable frame" in err
    found = {(row["camera"], row["track"]): row for row in rows_of(tmp_path / "result" / "identities.csv")}
    assert found[broken]["identity"] == "-1" and found[broken]["path"] == ""
    assert len(found) == len({(row["camera"], row["track"]) for row in rows})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: (folder / "cam1.txt").write_text("1,1,0,0,9,9,1\n"), "cam1"),
        (lambda folder: (folder / "notes.md").write_text("nothing"), "holds no images"),
        (lambda folder: (folder / "table.csv").write_text("path\n"), "no rows"),
    ],
)
def test_what_is_no_set_of_tracks_ends_in_a_sentence(reunite, trained, tmp_path, make, words):
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    code, _, err = reunite("identify", tmp_path / "data", "--run", trained, "--out", tmp_path / "result")
    assert code == 2 and words in err and "Traceback" not in err


def test_images_without_tracks_are_images_and_footage_given_to_train_is_explained(reunite, trained, scene, tmp_path):
    folder = tmp_path / "images"
    render_walkers(folder, identities=4, cameras=1, images=2, size=(32, 32), seed=0)
    code, _, err = reunite("identify", folder, "--run", trained, "--out", tmp_path / "result", "--device", "cpu")
    assert code == 0 and len(rows_of(tmp_path / "result" / "identities.csv")) == 8, err
    code, _, err = reunite("train", "dbc-video", scene, "--out", tmp_path / "run")
    assert code == 2 and "reunite crop" in err


def test_a_number_of_times_the_same_result(reunite, trained, scene, tmp_path):
    results = []
    for name in ("one", "two"):
        reunite("identify", scene, "--run", trained, "--out", tmp_path / name, "--rate", 4, "--device", "cpu")
        results.append((tmp_path / name / "identities.csv").read_bytes())
    assert results[0] == results[1] and np.char.count(results[0].decode(), "\n") > 1


def test_frames_are_embedded_again_where_their_order_in_time_is_another(reunite, trained, scene, tmp_path):
    crops, out = tmp_path / "crops", tmp_path / "result"
    assert reunite("crop", scene, "--out", crops)[0] == 0
    kept = set()
    for sign in (1, -1, 1):
        rows = rows_of(crops / "table.csv")
        with open(crops / "table.csv", "w", newline="") as file:
            table = csv.DictWriter(file, rows[0].keys())
            table.writeheader()
            table.writerows(row | {"time": sign * abs(float(row["time"]))} for row in rows)
        code, _, err = reunite("identify", crops, "--run", trained, "--out", out, "--device", "cpu")
        assert code == 0, err
        (file,) = out.glob(".frames.*.npy")
        kept.add(file.name)
    assert len(kept) == 2
