"""Retrieval scores under the Market-1501 protocol: mAP, CMC and mINP, streamed in blocks of queries."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from reunite.errors import InputError
from reunite.evaluate.close_calls import MOST_LISTED, CloseCalls
from reunite.evaluate.retrieval_kernels import score_queries
from reunite.neighbors.precision import bfloat16_pays
from reunite.threads import in_blocks, is_fork
from reunite.types import Scores, check_codes, check_unit_rows

QUERIES_PER_TASK = 16
"""Queries a thread ranks at a time."""

SIMILARITY_BYTES = 48 * 2**20
"""What the similarities of a block of queries may take, as long as the block has LEAST_QUERIES."""

LEAST_QUERIES = 128
"""Every block of queries reads the whole gallery once: in smaller blocks the product would wait for memory."""


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
    block_size: int | None = None,
) -> Scores:
    """How well queries find their own individual in a gallery, ranked by cosine similarity.

    The protocol of Market-1501 (Zheng et al. 2015): for each query, gallery images of unknown identity (-1, junk) and
    those of the query's own identity and camera are ignored; everything else is ranked, and images of the query's
    identity are matches. Distractors (identity 0 in Market-1501, where no query has it) need no rule: they match
    nobody. Equal similarities rank in gallery order. Queries of unknown identity or without a match are skipped and do
    not count, as in torchreid and OpenUnReID; Market-1501's own Matlab code counts the latter with AP 0.

    Ranks are counted, not sorted: for each match, the images of greater similarity. Where the processor is fast in
    bfloat16, float32 products of single images decide what that leaves open (`reunite.evaluate.close_calls`): the same
    ranks, but for images whose similarities differ by float32 rounding. Time grows with q g d; memory, above the inputs, is
    one block of similarities or a part of the gallery in bfloat16, a few bytes for each match, and a copy of a side whose
    rows are not float32 of length one.

    Args:
        query: rows of any length; only their direction counts.
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
        block_size: queries whose similarities are held at a time, (block_size, g) float32, all computed in float32; None
            takes bfloat16 where it pays, and otherwise as many as fit into 48 MiB, but at least 128.

    Returns:
        mAP, mINP (Ye et al. 2021: matches over the rank of the last) and CMC as fractions in [0, 1].

    Raises:
        InputError: shapes that do not fit, values that are not finite, cameras given for one side only, or no query
            with a match in the gallery; the message says why there is none.
    """
    if average_precision not in ("step", "trapezoid"):
        raise InputError(f'average_precision must be "step" or "trapezoid"; got {average_precision!r}.')
    if max_rank < 1 or (block_size is not None and block_size < 1):
        raise InputError(f"max_rank and block_size must be at least 1; got {max_rank} and {block_size}.")
    asked, searched = check_unit_rows(query, "query"), check_unit_rows(gallery, "gallery")
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
    searched = searched[protocol.rows]
    trapezoid = average_precision == "trapezoid"
    scores = None
    if block_size is None and bfloat16_pays() and not is_fork() and protocol.listed <= MOST_LISTED:
        images = protocol.columns, protocol.bounds, protocol.exclude, protocol.junk
        scores = CloseCalls(asked, searched, *images).scores(trapezoid)
    if scores is None:
        block = block_size or max(LEAST_QUERIES, SIMILARITY_BYTES // (4 * max(1, len(searched))))
        scores = _score(asked, searched, protocol, trapezoid, block)
    scored = ~np.isnan(scores[:, 0])
    first = scores[scored, 2].astype(np.int64)
    ranks = min(max_rank, protocol.gallery_size)
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
    """Which gallery images are matches of a query and which are ignored for it, for the kernel that scores queries.

    Attributes:
        gallery_size: images without junk.
        listed: matches of all queries, and images that one query ignores.
        rows: what of the gallery to compare with: all of it, or the rows that are not junk if those are the smaller half.
            A column below is a position in `gallery[rows]`.
        junk: columns that are ignored for every query.
        columns: columns of known identity, by identity and camera.
        bounds: where in `columns` the query's identity begins, its camera in it, the next camera, and the next identity;
            (q, 4). All the same for an identity that the gallery lacks; no images lie between the middle two if the camera is
            unknown.
        exclude: one more column to ignore for each query, or -1; (q,).
    """

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
        valid = gallery_identity >= 0
        known = np.flatnonzero(valid)
        self.gallery_size = len(known)
        self.rows: slice | NDArray[np.int64] = slice(None)
        self.junk = np.flatnonzero(~valid)
        column = np.arange(len(valid))
        if len(known) < len(self.junk):
            self.rows, self.junk, column = known, self.junk[:0], np.cumsum(valid) - 1

        _, identity = np.unique(np.concatenate([query_identity, gallery_identity]), return_inverse=True)
        cameras, camera = np.unique(np.concatenate([query_camera, gallery_camera]), return_inverse=True)
        asked, searched = np.split(identity * len(cameras) + camera, [len(query_identity)])  # both in one number
        order = known[np.argsort(searched[known], kind="stable")]
        self.columns = column[order]
        first = asked - camera[: len(asked)]
        self.bounds = np.searchsorted(searched[order], np.stack([first, asked, asked + 1, first + len(cameras)], 1))
        self.bounds[query_camera < 0, 2] = self.bounds[query_camera < 0, 1]

        place = np.where(np.append(valid, False), np.append(column, 0), -1)  # the last entry answers for -1
        image = np.maximum(exclude, -1)
        self.exclude = np.where(query_identity >= 0, place[image], -1)
        same_identity = np.append(gallery_identity, -1)[image] == query_identity
        same_camera = (np.append(gallery_camera, -1)[image] == query_camera) & (query_camera >= 0)
        elsewhere = (self.exclude >= 0) & ~(same_identity & same_camera)  # not ignored for its camera anyway
        low, own_camera, next_camera, high = self.bounds.T
        matches = high - low - (next_camera - own_camera) - (elsewhere & same_identity)
        ignored = next_camera - own_camera + elsewhere
        self.listed = int(matches.sum() + ignored.sum())
        if not matches.any():
            self._refuse(int(ignored.sum()), bool((high > low).any()), bool((query_camera >= 0).any()))

    def _refuse(self, ignored: int, shared: bool, cameras: bool) -> None:
        if shared and ignored and cameras:
            raise InputError(
                f"No query has a match in the gallery: all {ignored:,} gallery images that show a query's identity "
                "come from the camera of that query, and the protocol ignores those. If the images come from one "
                "camera, or cameras do not matter, pass query_camera=None and gallery_camera=None."
            )
        raise InputError(
            f"No query has a match in the gallery: {len(self.exclude):,} queries and {self.gallery_size:,} gallery "
            "images (those of unknown identity, -1, left out) have no identity in common, or only the query image "
            "itself. Check that both sides number identities in the same way."
        )


def _score(
    query: NDArray[np.float32], gallery: NDArray[np.float32], protocol: _Protocol, trapezoid: bool, block_size: int
) -> NDArray[np.float64]:
    """Average precision, inverse negative penalty and first rank of every query, NaN without a match, (q, 3); unit rows."""
    columns = gallery.T
    buffer = np.empty((min(block_size, len(query)), columns.shape[1]), np.float32)
    scores = np.full((len(query), 3), np.nan)
    for top in range(0, len(query), block_size):
        block = slice(top, top + block_size)
        similarity = buffer[: len(query[block])]
        np.matmul(query[block], columns, out=similarity)  # numpy's is quicker than torch's in float32
        bounds, exclude = protocol.bounds[block], protocol.exclude[block]
        rank = partial(
            score_queries, similarity, protocol.junk, protocol.columns, bounds, exclude, trapezoid, scores[block]
        )
        in_blocks(len(similarity), QUERIES_PER_TASK, rank)
    return scores
