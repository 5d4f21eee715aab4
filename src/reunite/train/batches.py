"""Which images meet in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from reunite.errors import InputError
from reunite.types import UNKNOWN


@dataclass(frozen=True)
class IdentityBatches:
    """P identities x K images a batch, preferring images of other cameras (Cluster Contrast's sampler).

    Identities come in a random order, each once before any comes again. Of each, an anchor is drawn, then K - 1 images
    seen by other cameras, or, where there are none or cameras are unknown, K - 1 other images; without repetition if
    there are enough, with repetition otherwise. Where we differ: an identity with a single image fills its place with K
    copies, while the authors emit it once, which shifts all later identities of the round across batches; and with fewer than
    P identities a batch holds all there are, where the authors' loader would never end.

    Args:
        identities: P, identities in a batch.
        images: K, images of each.
        iterations: batches in a round.
        use_camera: prefer other cameras where cameras are known. False makes the method free of any label.
    """

    identities: int = 16
    images: int = 16
    iterations: int = 200
    use_camera: bool = True

    def __post_init__(self) -> None:
        if self.identities < 2 or self.images < 1 or self.iterations < 1:
            raise InputError(f"Expected identities >= 2, images >= 1 and iterations >= 1; got {self}.")

    def __call__(
        self, labels: Int64[np.ndarray, " n"], camera: Int64[np.ndarray, " n"], rng: np.random.Generator
    ) -> Iterator[Int64[np.ndarray, " b"]]:
        """Rows of each batch, an identity's images next to each other; rows labelled -1 are never drawn.

        Raises:
            InputError: no row has a label.
        """
        order = np.argsort(labels, kind="stable")
        order = order[labels[order] >= 0]
        if not len(order):
            raise InputError("Every label is -1 (noise): there is nothing to draw batches from.")
        members = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        queue: list[int] = []
        size = min(self.identities, len(members))
        for _ in range(self.iterations):
            if len(queue) < size:
                queue = rng.permutation(len(members)).tolist()
            chosen, queue = queue[:size], queue[size:]
            yield np.concatenate([self._draw(members[place], camera, rng) for place in chosen])

    def _draw(self, rows: np.ndarray, camera: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        anchor = rows[rng.integers(len(rows))]
        others = rows[rows != anchor]
        if self.use_camera and camera[anchor] != UNKNOWN:
            elsewhere = rows[camera[rows] != camera[anchor]]
            others = elsewhere if len(elsewhere) else others
        if not len(others):
            return np.repeat(anchor, self.images)
        drawn = rng.choice(others, self.images - 1, replace=len(others) < self.images - 1)
        return np.concatenate([[anchor], drawn])
