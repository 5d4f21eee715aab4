"""What a tracker cuts out of a video while someone walks: frames that follow from each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from reunite.images.rendering.bodies import draw_walker
from reunite.images.rendering.cameras import Camera, Moment, develop, shadow
from reunite.images.rendering.figures import View
from reunite.images.rendering.places import OBSTACLES
from reunite.images.rendering.walkers import Walker

RATE = 5
"""Frames a second."""

MEETINGS, BEHIND = 0.35, 0.4
"""Share of tracklets in which another walker crosses, and share of those in which it does so behind."""

SWITCHES, FEWEST_FRAMES = 0.15, 4
"""Share of tracklets in which the box follows the wrong person, and how long a tracklet must be for that."""

LEG = 0.455  # metres of the body, where it is one metre high


@dataclass(frozen=True, eq=False)
class Gait:
    """How one person walks in front of a camera, frame by frame: n values each.

    Attributes:
        yaw: where the body faces, radians. phase: of the walk, radians.
        speed: body heights to the right of the image, each frame.
    """

    yaw: Float[np.ndarray, " n"]
    phase: Float[np.ndarray, " n"]
    speed: Float[np.ndarray, " n"]

    @classmethod
    def random(cls, rng: np.random.Generator, walker: Walker, yaw: float, count: int) -> Gait:
        """An even pace of the walker's own, in nearly the same direction."""
        pace = float(np.clip(rng.normal(5.6, 0.5), 4.4, 7.0)) / RATE
        turned = yaw + rng.normal(0.0, 0.012) * np.arange(count) + 0.12 * drift(rng, count)
        phase = rng.uniform(0.0, 2.0 * np.pi) + pace * np.arange(count)
        return cls(turned, phase, np.sin(turned) * pace * 4.0 * LEG * np.sin(walker.stride) / (2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Crossing:
    """Another walker who crosses.

    Attributes:
        walker, gait: the other.
        beside: how far to the right of the followed walker, in body heights, at each frame.
        behind: whether farther away.
        switched: frames in which the box is around the other, (n,).
    """

    walker: Walker
    gait: Gait
    beside: Float[np.ndarray, " n"]
    behind: bool
    switched: Bool[np.ndarray, " n"]

    @classmethod
    def random(cls, rng: np.random.Generator, walker: Walker, gait: Gait, other: Walker) -> Crossing:
        """One that begins and ends at random frames.

        A switch is in front, and one or two frames long. Otherwise the two are never exactly behind each other.
        """
        count = len(gait.yaw)
        aside = float(np.sin(gait.yaw[0]))
        # At least 0.6 apart in the sines, so that the two really pass each other.
        sine = (-1.0 if aside > 0 else 1.0) * rng.uniform(0.6, 1.0)
        yaw = float(np.arcsin(sine)) if rng.random() < 0.5 else float(np.pi - np.arcsin(sine))
        other_gait = Gait.random(rng, other, yaw, count)
        path = np.cumsum(other_gait.speed - gait.speed)
        wrong = count >= FEWEST_FRAMES and bool(rng.random() < SWITCHES / MEETINGS)
        behind = bool(rng.random() < BEHIND / (1.0 - SWITCHES / MEETINGS)) and not wrong
        middle = int(rng.integers(1, count - 1)) if count > 2 else 0
        long = wrong and bool(rng.random() < 0.5)
        switched = np.zeros(count, np.bool_)
        if wrong:
            switched[middle : middle + 1 + long] = True
        there = path[middle] if wrong and not long else 0.5 * (path[middle] + path[min(middle + 1, count - 1)])
        return cls(other, other_gait, path - there, behind, switched)


def drift(rng: np.random.Generator, count: int, change: float = 0.3) -> Float[np.ndarray, " n"]:
    """A slow random walk that stays around 0 with a standard deviation of 1."""
    steps = rng.standard_normal(count)
    kept = np.sqrt(1.0 - change * change)
    for place in range(1, count):
        steps[place] = kept * steps[place - 1] + change * steps[place]
    return steps


@dataclass(frozen=True, eq=False)
class Box:
    """Where the walker is in the boxes that a tracker puts around it, n frames.

    Attributes:
        foot: pixel (x, y) of the ground below the body, (n, 2). scale: pixels per body height, (n,).
        elevation: how far the camera looks down on the walker, radians.
    """

    foot: Float[np.ndarray, "n 2"]
    scale: Float[np.ndarray, " n"]
    elevation: float

    @classmethod
    def random(cls, rng: np.random.Generator, camera: Camera, canvas: tuple[int, int], count: int) -> Box:
        """Boxes that drift slowly in place and scale and tremble a little, around those of single detections."""
        height, width = canvas
        elevation = max(0.0, camera.elevation + rng.normal(0.0, 0.02))
        foreshortening = np.cos(elevation) + 0.12 * np.sin(elevation)

        def around(middle: float, slow: float, tremble: float) -> Float[np.ndarray, " n"]:
            return middle + slow * drift(rng, count) + tremble * rng.standard_normal(count)

        scale = min(height, 2.0 * width) * around(0.945, 0.02, 0.005) / foreshortening
        ground = height * around(0.965, 0.012, 0.004) - 0.05 * np.sin(elevation) * scale
        return cls(np.stack([width * around(0.5, 0.03, 0.008), ground], axis=1), scale, elevation)


def film(
    rng: np.random.Generator,
    walker: Walker,
    camera: Camera,
    size: tuple[int, int],
    count: int,
    other: Walker,
) -> Iterator[tuple[bytes, bool]]:
    """The frames of one tracklet: (JPEG file, whether it shows the wrong person), `count` of them.

    The background passes by as fast as the walker walks, and what stands in the way with it. In some tracklets `other`
    crosses, in front or behind; in some of those the box follows `other` for one or two frames.
    """
    canvas = 2 * size[0], 2 * size[1]
    gait = Gait.random(rng, walker, camera.directions[int(rng.integers(2))] + rng.normal(0.0, 0.25), count)
    box = Box.random(rng, camera, canvas, count)
    crossing = Crossing.random(rng, walker, gait, other) if rng.random() < MEETINGS else None
    scroll = np.cumsum(gait.speed) * box.scale.mean()
    start = rng.uniform(0.0, camera.scene.shape[1]), rng.uniform(0.0, 1.0)
    passed = _passed(rng, canvas) if rng.random() < camera.clutter else None
    meeting = float(scroll[int(rng.integers(count))])
    moment = Moment.random(rng, size)
    for place in range(count):
        foot, scale = box.foot[place].copy(), float(box.scale[place])
        switched = crossing is not None and bool(crossing.switched[place])
        if crossing is not None and switched:
            foot[0] -= crossing.beside[place] * scale
        zoom = scale / float(box.scale.mean())
        picture = _piece(camera, canvas, (start[0] + scroll[place] + canvas[1] / 2, start[1]), foot[0], zoom)
        draws = [(0.0, walker, gait, foot, scale)]
        if crossing is not None:
            aside, far = float(crossing.beside[place]), -1.0 if crossing.behind else 1.0
            beside = np.array([foot[0] + aside * scale, foot[1] + far * 0.03 * scale])
            draws.append((far, crossing.walker, crossing.gait, beside, scale * (1.0 + 0.03 * far)))
        for _, someone, walk, ground, high in sorted(draws, key=lambda one: one[0]):
            shadow(picture, (float(ground[0]), float(ground[1])), high, camera)
            view = View.of(float(walk.yaw[place]), box.elevation, (float(ground[0]), float(ground[1])), high)
            draw_walker(picture, someone, view, float(walk.phase[place]))
        if passed is not None:
            _lay(picture, passed, round(meeting - float(scroll[place]) + foot[0] - canvas[1] / 2))
        yield develop(picture, camera, size, moment), switched
        moment = moment.later(rng, size)


def _piece(
    camera: Camera, canvas: tuple[int, int], middle: tuple[float, float], x: float, zoom: float
) -> UInt8[np.ndarray, "h w 4"]:
    """The background whose column middle[0] is seen at `x`; middle[1] in [0, 1] is how far down, the scene is a ring."""
    height, width = canvas
    spare = max(0.0, camera.scene.shape[0] - height / zoom)
    left, top = (middle[0] - x / zoom) % camera.scene.shape[1], middle[1] * spare
    columns = np.arange(int(left), int(left) + int(width / zoom) + 3) % camera.scene.shape[1]
    around = np.take(camera.scene, columns, axis=1)
    back = np.array([[1.0 / zoom, 0.0, left - int(left)], [0.0, 1.0 / zoom, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(around, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def _passed(rng: np.random.Generator, canvas: tuple[int, int]) -> UInt8[np.ndarray, "h w 4"]:
    """Something that stands between camera and walker, alone on a canvas; nearness is how much it covers."""
    alone = np.zeros((*canvas, 4), np.uint8)
    OBSTACLES[int(rng.integers(len(OBSTACLES)))](alone, rng)
    return alone


def _lay(picture: UInt8[np.ndarray, "h w 4"], passed: UInt8[np.ndarray, "h w 4"], shift: int) -> None:
    """Put it on the picture, which changes, `shift` pixels further to the right."""
    width = picture.shape[1]
    low, high = max(0, shift), min(width, width + shift)
    if low >= high:
        return
    piece = passed[:, low - shift : high - shift]
    kept = (255 - piece[..., 3:]).astype(np.uint16)
    picture[:, low:high] = (picture[:, low:high] * kept // 255).astype(np.uint8) + piece
