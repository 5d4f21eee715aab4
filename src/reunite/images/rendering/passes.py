"""Who passes which camera when, and along which path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from reunite.images.rendering.ground import Ground
from reunite.images.rendering.walkers import Walker
from reunite.images.rendering.walks import LEG

FEWEST_CAMERAS = 3
"""Cameras that everyone passes at least, where there are as many."""

MARGIN = 3.0
"""Seconds that the first pass may begin before the recording, and the last end after it."""

ASIDE = 0.45
"""How far outside the picture paths begin and end, in body heights."""


@dataclass(frozen=True, eq=False)
class Person:
    """A walker at one moment: place on the ground, heading and phase (radians), and the folds of the clothes."""

    walker: Walker
    x: float
    z: float
    heading: float
    phase: float
    folds: Float32[np.ndarray, "14 8"]


@dataclass(frozen=True, eq=False)
class Pass:
    """One walk past one camera at an even pace.

    Attributes:
        identity: from 1. walker: who it is.
        begin, end: seconds of the recording.
        path: (x, z, heading) at equal distances along the way, (n, 3).
        phase, pace: of the gait at the beginning, and radians a second.
        folds: of the clothes, (14, 8).
    """

    identity: int
    walker: Walker
    begin: float
    end: float
    path: Float[np.ndarray, "n 3"]
    phase: float
    pace: float
    folds: Float32[np.ndarray, "14 8"]

    def at(self, seconds: float) -> Person | None:
        """The walker at this time of the recording; None if not there."""
        if not self.begin <= seconds < self.end:
            return None
        along = (seconds - self.begin) / (self.end - self.begin) * (len(self.path) - 1)
        x, z, heading = (float(np.interp(along, np.arange(len(self.path)), values)) for values in self.path.T)
        return Person(self.walker, x, z, heading, self.phase + self.pace * (seconds - self.begin), self.folds)


def random_passes(
    rng: np.random.Generator, identity: int, walker: Walker, grounds: list[Ground], seconds: int
) -> list[tuple[int, Pass]]:
    """Everywhere that one walker goes during the recording, in order: (index of the camera, pass).

    Three cameras (or all, if there are fewer), then more, or some of them again, as far as time permits. Nobody is in
    two places at a time.
    """
    order = rng.permutation(len(grounds)).tolist()
    cameras, rest = order[:FEWEST_CAMERAS], order[FEWEST_CAMERAS:]
    cameras += [camera for camera in rest if rng.random() < 0.5]
    cameras += [camera for camera in cameras for _ in range(2) if rng.random() < 0.12]
    speed = float(np.clip(rng.normal(0.8, 0.06), 0.68, 0.95))  # body heights a second
    paths = [_random_path(rng, grounds[camera]) for camera in cameras]
    durations = [length / speed for _, length in paths]
    window = seconds + 2.0 * MARGIN
    while len(cameras) > FEWEST_CAMERAS and sum(durations[: len(cameras)]) > 0.9 * window:
        cameras.pop()
    durations = durations[: len(cameras)]
    hurry = max(1.0, sum(durations) / (0.9 * window))
    gaps = rng.dirichlet(np.ones(len(cameras) + 1)) * (window - sum(durations) / hurry)
    pace = 2.0 * np.pi * speed * hurry / (4.0 * LEG * np.sin(walker.stride))
    begin, passes = -MARGIN, []
    for place in rng.permutation(len(cameras)).tolist():
        begin += float(gaps[place])
        end = begin + durations[place] / hurry
        phase, folds = float(rng.uniform(0.0, 2.0 * np.pi)), rng.standard_normal((14, 8), dtype=np.float32)
        passes.append((cameras[place], Pass(identity, walker, begin, end, paths[place][0], phase, float(pace), folds)))
        begin = end
    return passes


def _random_path(rng: np.random.Generator, ground: Ground) -> tuple[Float[np.ndarray, "n 3"], float]:
    """A way through the picture, from one side or distance to another, and its length in body heights.

    Half of the ways cross from side to side; the others come from the side, turn towards the camera or away from it,
    and leave by the side.
    """
    side = float(rng.choice([-1.0, 1.0]))
    kind = rng.random()
    if kind < 0.5:
        first = rng.uniform(ground.near, ground.far)
        last = float(np.clip(first + rng.normal(0.0, 0.12) * (ground.far - ground.near), ground.near, ground.far))
        turns = -side * 0.3, side * 0.3
    else:
        depths = rng.uniform(0.75, 1.0) * ground.far, rng.uniform(1.0, 1.2) * ground.near
        first, last = depths if kind < 0.75 else depths[::-1]
        middle, other = rng.uniform(-0.4, 0.4), float(rng.choice([-1.0, 1.0]))
        turns, side = (middle, middle), -other
        start = float(rng.choice([-1.0, 1.0]))
        return _curve(ground, (first, last), (start, -side), turns)
    return _curve(ground, (first, last), (-side, side), turns)


def _curve(
    ground: Ground, depths: tuple[float, float], ends: tuple[float, float], turns: tuple[float, float]
) -> tuple[Float[np.ndarray, "n 3"], float]:
    """A cubic Bezier curve from the side ends[0] of the picture (-1 left, 1 right) to the side ends[1].

    It leaves the side at depths[0], heading for turns[0] of half the picture, and comes from turns[1] at depths[1].
    """
    corners = np.array([
        [ends[0] * (ground.half(depths[0]) + ASIDE), depths[0]],
        [turns[0] * ground.half(depths[0]), depths[0]],
        [turns[1] * ground.half(depths[1]), depths[1]],
        [ends[1] * (ground.half(depths[1]) + ASIDE), depths[1]],
    ])  # fmt: skip
    t = np.linspace(0.0, 1.0, 201)[:, None]
    curve = (
        (1.0 - t) ** 3 * corners[0]
        + 3.0 * (1.0 - t) ** 2 * t * corners[1]
        + 3.0 * (1.0 - t) * t**2 * corners[2]
        + t**3 * corners[3]
    )
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    even = np.linspace(0.0, along[-1], 101)
    x, z = (np.interp(even, along, values) for values in curve.T)
    heading = np.unwrap(np.arctan2(np.gradient(x), -np.gradient(z)))
    return np.stack([x, z, heading], axis=1), float(along[-1])
