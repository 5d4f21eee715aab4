"""What a camera does to a picture: where it looks from and at, what stands in its way, light, lens and compression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Float, Float32, Int16, UInt8

from reunite.images.rendering.figures import Color, Shape, draw, mixed

PANORAMA = 6  # how many pictures wide a scene is
PLACES = 4  # how many places a scene shows
NEAREST = 255  # nearness of what stands between camera and walker


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera: its scene and its faults, the same in every image it takes.

    Attributes:
        scene: panorama behind the walkers, at the size of the canvas times `PANORAMA` in width.
        elevation: how far it looks down, radians.
        directions: where walkers face in it, radians (0 is towards the camera): they come and go along one path.
        light: where light comes from on screen, in [-1, 1]; -1 is the left. ambience: share of light without direction.
        tones: what becomes of 256 levels of red, green and blue, in [0, 1], (256, 3): white balance and tone curve.
        blur: standard deviation in pixels of the picture. noise: grain, (2h, 2w, 3). quality: of JPEG, in [1, 100].
        clutter: share of pictures in which something stands in the way.
    """

    scene: UInt8[np.ndarray, "h w 4"]
    elevation: float
    directions: tuple[float, float]
    light: float
    ambience: float
    tones: Float[np.ndarray, "256 3"]
    blur: float
    noise: Int16[np.ndarray, "h2 w2 3"]
    quality: int
    clutter: float


def random_camera(rng: np.random.Generator, number: int, canvas: tuple[int, int], size: tuple[int, int]) -> Camera:
    """Camera `number` (from 1), drawn at random; neighbouring numbers look from different sides."""
    elevation = float(rng.uniform(0.06, 0.34))
    path = (number - 1) * 0.3 * np.pi + rng.uniform(-0.3, 0.3)
    warmth, tint = rng.normal(0.0, 0.03), rng.normal(0.0, 0.01)
    white = np.array([1.0 + warmth, 1.0 + tint, 1.0 - warmth])
    level = np.linspace(0.0, 1.0, 256)[:, None]
    grain = rng.normal(0.0, rng.uniform(1.5, 5.0), (2 * size[0], 2 * size[1], 1))
    color_grain = rng.normal(0.0, 1.5, (2 * size[0], 2 * size[1], 3))
    return Camera(
        scene=_scene(rng, canvas, elevation),
        elevation=elevation,
        directions=(float(path), float(path + np.pi)),
        light=float(rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.0)),
        ambience=float(rng.uniform(0.3, 0.8)),
        tones=0.5 + rng.uniform(0.88, 1.05) * (level ** rng.uniform(0.92, 1.14) * white - 0.5),
        blur=float(rng.uniform(0.0, 0.65)) * size[0] / 128,
        noise=(grain + color_grain).astype(np.int16),
        quality=int(rng.integers(78, 95)),
        clutter=float(rng.uniform(0.08, 0.2)),
    )


def background(camera: Camera, canvas: tuple[int, int], rng: np.random.Generator) -> UInt8[np.ndarray, "h w 4"]:
    """A fresh canvas with a piece of the camera's scene."""
    height, width = canvas
    left = int(rng.integers(0, camera.scene.shape[1] - width + 1))
    top = int(rng.integers(0, camera.scene.shape[0] - height + 1))
    return camera.scene[top : top + height, left : left + width].copy()


def shadow(canvas: UInt8[np.ndarray, "h w 4"], foot: tuple[float, float], scale: float, camera: Camera) -> None:
    """Darken the ground around the feet, away from the light; `canvas` changes."""
    height, width = canvas.shape[:2]
    half_wide, half_high = 0.34 * scale, (0.03 + 0.16 * np.sin(camera.elevation)) * scale
    x, y = foot[0] - 0.10 * camera.light * scale, foot[1] - 0.01 * scale
    top, bottom = max(0, int(y - half_high)), min(height, int(y + half_high) + 1)
    if top >= bottom:
        return
    across = ((np.arange(width, dtype=np.float32) - x) / half_wide) ** 2
    along = ((np.arange(top, bottom, dtype=np.float32) - y) / half_high) ** 2
    dark = 1.0 - 0.55 * np.maximum(0.0, 1.0 - across - along[:, None]).astype(np.float32)
    canvas[top:bottom] = cv2.multiply(canvas[top:bottom], cv2.merge([dark] * 4), dtype=cv2.CV_8U)


