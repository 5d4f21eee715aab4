"""The Market-1501 protocol query by query (Zheng et al. 2015, "Scalable person re-identification")."""

from __future__ import annotations

import numpy as np


def average_precision_of_ranks(ranks: list[int], rule: str = "step") -> float:
    """AP of a query whose matches stand at these ranks, from 1, ascending."""
    total = 0.0
    for hit, rank in enumerate(ranks, start=1):
        after = hit / rank
        before = (hit - 1) / (rank - 1) if rank > 1 else 1.0
        total += after if rule == "step" else (after + before) / 2
    return total / len(ranks)


def score_by_sorting(
    similarity: np.ndarray,
    query_identity: np.ndarray,
    gallery_identity: np.ndarray,
    query_camera: np.ndarray,
    gallery_camera: np.ndarray,
    rule: str = "step",
    exclude: np.ndarray | None = None,
    max_rank: int = 50,
) -> dict[str, object]:
    """mAP, mINP, cmc and the AP of each query (NaN where skipped) from a (q, g) similarity matrix."""
    valid = int((gallery_identity != -1).sum())
    precisions, penalties, first = [], [], []
    for q, row in enumerate(similarity):
        ranked = sorted(range(len(row)), key=lambda j: (-row[j], j))
        matches, rank = [], 0
        for j in ranked:
            same = gallery_identity[j] == query_identity[q]
            same_camera = query_camera[q] >= 0 and gallery_camera[j] == query_camera[q]
            if gallery_identity[j] == -1 or (same and same_camera) or (exclude is not None and exclude[q] == j):
                continue
            rank += 1
            if same:
                matches.append(rank)
        if not matches:
            precisions.append(np.nan)
            continue
        precisions.append(average_precision_of_ranks(matches, rule))
        penalties.append(len(matches) / matches[-1])
        first.append(matches[0])
    cmc = [sum(rank <= k for rank in first) / len(first) for k in range(1, min(max_rank, valid) + 1)]
    return {
        "mAP": np.nanmean(precisions),
        "mINP": np.mean(penalties),
        "cmc": np.array(cmc),
        "average_precision": np.array(precisions),
    }
