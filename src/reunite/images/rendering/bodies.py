"""How a walker is drawn: bones in a phase of walking, then limbs, clothes, head and bag from far to near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from reunite.images.rendering.figures import Color, Layer, Shape, Tube, View, depth, draw, limb, limbs, mixed
from reunite.images.rendering.heads import head, long_hair
from reunite.images.rendering.walkers import Walker

SHOULDER, HIP, KNEE, ANKLE = 0.805, 0.50, 0.272, 0.045
SIDES = (1.0, -1.0)  # left, right


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
    layers += [(0.0, _trunk(walker, view)), (0.3, head(walker, view)), *long_hair(walker, view)]
    shapes = [shape for _, layer in sorted(layers, key=lambda layer: layer[0]) for shape in layer]
    draw(canvas, shapes)


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


def _points(a: float, b: Float[np.ndarray, 2], z: Float[np.ndarray, 2]) -> Float[np.ndarray, "2 3"]:
    points = np.empty((2, 3))
    points[:, 0] = a, -a
    points[:, 1] = b
    points[:, 2] = z
    return points


def _pairs(
    view: View, joints: list[tuple[Float[np.ndarray, "2 3"], Float[np.ndarray, "2 3"], float, float]]
) -> Float[np.ndarray, "k 2 12 2"]:
    """Outlines of k pairs of limbs: (starts, ends, radius at the start, radius at the end) in metres."""
    ends = np.empty((len(joints), 2, 2, 3))
    for place, (start, end, _, _) in enumerate(joints):
        ends[place, :, 0], ends[place, :, 1] = start, end
    radii = np.array([limb[2:] for limb in joints for _ in SIDES])
    return limbs(view, ends.reshape(-1, 2, 3), radii).reshape(-1, 2, 12, 2)


def _legs(walker: Walker, view: View, joints: Joints) -> list[Layer]:
    """Each leg with its shoe, and the skirt, if any, as a layer of its own."""
    girth = 0.5 + 0.5 * walker.girth
    bare = walker.legwear in ("shorts", "skirt", "long skirt")
    room = {"loose trousers": 1.25, "leggings": 0.86, "trousers": 1.04}.get(walker.legwear, 0.9) * girth
    flare = 1.35 if walker.legwear == "loose trousers" else 1.0
    cut = joints.hip + 0.86 * (joints.knee - joints.hip)
    shaft = joints.ankle + 0.5 * (joints.knee - joints.ankle)
    outlines = _pairs(view, [
        (joints.hip, joints.knee, 0.050 * room, 0.036 * room),
        (joints.knee, joints.ankle, 0.036 * room, 0.023 * room * flare),
        (joints.ankle, joints.toe, 0.025, 0.018),
        (joints.hip, cut, 0.056 * girth, 0.050 * girth),
        (joints.ankle, shaft, 0.027, 0.036 * girth),
        (joints.hip, joints.knee, 0.009, 0.009),
        (joints.knee, joints.ankle, 0.009, 0.008),
    ])  # fmt: skip
    layers: list[Layer] = []
    for side in (0, 1):
        near = view.nearness(*joints.knee[side, :2])
        color = depth(walker.skin if bare else walker.lower, 0.6 * near - 0.05, 0.86 if near < -0.02 else 1.0)
        shoe = Shape(outlines[2, side], depth(walker.shoes, 0.6 * near))
        leg: list[Shape | None] = [Shape(outlines[1, side], color), shoe, Shape(outlines[0, side], color)]
        if walker.boots:
            leg.append(Shape(outlines[4, side], shoe.color))
        if walker.legwear == "shorts":
            leg.append(Shape(outlines[3, side], depth(walker.lower, 0.6 * near)))
        if walker.seam and not bare and SIDES[side] * view.aside < -0.3:
            leg += [Shape(outlines[place, side], depth(walker.lower_second, 0.6 * near)) for place in (5, 6)]
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
    outlines = _pairs(view, [
        (joints.shoulder, joints.elbow, 0.030 * girth, 0.024 * girth),
        (joints.elbow, joints.wrist, 0.024 * girth, 0.017 * girth),
        (joints.wrist, joints.wrist + 0.28 * (joints.wrist - joints.elbow), 0.020, 0.018),
        (joints.shoulder, upper_end, 0.037 * girth, 0.033 * girth),
        (joints.elbow, lower_end, 0.031 * girth, 0.026 * girth),
    ])  # fmt: skip
    bands = _bands(outlines[3])
    layers = []
    for side in (0, 1):
        near = view.nearness(*joints.elbow[side, :2])
        shade = 0.82 if near < -0.03 else 0.96
        skin, cloth = depth(walker.skin, near, shade), depth(sleeve, near, shade)
        arm: list[Shape | None] = [Shape(outlines[place, side], skin) for place in (2, 1, 0)]
        if beyond:
            arm.append(Shape(outlines[4, side], cloth))
        arm.append(Shape(outlines[3, side], cloth))
        if walker.pattern == "stripes" and along > 0.3:
            arm += [Shape(band, depth(walker.upper_second, near, shade)) for band in bands[side]]
        layers.append((near + 0.01, arm))
    return layers


def _bands(sleeves: Float[np.ndarray, "2 12 2"]) -> Float[np.ndarray, "2 2 4 2"]:
    """Two stripes across each sleeve: quadrangles between the long sides of its outline."""
    here, there = sleeves[:, [0, 5]], sleeves[:, [11, 6]]
    cuts = [here + share * (there - here) for share in (0.25, 0.45, 0.7, 0.9)]
    return np.stack([np.concatenate([cuts[i], cuts[i + 1][:, ::-1]], axis=1) for i in (0, 2)], axis=1)


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
    neck = limb(view, (0.0, 0.0, 0.82), (0.0, 0.01, 0.88), (0.03, 0.03))
    return [
        _wrapped(pelvis, view, depth(walker.lower, 0.0)),
        Shape(neck, depth(walker.skin, 0.0, 0.85)),
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
        front = top.part(0.66, 0.84)
        return [_wrapped(front, view, color, turn, 0.16) for turn in (0.75, -0.75)]
    if walker.bag == "shoulder":  # from the right shoulder to the left hip, in front and behind
        sash = []
        for side in (1.0, -1.0):
            if side * view.forward > 0.1:
                strap = limb(view, (-0.06, 0.06 * side, 0.83), (0.10, 0.05 * side, 0.55), (0.009, 0.009))
                sash.append(Shape(strap, color))
        return [*sash]
    return []


def _bag(walker: Walker, view: View, joints: Joints) -> list[Layer]:
    dark = mixed(walker.bag_color, (0, 0, 0), 0.3)
    if walker.bag == "backpack":
        wide, deep = abs(view.forward), abs(view.aside)
        radius, pocket = (0.082 * wide + 0.052 * deep), (0.062 * wide + 0.036 * deep)
        near = view.nearness(0.0, -0.12)
        pack = limb(view, (0.0, -0.105, 0.60), (0.0, -0.105, 0.76), (radius, radius))
        shapes: list[Shape | None] = [Shape(pack, depth(walker.bag_color, near))]
        if near > -0.03:
            outer = limb(view, (0.0, -0.13, 0.60), (0.0, -0.13, 0.66), (pocket, pocket))
            shapes.append(Shape(outer, depth(dark, near)))
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
    half = size[0] * abs(view.aside) + 0.03 * abs(view.forward)
    near = view.nearness(a, b) + 0.02
    corners = view.project(np.array([[a, b, z - size[1]], [a, b, z + size[1]]]))
    side = np.array([half * view.scale, 0.0])
    flap = corners[0] + 0.55 * (corners[1] - corners[0])
    body = np.stack([corners[0] - 1.1 * side, corners[0] + 1.1 * side, corners[1] + side, corners[1] - side])
    lid = np.stack([flap - side, flap + side, corners[1] + side, corners[1] - side])
    handle = limb(view, (a, b, z + size[1]), (a, b, z + size[1] + 0.07), (0.9 * half, 0.3 * half))
    return near, [Shape(handle, depth(dark, near)), Shape(body, depth(color, near)), Shape(lid, depth(dark, near))]
