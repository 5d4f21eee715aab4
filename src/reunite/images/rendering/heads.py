"""How a head is drawn: face and hair by where it is turned, and the hat."""

from __future__ import annotations

import numpy as np

from reunite.images.rendering.figures import Layer, Shape, View, depth, ellipse, limb, mixed
from reunite.images.rendering.walkers import Walker

DOME = np.array([[-np.cos(turn), -np.sin(turn)] for turn in np.linspace(0.0, np.pi, 9)])
HAIR_LENGTHS = {"bob": 0.055, "long": 0.13, "ponytail": 0.14}  # metres below the middle of the head


def head(walker: Walker, view: View) -> list[Shape | None]:
    """Hair and face by where the head is turned, then the hat."""
    size = walker.head
    forward, aside = view.forward, view.aside
    centre = (0.0, 0.015, 0.865 + 0.062 * size)
    wide, high = (0.050 + 0.006 * abs(aside)) * size, 0.066 * size
    skin, hair = depth(walker.skin, 0.1), depth(walker.hair_color, 0.08)
    bald = walker.hair == "bald"
    shapes: list[Shape | None] = [Shape(ellipse(view, centre, (wide, high)), skin)]
    if not bald:
        grown = 1.22 if walker.hair == "curls" else 1.06
        shapes.append(Shape(ellipse(view, centre, (wide * grown, high * 0.92 * grown), (0.0, -0.012 * size)), hair))
        if forward > -0.45:
            face = (wide * (0.86 - 0.30 * abs(aside)), high * 0.74)
            shapes.append(Shape(ellipse(view, centre, face, (0.026 * aside * size, 0.018 * size)), skin))
    if forward > 0.2:
        eyes = limb(view, (-0.02, 0.06, centre[2]), (0.02, 0.06, centre[2]), (0.0055, 0.0055))
        shapes.append(Shape(eyes, depth(mixed(walker.skin, (30, 20, 16), 0.35), 0.1)))
    return shapes + _hat(walker, view, centre, wide)


def long_hair(walker: Walker, view: View) -> list[Layer]:
    """What of the hair hangs down or stands out: behind the trunk from the front, over everything from behind."""
    hair = depth(walker.hair_color, 0.06, 0.92)
    z = 0.865 + 0.062 * walker.head
    near = -0.15 if view.forward > -0.2 else 0.4
    if walker.hair == "bun":
        return [(near, [Shape(ellipse(view, (0.0, -0.045, z + 0.045), (0.03, 0.03)), hair)])]
    if walker.hair not in HAIR_LENGTHS:
        return []
    thin = walker.hair == "ponytail"
    start = (0.0, -0.055 if thin else -0.012, z + (0.03 if thin else -0.01))
    end = (0.0, -0.085 if thin else -0.03, z - HAIR_LENGTHS[walker.hair])
    wide, tip = (0.022, 0.013) if thin else (0.055, 0.050)
    return [(near, [Shape(limb(view, start, end, (wide * walker.head, tip * walker.head)), hair)])]


def _hat(walker: Walker, view: View, centre: tuple[float, float, float], wide: float) -> list[Shape | None]:
    aside, forward = view.aside, view.forward
    a, b, z = centre
    if walker.hat == "none":
        return []
    if walker.hat == "hood":
        rim = depth(walker.upper, 0.08)
        hood = Shape(ellipse(view, (a, b - 0.05, z - 0.075), (0.07, 0.035)), rim)
        return [hood] if forward < 0.2 else []
    color = depth(walker.hat_color, 0.1)
    dome = view.project(np.array(centre)) + view.scale * (
        DOME * np.array([1.12 * wide, 0.078]) - np.array([0.0, 0.012])
    )
    shapes: list[Shape | None] = [Shape(dome, color)]
    if walker.hat == "cap" and forward > -0.6:
        peak = wide * (0.35 if abs(aside) > 0.7 else 0.45)
        brim = limb(view, (a, b, z + 0.012), (a, b + 0.085, z + 0.008), (0.8 * peak, (0.8 - 0.55 * abs(aside)) * peak))
        shapes.append(Shape(brim, depth(walker.hat_color, 0.12, 0.8)))
    return shapes
