"""Retrieval scores beside the usual NumPy evaluation: the whole similarity matrix and an argsort of every row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.features import embeddings
from benchmarks.harness import Row, compare
from reunite.evaluate.retrieval import retrieval_scores
from reunite.types import Scores


def by_argsort(
    query: np.ndarray,
    gallery: np.ndarray,
    query_identity: np.ndarray,
    gallery_identity: np.ndarray,
    query_camera: np.ndarray,
    gallery_camera: np.ndarray,
) -> tuple[float, float, np.ndarray]:
    """MAP, mINP and CMC up to rank 50, as the evaluators of the field write it."""
    similarity = query @ gallery.T
    precisions, penalties, curves = [], [], []
    for q in range(len(query)):
        order = np.argsort(-similarity[q], kind="stable")
        same = gallery_identity[order] == query_identity[q]
        kept = ~(same & (gallery_camera[order] == query_camera[q]))
        hits = same[kept]
        if not hits.any():
            continue
        ranks = np.flatnonzero(hits) + 1
        precisions.append((np.arange(1, len(ranks) + 1) / ranks).mean())
        penalties.append(len(ranks) / ranks[-1])
        curves.append(hits[:50].cumsum() > 0)
    return float(np.mean(precisions)), float(np.mean(penalties)), np.mean(curves, axis=0)


def _check(ours: Scores, peer: tuple[float, float, np.ndarray]) -> None:
    # Both multiply in float32, in blocks of different size: a last bit can swap two images that are equally far.
    np.testing.assert_allclose(ours.mAP, peer[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.mINP, peer[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.cmc, peer[2], rtol=0, atol=1 / ours.queries + 1e-9)


def rows(full: bool, repeats: int) -> Iterator[Row]:
    """Features in, scores out; with --full at the size of Market-1501's test set."""
    queries, gallery, dimensions = (3_368, 19_732, 256) if full else (1_000, 5_000, 256)
    features, identity, camera = embeddings(queries + gallery, dimensions, people=(queries + gallery) // 22)
    sides = [part for values in (features, identity, camera) for part in (values[:queries], values[queries:])]
    yield compare(
        "retrieval scores",
        f"{queries:,} in {gallery:,} x {dimensions}",
        lambda: retrieval_scores(*sides),
        lambda: by_argsort(*sides),
        peer_name="NumPy argsort",
        check=_check,
        repeats=repeats,
    )