def develop(
    canvas: UInt8[np.ndarray, "h w 4"], camera: Camera, size: tuple[int, int], rng: np.random.Generator
) -> bytes:
    """The JPEG file that the camera writes of what is on `canvas`."""
    height, width = size
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    picture = cv2.cvtColor(small, cv2.COLOR_RGBA2RGB)
    light = _light(cv2.extractChannel(small, 3), camera, rng)
    picture = cv2.multiply(picture, cv2.merge([light, light, light]), dtype=cv2.CV_8U)
    sigma = camera.blur + 0.35 * max(0.0, rng.normal(0.0, 1.0) - 0.9) * height / 128
    if sigma > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    picture = cv2.LUT(picture, _tones(camera, rng))
    top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
    grain = camera.noise[top : top + height, left : left + width]
    picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
    file: bytes = simplejpeg.encode_jpeg(picture, quality=camera.quality, colorspace="RGB", colorsubsampling="420")
    return file


def _light(near: UInt8[np.ndarray, "h w"], camera: Camera, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """How bright each pixel is lit: rounded bodies, dark creases, folds of cloth, a slow change over the picture."""
    height, width = near.shape
    surface = near.astype(np.float32) / 255.0
    unit = height / 128
    soft = cv2.GaussianBlur(surface, (0, 0), 2.6 * unit)
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3)
    body = np.minimum(1.0, 4.0 * surface)
    folds = cv2.resize(rng.standard_normal((14, 8), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    crease = np.minimum(0.0, surface - soft + 0.12)
    directed = (1.0 - camera.ambience) * camera.light
    ramp = np.linspace(1.0 - 0.08 * camera.light, 1.0 + 0.08 * camera.light, width, dtype=np.float32)[::-1]
    lit = 1.03 + body * (0.9 * directed / unit * slope * 1.6 + 0.055 * folds) + 0.35 * crease
    return np.minimum(np.maximum(lit, 0.45), 1.4) * ramp


def _tones(camera: Camera, rng: np.random.Generator) -> UInt8[np.ndarray, "1 256 3"]:
    """The camera's tones under the exposure and white balance of one moment."""
    exposure = 255.0 * np.exp(rng.normal(0.0, 0.06)) * (1.0 + rng.normal(0.0, 0.012, 3))
    return np.minimum(np.maximum(camera.tones * exposure, 0.0), 255.0).astype(np.uint8)[None]


def _scene(rng: np.random.Generator, canvas: tuple[int, int], elevation: float) -> UInt8[np.ndarray, "h w 4"]:
    """Places that run into each other, each ground in perspective and what stands behind it; channel 4 stays 0."""
    height, width = int(1.12 * canvas[0]), PANORAMA * canvas[1]
    horizon = int(height * max(-0.2, 0.62 - 2.1 * elevation))
    picture = np.zeros((height, width, 3), np.float32)
    for middle in range(PLACES):
        place = np.zeros((height, width, 4), np.uint8)
        _ground(rng, place, horizon)
        if horizon > 8:
            _backdrop(rng, place[:horizon])
        away = np.abs((np.arange(width) + 0.5) * PLACES / width - 0.5 - middle)
        away = np.minimum(away, PLACES - away)
        picture += place[..., :3] * np.clip(4.0 * (0.625 - away), 0.0, 1.0).astype(np.float32)[:, None]
    coarse = rng.normal(0.0, 5.0, (12, 60)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    texture += rng.normal(0.0, 4.0, (height, width)).astype(np.float32)
    scene = np.zeros((height, width, 4), np.uint8)
    blurred = cv2.GaussianBlur(picture + texture[..., None], (0, 0), 1.6 * canvas[0] / 256)
    scene[..., :3] = np.clip(blurred, 0, 255)
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
