"""The command line as a person uses it, in process: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from reunite import Run, render_walkers

QUICK = [
    "--set", "encoder.image_size=32,16",
    "--set", "clusterer.k1=8",
    "--set", "clusterer.eps=0.7",
    "--set", "clusterer.min_samples=3",
    "--set", "batches.identities=4",
    "--set", "batches.images=4",
    "--set", "batches.iterations=3",
    "--set", "rounds=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "walkers é"
    render_walkers(folder, identities=16, cameras=2, images=4, seed=0)
    return folder


@pytest.fixture
def trained(reunite, walkers, tmp_path):
    out = tmp_path / "run"
    code, printed, err = reunite("train", "cluster-contrast-small", walkers, "--out", out, "--device", "cpu", *QUICK)
    assert code == 0, err
    return out, printed


def test_train_evaluate_embed_report(reunite, walkers, trained, tmp_path):
    run, printed = trained
    assert "round 1/2" in printed
    assert "round 2/2" in printed
    assert "clusters" in printed
    assert "mAP" in printed
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [0, 1]
    assert {"loss", "clusters", "noise", "ari", "mAP", "rank1", "seconds_train"} <= lines[-1].keys()
    assert (run / "before.json").is_file()

    code, printed, _ = reunite("evaluate", run, walkers, "--device", "cpu")
    assert code == 0
    scores = json.loads((run / "scores.json").read_text())
    assert scores["mAP"] == pytest.approx(lines[-1]["mAP"])
    assert f"{100 * scores['mAP']:.1f}" in printed

    code, printed, _ = reunite("embed", run, walkers, "--out", tmp_path / "e.parquet", "--device", "cpu")
    assert code == 0
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.num_rows == 16 * 2 * 4
    rows = np.array(table["embedding"].to_pylist())
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert set(table["split"].to_pylist()) == {"train", "query", "gallery"}
    assert not list(tmp_path.glob(".e.parquet*"))
    code, *_ = reunite("embed", run, walkers, "--out", tmp_path / "a.parquet", "--device", "cpu", "--precision", "auto")
    assert code == 0
    faster = np.array(pq.read_table(tmp_path / "a.parquet")["embedding"].to_pylist())
    assert np.sum(faster * rows, axis=1).min() > 0.99
    code, _, err = reunite("embed", run, walkers, "--out", tmp_path / "b.parquet", "--precision", "half")
    assert code == 2 and "'float32' or 'bfloat16' or 'auto'" in err

    code, printed, _ = reunite("report", run, "--device", "cpu")
    assert code == 0
    page = (run / "report.html").read_text()
    assert "</html>" in page
    assert f"{100 * scores['mAP']:.1f}" in page


def test_the_same_command_goes_on_and_another_is_refused(reunite, walkers, trained):
    run, _ = trained
    before = (run / "checkpoints" / "00001.safetensors").read_bytes()
    code, printed, _ = reunite("train", "cluster-contrast-small", walkers, "--out", run, "--device", "cpu", *QUICK)
    assert code == 0
    assert "2 of 2 rounds" in printed
    assert (run / "checkpoints" / "00001.safetensors").read_bytes() == before
    code, _, err = reunite("train", "cluster-contrast-small", walkers, "--out", run, *QUICK, "--seed", 1)
    assert code == 2
    assert "another seed" in err


def test_a_run_folder_is_a_recipe(reunite, walkers, trained, tmp_path):
    run, _ = trained
    code, _, err = reunite("train", run, walkers, "--out", tmp_path / "again", "--device", "cpu", "--set", "rounds=1")
    assert code == 0, err
    first, second = (json.loads((each / "run.json").read_text())["recipe"] for each in (run, tmp_path / "again"))
    assert second == first.replace("rounds=2", "rounds=1")
    assert Run.open(tmp_path / "again").recipe() == replace(Run.open(run).recipe(), rounds=1)


@pytest.mark.parametrize("name", ["dbc", "triplet"])
def test_methods_of_other_kinds_from_start_to_report(reunite, walkers, tmp_path, name):
    small = ["encoder.backbone=conv4", "encoder.pretrained=False", "encoder.image_size=32,16", "encoder.last_stride=2"]
    small += ["rounds=2", "epochs=1"]
    small += ["first_epochs=1", "encoder.embedding_size=16"] if name == "dbc" else ["batches.iterations=3"]
    sets = [text for each in small for text in ("--set", each)]
    out = tmp_path / "run"
    code, printed, err = reunite("train", name, walkers, "--out", out, "--device", "cpu", *sets)
    assert code == 0, err
    assert "round 2/2" in printed
    code, _, err = reunite("report", out, "--device", "cpu")
    assert code == 0, err
    assert (out / "report.html").stat().st_size > 10_000


def test_a_recipe_of_your_own(reunite, walkers, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from reunite.recipes import cluster_contrast_small\n"
        "import sklearn.cluster\n"
        "def kmeans():\n"
        "    return replace(cluster_contrast_small(), clusterer=sklearn.cluster.KMeans(8, n_init=1), rounds=1)\n"
        "def wrong():\n"
        "    return 3\n"
    )
    quick = [each for each in QUICK if "clusterer" not in each and each != "--set"]
    sets = [text for each in quick for text in ("--set", each)] + [
        "--set",
        "clusterer.n_clusters=6",
        "--set",
        "rounds=1",
    ]
    code, printed, err = reunite("train", f"{tmp_path / 'mine.py'}:kmeans", walkers, "--out", tmp_path / "run", *sets)
    assert code == 0, err
    assert "6 clusters" in printed
    for name, words in (("none", "no function 'none'"), ("wrong", "returned int")):
        code, _, err = reunite("train", f"{tmp_path / 'mine.py'}:{name}", walkers, "--out", tmp_path / "r2")
        assert code == 2
        assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "cluster-contrst", "DATA", "--out", "OUT"], "Did you mean cluster-contrast"),
        (["train", "cluster-contrast-small", "NOWHERE", "--out", "OUT"], "NOWHERE"),
        (["train", "cluster-contrast-small", "DATA", "--out", "OUT", "--set", "clusterer.epz=1"], "Did you mean 'eps'"),
        (["train", "cluster-contrast-small", "DATA", "--out", "OUT", "--set", "eps"], "FIELD=VALUE"),
        (["train", "cluster-contrast-small", "DATA", "--out", "OUT", "--device", "cuda:77"], "cuda:77"),
        (["train", "cluster-contrast-small", "DATA", "--out", "OUT", "--on-error", "ignore"], "raise or skip"),
        (
            ["train", "cluster-contrast-small", "DATA", "--out", "OUT", "--set", "encoder.weights=no.pth"],
            "does not exist",
        ),
        (["evaluate", "DATA", "DATA"], "not a run folder"),
        (["report", "DATA"], "not a run folder"),
        (["embed", "DATA", "DATA", "--out", "x.parquet"], "not a run folder"),
        (["train", "no.py:recipe", "DATA", "--out", "OUT"], "does not exist"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(reunite, walkers, tmp_path, arguments, words):
    names = {"DATA": walkers, "OUT": tmp_path / "out", "NOWHERE": tmp_path / "NOWHERE"}
    code, _, err = reunite(*(names.get(each, each) for each in arguments))
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def nasty(folder, kind):
    folder.mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)

    def write(name, image=picture):
        cv2.imwrite(str(folder / name), image)

    if kind == "one image":
        write("only.jpg")
    elif kind == "duplicates of one image":
        for number in range(30):
            write(f"{number}.jpg")
    elif kind == "a zero-byte file":
        for number in range(10):
            write(f"{number}.jpg", np.roll(picture, number))
        (folder / "zero.jpg").write_bytes(b"")
    elif kind == "only tiny images":
        for number in range(5):
            write(f"{number}.png", picture[:1, :1])
    elif kind == "only text":
        (folder / "notes.txt").write_text("nothing here")
    elif kind == "only noise":
        for number in range(30):
            write(f"{number}.png", np.random.default_rng(number).integers(0, 256, (64, 32, 3), dtype=np.uint8))
    elif kind == "a table without paths":
        (folder / "table.csv").write_text("file,identity\na.jpg,1\n")
    elif kind == "a table of missing files":
        (folder / "table.csv").write_text("path,identity\na.jpg,1\nb.jpg,1\n")
    return folder


@pytest.mark.parametrize(
    "kind",
    [
        "an empty folder", "one image", "duplicates of one image", "a zero-byte file", "only tiny images", "only text",
        "only noise", "a table without paths", "a table of missing files",
    ],
)  # fmt: skip
def test_nasty_folders_end_in_a_sentence(reunite, tmp_path, kind):
    folder = nasty(tmp_path / "päth with spaces", kind)
    arguments = [
        "--out",
        tmp_path / "run",
        *QUICK,
        "--set",
        "clusterer.eps=0.3",
        "--set",
        "clusterer.k1=2",
        "--device",
        "cpu",
    ]
    code, _, err = reunite("train", "cluster-contrast-small", folder, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) > 40


def test_images_of_one_pixel_and_broken_files_do_not_stop_a_run_that_may_skip(reunite, walkers, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number, path in enumerate(sorted((walkers / "bounding_box_train").glob("*.jpg"))):
        (folder / f"ünïcode {number}.jpg").write_bytes(path.read_bytes())
    (folder / "zero.jpg").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    cv2.imwrite(str(folder / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    arguments = ["--out", tmp_path / "run", *QUICK, "--on-error", "skip", "--device", "cpu"]
    code, printed, err = reunite("train", "cluster-contrast-small", folder, *arguments)
    assert code == 0, err
    assert "2 images could not be read" in err
    assert "zero.jpg" in err
    assert "round 2/2" in printed
    code, _, err = reunite("evaluate", tmp_path / "run", folder)
    assert code == 2
    assert "nothing to test with" in err
    assert reunite("report", tmp_path / "run", "--on-error", "skip", "--device", "cpu")[0] == 0


def test_identities_of_one_image_each_are_trained_on_without_a_test(reunite, walkers, tmp_path):
    for number, path in enumerate(sorted(walkers.glob("*/*.jpg"))):
        folder = tmp_path / "data" / f"individual {number:03d}"
        folder.mkdir(parents=True)
        (folder / "only.jpg").write_bytes(path.read_bytes())
    run = tmp_path / "run"
    code, printed, err = reunite(
        "train", "cluster-contrast-small", tmp_path / "data", "--out", run, *QUICK, "--device", "cpu"
    )
    assert code == 0, err
    assert "goes on without a test" in err
    assert "round 2/2" in printed
    assert reunite("report", run, "--device", "cpu")[0] == 0


def test_version_and_help(reunite):
    assert reunite("--version")[1].startswith("reunite ")
    code, printed, _ = reunite("--help")
    assert code == 0
    assert all(verb in printed for verb in ("demo", "train", "evaluate", "embed", "report"))
