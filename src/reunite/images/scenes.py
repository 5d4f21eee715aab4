"""Rendered scenes: whole pictures of several cameras, and what trackers make of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from reunite.errors import InputError
from reunite.images.rendering.cameras import Camera, Moment, jpeg
from reunite.images.rendering.passes import Pass, random_passes
from reunite.images.rendering.plans import (
    CAMERA,
    MOMENT,
    RENDERER,
    ROUTE,
    TRACKER,
    WALKER,
    Plan,
    Progress,
    render_into,
    sides,
    whole_numbers,
)
from reunite.images.rendering.shots import shoot
from reunite.images.rendering.streets import Street, random_street
from reunite.images.rendering.tracker import Row, Tracker
from reunite.images.rendering.walkers import random_walker

Picture = UInt8[np.ndarray, "h w 3"]

RECORD = "scenes.json"
README = f"""Synthetic pictures. Nobody shown here exists: every person is drawn by reunite.images.render_scenes.

For each camera: its frames (a folder such as cam1 with 000001.jpg, 000002.jpg, ..., or the video cam1.mp4), and the
output of a tracker, cam1.txt, in the format of MOTChallenge: frame,id,x,y,width,height,confidence,-1,-1,-1. Frames
count from 1, (0, 0) is the top left corner, ids begin with 1 in each camera. As real trackers do, this one loses people
behind others and gives them a new id, and sometimes mixes up two who cross. truth.csv tells which identity each row
shows. All cameras record the same time. {RECORD} records the arguments they were drawn from.
"""


@dataclass(frozen=True)
class ScenesPlan(Plan):
    """The arguments of `render_scenes`; what `scenes.json` holds."""

    walkers: int
    cameras: int
    seconds: int
    rate: int
    seed: int
    height: int
    width: int
    video: bool
    renderer: int = RENDERER

    @property
    def frames(self) -> int:
        """Frames of one camera."""
        return self.seconds * self.rate


def render_scenes(
    folder: str | Path,
    walkers: int = 40,
    cameras: int = 4,
    seconds: int = 60,
    rate: int = 5,
    seed: int = 0,
    size: tuple[int, int] = (360, 640),
    video: bool = False,
    progress: Progress = None,
) -> Path:
    """Draw streets with people who do not exist, as several fixed cameras record them, and a tracker's output for each.

    Everyone passes at least three of the cameras (or all, if there are fewer), some of them more than once, and is
    never in two places at a time. People are 0.2 to 0.43 of the picture high; the near hide the far, and a pillar, a
    van or a tree hides who walks behind it.

    The tracker is simulated from what can be seen: boxes of the visible part tremble; who is mostly hidden is not
    detected; a track that finds nobody for more than half a second ends, and a new one begins where the walker is seen
    again; and after 8 in 100 crossings of two individuals their tracks go on with each other's person. False alarms do not
    occur. The same arguments give the same files, byte for byte, with the same OpenCV and libjpeg-turbo.

    The folder holds, for camera n, `cam{n}/000001.jpg` and so on (or `cam{n}.mp4`) and `cam{n}.txt`, rows
    `frame,id,x,y,width,height,confidence,-1,-1,-1` in pixels, with (0, 0) at the top left corner; `truth.csv` with the
    columns camera, frame, track and identity and a row for each of theirs; and scenes.json, the record of the
    arguments. A folder that already holds this very rendering is not drawn again. An interrupted rendering leaves
    nothing.

    Args:
        folder: created; must be missing, empty, or hold this same rendering.
        walkers: people, 2 to 10,000, numbered from 1. More than about one for each second and camera is a crowd.
        cameras: 1 to 9, numbered from 1.
        seconds: length of the recording, 30 to 3,600.
        rate: frames a second, 1 to 30.
        seed: 0 or more.
        size: height and width of the pictures, 96 to 1,080 and 96 to 1,920 pixels, the width at most twice the height.
        video: write one video (MPEG-4) for each camera instead of pictures; then height and width must be even.
        progress: called with (pictures drawn, pictures in all) now and then.

    Returns:
        The folder.

    Raises:
        InputError: an argument out of range, or a folder that holds something else.
    """
    plan = _checked(walkers, cameras, seconds, rate, seed, size, video)
    return render_into(folder, plan, RECORD, "scenes", README, partial(_draw_all, plan=plan, progress=progress))


def _checked(
    walkers: int, cameras: int, seconds: int, rate: int, seed: int, size: tuple[int, int], video: bool
) -> ScenesPlan:
    height, width = sides(size)
    numbers = whole_numbers({
        "walkers": (walkers, 2, 10_000),
        "cameras": (cameras, 1, 9),
        "seconds": (seconds, 30, 3600),
        "rate": (rate, 1, 30),
        "seed": (seed, 0, 2**63 - 1),
        "height": (height, 96, 1080),
        "width": (width, 96, 1920),
    })  # fmt: skip
    if numbers["width"] > 2 * numbers["height"]:
        raise InputError(f"width must be at most twice the height; got size={size!r}.")
    if not isinstance(video, bool):
        raise InputError(f"video must be True or False; got {video!r}.")
    if video and (numbers["height"] % 2 or numbers["width"] % 2):
        raise InputError(f"A video needs an even height and width; got size={size!r}.")
    return ScenesPlan(**numbers, video=video)


def _draw_all(folder: Path, plan: ScenesPlan, progress: Progress) -> None:
    streets = [random_street(plan.generator(CAMERA, n), n, plan.size) for n in range(1, plan.cameras + 1)]
    passes: list[list[Pass]] = [[] for _ in streets]
    for identity in range(1, plan.walkers + 1):
        walker = random_walker(plan.generator(WALKER, identity))
        grounds = [street.ground for street in streets]
        for camera, walk in random_passes(plan.generator(ROUTE, identity), identity, walker, grounds, plan.seconds):
            passes[camera].append(walk)
    truth: list[tuple[int, int, int, int]] = []
    for camera, street in enumerate(streets, start=1):
        rows = []
        with _output(folder, camera, plan) as write:
            for frame, picture, seen in _film(plan, camera, street, passes[camera - 1]):
                write(frame, picture, street.camera)
                rows += seen
                if progress is not None and (frame % 20 == 0 or frame == plan.frames):
                    progress((camera - 1) * plan.frames + frame, plan.cameras * plan.frames)
        (folder / f"cam{camera}.txt").write_text("".join(map(_line, rows)), encoding="utf-8", newline="\n")
        truth += [(camera, row.frame, row.track, row.identity) for row in rows]
    with (folder / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("camera", "frame", "track", "identity"), *truth])


def _line(row: Row) -> str:
    x, y, width, height = row.box
    return f"{row.frame},{row.track},{x:.1f},{y:.1f},{width:.1f},{height:.1f},{row.confidence:.2f},-1,-1,-1\n"


@contextmanager
def _output(folder: Path, number: int, plan: ScenesPlan) -> Iterator[Callable[[int, Picture, Camera], None]]:
    """What takes the frames of one camera (number, picture, camera), in ascending order."""
    name = folder / f"cam{number}"
    if not plan.video:
        name.mkdir()

        def write_file(frame: int, picture: Picture, camera: Camera) -> None:
            (name / f"{frame:06d}.jpg").write_bytes(jpeg(picture, camera))

        yield write_file
        return
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(f"{name}.mp4", fourcc, plan.rate, (plan.width, plan.height))
    if not writer.isOpened():
        raise InputError("This OpenCV cannot write MPEG-4 videos. Pass video=False.")

    def write_frame(frame: int, picture: Picture, camera: Camera) -> None:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    try:
        yield write_frame
    finally:
        writer.release()


def _film(
    plan: ScenesPlan, camera: int, street: Street, passes: list[Pass]
) -> Iterator[tuple[int, Picture, list[Row]]]:
    """The frames of one camera: (number, picture, rows of the tracker)."""
    rng = plan.generator(MOMENT, camera)
    moment = Moment.random(rng, plan.size)
    tracker = Tracker(plan.generator(TRACKER, camera), plan.size, plan.rate)
    for frame in range(1, plan.frames + 1):
        there = {key: person for key, walk in enumerate(passes) if (person := walk.at((frame - 1) / plan.rate))}
        picture, sightings = shoot(street, list(there.values()), moment)
        seen = {
            key: (passes[key].identity, sighting) for key, sighting in zip(there, sightings, strict=True) if sighting
        }
        yield frame, picture, tracker.follow(frame, seen)
        moment = moment.later(rng, plan.size, change=0.05)
