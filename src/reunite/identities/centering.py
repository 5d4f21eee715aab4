"""What a camera does to every embedding, taken out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64

from reunite.types import UNKNOWN, unit_rows

FEWEST = 10
"""Rows of a camera that make a mean of its own. Of fewer, the mean would be that of the individuals it happened to see."""


def camera_means(rows: Float32[np.ndarray, "n d"], camera: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
    """For each row the mean of its camera's rows, to be subtracted; zeros where there are not two cameras to compare.

    Light, background and viewpoint move all embeddings of a camera in one direction, and two individuals seen by one camera
    can be nearer than one individual seen by two. Where every camera sees many individuals, its mean is that direction. Rows
    of an unknown camera, and of cameras with fewer than `FEWEST` rows, get the mean of all rows.
    """
    known, place, counts = np.unique(camera, return_inverse=True, return_counts=True)
    own = (known != UNKNOWN) & (counts >= FEWEST)
    if own.sum() < 2:
        return np.zeros_like(rows)
    means = np.broadcast_to(rows.mean(axis=0), (len(known), rows.shape[1])).copy()
    for code in np.flatnonzero(own):
        means[code] = rows[place == code].mean(axis=0)
    return means[place]


def without(rows: Float32[np.ndarray, "n d"], means: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Rows of length one without these means; a row of which nothing would be left, or of zeros, stays as it is."""
    rest = rows - means
    nothing = (np.linalg.norm(rest, axis=1) < 1e-4) | ~rows.any(axis=1)
    rest[nothing] = rows[nothing]
    return unit_rows(rest)
