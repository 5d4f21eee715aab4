"""Embeddings of many images, kept on disk as they come, so that a stop costs one part."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from reunite.files import replacing
from reunite.images.tracklets import Frames, Tracklets
from reunite.model import Encoder, embed
from reunite.model.inference import Precision

PART = 8192
"""Images between two files on disk: what a stop costs at most, but for the rest of a tracklet."""


def embed_in_parts(
    encoder: Encoder,
    units: Tracklets,
    folder: Path,
    *,
    frames: Frames,
    on_error: Literal["raise", "skip"],
    progress: Callable[[int, int], None],
    precision: Precision = "float32",
) -> list[Path]:
    """Embeds what `folder` does not hold yet; gives the files in order, a row for each unit in all of them together."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = np.searchsorted(units.starts, np.arange(0, units.starts[-1], PART))
    parts = []
    for start, stop in pairwise(np.unique(np.append(whole, len(units))).tolist()):
        parts.append(folder / f"{start:09d}.npy")
        if not parts[-1].is_file():
            part = units.take(np.arange(start, stop))
            found = embed(encoder, part, progress=False, frames=frames, on_error=on_error, precision=precision)
            with replacing(parts[-1]) as temporary, open(temporary, "wb") as file:
                np.save(file, found)
        progress(stop, len(units))
    return parts
