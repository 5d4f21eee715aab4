"""Which images meet in a batch. A call gives the batches of one epoch.

For a recipe that trains on tracklets, read tracklet for image: rows and labels are those of tracklets.
"""

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
    copies, while the authors emit it once, which shifts all later identities of the epoch across batches; and with fewer than
    P identities a batch holds all there are, where the authors' loader would never end.

    Args:
        identities: P, identities in a batch.
        images: K, images of each.
        iterations: batches in an epoch. None makes an epoch visit each identity once, the Support Neighbor loss's way; the
            identities left over for the last batch are left out.
        use_camera: prefer other cameras where cameras are known. False makes the method free of any label.
        min_images: identities with fewer images are left out (HCT: 1 repeats the images of small clusters, K drops them).
    """

    identities: int = 16
    images: int = 16
    iterations: int | None = 200
    use_camera: bool = True
    min_images: int = 1

    def __post_init__(self) -> None:
        if self.identities < 2 or self.images < 1 or self.min_images < 1:
            raise InputError(f"Expected identities >= 2, images >= 1 and min_images >= 1; got {self}.")
        if self.iterations is not None and self.iterations < 1:
            raise InputError(f"iterations must be at least 1, or None for each identity once; got {self.iterations}.")

    def __call__(
        self, labels: Int64[np.ndarray, " n"], camera: Int64[np.ndarray, " n"], rng: np.random.Generator
    ) -> Iterator[Int64[np.ndarray, " b"]]:
        """Rows of each batch, an identity's images next to each other; rows labelled -1 are never drawn.

        Raises:
            InputError: no row has a label, or no identity enough images.
        """
        members = self._members(labels)
        queue: list[int] = []
        size = min(self.identities, len(members))
        for _ in range(self.count(labels)):
            if len(queue) < size:
                queue = rng.permutation(len(members)).tolist()
            chosen, queue = queue[:size], queue[size:]
            yield np.concatenate([self._draw(members[place], camera, rng) for place in chosen])

    def count(self, labels: Int64[np.ndarray, " n"]) -> int:
        """Batches of an epoch."""
        return max(1, len(self._members(labels)) // self.identities) if self.iterations is None else self.iterations

    def _members(self, labels: np.ndarray) -> list[np.ndarray]:
        order = np.argsort(labels, kind="stable")
        order = order[labels[order] >= 0]
        if not len(order):
            raise InputError("Every label is -1 (noise): there is nothing to draw batches from.")
        members = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        enough = [rows for rows in members if len(rows) >= self.min_images]
        if not enough:
            raise InputError(
                f"No identity has {self.min_images} images (min_images): the largest has {max(map(len, members))}."
            )
        return enough

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


@dataclass(frozen=True)
class ShuffledBatches:
    """Every labelled image once an epoch, in random order (BUC, DBC).

    Args:
        images: in a batch; what is left over for the last one is left out, unless it is the only one.
    """

    images: int = 16

    def __post_init__(self) -> None:
        if self.images < 1:
            raise InputError(f"images must be at least 1; got {self.images}.")

    def __call__(
        self, labels: Int64[np.ndarray, " n"], camera: Int64[np.ndarray, " n"], rng: np.random.Generator
    ) -> Iterator[Int64[np.ndarray, " b"]]:
        """Rows of each batch; rows labelled -1 are never drawn.

        Raises:
            InputError: no row has a label.
        """
        rows = rng.permutation(np.flatnonzero(labels >= 0))
        if not len(rows):
            raise InputError("Every label is -1 (noise): there is nothing to draw batches from.")
        for number in range(self.count(labels)):
            yield rows[number * self.images : (number + 1) * self.images]

    def count(self, labels: Int64[np.ndarray, " n"]) -> int:
        """Batches of an epoch."""
        return max(1, int((labels >= 0).sum()) // self.images)
