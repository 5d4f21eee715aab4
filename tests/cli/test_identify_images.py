"""`reunite identify` of images on the command line, from embeddings that are there: what it writes, keeps and refuses."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from reunite.cli import main
from reunite.cli.space_file import read_space, write_space
from reunite.evaluate import clustering_scores
from reunite.identities.whitening import Whitening
from reunite.types import unit_rows

PEOPLE, EACH = 14, 6


def made_up(folder, count, rng, *, broken=()):
    """Pictures of plain colors and the embeddings of `count` images, as `reunite embed` writes them, people in turn."""
    folder.mkdir(exist_ok=True)
    who = np.random.default_rng(1).standard_normal((PEOPLE, 32))
    identity = np.arange(count) % PEOPLE
    rows = unit_rows((who[identity] + 0.5 * rng.standard_normal((count, 32))).astype(np.float32))
    for i in range(count):
        file = folder / f"{i:03d}.png"
        if i in broken:
            file.write_bytes(b"no picture")
        else:
            Image.new("RGB", (8, 12), tuple(int(16 * identity[i]) + k for k in (0, 8, 16))).save(file)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 32)
    table = pa.table({"path": [f"{i:03d}.png" for i in range(count)], "embedding": vectors})
    pq.write_table(table, folder / "embeddings.parquet")
    return folder / "embeddings.parquet", identity


@pytest.fixture
def run_cli(reunite):
    """Exit code, and all that was printed in one line."""

    def run(*arguments):
        code, printed, err = reunite(*arguments)
        return code, " ".join(f"{printed} {err}".split())

    return run


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder, its identities, and a result."""
    root = tmp_path_factory.mktemp("images")
    data, identity = made_up(root / "data", PEOPLE * EACH, np.random.default_rng(0), broken=(5,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reunite", "identify", str(data), "--out", str(root / "result")])
        with pytest.raises(SystemExit):
            main()
    return data, identity, root / "result"


def rows_of(result):
    with open(result / "identities.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def labels_of(result):
    return np.array([int(row["identity"]) for row in rows_of(result)])


def test_what_is_written(first):
    _, identity, result = first
    rows, parquet = rows_of(result), pq.read_table(result / "identities.parquet")
    assert (
        [row["path"] for row in rows] == [f"{i:03d}.png" for i in range(len(identity))] == parquet["path"].to_pylist()
    )
    assert clustering_scores(labels_of(result), identity).ari > 0.9
    assert all(0 <= float(row["confidence"]) <= 1 and row["noise"] == "0" for row in rows)
    summary = json.loads((result / "summary.json").read_text("utf-8"))
    numbers = np.unique(labels_of(result))
    assert summary["images"] == len(identity) and summary["identities"] == len(numbers)
    assert summary["largest_number"] == numbers.max() and summary["radius"]["images"] == len(identity)
    assert summary["evidence"]["cuts"] and summary["scores"] is None
    assert json.loads((result / "calibration.json").read_text("utf-8"))["individuals"] == len(numbers)
    sheets = {int(file.stem) for file in (result / "groups").iterdir()}
    assert sheets == set(np.unique(labels_of(result)[np.bincount(labels_of(result))[labels_of(result)] > 1]).tolist())
    page = (result / "report.html").read_text("utf-8")
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
    assert not list(result.glob("*.part")) and not (result / "constraints.csv").exists()


def test_the_same_again_and_more_images_keep_their_numbers(first, tmp_path, run_cli):
    _, _, result = first
    before = labels_of(result)
    data, _ = made_up(tmp_path / "more", PEOPLE * (EACH + 1), np.random.default_rng(0))
    code, text = run_cli("identify", str(data), "--out", str(tmp_path / "grown"), "--previous", str(result))
    assert code == 0 and "the radius stays" in text and "found again" in text
    after = labels_of(tmp_path / "grown")
    assert (after[: len(before)] == before).mean() >= 0.95
    assert clustering_scores(after, np.arange(len(after)) % PEOPLE).ari > 0.9
    code, text = run_cli(
        "identify", str(data), "--out", str(tmp_path / "grown")
    )  # the result in --out is the previous one
    assert code == 0 and "(100.0 %)" in text
    np.testing.assert_array_equal(labels_of(tmp_path / "grown"), after)


def test_the_next_run_compares_in_the_same_way(tmp_path, run_cli):
    """The same radius, neighbors and space; another radius, another encoder, or a space that is lost, begin anew."""
    data, _ = made_up(tmp_path / "data", PEOPLE * EACH, np.random.default_rng(0))
    result = tmp_path / "result"

    def kept():
        return json.loads((result / "summary.json").read_text("utf-8"))["radius"], read_space(result)[0]

    def goes_on(*options):
        code, text = run_cli("identify", str(data), "--out", str(result), *options)
        assert code == 0
        return "the radius stays" in text

    assert not goes_on("--k1", "4")
    radius, space = kept()
    assert radius["k1"] == 4 and space.within is not None
    data, _ = made_up(tmp_path / "data", PEOPLE * (EACH + 1), np.random.default_rng(0))
    for options in ([], ["--k1", "4"], ["--eps", str(radius["eps"])]):
        assert goes_on(*options) and kept()[0] == radius
        np.testing.assert_array_equal(kept()[1].within.matrix, space.within.matrix)
    half = Whitening(np.zeros(32, np.float32), np.eye(32, dtype=np.float32))
    write_space(replace(space, half=half), read_space(result)[1], result)
    assert goes_on() and kept()[1].half is not None
    assert not goes_on("--k1", "6") and kept()[0]["k1"] == 6
    table = pq.read_table(data)
    turned = -np.array(table["embedding"].to_pylist(), np.float32)
    other = table.set_column(table.column_names.index("embedding"), "embedding", pa.array(turned.tolist()))
    pq.write_table(other, data)
    assert not goes_on()  # embeddings of another encoder
    assert goes_on()
    (result / "space.safetensors").unlink()
    assert not goes_on() and read_space(result) is not None


def test_cameras_and_identities_may_be_called_something(first, tmp_path, run_cli):
    data, identity, _ = first
    called = [None if i % 7 == 0 else ["gate", "hall"][i % 2] for i in range(len(identity))]
    table = pq.read_table(data).append_column("camera", pa.array(called).dictionary_encode())
    pq.write_table(
        table.append_column("identity", pa.array([f"p{i}" for i in identity])), data.parent / "named.parquet"
    )
    codes = [-1 if name is None else ["gate", "hall"].index(name) for name in called]
    pq.write_table(table.set_column(2, "camera", pa.array(codes)), data.parent / "coded.parquet")
    code, text = run_cli("identify", str(data.parent / "named.parquet"), "--out", str(tmp_path / "named"))
    assert code == 0 and "2 cameras" in text and "ARI" in text
    assert run_cli("identify", str(data.parent / "coded.parquet"), "--out", str(tmp_path / "coded"))[0] == 0
    assert [row["camera"] for row in rows_of(tmp_path / "named")] == [name or "" for name in called]
    np.testing.assert_array_equal(labels_of(tmp_path / "named"), labels_of(tmp_path / "coded"))


def test_corrections_hold_now_and_in_the_next_run(first, tmp_path, run_cli):
    data, identity, result = first
    labels = labels_of(result)
    a, b = np.flatnonzero(labels == labels[0])[:2]
    c = np.flatnonzero(identity != identity[0])[0]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        f"first,second,relation\n{a:03d}.png,{b:03d}.png,different\n{a:03d}.png,{c:03d}.png,same\n", "utf-8"
    )
    out = str(tmp_path / "out")
    code, _ = run_cli("identify", str(data), "--out", out, "--constraints", str(pairs), "--previous", str(result))
    assert code == 0
    for _ in range(2):
        found = labels_of(tmp_path / "out")
        assert found[a] != found[b] and found[a] == found[c]
        assert run_cli("identify", str(data), "--out", out)[0] == 0
    worse = tmp_path / "worse.csv"
    worse.write_text(f"first,second,relation\n{b:03d}.png,{c:03d}.png,same\n", "utf-8")
    code, text = run_cli("identify", str(data), "--out", out, "--constraints", str(worse))
    assert code == 2 and f"{a:03d}.png" in text and f"{b:03d}.png" in text and "worse.csv" in text
    code, text = run_cli("identify", str(data), "--out", out, "--previous", str(result))
    assert code == 2 and "would be lost" in text


def test_noise_and_what_is_attached(first, tmp_path, run_cli):
    data, _, _ = first
    code, _ = run_cli("identify", str(data), "--out", str(tmp_path / "a"), "--min-images", "4")
    found = labels_of(tmp_path / "a")
    assert code == 0 and np.bincount(found[found >= 0]).min() >= 4
    assert all((row["noise"] == "1") == (row["identity"] == "-1") for row in rows_of(tmp_path / "a"))
    code, _ = run_cli("identify", str(data), "--out", str(tmp_path / "b"), "--min-images", "4", "--attach", "0.2")
    assert code == 0 and (labels_of(tmp_path / "b") < 0).sum() <= (found < 0).sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--eps", "1.5"), "--eps is a mean Jaccard distance"),
        (("--k1", "1"), "--k1 counts the image itself and must be at least 2; got 1."),
        (("--attach", "1.5", "--min-images", "2"), "--attach is a probability"),
        (("--attach", "0.5"), "there is none without --min-images"),
        (("--constraints", "missing.csv"), "missing.csv is not there"),
        (("--previous", "nowhere"), "nowhere is no result"),
        (("--adapt", "2"), "--adapt would do nothing"),
        (("--run", "a", "--encoder", "b"), "leave one of them out"),
    ],
)
def test_refuses_at_once(first, tmp_path, run_cli, options, message):
    data, _, _ = first
    code, text = run_cli("identify", str(data), "--out", str(tmp_path / "out"), *options)
    assert code == 2 and message in text and not (tmp_path / "out").exists()


def test_refuses_a_result_within_the_folder(first, run_cli):
    data, _, _ = first
    code, text = run_cli("identify", str(data.parent), "--out", str(data.parent / "result"))
    assert code == 2 and "Put it elsewhere" in text


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_few_images(tmp_path, run_cli, count):
    data, _ = made_up(tmp_path / "data", count, np.random.default_rng(0))
    code, text = run_cli("identify", str(data), "--out", str(tmp_path / "out"))
    assert code == 0 and len(rows_of(tmp_path / "out")) == count, text
