"""Level ground before a fixed camera: where people stand in the picture, how large, and seen from which side."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reunite.images.rendering.figures import View

NEAR, FAR = 0.43, 0.20
"""How high people are where they pass nearest and farthest, as shares of the height of the picture."""


@dataclass(frozen=True)
class Ground:
    """Lengths are in body heights: x to the right of the middle, z away from the camera.

    Attributes:
        height, width: of the canvas in pixels.
        horizon: row of the horizon. focal: pixels of one body height at distance 1. eye: how high the camera stands.
    """

    height: int
    width: int
    horizon: float
    focal: float
    eye: float

    @classmethod
    def of(cls, canvas: tuple[int, int], elevation: float) -> Ground:
        """The ground before a camera that looks down by `elevation` radians: from high up where that is steep."""
        height, width = canvas
        horizon = height * (0.38 - 0.9 * elevation)
        return cls(height, width, horizon, 1.78 * height, (0.95 * height - horizon) / (NEAR * height))

    @property
    def near(self) -> float:
        """Distance of the nearest people."""
        return self.focal / (NEAR * self.height)

    @property
    def far(self) -> float:
        """Distance of the farthest."""
        return self.focal / (FAR * self.height)

    def half(self, z: float) -> float:
        """Half of what the picture shows from side to side at distance z."""
        return 0.5 * self.width * z / self.focal

    def row(self, z: float) -> float:
        """The row of the canvas where the ground at distance z is seen."""
        return self.horizon + self.eye * self.focal / z

    def view(self, x: float, z: float, heading: float) -> View:
        """Someone at a place who walks along `heading`, radians: 0 is towards the camera, pi / 2 to the right."""
        scale = self.focal / z
        foot = 0.5 * self.width + scale * x, self.row(z)
        # Somebody at the right edge who walks straight ahead shows his right side, somebody at the left his left.
        return View.of(heading + math.atan2(x, z), math.atan2(self.eye - 0.5, z), foot, scale)
