"""One frame of a street with people in it, and what can be seen of each of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from reunite.images.rendering.bodies import draw_walker
from reunite.images.rendering.cameras import OPEN, Moment, expose, light, shadow, slant
from reunite.images.rendering.figures import View
from reunite.images.rendering.ground import Ground
from reunite.images.rendering.passes import Person
from reunite.images.rendering.streets import UNIT, Street

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the picture."""


@dataclass(frozen=True)
class Sighting:
    """What one frame shows of one person.

    Attributes:
        visible: the edges of what can be seen. whole: of what is inside the picture, hidden or not.
        share: visible share of what is inside the picture, in [0, 1].
        height: of the whole body, also outside the picture, in pixels.
    """

    visible: Edges
    whole: Edges
    share: float
    height: float


def shoot(
    street: Street, people: list[Person], moment: Moment
) -> tuple[UInt8[np.ndarray, "h w 3"], list[Sighting | None]]:
    """The picture that the camera takes, and a sighting for each of the people; None where nothing can be seen."""
    canvas = street.camera.scene.copy()
    owner = np.zeros(canvas.shape[:2], np.uint16)
    views = [street.ground.view(person.x, person.z, person.heading) for person in people]
    windows = [_window(view, street.ground) for view in views]
    for view, (_, columns) in zip(views, windows, strict=True):
        foot = float(view.foot[0]) - columns.start, float(view.foot[1])
        shadow(canvas[:, columns], foot, view.scale, street.camera)
    silhouettes: dict[int, Bool[np.ndarray, "h w"]] = {}
    for place in _far_to_near(street, people):
        if place < 0:
            stamp = street.stamps[-1 - place]
            canvas[stamp.window] = cv2.copyTo(stamp.pixels, stamp.mask.view(np.uint8), canvas[stamp.window])
            owner[stamp.window][stamp.mask] = 0
        else:
            silhouettes[place] = _draw(canvas, people[place], views[place], windows[place])
            owner[windows[place]][silhouettes[place]] = place + 1
    sightings = [
        _sighting(silhouettes[place], owner[windows[place]] == place + 1, windows[place], views[place].scale)
        for place in range(len(people))
    ]
    picture = _developed(street, canvas, people, views, windows, list(silhouettes), moment)
    return picture, sightings


def _far_to_near(street: Street, people: list[Person]) -> list[int]:
    """Places of people, and -1, -2, ... for what stands in the street."""
    things = [(stamp.z, -1 - place) for place, stamp in enumerate(street.stamps)]
    return [place for _, place in sorted([(person.z, place) for place, person in enumerate(people)] + things)][::-1]


def _window(view: View, ground: Ground) -> tuple[slice, slice]:
    """Rows and columns of the canvas around a person and the shadow, at even pixels."""
    x, y = view.foot
    left, right = (2 * round(0.5 * min(max(x + side * 0.55 * view.scale, 0.0), ground.width)) for side in (-1, 1))
    top, bottom = (2 * round(0.5 * min(max(y + z * view.scale, 0.0), ground.height)) for z in (-1.12, 0.2))
    return slice(top, bottom), slice(left, right)


def _draw(
    canvas: UInt8[np.ndarray, "h w 4"], person: Person, view: View, window: tuple[slice, slice]
) -> Bool[np.ndarray, "h w"]:
    """Draw one person on the canvas, which changes; the silhouette within the window."""
    near = canvas[window][..., 3]
    behind = near.copy()
    near[...] = 0
    draw_walker(canvas, person.walker, view, person.phase)
    silhouette = near > 35  # half of what the farthest limb has: half of a pixel at the edge
    np.copyto(near, behind, where=near == 0)
    return silhouette


def _sighting(
    silhouette: Bool[np.ndarray, "h w"], visible: Bool[np.ndarray, "h w"], window: tuple[slice, slice], scale: float
) -> Sighting | None:
    area, seen = (cv2.countNonZero(mask.view(np.uint8)) for mask in (silhouette, visible))
    if seen == 0:
        return None
    return Sighting(_edges(visible, window), _edges(silhouette, window), seen / area, 0.5 * scale)


def _edges(mask: Bool[np.ndarray, "h w"], window: tuple[slice, slice]) -> Edges:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    left, top = window[1].start + x, window[0].start + y
    return 0.5 * left, 0.5 * top, 0.5 * (left + width), 0.5 * (top + height)


def _developed(
    street: Street,
    canvas: UInt8[np.ndarray, "h w 4"],
    people: list[Person],
    views: list[View],
    windows: list[tuple[slice, slice]],
    order: list[int],
    moment: Moment,
) -> UInt8[np.ndarray, "h w 3"]:
    """The canvas at half its size under the camera's light; only the windows differ from the empty street."""
    small = street.empty.copy()
    halves = [_half(window) for window in windows]
    for window, half in zip(windows, halves, strict=True):
        if canvas[window].size:
            height, width = small[half].shape[:2]
            small[half] = cv2.resize(canvas[window], (width, height), interpolation=cv2.INTER_AREA)
    lit: Float32[np.ndarray, "h w"] = np.full(small.shape[:2], OPEN, np.float32)
    nearness = cv2.extractChannel(small, 3)
    for place in order:
        near = np.ascontiguousarray(nearness[halves[place]])
        if near.size:
            lit[halves[place]] = light(near, street.camera, people[place].folds, 0.5 * views[place].scale / 128)
    lit *= slant(street.camera, lit.shape[1])
    return expose(cv2.cvtColor(small, cv2.COLOR_RGBA2RGB), lit, street.camera, moment, UNIT * small.shape[0] / 128)


def _half(window: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = window
    return slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)
