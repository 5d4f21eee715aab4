"""What a camera does to a picture: where it looks from, light, lens, sensor and compression."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Float, Float32, Int16, UInt8

from reunite.images.rendering.places import panorama

OPEN = np.float32(1.03)  # how bright a place is lit that no body is near


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


Painter = Callable[[np.random.Generator, tuple[int, int], float], UInt8[np.ndarray, "h w 4"]]
"""Paints what a camera looks at, from random numbers, the (height, width) of a canvas, and the camera's elevation."""


@dataclass(frozen=True, eq=False)
class Moment:
    """What differs between the pictures of one camera: standard normal numbers, and a place in the grain.

    Attributes:
        folds: of cloth, (14, 8). softness: the camera is out of focus where it is above 0.9.
        exposure, white: brightness, and balance of red, green and blue, (3,).
        grain: row and column of the camera's noise that the picture begins at.
    """

    folds: Float32[np.ndarray, "14 8"]
    softness: float
    exposure: float
    white: Float[np.ndarray, 3]
    grain: tuple[int, int]

    @classmethod
    def random(cls, rng: np.random.Generator, size: tuple[int, int]) -> Moment:
        """Any moment, for pictures of (height, width)."""
        folds = rng.standard_normal((14, 8), dtype=np.float32)
        softness, exposure = float(rng.standard_normal()), float(rng.standard_normal())
        white = rng.standard_normal(3)
        return cls(folds, softness, exposure, white, (int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))))

    def later(self, rng: np.random.Generator, size: tuple[int, int], change: float = 0.2) -> Moment:
        """The moment of the next frame of a video: the same but for a share `change`, and with other grain."""
        other, kept = Moment.random(rng, size), math.sqrt(1.0 - change * change)
        return Moment(
            folds=np.float32(kept) * self.folds + np.float32(change) * other.folds,
            softness=kept * self.softness + change * other.softness,
            exposure=kept * self.exposure + change * other.exposure,
            white=kept * self.white + change * other.white,
            grain=other.grain,
        )


def random_camera(
    rng: np.random.Generator, number: int, canvas: tuple[int, int], size: tuple[int, int], paint: Painter | None = None
) -> Camera:
    """Camera `number` (from 1), drawn at random; neighbouring numbers look from different sides.

    `paint` paints its scene; None is the panorama of several places that crops of walkers are drawn on.
    """
    elevation = float(rng.uniform(0.06, 0.34))
    path = (number - 1) * 0.3 * np.pi + rng.uniform(-0.3, 0.3)
    warmth, tint = rng.normal(0.0, 0.03), rng.normal(0.0, 0.01)
    white = np.array([1.0 + warmth, 1.0 + tint, 1.0 - warmth])
    level = np.linspace(0.0, 1.0, 256)[:, None]
    grain = rng.normal(0.0, rng.uniform(1.5, 5.0), (2 * size[0], 2 * size[1], 1))
    color_grain = rng.normal(0.0, 1.5, (2 * size[0], 2 * size[1], 3))
    return Camera(
        scene=(paint or panorama)(rng, canvas, elevation),
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


def develop(canvas: UInt8[np.ndarray, "h w 4"], camera: Camera, size: tuple[int, int], moment: Moment) -> bytes:
    """The JPEG file that the camera writes of what is on `canvas`."""
    height, width = size
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    lit = light(cv2.extractChannel(small, 3), camera, moment.folds, height / 128) * slant(camera, width)
    return jpeg(expose(cv2.cvtColor(small, cv2.COLOR_RGBA2RGB), lit, camera, moment, height / 128), camera)


def expose(
    picture: UInt8[np.ndarray, "h w 3"],
    lit: Float32[np.ndarray, "h w"],
    camera: Camera,
    moment: Moment,
    unit: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture as lens and sensor take it, where `lit` tells how bright each pixel is.

    `unit` is the size of people against those in pictures 128 pixels high.
    """
    height, width = lit.shape
    picture = cv2.multiply(picture, cv2.merge([lit, lit, lit]), dtype=cv2.CV_8U)
    sigma = camera.blur + 0.35 * max(0.0, moment.softness - 0.9) * unit
    if sigma > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    picture = cv2.LUT(picture, _tones(camera, moment))
    top, left = moment.grain
    grain = camera.noise[top : top + height, left : left + width]
    return cv2.add(picture, grain, dtype=cv2.CV_8U)


def jpeg(picture: UInt8[np.ndarray, "h w 3"], camera: Camera) -> bytes:
    """The file at the camera's quality."""
    file: bytes = simplejpeg.encode_jpeg(picture, quality=camera.quality, colorspace="RGB", colorsubsampling="420")
    return file


def light(
    near: UInt8[np.ndarray, "h w"], camera: Camera, folds: Float32[np.ndarray, "14 8"], unit: float
) -> Float32[np.ndarray, "h w"]:
    """How bright each pixel is lit: rounded bodies, dark creases, folds of cloth; `unit` as for `expose`."""
    height, width = near.shape
    surface = near.astype(np.float32) / 255.0
    soft = cv2.GaussianBlur(surface, (0, 0), 2.6 * unit)
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3)
    body = np.minimum(1.0, 4.0 * surface)
    cloth = cv2.resize(folds, (width, height), interpolation=cv2.INTER_CUBIC)
    crease = np.minimum(0.0, surface - soft + 0.12)
    directed = (1.0 - camera.ambience) * camera.light
    lit = OPEN + body * (0.9 * directed / unit * slope * 1.6 + 0.055 * cloth) + 0.35 * crease
    return np.minimum(np.maximum(lit, 0.45), 1.4)


def slant(camera: Camera, width: int) -> Float32[np.ndarray, " w"]:
    """A slow change of light over the picture, from the side where it comes from."""
    return np.linspace(1.0 - 0.08 * camera.light, 1.0 + 0.08 * camera.light, width, dtype=np.float32)[::-1]


def _tones(camera: Camera, moment: Moment) -> UInt8[np.ndarray, "1 256 3"]:
    """The camera's tones under the exposure and white balance of one moment."""
    exposure = 255.0 * np.exp(0.06 * moment.exposure) * (1.0 + 0.012 * moment.white)
    return np.minimum(np.maximum(camera.tones * exposure, 0.0), 255.0).astype(np.uint8)[None]
