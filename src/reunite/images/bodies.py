"""How a walker is drawn: bones in a phase of walking, then limbs, clothes, head and bag from far to near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from reunite.images.figures import Color, Shape, Tube, View, capsules, depth, draw, ellipse, mixed
from reunite.images.walkers import Walker

SHOULDER, HIP, KNEE, ANKLE = 0.805, 0.50, 0.272, 0.045
SIDES = (1.0, -1.0)  # left, right

Layer = tuple[float, list[Shape | None]]


@dataclass(frozen=True, eq=False)
class Joints:
    """Places of the body in metres: (2, 3) each, left side first."""

    hip: Float[np.ndarray, "2 3"]
    knee: Float[np.ndarray, "2 3"]
    ankle: Float[np.ndarray, "2 3"]
    toe: Float[np.ndarray, "2 3"]
    shoulder: Float[np.ndarray, "2 3"]
    elbow: Float[np.ndarray, "2 3"]
    wrist: Float[np.ndarray, "2 3"]


def draw_walker(canvas: UInt8[np.ndarray, "h w 4"], walker: Walker, view: View, phase: float) -> None:
    """Draw `walker` on `canvas`, which changes; `phase` in radians is where in two steps the walk is."""
    joints = _joints(walker, phase)
    layers = [*_legs(walker, view, joints), *_arms(walker, view, joints), *_bag(walker, view, joints)]
    layers.append((0.0, _trunk(walker, view)))
    for _, shapes in sorted(layers, key=lambda layer: layer[0]):
        draw(canvas, shapes)
    draw(canvas, _head(walker, view))


def _joints(walker: Walker, phase: float) -> Joints:
    """The gait: legs swing against each other and arms against legs; a leg that swings forward bends its knee."""
    turn = phase + np.array([0.0, np.pi])
    thigh = walker.stride * np.sin(turn)
    shin = thigh - 0.08 - 0.75 * np.maximum(0.0, np.cos(turn)) ** 2 * (walker.stride / 0.4)
    pitch = 0.8 * shin + 0.1
    hip = _points(0.052 * walker.girth, np.zeros(2), np.full(2, HIP))
    knee = hip + _points(0.0, np.sin(thigh), -np.cos(thigh)) * (HIP - KNEE)
    ankle = knee + _points(0.0, np.sin(shin), -np.cos(shin)) * (KNEE - ANKLE)
    toe = ankle + _points(0.012, 0.085 * np.cos(pitch), 0.085 * np.sin(pitch) - 0.018)
    ground = min(ankle[:, 2].min() - ANKLE, toe[:, 2].min() - 0.02)
    arm = -walker.swing * np.sin(turn)
    forearm = arm + 0.2 + 0.5 * np.maximum(0.0, arm)
    shoulder = _points(walker.shoulders * (0.6 + 0.4 * walker.girth) - 0.012, np.zeros(2), np.full(2, SHOULDER))
    elbow = shoulder + _points(0.022 * walker.girth, 0.165 * np.sin(arm), -0.165 * np.cos(arm))
    wrist = elbow + _points(0.004, 0.148 * np.sin(forearm), -0.148 * np.cos(forearm))
    for leg in (knee, ankle, toe):
        leg[:, 2] -= ground
    return Joints(hip, knee, ankle, toe, shoulder, elbow, wrist)


def _points(a: float, b: Float[np.ndarray, "2"], z: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2 3"]:
    return np.stack([np.array([a, -a]), b, z], axis=1)


def _limbs(
    view: View, joints: list[tuple[Float[np.ndarray, "2 3"], Float[np.ndarray, "2 3"], float, float]]
) -> Float[np.ndarray, "k 2 12 2"]:
    """Outlines of k pairs of limbs: (start, end, radius at start, radius at end) in metres."""
    starts = view.project(np.stack([limb[0] for limb in joints])).reshape(-1, 2)
    ends = view.project(np.stack([limb[1] for limb in joints])).reshape(-1, 2)
    radii = np.repeat([limb[2:] for limb in joints], 2, axis=0) * view.scale
    return capsules(starts, ends, radii).reshape(-1, 2, 12, 2)


def _legs(walker: Walker, view: View, joints: Joints) -> list[Layer]:
    """Each leg with its shoe, and the skirt, if any, as a layer of its own."""
    girth = 0.5 + 0.5 * walker.girth
    bare = walker.legwear in ("shorts", "skirt", "long skirt")
    room = {"loose trousers": 1.25, "leggings": 0.86, "trousers": 1.04}.get(walker.legwear, 0.9) * girth
    flare = 1.35 if walker.legwear == "loose trousers" else 1.0
    cut = joints.hip + 0.86 * (joints.knee - joints.hip)
    shaft = joints.ankle + 0.5 * (joints.knee - joints.ankle)
    limbs = _limbs(view, [
        (joints.hip, joints.knee, 0.050 * room, 0.036 * room),
        (joints.knee, joints.ankle, 0.036 * room, 0.023 * room * flare),
        (joints.ankle, joints.toe, 0.025, 0.018),
        (joints.hip, cut, 0.056 * girth, 0.050 * girth),
        (joints.ankle, shaft, 0.027, 0.036 * girth),
    ])  # fmt: skip
    seams = capsules(*view.project(np.stack([joints.hip, joints.ankle])), np.full((2, 2), 0.008 * view.scale))
    layers: list[Layer] = []
    for side in (0, 1):
        near = view.nearness(*joints.knee[side, :2])
        color = depth(walker.skin if bare else walker.lower, 0.6 * near - 0.05, 0.86 if near < -0.02 else 1.0)
        shoe = Shape(limbs[2, side], depth(walker.shoes, 0.6 * near))
        leg: list[Shape | None] = [Shape(limbs[1, side], color), shoe, Shape(limbs[0, side], color)]
        if walker.boots:
            leg.append(Shape(limbs[4, side], shoe.color))
        if walker.legwear == "shorts":
            leg.append(Shape(limbs[3, side], depth(walker.lower, 0.6 * near)))
        if walker.seam and not bare and SIDES[side] * view.axes[0, 2] > 0.3:
            leg.append(Shape(seams[side], depth(walker.lower_second, 0.6 * near)))
        layers.append((near - 0.2, leg))
    return [*layers, (-0.01, _skirt(walker, view))]


def _skirt(walker: Walker, view: View) -> list[Shape | None]:
    if walker.legwear not in ("skirt", "long skirt"):
        return []
    end = 0.27 if walker.legwear == "skirt" else 0.13
    hips = walker.hips * walker.girth
    tube = Tube(np.array([end, 0.42, 0.55]), hips * np.array([1.3, 1.12, 0.95]), hips * np.array([1.15, 0.9, 0.7]))
    color = depth(walker.lower, 0.02)
    shapes: list[Shape | None] = [_wrapped(tube, view, color)]
    if walker.seam:
        shapes.append(_wrapped(tube.part(end + 0.02, end + 0.05), view, depth(walker.lower_second, 0.02)))
    return shapes


def _arms(walker: Walker, view: View, joints: Joints) -> list[Layer]:
    """Each arm with its hand, its sleeve and the stripes on it."""
    girth = 0.55 + 0.45 * walker.girth
    sleeve = walker.upper_second if walker.pattern == "raglan" else walker.upper
    along = min(1.0, 2.0 * walker.sleeve)
    beyond = max(0.0, 2.0 * walker.sleeve - 1.0)
    upper_end = joints.shoulder + along * (joints.elbow - joints.shoulder)
    lower_end = joints.elbow + beyond * (joints.wrist - joints.elbow)
    limbs = _limbs(view, [
        (joints.shoulder, joints.elbow, 0.030 * girth, 0.024 * girth),
        (joints.elbow, joints.wrist, 0.024 * girth, 0.017 * girth),
        (joints.wrist, joints.wrist + 0.12 * (joints.wrist - joints.elbow), 0.020, 0.018),
        (joints.shoulder, upper_end, 0.037 * girth, 0.033 * girth),
        (joints.elbow, lower_end, 0.031 * girth, 0.026 * girth),
    ])  # fmt: skip
    layers = []
    for side in (0, 1):
        near = view.nearness(*joints.elbow[side, :2])
        shade = 0.82 if near < -0.03 else 0.96
        skin, cloth = depth(walker.skin, near, shade), depth(sleeve, near, shade)
        arm: list[Shape | None] = [Shape(limbs[place, side], skin) for place in (2, 1, 0)]
        if beyond:
            arm.append(Shape(limbs[4, side], cloth))
        arm.append(Shape(limbs[3, side], cloth))
        layers.append((near + 0.01, arm))
    return layers


def _trunk(walker: Walker, view: View) -> list[Shape | None]:
    """Hips, then what is worn above with its pattern, then the neck."""
    girth, shoulders = walker.girth, walker.shoulders * (0.6 + 0.4 * walker.girth)
    hips, waist = walker.hips * girth, (0.42 * walker.shoulders + 0.42 * walker.hips) * girth**1.3
    z = np.array([min(walker.hem, 0.46), 0.50, 0.60, 0.70, 0.785, 0.825, 0.85])
    flare = 1.0 + 0.9 * max(0.0, 0.46 - walker.hem)
    width = np.array([hips * flare, hips, waist, 0.92 * shoulders, shoulders, 0.80 * shoulders, 0.040])
    thick = np.array([0.074 * flare, 0.074, 0.066, 0.070, 0.064, 0.050, 0.034]) * girth**1.2
    body = Tube(z, 1.03 * width, thick)
    pelvis = Tube(np.array([0.47, 0.50, 0.58]), width[[1, 1, 2]], thick[[1, 1, 2]])
    top = body.part(walker.hem, 0.85)
    neck = capsules(*view.project(np.array([[[0, 0, 0.82]], [[0, 0.01, 0.88]]])), np.full((1, 2), 0.030 * view.scale))
    return [
        _wrapped(pelvis, view, depth(walker.lower, 0.0)),
        Shape(neck[0], depth(walker.skin, 0.0, 0.85)),
        _wrapped(top, view, depth(walker.upper, 0.04)),
        *_pattern(walker, view, top),
        *_straps(walker, view, top),
    ]


def _pattern(walker: Walker, view: View, top: Tube) -> list[Shape | None]:
    """What distinguishes the cloth of the upper body."""
    second = depth(walker.upper_second, 0.04)
    half = depth(mixed(walker.upper, walker.upper_second, 0.5), 0.04)
    if walker.pattern == "stripes":
        edges = np.arange(walker.hem + 0.02, 0.80, 0.076)
        return [_wrapped(top.part(z, z + 0.034), view, second) for z in edges]
    if walker.pattern == "checks":
        rows = [_wrapped(top.part(z, z + 0.03), view, half) for z in np.arange(walker.hem + 0.03, 0.80, 0.085)]
        columns = [_wrapped(top.part(walker.hem, 0.82), view, half, turn, 0.13) for turn in np.arange(0, 6.2, 0.7)]
        return rows + columns
    if walker.pattern == "block":
        return [_wrapped(top.part(0.66, 0.76), view, second)]
    if walker.pattern == "logo":
        return [
            _wrapped(top.part(0.64, 0.755), view, second, 0.0, 0.62),
            _wrapped(top.part(0.70, 0.76), view, second, np.pi, 0.5),
        ]
    if walker.pattern == "two-tone":
        return [_wrapped(top.part(walker.hem, 0.645), view, second)]
    if walker.pattern == "open":
        return [_wrapped(top.part(max(walker.hem, 0.46), 0.84), view, second, 0.0, 0.42)]
    return []


def _wrapped(
    tube: Tube, view: View, color: tuple[int, int, int, int], turn: float = 0.0, half: float = np.pi
) -> Shape | None:
    """The part of a tube within `half` radians of `turn` around the body; None where it cannot be seen."""
    outline = tube.seen(view, turn - half, turn + half)
    return None if outline is None else Shape(outline, color)


def _straps(walker: Walker, view: View, top: Tube) -> list[Shape | None]:
    color = depth(walker.bag_color, 0.06)
    if walker.bag == "backpack":
        strap = top.part(0.66, 0.84)
        return [_wrapped(strap, view, color, turn, 0.16) for turn in (0.75, -0.75)]
    if walker.bag == "shoulder":  # from the right shoulder to the left hip, in front and behind
        sash = []
        for front in (1.0, -1.0):
            if front * view.axes[1, 2] > 0.1:
                ends = np.array([[[-0.06, 0.06 * front, 0.83]], [[0.10, 0.05 * front, 0.55]]])
                sash.append(Shape(capsules(*view.project(ends), np.full((1, 2), 0.009 * view.scale))[0], color))
        return [*sash]
    return []


def _bag(walker: Walker, view: View, joints: Joints) -> list[Layer]:
    dark = mixed(walker.bag_color, (0, 0, 0), 0.3)
    if walker.bag == "backpack":
        pack = np.array([[0.0, -0.105, 0.60], [0.0, -0.105, 0.76], [0.0, -0.13, 0.60], [0.0, -0.13, 0.66]])
        wide, deep = abs(view.axes[1, 2]), abs(view.axes[0, 2])
        radius, pocket = (0.082 * wide + 0.052 * deep), (0.062 * wide + 0.036 * deep)
        near = view.nearness(0.0, -0.12)
        pixels = view.project(pack)
        radii = np.array([[radius, radius], [pocket, pocket]]) * view.scale
        outlines = capsules(pixels[[0, 2]], pixels[[1, 3]], radii)
        shapes: list[Shape | None] = [Shape(outlines[0], depth(walker.bag_color, near))]
        if near > -0.03:
            shapes.append(Shape(outlines[1], depth(dark, near)))
        return [(near, shapes)]
    if walker.bag == "shoulder":
        return [_pouch(view, dark, walker.bag_color, (0.125 * walker.girth, 0.0, 0.50), (0.07, 0.055))]
    if walker.bag == "hand":
        a, b, z = joints.wrist[1]
        return [_pouch(view, dark, walker.bag_color, (float(a), float(b), float(z) - 0.115), (0.075, 0.06))]
    return []


def _pouch(
    view: View, dark: Color, color: Color, centre: tuple[float, float, float], size: tuple[float, float]
) -> Layer:
    """A bag with a flap: wide from the side of the body, thin from the front."""
    a, b, z = centre
    half = size[0] * abs(view.axes[0, 2]) + 0.03 * abs(view.axes[1, 2])
    near = view.nearness(a, b) + 0.02
    corners = view.project(np.array([[a, b, z - size[1]], [a, b, z + size[1]], [a, b, z + size[1] + 0.07]]))
    side = np.array([half * view.scale, 0.0])
    flap = corners[0] + 0.55 * (corners[1] - corners[0])
    body = np.stack([corners[0] - 1.1 * side, corners[0] + 1.1 * side, corners[1] + side, corners[1] - side])
    lid = np.stack([flap - side, flap + side, corners[1] + side, corners[1] - side])
    handle = capsules(corners[1:2], corners[2:3], np.array([[0.9 * half, 0.3 * half]]) * view.scale)[0]
    return near, [Shape(handle, depth(dark, near)), Shape(body, depth(color, near)), Shape(lid, depth(dark, near))]


def _head(walker: Walker, view: View) -> list[Shape | None]:
    """Hair and face by where the head is turned, then the hat."""
    size = walker.head
    forward, aside = view.axes[1, 2], view.axes[1, 0]
    centre = (0.0, 0.015, 0.865 + 0.062 * size)
    wide, high = (0.050 + 0.006 * abs(aside)) * size, 0.066 * size
    skin, hair = depth(walker.skin, 0.1), depth(walker.hair_color, 0.08)
    bald = walker.hair == "bald"
    shapes: list[Shape | None] = _long_hair(walker, view, centre) if forward > 0 else []
    skull = ellipse(view, centre, (wide, high))
    shapes.append(Shape(skull, skin))
    if not bald:
        grown = 1.22 if walker.hair == "curls" else 1.06
        shapes.append(Shape(ellipse(view, centre, (wide * grown, high * 0.92 * grown), (0.0, -0.012 * size)), hair))
        if forward > -0.45:
            face = (wide * (0.86 - 0.30 * abs(aside)), high * 0.74)
            shapes.append(Shape(ellipse(view, centre, face, (0.026 * aside * size, 0.018 * size)), skin))
    if forward < 0:
        shapes += _long_hair(walker, view, centre)
    if forward > 0.2:
        eyes = capsules(
            *np.split(view.project(np.array([[-0.02, 0.06, centre[2]], [0.02, 0.06, centre[2]]])), 2),
            np.full((1, 2), 0.0055 * view.scale),
        )
        shapes.append(Shape(eyes[0], depth(mixed(walker.skin, (30, 20, 16), 0.5), 0.1)))
    return shapes + _hat(walker, view, centre, wide)


def _long_hair(walker: Walker, view: View, centre: tuple[float, float, float]) -> list[Shape | None]:
    """What of the hair hangs down or stands out."""
    hair = depth(walker.hair_color, 0.06, 0.92)
    a, b, z = centre
    lengths = {"bob": 0.06, "long": 0.155, "ponytail": 0.14}
    if walker.hair == "bun":
        return [Shape(ellipse(view, (a, b - 0.05, z + 0.045), (0.03, 0.03)), hair)]
    if walker.hair not in lengths:
        return []
    thin = walker.hair == "ponytail"
    ends = np.array([[[a, b - (0.06 if thin else 0.025), z + (0.02 if thin else -0.01)]],
                     [[a, b - (0.085 if thin else 0.045), z - lengths[walker.hair]]]])  # fmt: skip
    radii = np.array([[0.022, 0.012] if thin else [0.056, 0.046]]) * view.scale * walker.head
    return [Shape(capsules(*view.project(ends), radii)[0], hair)]


def _hat(walker: Walker, view: View, centre: tuple[float, float, float], wide: float) -> list[Shape | None]:
    aside, forward = view.axes[1, 0], view.axes[1, 2]
    a, b, z = centre
    if walker.hat == "none":
        return []
    if walker.hat == "hood":
        rim = depth(walker.upper, 0.08)
        hood = Shape(ellipse(view, (a, b - 0.05, z - 0.075), (0.07, 0.035)), rim)
        return [hood] if forward < 0.2 else []
    color = depth(walker.hat_color, 0.1)
    outline = view.project(np.array(centre)) + view.scale * np.stack(
        [1.12 * wide * np.cos(np.linspace(np.pi, 2 * np.pi, 9)), 0.078 * np.sin(np.linspace(np.pi, 2 * np.pi, 9))], 1
    ) - np.array([0.0, 0.012 * view.scale])  # fmt: skip
    shapes: list[Shape | None] = [Shape(outline, color)]
    if walker.hat == "cap" and forward > -0.6:
        brim = np.array([[[a, b, z + 0.012]], [[a, b + 0.085, z + 0.008]]])
        radii = np.array([[0.8 * wide, (0.8 - 0.55 * abs(aside)) * wide]]) * (0.35 if abs(aside) > 0.7 else 0.45)
        shapes.append(Shape(capsules(*view.project(brim), radii * view.scale)[0], depth(walker.hat_color, 0.12, 0.8)))
    return shapes
