"""Tracklets of rendered walkers: who passes which camera when, and the files and the table of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from reunite.images.rendering.cameras import random_camera
from reunite.images.rendering.plans import CAMERA, LENGTH, ROUND, ROUTE, TRACK, WALKER, Progress, WalkersPlan
from reunite.images.rendering.walkers import random_walker
from reunite.images.rendering.walks import RATE, film

NOTE = (
    "Half of the identities, drawn at random, are for training; of the others, one tracklet of each identity and "
    "camera, drawn at random, is a query and the rest are the gallery."
)
README = f"""Synthetic pictures. Nobody shown here exists: every person is drawn by reunite.images.render_walkers.

table.csv has a row for each picture: its path, the identity, the camera, the number of the tracklet, the time in
seconds ({RATE} frames a second), the part of the split, and whether the tracker had switched to another person
(switched is 1; identity is then still that of the tracklet). In a name such as 0001_c1_t0007_f003.jpg, 0001 is the
identity, c1 the camera, t0007 the tracklet and f003 the frame in it.
{NOTE} walkers.json records the arguments they were drawn from.
"""
COLUMNS = ("path", "identity", "camera", "track", "time", "split", "switched")


@dataclass(frozen=True)
class Tracklet:
    """One walk in front of one camera.

    Attributes:
        identity, camera: from 1. index: which of this identity's walks by this camera, from 0.
        number: of the tracklet, from 1, unlike all others in the data set.
        split: train, query, gallery or test. length: frames. start: the first frame on a clock all cameras share.
        other: an identity of the same half of the data set, whom the walker may meet.
    """

    identity: int
    camera: int
    index: int
    number: int
    split: str
    length: int
    start: int
    other: int


def timetable(plan: WalkersPlan, frames: int) -> list[Tracklet]:
    """All tracklets, by identity, camera and index.

    Time goes in rounds; in each, everyone passes one camera. People meet in one camera, but nobody is in two cameras
    at a time or twice in one, and no two tracklets begin at the same frame.
    """
    train = plan.train()
    halves = {True: sorted(train), False: sorted(set(range(1, plan.identities + 1)) - train)}
    rounds = [plan.generator(ROUND, n).permutation(plan.identities) for n in range(plan.cameras * plan.images)]
    spacing = max(1, frames // 4)
    duration = (plan.identities - 1) * spacing + frames + RATE
    tracklets: list[Tracklet] = []
    for identity in range(1, plan.identities + 1):
        route = plan.generator(ROUTE, identity).permutation(plan.cameras)
        others = [other for other in halves[identity in train] if other != identity]
        for camera in range(1, plan.cameras + 1):
            rng = plan.generator(LENGTH, identity, camera)
            query = int(rng.integers(plan.images))
            lengths = rng.integers(max(1, frames // 4), frames + 1, plan.images)
            for index, length in enumerate(lengths.tolist()):
                number_of_round = index * plan.cameras + int(route[camera - 1])
                start = number_of_round * duration + int(rounds[number_of_round][identity - 1]) * spacing
                split = "train" if identity in train else "query" if index == query else "gallery"
                if split == "query" and plan.images == 1:
                    split = "test"
                other = others[int(rng.integers(len(others)))]
                number = len(tracklets) + 1
                tracklets.append(Tracklet(identity, camera, index, number, split, length, start, other))
    return tracklets


def draw_tracklets(folder: Path, plan: WalkersPlan, tracklets: list[Tracklet], progress: Progress) -> None:
    """All pictures, then table.csv."""
    canvas = 2 * plan.height, 2 * plan.width
    cameras = [random_camera(plan.generator(CAMERA, n), n, canvas, plan.size) for n in range(1, plan.cameras + 1)]
    total, rows = sum(tracklet.length for tracklet in tracklets), []
    for each in tracklets:
        place = Path("tracklets", f"{each.identity:04d}")
        if each.camera == 1 and each.index == 0:
            (folder / place).mkdir(parents=True)
        walker, other = (random_walker(plan.generator(WALKER, who)) for who in (each.identity, each.other))
        rng = plan.generator(TRACK, each.identity, each.camera, each.index)
        frames = film(rng, walker, cameras[each.camera - 1], plan.size, each.length, other)
        for frame, (file, switched) in enumerate(frames, start=1):
            name = f"{each.identity:04d}_c{each.camera}_t{each.number:04d}_f{frame:03d}.jpg"
            (folder / place / name).write_bytes(file)
            time = f"{(each.start + frame - 1) / RATE:.1f}"
            row = (place / name).as_posix(), each.identity, each.camera, each.number, time, each.split, int(switched)
            rows.append(row)
        if progress is not None:
            progress(len(rows), total)
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file_of_rows:
        csv.writer(file_of_rows, lineterminator="\n").writerows([COLUMNS, *rows])
