"""Retrieval scores and re-ranking beside the published programs, and torchreid's and fast-reid's where they are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

import reunite
from benchmarks.checks import same_distances, same_scores
from benchmarks.features import market_test
from benchmarks.harness import Case, Job, Peer, Setting
from benchmarks.packages import from_checkout, optional
from benchmarks.published.evaluation import distances, evaluate
from benchmarks.published.reranking import euclidean, rerank
from benchmarks.rates import Work


def _sides(setting: Setting) -> tuple:
    return market_test() if setting.full else market_test(512, queries=1_000, gallery=5_000, distractors=1_600)


def _size(query: np.ndarray, gallery: np.ndarray) -> str:
    return f"{len(query):,} in {len(gallery):,} x {query.shape[1]:,}"


def scores(setting: Setting) -> Iterator[Case]:
    """Embeddings in, mAP, mINP and CMC out; the checkouts' programs as they are, and with the fastest product there is."""
    query, gallery, *codes = _sides(setting)
    peers = [Peer("published, argsort of every row", lambda: evaluate(distances(query, gallery), *codes), same_scores)]
    for repository, package, distance in (
        ("torchreid", "torchreid.metrics.rank", _distances_of_torchreid),
        ("fastreid", "fastreid.evaluation.rank", _distances_of_fastreid),
    ):
        if checkout := setting.checkouts.get(repository):
            module, own = from_checkout(checkout, package), distance(checkout)
            for how, compiled, product in (
                ("Cython", True, own),
                ("Cython, NumPy's product", True, distances),
                ("Python", False, own),
            ):
                call = partial(_program, module, compiled, product, query, gallery, codes)
                there = module.IS_CYTHON_AVAI or not compiled
                name = f"{repository}, {how}"
                peers.append(Peer(name, call if there else None, same_scores, missing="not built"))
    work = Work(bfloat16=2.0 * len(query) * len(gallery) * query.shape[1])
    yield Case(_size(query, gallery), lambda: reunite.retrieval_scores(query, gallery, *codes), peers, work)


def _program(
    module: ModuleType, compiled: bool, distance: Callable, query: np.ndarray, gallery: np.ndarray, codes: list
) -> tuple:
    cmc, precision, *_ = module.evaluate_rank(distance(query, gallery), *codes, use_cython=compiled)
    return cmc, float(np.mean(precision))


def _distances_of_torchreid(checkout: Path) -> Callable:
    program = from_checkout(checkout, "torchreid.metrics.distance").compute_distance_matrix
    return lambda query, gallery: program(torch.from_numpy(query), torch.from_numpy(gallery)).numpy()


def _distances_of_fastreid(checkout: Path) -> Callable:
    """Cosine distances, its default. They come from a module that imports faiss; without faiss NumPy's product is taken."""
    if optional("faiss") is None:
        return distances
    program = from_checkout(checkout, "fastreid.utils.compute_dist", ["fastreid.utils.faiss_utils"]).build_dist
    return lambda query, gallery: program(torch.from_numpy(query), torch.from_numpy(gallery), "cosine")


def reranking(setting: Setting) -> Iterator[Case]:
    query, gallery, *_ = _sides(setting)
    asked, n = len(query), len(query) + len(gallery)
    peers = [Peer("published, dense", lambda: rerank(query, gallery), same_distances, needs=23.0 * n * n)]
    if checkout := setting.checkouts.get("torchreid"):
        program = from_checkout(checkout, "torchreid.utils.rerank").re_ranking

        def torchreid() -> np.ndarray:
            distance = euclidean(np.concatenate([query, gallery]))
            return program(distance[:asked, asked:], distance[:asked, :asked], distance[asked:, asked:])

        peers.append(Peer("torchreid", torchreid, same_distances, needs=27.0 * n * n))
    work = Work(bfloat16=float(n) * n * query.shape[1], float32=2.0 * asked * len(gallery) * query.shape[1])
    yield Case(_size(query, gallery), lambda: reunite.rerank(query, gallery), peers, work)


JOBS: dict[str, Job] = {"retrieval scores": scores, "re-ranking": reranking}
