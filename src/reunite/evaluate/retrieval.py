"""Retrieval scores under the Market-1501 protocol: mAP, CMC and mINP, streamed in blocks of queries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads
from numpy.typing import NDArray

from reunite.errors import InputError
from reunite.evaluate.retrieval_kernels import score_queries
from reunite.types import Scores, check_codes, check_embeddings, unit_rows

QUERIES_PER_TASK = 16
"""Queries a thread ranks at a time."""


def retrieval_scores(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    query_identity: Int[np.ndarray, " q"],
    gallery_identity: Int[np.ndarray, " g"],
    query_camera: Int[np.ndarray, " q"] | None = None,
    gallery_camera: Int[np.ndarray, " g"] | None = None,
    average_precision: Literal["step", "trapezoid"] = "step",
    *,
    exclude: Int[np.ndarray, " q"] | None = None,
    max_rank: int = 50,
    block_size: int = 256,
) -> Scores:
    """How well queries find their own individual in a gallery, ranked by cosine similarity.

    The protocol of Market-1501 (Zheng et al. 2015): for each query, gallery images of unknown identity (-1, junk) and
    those of the query's own identity and camera are ignored; everything else is ranked, and images of the query's
    identity are matches. Distractors (identity 0 in Market-1501, where no query has it) need no rule: they match
    nobody. Equal similarities rank in gallery order. Queries of unknown identity or without a match are skipped and do
    not count, as in torchreid and OpenUnReID; Market-1501's own Matlab code counts the latter with AP 0.

    Args:
        query: rows of any length; normalised here, into a copy.
        gallery: likewise, with as many columns.
        query_identity: whole numbers; -1 is unknown.
        gallery_identity: whole numbers; -1 is junk.
        query_camera: whole numbers, -1 is unknown; None where cameras do not matter.
        gallery_camera: likewise; None if and only if `query_camera` is.
        average_precision: "step", the mean of the precisions at the matches, as torchreid, fast-reid and Cluster
            Contrast compute it; or "trapezoid", the area under the interpolated precision-recall curve, as
            Market-1501's Matlab, BUC and DBC do. The second is never larger; do not compare one with the other.
        exclude: for each query the gallery row that holds the very same image, to be ignored for it; -1 for none.
        max_rank: ranks of the CMC curve to report, at most; a smaller gallery has fewer.
        block_size: queries whose similarities are held at a time, (block_size, g) float32.

    Returns:
        mAP, mINP (Ye et al. 2021: matches over the rank of the last) and CMC as fractions in [0, 1].

    Raises:
        InputError: shapes that do not fit, values that are not finite, cameras given for one side only, or no query
            with a match in the gallery; the message says why there is none.
    """
    if average_precision not in ("step", "trapezoid"):
        raise InputError(f'average_precision must be "step" or "trapezoid"; got {average_precision!r}.')
    if max_rank < 1 or block_size < 1:
        raise InputError(f"max_rank and block_size must be at least 1; got {max_rank} and {block_size}.")
    asked, searched = check_embeddings(query, "query"), check_embeddings(gallery, "gallery")
    if asked.shape[1] != searched.shape[1]:
        raise InputError(
            f"query and gallery must have the same number of columns; got {asked.shape[1]} and {searched.shape[1]}. "
            "Embed both with the same encoder."
        )
    if (query_camera is None) != (gallery_camera is None):
        raise InputError("Cameras were given for one of query and gallery only. Pass both, or neither.")
    protocol = _Protocol(
        check_codes(query_identity, len(asked), "query_identity"),
        check_codes(gallery_identity, len(searched), "gallery_identity"),
        check_codes(query_camera, len(asked), "query_camera"),
        check_codes(gallery_camera, len(searched), "gallery_camera"),
        check_codes(exclude, len(asked), "exclude"),
    )
    valid = protocol.gallery_rows
    scores = _score(
        unit_rows(asked), unit_rows(searched[valid]), protocol, average_precision == "trapezoid", block_size
    )
    scored = ~np.isnan(scores[:, 0])
    first = scores[scored, 2].astype(np.int64)
    ranks = min(max_rank, len(valid))
    hits = np.bincount(first[first <= ranks], minlength=ranks + 1)[1:]
    return Scores(
        mAP=float(scores[scored, 0].mean()),
        mINP=float(scores[scored, 1].mean()),
        cmc=np.cumsum(hits) / len(first),
        queries=len(first),
        skipped=int((~scored).sum()),
        average_precision=scores[:, 0],
    )


class _Protocol:
    """Which gallery images are matches of a query and which are ignored for it; junk is out of the gallery at once."""

    def __init__(
        self,
        query_identity: NDArray[np.int64],
        gallery_identity: NDArray[np.int64],
        query_camera: NDArray[np.int64],
        gallery_camera: NDArray[np.int64],
        exclude: NDArray[np.int64],
    ) -> None:
        if len(exclude) and exclude.max() >= len(gallery_identity):
            raise InputError(
                f"exclude must hold rows of the gallery, below {len(gallery_identity)}, or -1; got {exclude.max()}."
            )
        self.gallery_rows = np.flatnonzero(gallery_identity >= 0)
        self._order = np.argsort(gallery_identity[self.gallery_rows], kind="stable")
        self._sorted_identity = gallery_identity[self.gallery_rows][self._order]
        self._gallery_camera = gallery_camera[self.gallery_rows]
        self._query_identity, self._query_camera = query_identity, query_camera
        place = np.full(len(gallery_identity) + 1, -1, np.int64)  # the last entry answers for -1
        place[self.gallery_rows] = np.arange(len(self.gallery_rows))
        self._exclude = place[np.maximum(exclude, -1)]
        self._refuse_without_match()

    def of(self, q: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of the gallery without junk that are matches of query q, and those that are ignored; ascending."""
        identity, camera, same_image = self._query_identity[q], self._query_camera[q], self._exclude[q]
        if identity < 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        low, high = np.searchsorted(self._sorted_identity, (identity, identity + 1))
        same = self._order[low:high]
        ignored = ((self._gallery_camera[same] == camera) & (camera >= 0)) | (same == same_image)
        elsewhere = [same_image] if same_image >= 0 and same_image not in same else []
        return same[~ignored], np.concatenate([same[ignored], elsewhere]).astype(np.int64)

    def _refuse_without_match(self) -> None:
        queries = range(len(self._query_identity))
        if any(len(self.of(q)[0]) for q in queries):
            return
        ignored = sum(len(self.of(q)[1]) for q in queries)
        shared = np.isin(self._query_identity[self._query_identity >= 0], self._sorted_identity).any()
        if shared and ignored and (self._query_camera >= 0).any():
            raise InputError(
                f"No query has a match in the gallery: all {ignored:,} gallery images that show a query's identity "
                "come from the camera of that query, and the protocol ignores those. If the images come from one "
                "camera, or cameras do not matter, pass query_camera=None and gallery_camera=None."
            )
        raise InputError(
            f"No query has a match in the gallery: {len(queries):,} queries and {len(self.gallery_rows):,} gallery "
            "images (those of unknown identity, -1, left out) have no identity in common, or only the query image "
            "itself. Check that both sides number identities in the same way."
        )


def _score(
    query: NDArray[np.float32], gallery: NDArray[np.float32], protocol: _Protocol, trapezoid: bool, block_size: int
) -> NDArray[np.float64]:
    """Average precision, inverse negative penalty and first rank of every query, NaN without a match, (q, 3)."""
    columns = torch.from_numpy(gallery).T
    scores = []
    with ThreadPoolExecutor(get_num_threads()) as threads:
        for top in range(0, len(query), block_size):
            similarity = (torch.from_numpy(query[top : top + block_size]) @ columns).numpy()
            sets = [protocol.of(q) for q in range(top, top + len(similarity))]
            matches, match_offsets = _joined([own for own, _ in sets])
            ignored, ignored_offsets = _joined([others for _, others in sets])
            arguments = similarity, matches, match_offsets, ignored, ignored_offsets, trapezoid
            tasks = [
                threads.submit(score_queries, start, min(start + QUERIES_PER_TASK, len(similarity)), *arguments)
                for start in range(0, len(similarity), QUERIES_PER_TASK)
            ]
            scores += [task.result() for task in tasks]
    return np.concatenate(scores)


def _joined(rows: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of different lengths in one, and where each begins."""
    return np.concatenate(rows), np.cumsum([0, *map(len, rows)])
