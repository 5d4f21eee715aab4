"""Infomap on nearest neighbors beside Cluster Contrast's path to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import reunite
from benchmarks.checks import same_partition
from benchmarks.features import market
from benchmarks.harness import Case, Job, Missing, Peer, Setting
from benchmarks.neighbors import by_faiss
from benchmarks.packages import optional
from benchmarks.published.jaccard import nearest_by_product
from benchmarks.rates import Work

K = 15


def path(setting: Setting) -> Iterator[Case]:
    if optional("infomap") is None:
        raise Missing("infomap is not installed")
    from benchmarks.published.infomap_path import infomap_labels  # imports infomap

    rows = market()[0] if setting.full else market(5_000, 512)[0]
    n, dimensions = rows.shape
    search, name = (by_faiss, "faiss") if optional("faiss") else (nearest_by_product, "NumPy search")

    def published() -> np.ndarray:
        return infomap_labels(*search(rows, K))

    yield Case(
        f"{n:,} x {dimensions:,}, k {K}",
        lambda: reunite.InfomapClustering().fit_predict(rows),
        [Peer(f"published, {name} + Python links", published, same_partition)],
        Work(bfloat16=float(n) * n * dimensions),
    )


JOBS: dict[str, Job] = {"Infomap path": path}
