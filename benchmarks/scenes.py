"""`python -m benchmarks.scenes OUT --run RUN ...`: rendered scenes and a tracker's MOT files in, global identities out.

For each seed, scenes of 4 cameras and 40 walkers are drawn, with tracks that break off and tracks that go over to another
person. `reunite identify` says who is who, with the encoder of each run and with each set of options, and the result is held
against the truth: IDF1 over all detections of all cameras, ARI over tracks (by their most frequent person; a track set aside
is alone), and how many of the tracks that hold two individuals were flagged. It is an error if a track is missing in the
result, or is there twice.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

import reunite
from benchmarks.results import spread
from reunite.cli.identify import identify
from reunite.evaluate import clustering_scores
from reunite.evaluate.tracking import identity_f1

OPTIONS = {
    "as it is": {},
    "--no-overlap": {"overlap": False},
    "--no-center": {"center": False},
    "--no-overlap --no-center": {"overlap": False, "center": False},
}
SEEDS = [1, 2, 3]
"""Walkers are drawn by seed and number, so scenes of seed 0 would show those that `benchmarks.methods` trains on."""

SHARE = 0.8
"""A track of which less shows its most frequent person holds two."""
HEADER = (
    "| encoder | options | seeds | IDF1 | precision | recall | ARI | identities | of two: flagged, right, there |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def truth_of(scene: Path) -> dict[tuple[str, int], list[int]]:
    """The person in each detection of each track."""
    people = defaultdict(list)
    with open(scene / "truth.csv", newline="") as file:
        for row in csv.DictReader(file):
            people[f"cam{row['camera']}", int(row["track"])].append(int(row["identity"]))
    return people


def scored(result: Path, truth: dict[tuple[str, int], list[int]]) -> list[float]:
    """IDF1, precision, recall, ARI, identities, flagged, rightly flagged, tracks of two individuals."""
    with open(result / "identities.csv", newline="") as file:
        rows = [
            (row["camera"], int(row["track"]), int(row["identity"]), row["mixed"] == "1")
            for row in csv.DictReader(file)
        ]
    found = Counter((camera, track) for camera, track, _, _ in rows)
    assert set(found) == set(truth) and max(found.values()) == 1, "every track appears exactly once"
    labels = np.array([label for *_, label, _ in rows])
    flagged = np.array([mixed for *_, mixed in rows])
    people = [truth[camera, track] for camera, track, _, _ in rows]
    most = [Counter(each).most_common(1)[0] for each in people]
    majority = np.array([person for person, _ in most])
    mixed = np.array([count < SHARE * len(each) for (_, count), each in zip(most, people, strict=True)])
    detections = np.repeat(labels, [len(each) for each in people])
    f1 = identity_f1(detections, np.concatenate(people))
    ari = clustering_scores(labels, majority).ari
    count = len(np.unique(labels[labels >= 0]))
    counts = (flagged.sum(), (flagged & mixed).sum(), mixed.sum())
    return [f1.idf1, f1.idp, f1.idr, ari, float(count), *map(float, counts)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=__doc__)
    parser.add_argument("out", type=Path, help="where scenes and results go")
    parser.add_argument("--run", nargs="+", required=True, type=Path, help="run folders, whose encoders are used")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of scenes; not those of training data")
    chosen = parser.parse_args()
    print(HEADER)
    for run in chosen.run:
        for name, options in OPTIONS.items():
            rows = []
            for seed in chosen.seeds:
                scene = reunite.images.render_scenes(chosen.out / f"scenes-{seed}", walkers=40, cameras=4, seed=seed)
                result = chosen.out / f"{run.name}-{seed}"
                with contextlib.redirect_stdout(io.StringIO()):
                    identify(scene, run, result, rate=5.0, device="cpu", **options)
                rows.append(scored(result, truth_of(scene)))
            cells = [spread([row[place] for row in rows], 3) for place in range(4)]
            counts = [spread([row[place] for row in rows], 0) for place in range(4, 8)]
            seeds = ", ".join(map(str, chosen.seeds))
            row = [run.name, name, seeds, *cells, counts[0], ", ".join(counts[1:])]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
