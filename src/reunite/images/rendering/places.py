"""What a camera looks at: places with their ground and what stands behind it, and what may stand in the way."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from reunite.images.rendering.figures import Color, Shape, draw, mixed

PANORAMA = 6  # how many pictures wide a scene is
PLACES = 4  # how many places a scene shows
NEAREST = 255  # nearness of what stands between camera and walker


def panorama(rng: np.random.Generator, canvas: tuple[int, int], elevation: float) -> UInt8[np.ndarray, "h w 4"]:
    """Places that run into each other, each ground in perspective and what stands behind it; channel 4 stays 0."""
    height, width = int(1.12 * canvas[0]), PANORAMA * canvas[1]
    horizon = int(height * max(-0.2, 0.62 - 2.1 * elevation))
    picture = np.zeros((height, width, 3), np.float32)
    for middle in range(PLACES):
        place = painted_place(rng, (height, width), horizon)
        away = np.abs((np.arange(width) + 0.5) * PLACES / width - 0.5 - middle)
        away = np.minimum(away, PLACES - away)
        picture += place[..., :3] * np.clip(4.0 * (0.625 - away), 0.0, 1.0).astype(np.float32)[:, None]
    return weathered(rng, picture, 1.6 * canvas[0] / 256)


def painted_place(rng: np.random.Generator, size: tuple[int, int], horizon: int) -> UInt8[np.ndarray, "h w 4"]:
    """One place of (height, width): ground below the row `horizon`, and what stands behind it; channel 4 stays 0."""
    place = np.zeros((*size, 4), np.uint8)
    _ground(rng, place, horizon)
    if horizon > 8:
        _backdrop(rng, place[:horizon])
    return place


def weathered(
    rng: np.random.Generator, picture: Float32[np.ndarray, "h w 3"], blur: float
) -> UInt8[np.ndarray, "h w 4"]:
    """The painting with stains and roughness, out of focus by `blur` pixels; channel 4 is 0."""
    height, width = picture.shape[:2]
    coarse = rng.normal(0.0, 5.0, (12, 60)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    texture += rng.normal(0.0, 4.0, (height, width)).astype(np.float32)
    scene = np.zeros((height, width, 4), np.uint8)
    scene[..., :3] = np.clip(cv2.GaussianBlur(picture + texture[..., None], (0, 0), blur), 0, 255)
    return scene


def _ground(rng: np.random.Generator, scene: UInt8[np.ndarray, "h w 4"], horizon: int) -> None:
    """Asphalt with markings, paving, or grass with a path."""
    height, width = scene.shape[:2]
    base = ((124, 125, 127), (144, 141, 136), (158, 152, 144), (120, 130, 100), (136, 128, 120))[int(rng.integers(5))]
    far = mixed(base, (200, 204, 206), 0.35)
    rows = np.arange(height, dtype=np.float32)[:, None]
    share = np.clip((rows - horizon) / (height - horizon), 0.0, 1.0)
    scene[..., :3] = ((1.0 - share) * np.array(far) + share * np.array(base))[:, None].astype(np.uint8)
    top = max(0, horizon)
    kind = rng.integers(3)
    if base[1] > base[0]:  # grass: tufts
        count = width // 2
        x, y = rng.uniform(0, width, count), top + (height - top) * rng.random(count) ** 0.7
        length = 2 + 7 * (y - top) / (height - top)
        for a, b, size, shade in zip(x, y, length, rng.uniform(0.8, 1.2, count), strict=True):
            tint = tuple(int(min(255, shade * channel)) for channel in base)
            cv2.ellipse(scene, (int(a), int(b)), (int(2 * size), int(size)), 0, 0, 360, (*tint, 0), -1, cv2.LINE_AA)
    elif kind == 0:  # paving: joints that meet at the horizon
        joint = (*mixed(base, (60, 58, 56), 0.4), 0)
        for step in np.geomspace(0.02, 1.0, 12):
            y = int(horizon + step * (height - horizon))
            cv2.line(scene, (0, y), (width, y), joint, 1 if step < 0.5 else 2, cv2.LINE_AA)
        for x in np.linspace(-2 * width, 3 * width, 90):
            cv2.line(scene, (int(x), height), (int(width / 2 + 0.1 * (x - width / 2)), horizon), joint, 1, cv2.LINE_AA)
    else:  # markings and a kerb
        for step, color in (
            (rng.uniform(0.15, 0.4), (*mixed(base, (226, 224, 216), 0.55), 0)),
            (rng.uniform(0.5, 0.9), (*mixed(base, (200, 198, 194), 0.5), 0)),
        ):
            y, thick = horizon + step * (height - horizon), 2 + 9 * step
            tilt = rng.uniform(-0.05, 0.05) * height
            corners = np.array([[0, y], [width, y + tilt], [width, y + tilt + thick], [0, y + thick]])
            draw(scene, [Shape(corners, color)])


def _backdrop(rng: np.random.Generator, scene: UInt8[np.ndarray, "h w 4"]) -> None:
    """A brick wall, house fronts with windows and doors, or a hedge with trees."""
    height, width = scene.shape[:2]
    wall: Color = ((156, 108, 88), (178, 170, 158), (140, 146, 152), (198, 186, 160), (120, 126, 134))[
        int(rng.integers(5))
    ]
    scene[..., :3] = wall
    kind = rng.integers(3)
    if kind == 0:
        joint = (*mixed(wall, (225, 220, 210), 0.35), 0)
        course = max(4, scene.shape[1] // PANORAMA // 14)
        for row, y in enumerate(range(height, -1, -course)):
            cv2.line(scene, (0, y), (width, y), joint, 1)
            for x in range((row % 2) * course, width, 2 * course):
                cv2.line(scene, (x, y), (x, y - course), joint, 1)
    elif kind == 1:
        unit = scene.shape[1] // PANORAMA
        for x in range(int(rng.integers(unit // 2)), width, int(unit * rng.uniform(0.75, 1.1))):
            glass = ((66, 78, 92), (98, 114, 128), (52, 50, 54), (150, 160, 166))[int(rng.integers(4))]
            tall = int(height * rng.uniform(0.45, 1.0))
            frame = mixed(wall, (240, 240, 236), 0.6)
            cv2.rectangle(scene, (x - 3, height - tall - 3), (x + unit // 2 + 3, height), (*frame, 0), -1)
            cv2.rectangle(scene, (x, height - tall), (x + unit // 2, height - int(0.1 * tall)), (*glass, 0), -1)
    else:
        scene[..., :3] = (186, 200, 208)
        for _ in range(width // 3):
            leaf = mixed((48, 76, 44), (118, 142, 84), float(rng.random()))
            middle = (int(rng.integers(width)), int(height * (1.0 - 0.75 * rng.random() ** 1.5)))
            radius = int(height * rng.uniform(0.04, 0.16)) + 1
            cv2.circle(scene, middle, radius, (*leaf, 0), -1, cv2.LINE_AA)


def _bollard(canvas: UInt8[np.ndarray, "h w 4"], rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    color = ((70, 72, 76), (176, 60, 48), (196, 192, 184))[int(rng.integers(3))]
    x, half, top = rng.uniform(0.15, 0.85) * width, 0.055 * width, rng.uniform(0.58, 0.74) * height
    post = np.array([[x - half, height], [x - half, top], [x, top - half], [x + half, top], [x + half, height]])
    band = np.array(
        [[x - half, top + half], [x + half, top + half], [x + half, top + 3 * half], [x - half, top + 3 * half]]
    )
    draw(canvas, [Shape(post, (*color, NEAREST)), Shape(band, (*mixed(color, (250, 250, 240), 0.6), NEAREST))])


def _hedge(canvas: UInt8[np.ndarray, "h w 4"], rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    top = rng.uniform(0.72, 0.86) * height
    cv2.rectangle(canvas, (0, int(top + 0.03 * height)), (width, height), (58, 84, 50, NEAREST), -1)
    for _ in range(26):
        leaf = mixed((40, 64, 36), (112, 138, 80), float(rng.random()))
        middle = (int(rng.integers(width)), int(top + (height - top) * rng.random()))
        cv2.circle(canvas, middle, int(rng.uniform(0.02, 0.045) * height), (*leaf, NEAREST), -1, cv2.LINE_AA)


def _post(canvas: UInt8[np.ndarray, "h w 4"], rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    x, half = rng.choice([0.12, 0.3, 0.72, 0.9]) * width, rng.uniform(0.03, 0.06) * width
    color = ((96, 98, 100), (62, 74, 66), (134, 118, 98))[int(rng.integers(3))]
    corners = np.array([[x - half, 0], [x + half, 0], [x + half, height], [x - half, height]])
    draw(canvas, [Shape(corners, (*color, NEAREST))])


def _car(canvas: UInt8[np.ndarray, "h w 4"], rng: np.random.Generator) -> None:
    """The bonnet of a parked car."""
    height, width = canvas.shape[:2]
    paint: Color = ((168, 170, 174), (44, 46, 52), (150, 38, 40), (44, 66, 110), (224, 222, 216))[int(rng.integers(5))]
    top, start = rng.uniform(0.70, 0.82) * height, rng.uniform(0.2, 0.6)
    outline = np.array([[start - 0.1, 1.1], [start, 0.25], [start + 0.1, 0.0], [1.2, -0.12], [1.2, 1.1]])
    lamp = np.array([[start + 0.02, 0.35], [start + 0.05, 0.2], [start + 0.2, 0.2], [start + 0.18, 0.4]])
    if rng.random() < 0.5:
        outline[:, 0], lamp[:, 0] = 1.0 - outline[:, 0], 1.0 - lamp[:, 0]
    scale, shift = np.array([width, height - top]), np.array([0.0, top])
    shapes = [Shape(outline * scale + shift, (*paint, NEAREST)), Shape(lamp * scale + shift, (236, 232, 214, NEAREST))]
    draw(canvas, shapes)


OBSTACLES: tuple[Callable[[UInt8[np.ndarray, "h w 4"], np.random.Generator], None], ...] = (
    _bollard,
    _hedge,
    _post,
    _car,
)
"""What may stand in the way. Each draws itself on the canvas, which changes."""
