"""Rendered walkers: a data set of people who do not exist, seen by several cameras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from reunite.errors import InputError
from reunite.images.readers import read
from reunite.images.rendering.bodies import draw_walker
from reunite.images.rendering.cameras import Camera, Moment, background, develop, random_camera, shadow
from reunite.images.rendering.figures import View
from reunite.images.rendering.places import OBSTACLES
from reunite.images.rendering.plans import (
    CAMERA,
    TRACK,
    WALKER,
    Progress,
    WalkersPlan,
    render_into,
    sides,
    whole_numbers,
)
from reunite.images.rendering.walkers import Walker, random_walker
from reunite.images.tracks import NOTE as TRACKLETS_NOTE
from reunite.images.tracks import README as TRACKLETS_README
from reunite.images.tracks import draw_tracklets, timetable
from reunite.types import Dataset

RECORD = "walkers.json"
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
NOTE = (
    "Half of the identities, drawn at random, are for training; of the others, one picture of each identity and "
    "camera, drawn at random, is a query and the rest are the gallery."
)
README = f"""Synthetic pictures. Nobody shown here exists: every person is drawn by reunite.images.render_walkers.

The folders are laid out like those of Market-1501: {TRAIN}, {QUERY} and {GALLERY}. In a name such as
0001_c1s1_000151_00.jpg, 0001 is the identity, c1 the camera, s1 the walk, 000151 the frame and 00 the detection.
{NOTE} {RECORD} records the arguments they were drawn from.
"""
TURN = 2.0 * np.pi


def render_walkers(
    folder: str | Path,
    identities: int = 60,
    cameras: int = 4,
    images: int = 8,
    seed: int = 0,
    size: tuple[int, int] = (128, 64),
    progress: Progress = None,
    *,
    frames: int | None = None,
) -> Dataset:
    """Draw people who do not exist, as several cameras see them, into a folder laid out like Market-1501.

    Each identity has a build, clothes, hair and a bag of its own; each camera has a viewpoint, a scene, light and
    faults. In each picture the walker is in another phase of the walk, and something may stand in the way. The first
    half of the pictures by one camera show one walk, the other half the way back. Colours come from short lists:
    different identities often share some, so that colour alone does not tell them apart.

    Half of the identities (rounded down), drawn at random with `seed`, are for training. Of the others, one picture
    of each identity and camera, drawn at random, is a query and the rest are the gallery; with `images=1` the only
    picture is in both, and scoring ignores it for itself. The same arguments give the same files, byte for byte, with
    the same OpenCV and libjpeg-turbo. One core draws some 400 pictures a second; threads were slower, since most of the
    time goes into many small strokes.

    With `frames`, a tracker follows the walkers through videos of 5 frames a second, and the folder holds tracklets
    and a table.csv with the columns path, identity, camera, track, time and split. Within a tracklet the gait goes on,
    the box drifts, the background passes by and the light changes slowly. In about a third of the tracklets another
    walker of the same half of the identities crosses, in front or behind. In about 15 in 100 of those of at least four
    frames, one or two frames show that other walker in the box under the label of the tracklet, as trackers err; the
    column `switched`, which `read` ignores, marks them with 1. Then the split is by tracklets: one of each identity and
    camera is a query, the rest are the gallery.

    A folder that already holds this very rendering is read and not drawn again. Files are drawn under a temporary
    name beside `folder`, which is renamed at the end: an interrupted rendering leaves nothing under `folder`.

    Args:
        folder: created; must be missing, empty, or hold this same rendering.
        identities: people, at least 4, numbered from 1.
        cameras: 1 to 9, numbered from 1.
        images: pictures (with `frames`: tracklets) of each identity by each camera, 1 to 10,000.
        seed: 0 or more.
        size: height and width of the pictures in pixels, 32 to 1,024 each; people are drawn twice as high as wide.
        progress: called with (pictures drawn, pictures in all) now and then.
        frames: longest length of a tracklet, 1 to 999; lengths are drawn from max(1, frames // 4) to it. None: single
            pictures and no tracklets.

    Returns:
        The data set "walkers", as `read` would read it; `note` tells how it is split.

    Raises:
        InputError: an argument out of range, or a folder that holds something else.
    """
    plan = _checked(identities, cameras, images, seed, size, frames)
    tested = (plan.identities - plan.identities // 2) * plan.cameras
    if plan.frames is None:
        expected = plan.identities * plan.cameras * plan.images + (tested if plan.images == 1 else 0)
        note, readme, draw = NOTE, README, partial(_draw_all, plan=plan, progress=progress)
    else:
        walks = timetable(plan, plan.frames)
        expected = sum(walk.length * (2 if walk.split == "test" else 1) for walk in walks)
        note, readme = TRACKLETS_NOTE, TRACKLETS_README
        draw = partial(draw_tracklets, plan=plan, tracklets=walks, progress=progress)
    target = render_into(folder, plan, RECORD, "walkers", readme, draw)
    dataset = replace(read(target), name="walkers", note=note)
    count = len(dataset.train) + len(dataset.query) + len(dataset.gallery)
    if count != expected:
        raise InputError(
            f"{target} should hold {expected:,} pictures but holds {count:,}: files were added or removed. "
            "Delete the folder and render again."
        )
    return dataset


def _checked(
    identities: int, cameras: int, images: int, seed: int, size: tuple[int, int], frames: int | None
) -> WalkersPlan:
    """The arguments as a plan, each of them a whole number in its range."""
    height, width = sides(size)
    ranges: dict[str, tuple[object, int, int]] = {
        "identities": (identities, 4, 1_000_000),
        "cameras": (cameras, 1, 9),
        "images": (images, 1, 10_000),
        "seed": (seed, 0, 2**63 - 1),
        "height": (height, 32, 1024),
        "width": (width, 32, 1024),
    }
    if frames is not None:
        ranges["frames"] = (frames, 1, 999)
    return WalkersPlan(**whole_numbers(ranges))


def _draw_all(folder: Path, plan: WalkersPlan, progress: Progress) -> None:
    for name in (TRAIN, QUERY, GALLERY):
        (folder / name).mkdir()
    canvas = 2 * plan.height, 2 * plan.width
    cameras = [random_camera(plan.generator(CAMERA, n), n, canvas, plan.size) for n in range(1, plan.cameras + 1)]
    train = plan.train()
    for identity in range(1, plan.identities + 1):
        _draw_identity(folder, plan, identity, identity in train, cameras)
        if progress is not None:
            per_identity = plan.cameras * plan.images
            progress(identity * per_identity, plan.identities * per_identity)


def _draw_identity(folder: Path, plan: WalkersPlan, identity: int, train: bool, cameras: list[Camera]) -> None:
    """All pictures of one identity, each written where the split wants it."""
    walker = random_walker(plan.generator(WALKER, identity))
    for number, camera in enumerate(cameras, start=1):
        rng = plan.generator(TRACK, identity, number)
        query = int(rng.integers(plan.images))
        frame = int(rng.integers(1, 200))
        for place, (walk, file) in enumerate(_track(plan, walker, camera, rng)):
            name = f"{identity:04d}_c{number}s{walk}_{frame + 25 * place:06d}_00.jpg"
            parts = [TRAIN] if train else [QUERY] if place == query else [GALLERY]
            if not train and plan.images == 1:
                parts = [QUERY, GALLERY]
            for part in parts:
                (folder / part / name).write_bytes(file)


def _track(plan: WalkersPlan, walker: Walker, camera: Camera, rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    """What one camera sees of one identity: (number of the walk, JPEG file) for each picture."""
    first = int(rng.integers(2))
    phase = rng.uniform(0.0, TURN)
    for image in range(plan.images):
        back = image >= (plan.images + 1) // 2
        yaw = camera.directions[first ^ back] + rng.normal(0.0, 0.25)
        phase += rng.uniform(0.9, 1.7)
        yield 1 + back, _picture(plan, walker, camera, yaw, phase, rng)


def _picture(
    plan: WalkersPlan, walker: Walker, camera: Camera, yaw: float, phase: float, rng: np.random.Generator
) -> bytes:
    """The JPEG file of one detection: the walker as a detector cuts it out, with what is in the way."""
    height, width = 2 * plan.height, 2 * plan.width
    canvas = background(camera, (height, width), rng)
    elevation = max(0.0, camera.elevation + rng.normal(0.0, 0.02))
    foreshortening = np.cos(elevation) + 0.12 * np.sin(elevation)
    scale = min(height, 2.0 * width) * rng.normal(0.945, 0.018) / foreshortening
    ground = height * rng.normal(0.965, 0.012) - 0.05 * np.sin(elevation) * scale
    foot = width * rng.normal(0.5, 0.025), ground
    obstacle = int(rng.integers(len(OBSTACLES) + 2)) if rng.random() < camera.clutter else -1
    if obstacle >= len(OBSTACLES):
        beside = foot[0] + rng.choice([-1.0, 1.0]) * rng.uniform(0.42, 0.55) * width, ground - 0.03 * height
        passer_by = View.of(rng.uniform(0.0, TURN), elevation, beside, scale)
        draw_walker(canvas, random_walker(rng), passer_by, rng.uniform(0.0, TURN))
    shadow(canvas, foot, scale, camera)
    draw_walker(canvas, walker, View.of(yaw, elevation, foot, scale), phase)
    if 0 <= obstacle < len(OBSTACLES):
        OBSTACLES[obstacle](canvas, rng)
    return develop(canvas, camera, plan.size, Moment.random(rng, plan.size))
