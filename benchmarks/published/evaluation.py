"""Market-1501's protocol with the whole distance matrix and an argsort of every row, as torchreid's Python evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


def distances(query: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared Euclidean distances (q, g) of unit rows."""
    distance = query @ gallery.T
    distance *= -2
    distance += 2
    return distance


def evaluate(
    distance: NDArray[np.float32],
    query_identity: Codes,
    gallery_identity: Codes,
    query_camera: Codes,
    gallery_camera: Codes,
    max_rank: int = 50,
) -> tuple[NDArray[np.float64], float, float]:
    """CMC, mAP and mINP. Junk (identity -1) has to be out of the gallery, as torchreid's readers leave it."""
    ranked = np.argsort(distance, axis=1)
    matches = (gallery_identity[ranked] == query_identity[:, None]).astype(np.int32)
    curves, precisions, penalties = [], [], []
    for q in range(len(distance)):
        order = ranked[q]
        same_view = (gallery_identity[order] == query_identity[q]) & (gallery_camera[order] == query_camera[q])
        hits = matches[q][~same_view]
        if not hits.any():
            continue
        found = hits.cumsum()
        curves.append(np.minimum(found[:max_rank], 1))
        precisions.append((found / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())
        penalties.append(hits.sum() / (np.flatnonzero(hits)[-1] + 1))
    return np.mean(curves, axis=0), float(np.mean(precisions)), float(np.mean(penalties))
