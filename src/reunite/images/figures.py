"""Drawing solid shapes as a camera sees them: limbs, what is wrapped around a body, and flat things.

A body has metres of its own: `a` to its left, `b` forward, `z` up, with the ground at 0 and the crown at 1. A canvas
has four channels: red, green, blue, and how near the surface is (0 is background), which `scenes` turns into light
and shade. Colours are four numbers, the last of them nearness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

SUBPIXEL_BITS = 4
_ARC = np.linspace(0.5 * np.pi, 1.5 * np.pi, 6)
_ROUND_ENDS = np.concatenate([_ARC, _ARC + np.pi])

Color = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class View:
    """How a camera sees one body: turned, from above, at a place of the canvas.

    Attributes:
        yaw: where the body faces, radians; 0 is towards the camera, pi / 2 to the right of the image.
        axes: (3, 3), columns are right, down and towards the camera for one metre of a, b and z.
        foot: pixel (x, y) of the ground below the body.
        scale: pixels per metre.
        lean: how much wider the body is at one metre above its middle, as a fraction; what is nearer looks larger.
    """

    yaw: float
    axes: Float[np.ndarray, "3 3"]
    foot: tuple[float, float]
    scale: float
    lean: float

    @classmethod
    def of(cls, yaw: float, elevation: float, foot: tuple[float, float], scale: float) -> View:
        """The view of a camera that looks down by `elevation` radians."""
        sin, cos = np.sin(yaw), np.cos(yaw)
        down, level = np.sin(elevation), np.cos(elevation)
        axes = np.array([[cos, -sin * down, -sin], [sin, cos * down, cos], [0.0, -level, 0.0]])
        return cls(yaw, axes, foot, scale, 0.6 * float(down))

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Pixels of points of the body."""
        pixels = points @ self.axes[:, :2]
        pixels[..., 0] *= 1.0 + self.lean * (points[..., 2] - 0.5)
        return pixels * self.scale + self.foot

    def nearness(self, a: float, b: float) -> float:
        """Metres towards the camera, counted from the axis of the body."""
        return float(a * self.axes[0, 2] + b * self.axes[1, 2])


@dataclass(frozen=True, eq=False)
class Shape:
    """A filled outline: (n, 2) pixels and a colour with nearness."""

    outline: Float[np.ndarray, "n 2"]
    color: tuple[int, int, int, int]


def draw(canvas: UInt8[np.ndarray, "h w 4"], shapes: Sequence[Shape | None]) -> None:
    """Fill the shapes on `canvas`, which changes, in this order, with smooth edges; None is skipped."""
    for shape in shapes:
        if shape is not None:
            corners = np.rint(shape.outline * (1 << SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(canvas, [corners], shape.color, cv2.LINE_AA, SUBPIXEL_BITS)


def depth(color: Color, near: float, shade: float = 1.0) -> tuple[int, int, int, int]:
    """`color` for a surface `near` metres towards the camera, made darker by `shade`."""
    red, green, blue = (int(min(255.0, channel * shade)) for channel in color)
    return red, green, blue, int(min(255.0, max(70.0, 150.0 + 420.0 * near)))


def mixed(first: Color, second: Color, share: float) -> Color:
    """`share` of the second colour in the first."""
    red, green, blue = (round(x + share * (y - x)) for x, y in zip(first, second, strict=True))
    return red, green, blue


def capsules(
    starts: Float[np.ndarray, "k 2"], ends: Float[np.ndarray, "k 2"], radii: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "k 12 2"]:
    """Outlines of limbs: thick lines with round ends, `radii` pixels at the start and at the end."""
    along = ends - starts
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None] + _ROUND_ENDS
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    half = len(_ARC)
    circle[:, :half] *= radii[:, :1, None]
    circle[:, half:] *= radii[:, 1:, None]
    circle[:, :half] += starts[:, None]
    circle[:, half:] += ends[:, None]
    return circle


def ellipse(
    view: View, centre: tuple[float, float, float], size: tuple[float, float], shift: tuple[float, float] = (0.0, 0.0)
) -> Float[np.ndarray, "12 2"]:
    """Outline of a ball at `centre`, `size` half as wide and half as high in metres, moved on screen by `shift`."""
    middle = view.project(np.array(centre)) + np.multiply(shift, view.scale)
    return middle + np.stack([np.cos(_ROUND_ENDS), np.sin(_ROUND_ENDS)], axis=-1) * np.multiply(size, view.scale)


@dataclass(frozen=True, eq=False)
class Tube:
    """Something wrapped around the axis of a body: at each height, an ellipse.

    Attributes:
        z: heights in metres, rising, (n,).
        width, thickness: half axes to the side and forward at each height, (n,).
    """

    z: Float[np.ndarray, " n"]
    width: Float[np.ndarray, " n"]
    thickness: Float[np.ndarray, " n"]

    def part(self, bottom: float, top: float) -> Tube:
        """The tube between two heights."""
        inside = self.z[(self.z > bottom) & (self.z < top)]
        z = np.concatenate([[bottom], inside, [top]])
        return Tube(z, np.interp(z, self.z, self.width), np.interp(z, self.z, self.thickness))

    def seen(self, view: View, start: float = -np.pi, stop: float = np.pi) -> Float[np.ndarray, "m 2"] | None:
        """Outline of what can be seen between two angles around the axis: 0 is the front, pi / 2 the left side.

        None where all of it is turned away.
        """
        middle = len(self.z) // 2
        facing = np.arctan2(self.width[middle] * view.axes[0, 2], self.thickness[middle] * view.axes[1, 2])
        turn = (0.5 * (start + stop) - facing + np.pi) % (2 * np.pi) - np.pi
        half = 0.5 * (stop - start)
        low, high = max(turn - half, -0.5 * np.pi), min(turn + half, 0.5 * np.pi)
        if half >= np.pi:
            low, high = -0.5 * np.pi, 0.5 * np.pi
        if high - low < 0.05:
            return None
        angle = facing + np.linspace(low, high, 7)
        points = np.empty((len(self.z), 7, 3))
        points[..., 0] = self.width[:, None] * np.sin(angle)
        points[..., 1] = self.thickness[:, None] * np.cos(angle)
        points[..., 2] = self.z[:, None]
        pixels = view.project(points)
        return np.concatenate([pixels[0], pixels[1:-1, -1], pixels[-1, ::-1], pixels[-2:0:-1, 0]])
