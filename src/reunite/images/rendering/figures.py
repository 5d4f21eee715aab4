"""Drawing solid shapes as a camera sees them: limbs, what is wrapped around a body, and flat things.

A body has metres of its own: `a` to its left, `b` forward, `z` up, with the ground at 0 and the crown at 1. A canvas
has four channels: red, green, blue, and how near the surface is (0 is background), which `cameras` turns into light
and shade. Colours are four numbers, the last of them nearness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

SUBPIXEL_BITS = 4
_ANGLES = np.concatenate([np.linspace(0.5, 1.5, 6), np.linspace(1.5, 2.5, 6)]) * np.pi
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)  # its halves are the round ends of a limb along x
_AROUND = np.linspace(0.0, 1.0, 7)

Color = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class View:
    """How a camera sees one body: turned, from above, at a place of the canvas.

    Attributes:
        yaw: where the body faces, radians; 0 is towards the camera, pi / 2 to the right of the image.
        screen: (3, 2), pixels to the right and down for one metre of a, b and z.
        foot: pixel (x, y) of the ground below the body, (2,).
        scale: pixels per metre.
    """

    yaw: float
    screen: Float[np.ndarray, "3 2"]
    foot: Float[np.ndarray, 2]
    scale: float

    @classmethod
    def of(cls, yaw: float, elevation: float, foot: tuple[float, float], scale: float) -> View:
        """The view of a camera that looks down by `elevation` radians."""
        sin, cos = math.sin(yaw), math.cos(yaw)
        down, level = math.sin(elevation), math.cos(elevation)
        screen = np.array([[cos, -sin * down], [sin, cos * down], [0.0, -level]])
        return cls(yaw, scale * screen, np.array(foot), scale)

    @property
    def forward(self) -> float:
        """How much the body faces the camera, in [-1, 1]."""
        return math.cos(self.yaw)

    @property
    def aside(self) -> float:
        """How much the body faces the right of the image, in [-1, 1]."""
        return math.sin(self.yaw)

    def project(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Pixels of points of the body."""
        return points @ self.screen + self.foot

    def nearness(self, a: float, b: float) -> float:
        """Metres towards the camera, counted from the axis of the body."""
        return b * self.forward - a * self.aside


@dataclass(frozen=True, eq=False)
class Shape:
    """A filled outline: (n, 2) pixels and a colour with nearness."""

    outline: Float[np.ndarray, "n 2"]
    color: tuple[int, int, int, int]


Layer = tuple[float, list[Shape | None]]
"""What is drawn together, and how many metres towards the camera it is; None is turned away."""


def draw(canvas: UInt8[np.ndarray, "h w 4"], shapes: Sequence[Shape | None]) -> None:
    """Fill the shapes on `canvas`, which changes, in this order, with smooth edges; None is skipped."""
    present = [shape for shape in shapes if shape is not None]
    corners = np.concatenate([shape.outline for shape in present]) * (1 << SUBPIXEL_BITS)
    whole = np.rint(corners).astype(np.int32)
    start = 0
    for shape in present:
        stop = start + len(shape.outline)
        cv2.fillPoly(canvas, [whole[start:stop]], shape.color, cv2.LINE_AA, SUBPIXEL_BITS)
        start = stop


def depth(color: Color, near: float, shade: float = 1.0) -> tuple[int, int, int, int]:
    """`color` for a surface `near` metres towards the camera, made darker by `shade` <= 1."""
    red, green, blue = color
    return int(red * shade), int(green * shade), int(blue * shade), int(min(255.0, max(70.0, 150.0 + 420.0 * near)))


def mixed(first: Color, second: Color, share: float) -> Color:
    """`share` of the second colour in the first."""
    red, green, blue = (round(x + share * (y - x)) for x, y in zip(first, second, strict=True))
    return red, green, blue


def limbs(
    view: View, joints: Float[np.ndarray, "k 2 3"], radii: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "k 12 2"]:
    """Outlines of thick lines with round ends, from joint to joint, `radii` metres at the start and at the end."""
    pixels = view.project(joints)
    starts, ends, radii = pixels[:, 0], pixels[:, 1], radii * view.scale
    along = ends - starts
    length = np.sqrt((along * along).sum(axis=1)) + 1e-9
    turn = np.empty((len(along), 2, 2))
    turn[:, 0] = along / length[:, None]
    turn[:, 1, 0], turn[:, 1, 1] = -turn[:, 0, 1], turn[:, 0, 0]
    half = len(_CIRCLE) // 2
    outlines = _CIRCLE @ turn
    outlines[:, :half] *= radii[:, :1, None]
    outlines[:, half:] *= radii[:, 1:, None]
    outlines[:, :half] += starts[:, None]
    outlines[:, half:] += ends[:, None]
    return outlines


def limb(
    view: View, start: tuple[float, float, float], end: tuple[float, float, float], radii: tuple[float, float]
) -> Float[np.ndarray, "12 2"]:
    """Outline of one thick line."""
    return limbs(view, np.array([[start, end]]), np.array([radii]))[0]


def ellipse(
    view: View, centre: tuple[float, float, float], size: tuple[float, float], shift: tuple[float, float] = (0.0, 0.0)
) -> Float[np.ndarray, "12 2"]:
    """Outline of a ball at `centre`, `size` half as wide and half as high in metres, moved on screen by `shift`."""
    return view.project(np.array(centre)) + (_CIRCLE * np.array(size) + np.array(shift)) * view.scale


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
        facing = math.atan2(-self.width[middle] * view.aside, self.thickness[middle] * view.forward)
        turn = (0.5 * (start + stop) - facing + math.pi) % (2.0 * math.pi) - math.pi
        half = 0.5 * (stop - start)
        low, high = max(turn - half, -0.5 * math.pi), min(turn + half, 0.5 * math.pi)
        if half >= math.pi:
            low, high = -0.5 * math.pi, 0.5 * math.pi
        if high - low < 0.05:
            return None
        angle = facing + low + (high - low) * _AROUND
        points = np.empty((len(self.z), len(angle), 3))
        points[..., 0] = self.width[:, None] * np.sin(angle)
        points[..., 1] = self.thickness[:, None] * np.cos(angle)
        points[..., 2] = self.z[:, None]
        pixels = view.project(points)
        return np.concatenate([pixels[0], pixels[1:-1, -1], pixels[-1, ::-1], pixels[-2:0:-1, 0]])
