"""The street that one fixed camera looks at: its ground, what is behind it, and what people disappear behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from reunite.images.rendering.cameras import Camera, random_camera
from reunite.images.rendering.figures import Color, Shape, View, draw, mixed
from reunite.images.rendering.ground import Ground
from reunite.images.rendering.places import painted_place, weathered

UNIT = 0.32
"""How large people are on average against those in crops as high as the picture."""

MARK = 200  # in the fourth channel while one thing is drawn


@dataclass(frozen=True, eq=False)
class Stamp:
    """Something that stands in the street, already drawn: copied over whoever is behind it.

    Attributes:
        z: how far away it is. window: where it is on the canvas, rows and columns.
        pixels: (h, w, 4). mask: which of them belong to it, (h, w).
    """

    z: float
    window: tuple[slice, slice]
    pixels: UInt8[np.ndarray, "h w 4"]
    mask: Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Street:
    """A camera, its ground and what stands there; `camera.scene` is the canvas without people, `empty` at half size."""

    camera: Camera
    ground: Ground
    stamps: tuple[Stamp, ...]
    empty: UInt8[np.ndarray, "h w 4"]


def random_street(rng: np.random.Generator, number: int, size: tuple[int, int]) -> Street:
    """The street of camera `number` (from 1) for pictures of (height, width), drawn at random."""
    canvas = 2 * size[0], 2 * size[1]
    camera = random_camera(rng, number, canvas, size, _paint)
    ground = Ground.of(canvas, camera.elevation)
    scene = camera.scene
    side = float(rng.choice([-1.0, 1.0]))
    kinds = int(rng.integers(len(LARGE))), int(rng.integers(len(SMALL)))
    things = [
        (float(rng.uniform(0.6, 0.8) * ground.far), side * rng.uniform(0.25, 0.75), LARGE[kinds[0]]),
        (float(rng.uniform(0.5, 0.8) * ground.far), -side * rng.uniform(0.25, 0.75), SMALL[kinds[1]]),
    ]
    stamps = []
    for z, share, thing in sorted(things, key=lambda one: -one[0]):
        thing(scene, ground.view(share * ground.half(z), z, 0.0), rng)
        stamps.append(_stamp(scene, z))
        scene[..., 3] = 0
    empty = cv2.resize(scene, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
    return Street(replace(camera, blur=UNIT * camera.blur), ground, tuple(stamps), empty)


def _paint(rng: np.random.Generator, canvas: tuple[int, int], elevation: float) -> UInt8[np.ndarray, "h w 4"]:
    """The ground, and what stands behind it a little farther than people go."""
    ground = Ground.of(canvas, elevation)
    place = painted_place(rng, canvas, int(ground.row(1.35 * ground.far)))
    return weathered(rng, place[..., :3].astype(np.float32), 1.6 * UNIT * canvas[0] / 256)


def _stamp(scene: UInt8[np.ndarray, "h w 4"], z: float) -> Stamp:
    """What of the scene was drawn last, by its mark."""
    mask = scene[..., 3] > MARK // 2
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    window = slice(y, y + height), slice(x, x + width)
    pixels = scene[window].copy()
    pixels[..., 3] = 0
    return Stamp(z, window, pixels, mask[window].copy())


def _board(view: View, points: list[tuple[float, float]], color: Color) -> Shape:
    """A flat shape that faces the camera; points are (to the right, up) in body heights."""
    up = math.hypot(*view.screen[2])
    outline = np.array([(view.foot[0] + a * view.scale, view.foot[1] - z * up) for a, z in points])
    return Shape(outline, (*color, MARK))


def _box(view: View, left: float, right: float, bottom: float, top: float, color: Color) -> Shape:
    return _board(view, [(left, bottom), (right, bottom), (right, top), (left, top)], color)


def _pillar(scene: UInt8[np.ndarray, "h w 4"], view: View, rng: np.random.Generator) -> None:
    """A pillar with posters."""
    body = ((92, 98, 96), (128, 120, 110), (70, 84, 78))[int(rng.integers(3))]
    half, top = 0.34, rng.uniform(1.4, 1.55)
    dome = [(half * 1.12 * math.cos(turn), top + 0.24 * math.sin(turn)) for turn in np.linspace(0.0, math.pi, 11)]
    foot = [(half * math.cos(turn), 0.04 * math.sin(turn)) for turn in np.linspace(math.pi, 2.0 * math.pi, 9)]
    shapes = [_board(view, [*foot, (half, top), (-half, top)], body)]
    for left, right in ((-0.31, -0.03), (0.03, 0.29)):
        paper: Color = ((222, 214, 190), (190, 70, 60), (70, 110, 160), (230, 190, 80), (90, 150, 110))[
            int(rng.integers(5))
        ]
        ink = mixed(paper, (30, 30, 36), 0.7)
        shapes += [_box(view, left, right, 0.55, 1.25, paper), _box(view, left + 0.05, right - 0.05, 1.0, 1.15, ink)]
        shapes.append(_box(view, left + 0.05, right - 0.05, 0.65, 0.72, ink))
    shade = [(0.24, 0.0), (half, 0.0), (half, top), (0.24, top)]
    shapes += [_board(view, shade, mixed(body, (20, 20, 24), 0.35)), _board(view, dome, mixed(body, (30, 40, 36), 0.4))]
    draw(scene, shapes)


def _van(scene: UInt8[np.ndarray, "h w 4"], view: View, rng: np.random.Generator) -> None:
    """A parked van from its side."""
    paint: Color = ((226, 226, 222), (58, 88, 132), (166, 52, 48), (196, 168, 70), (92, 98, 104))[int(rng.integers(5))]
    way = float(rng.choice([-1.0, 1.0]))
    body = [(-1.25, 0.16), (1.25, 0.16), (1.25, 0.56), (0.95, 0.66), (0.7, 1.12), (-1.2, 1.16), (-1.25, 1.08)]
    window = [(0.32, 0.68), (0.86, 0.68), (0.66, 1.04), (0.32, 1.04)]
    panes = [(-1.05, 0.7), (0.2, 0.7), (0.2, 1.02), (-1.05, 1.02)]
    shapes = [_board(view, [(way * a, z) for a, z in body], paint)]
    shapes.append(_board(view, [(way * a, z) for a, z in window], (58, 68, 78)))
    shapes.append(_board(view, [(way * a, z) for a, z in panes], mixed(paint, (60, 66, 74), 0.25)))
    shapes.append(_box(view, -1.25, 1.25, 0.16, 0.24, (44, 44, 48)))
    for a in (-0.8, 0.82):
        for radius, color in ((0.2, (28, 28, 30)), (0.1, (140, 142, 146))):
            turns = np.linspace(0.0, 2.0 * math.pi, 17)
            wheel = [(way * a + radius * math.cos(turn), 0.18 + radius * math.sin(turn)) for turn in turns]
            shapes.append(_board(view, wheel, color))
    draw(scene, shapes)


def _tree(scene: UInt8[np.ndarray, "h w 4"], view: View, rng: np.random.Generator) -> None:
    """A tree in a tub."""
    draw(scene, [
        _board(view, [(-0.42, 0.0), (0.42, 0.0), (0.5, 0.42), (-0.5, 0.42)], (132, 120, 108)),
        _box(view, -0.5, 0.5, 0.38, 0.44, (150, 140, 128)),
        _board(view, [(-0.06, 0.4), (0.06, 0.4), (0.045, 1.4), (-0.045, 1.4)], (86, 68, 52)),
    ])  # fmt: skip
    up = math.hypot(*view.screen[2])
    for _ in range(160):
        turn, away = rng.uniform(0.0, 2.0 * math.pi), rng.random() ** 0.7
        leaf = mixed((44, 72, 40), (116, 144, 84), float(rng.random()))
        x = view.foot[0] + 0.55 * away * math.cos(turn) * view.scale
        y = view.foot[1] - (1.55 + 0.5 * away * math.sin(turn)) * up
        cv2.circle(scene, (int(x), int(y)), max(1, int(0.09 * view.scale)), (*leaf, MARK), -1, cv2.LINE_AA)


def _sign(scene: UInt8[np.ndarray, "h w 4"], view: View, rng: np.random.Generator) -> None:
    """A board on two posts."""
    paint: Color = ((52, 96, 140), (70, 104, 78), (150, 60, 52))[int(rng.integers(3))]
    posts = [_box(view, a - 0.02, a + 0.02, 0.0, 1.2, (96, 98, 100)) for a in (-0.24, 0.24)]
    rows = [
        _box(view, -0.2, rng.uniform(0.0, 0.2), z, z + 0.035, mixed(paint, (250, 250, 244), 0.8))
        for z in (0.85, 0.95, 1.05)
    ]
    draw(scene, [*posts, _box(view, -0.28, 0.28, 0.75, 1.18, paint), *rows])


Thing = Callable[[UInt8[np.ndarray, "h w 4"], View, np.random.Generator], None]
LARGE: tuple[Thing, ...] = (_pillar, _van)
SMALL: tuple[Thing, ...] = (_tree, _sign)
"""What may stand in a street, one of each. Each draws itself on the canvas, which changes."""
