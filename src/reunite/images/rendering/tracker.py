"""What a detector and a tracker make of a street: boxes that tremble, tracks that break, and tracks that mix people."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from reunite.images.rendering.shots import Edges, Sighting

SMALLEST = 0.35
"""Share of a person that must be visible to be detected."""

MISSED = 0.02
"""Share of detections that fail for no reason."""

SWITCHES = 0.08
"""Share of crossings after which the two tracks go on with each other's person."""

CROSSING = 0.3
"""Two people cross where their boxes overlap by this share of what both cover."""


@dataclass(frozen=True)
class Row:
    """One line of a tracker's output: x, y, width and height in pixels. `identity` is the truth."""

    frame: int
    track: int
    box: Edges
    confidence: float
    identity: int


@dataclass
class Tracker:
    """Follows people through the frames of one camera; `follow` is called for one frame after the other.

    Attributes:
        rng: for jitter, misses and switches. size: (height, width) of the pictures. rate: frames a second.
    """

    rng: np.random.Generator
    size: tuple[int, int]
    rate: int
    _tracks: dict[int, tuple[int, int]] = field(default_factory=dict)  # pass -> its track, and the last frame of it
    _met: set[tuple[int, int]] = field(default_factory=set)
    _given: int = 0

    def follow(self, frame: int, sightings: dict[int, tuple[int, Sighting]]) -> list[Row]:
        """The rows of one frame, by track, from (identity, sighting) of each pass that is there.

        A track that has found nobody for more than half a second ends, and who reappears later has a new one.
        """
        self._tracks = {key: value for key, value in self._tracks.items() if key in sightings}
        self._switch({key: sighting for key, (_, sighting) in sightings.items() if key in self._tracks})
        rows = []
        for key, (identity, sighting) in sightings.items():
            box = self._detect(sighting)
            if box is None:
                continue
            track, last = self._tracks.get(key, (0, -math.inf))
            if frame - last - 1 > math.ceil(self.rate / 2):
                self._given += 1
                track = self._given
            self._tracks[key] = track, frame
            confidence = 0.97 - 0.5 * (1.0 - sighting.share) + self.rng.normal(0.0, 0.02)
            rows.append(Row(frame, track, box, round(min(1.0, max(0.05, confidence)), 2), identity))
        return sorted(rows, key=lambda row: row.track)

    def _switch(self, there: dict[int, Sighting]) -> None:
        """Exchange the tracks of some of the pairs that begin to cross."""
        keys = sorted(there)
        for place, first in enumerate(keys):
            for second in keys[place + 1 :]:
                pair = first, second
                if pair in self._met or _overlap(there[first].whole, there[second].whole) < CROSSING:
                    continue
                self._met.add(pair)
                if self.rng.random() < SWITCHES:
                    self._tracks[first], self._tracks[second] = self._tracks[second], self._tracks[first]

    def _detect(self, sighting: Sighting) -> Edges | None:
        """The detector's box (x, y, width, height) around what is visible; None if that is too little."""
        left, top, right, bottom = sighting.visible
        small = bottom - top < 0.4 * sighting.height or right - left < 0.1 * sighting.height
        missed = self.rng.random() < MISSED
        jitter = self.rng.normal(0.0, 0.012 * sighting.height, 4)
        if small or missed or sighting.share < SMALLEST:
            return None
        height, width = self.size
        x, y = max(0.0, left + jitter[0]), max(0.0, top + jitter[1])
        x, y = math.ceil(10.0 * x) / 10.0, math.ceil(10.0 * y) / 10.0
        w, h = (math.floor(10.0 * (min(end, limit) - begin)) / 10.0
                for begin, end, limit in ((x, right + jitter[2], width), (y, bottom + jitter[3], height)))  # fmt: skip
        return (x, y, w, h) if w > 0 and h > 0 else None


def _overlap(first: Edges, second: Edges) -> float:
    """Intersection over union."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (first, second)]
    return width * height / (sum(areas) - width * height)
