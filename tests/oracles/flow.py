"""Links of the nearest neighbor graph that Infomap is run on, one pair at a time."""

from __future__ import annotations

import numpy as np


def links_by_loops(rows: np.ndarray, k: int, min_similarity: float) -> list[tuple[int, int, float]]:
    """Cluster Contrast's graph: the k nearest of each row, itself included; a link unless it is the row itself or too far."""
    links = []
    for i, row in enumerate(rows):
        cosine = [float(row @ other / np.sqrt((row @ row) * (other @ other))) for other in rows]
        nearest = sorted((j for j in range(len(rows)) if j != i), key=lambda j: (-cosine[j], j))[: k - 1]
        for j in nearest:
            if 1 - cosine[j] > 1 - min_similarity:
                break
            links.append((i, j, cosine[j]))
    return links
