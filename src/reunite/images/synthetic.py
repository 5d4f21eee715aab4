"""Rendered walkers: a data set of people who do not exist, seen by several cameras."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from reunite.errors import InputError
from reunite.images.readers import read
from reunite.images.rendering.bodies import draw_walker
from reunite.images.rendering.figures import View
from reunite.images.rendering.scenes import OBSTACLES, Camera, background, develop, random_camera, shadow
from reunite.images.rendering.walkers import Walker, random_walker
from reunite.types import Dataset

RENDERER = 1
"""Raised whenever the same arguments give other pictures; an older rendering is then not taken for the present one."""

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
WALKER, CAMERA, TRACK, SPLIT = range(4)  # what random numbers are drawn for
TURN = 2.0 * np.pi


@dataclass(frozen=True)
class Rendering:
    """Everything the pictures depend on; what `walkers.json` holds."""

    identities: int
    cameras: int
    images: int
    seed: int
    height: int
    width: int
    renderer: int = RENDERER

    def generator(self, *purpose: int) -> np.random.Generator:
        """Random numbers for one purpose: the same whatever else is drawn before, and or whatever order."""
        return np.random.default_rng([self.seed, *purpose])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self.height, self.width

    @property
    def total(self) -> int:
        """Pictures drawn."""
        return self.identities * self.cameras * self.images


def render_walkers(
    folder: str | Path,
    identities: int = 60,
    cameras: int = 4,
    images: int = 8,
    seed: int = 0,
    size: tuple[int, int] = (128, 64),
    progress: Callable[[int, int], None] | None = None,
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

    A folder that already holds this very rendering is read and not drawn again. Files are drawn under a temporary
    name beside `folder`, which is renamed at the end: an interrupted rendering leaves nothing under `folder`.

    Args:
        folder: created; must be missing, empty, or hold this same rendering.
        identities: people, at least 4, numbered from 1.
        cameras: 1 to 9, numbered from 1.
        images: pictures of each identity by each camera, 1 to 10,000.
        seed: 0 or more.
        size: height and width of the pictures in pixels, 32 to 1,024 each; people are drawn twice as high as wide.
        progress: called with (pictures drawn, pictures in all) now and then.

    Returns:
        The data set "walkers", as `read` would read it; `note` tells how it is split.

    Raises:
        InputError: an argument out of range, or a folder that holds something else.
    """
    plan = _checked(identities, cameras, images, seed, size)
    target = Path(os.path.abspath(os.path.expanduser(folder)))
    if _is_free(target, plan):
        _render_into(target, plan, progress)
    dataset = replace(read(target), name="walkers", note=NOTE)
    count = len(dataset.train) + len(dataset.query) + len(dataset.gallery)
    expected = plan.total if images > 1 else plan.total + (identities - identities // 2) * cameras
    if count != expected:
        raise InputError(
            f"{target} should hold {expected:,} pictures but holds {count:,}: files were added or removed. "
            "Delete the folder and render again."
        )
    return dataset


def _checked(identities: int, cameras: int, images: int, seed: int, size: tuple[int, int]) -> Rendering:
    """The arguments as a plan, each of them a whole number in its range."""
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise InputError(f"size must be (height, width) in pixels; got {size!r}.")
    ranges = {
        "identities": (identities, 4, 1_000_000),
        "cameras": (cameras, 1, 9),
        "images": (images, 1, 10_000),
        "seed": (seed, 0, 2**63 - 1),
        "height": (size[0], 32, 1024),
        "width": (size[1], 32, 1024),
    }
    for name, (value, low, high) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise InputError(f"{name} must be a whole number from {low:,} to {high:,}; got {value!r}.")
    return Rendering(**{name: int(value) for name, (value, _, _) in ranges.items()})


def _is_free(target: Path, plan: Rendering) -> bool:
    """Whether `target` is to be drawn: True if missing or empty, False if it holds this rendering.

    Raises:
        InputError: it holds something else.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return True
    advice = "Pass a folder that does not exist yet, or delete this one."
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{target} exists and is no rendering of walkers (it has no {RECORD}). {advice}") from None
    if record != asdict(plan):
        raise InputError(f"{target} holds another rendering: {record}, not {asdict(plan)}. {advice}")
    return False


def _render_into(target: Path, plan: Rendering, progress: Callable[[int, int], None] | None) -> None:
    """Draw everything beside `target`, then rename."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    for name in (TRAIN, QUERY, GALLERY):
        (temporary / name).mkdir(parents=True)
    try:
        _draw_all(temporary, plan, progress)
        (temporary / "README.txt").write_text(README, encoding="utf-8")
        (temporary / RECORD).write_text(json.dumps(asdict(plan), indent=1) + "\n", encoding="utf-8")
        if target.exists():
            target.rmdir()  # empty: Windows does not rename over it
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _draw_all(folder: Path, plan: Rendering, progress: Callable[[int, int], None] | None) -> None:
    canvas = 2 * plan.height, 2 * plan.width
    cameras = [random_camera(plan.generator(CAMERA, n), n, canvas, plan.size) for n in range(1, plan.cameras + 1)]
    train = set((1 + plan.generator(SPLIT).permutation(plan.identities)[: plan.identities // 2]).tolist())
    for identity in range(1, plan.identities + 1):
        _draw_identity(folder, plan, identity, identity in train, cameras)
        if progress is not None:
            progress(identity * plan.cameras * plan.images, plan.total)


def _draw_identity(folder: Path, plan: Rendering, identity: int, train: bool, cameras: list[Camera]) -> None:
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


def _track(plan: Rendering, walker: Walker, camera: Camera, rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    """What one camera sees of one identity: (number of the walk, JPEG file) for each picture."""
    first = int(rng.integers(2))
    phase = rng.uniform(0.0, TURN)
    for image in range(plan.images):
        back = image >= (plan.images + 1) // 2
        yaw = camera.directions[first ^ back] + rng.normal(0.0, 0.25)
        phase += rng.uniform(0.9, 1.7)
        yield 1 + back, _picture(plan, walker, camera, yaw, phase, rng)


def _picture(
    plan: Rendering, walker: Walker, camera: Camera, yaw: float, phase: float, rng: np.random.Generator
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
    return develop(canvas, camera, plan.size, rng)
