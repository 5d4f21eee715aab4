"""Exact nearest neighbors beside faiss, scikit-learn and a full product with a top k."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sklearn.neighbors import NearestNeighbors

import reunite
from benchmarks.checks import Neighbors, same_neighbors
from benchmarks.features import Rows, market
from benchmarks.harness import Case, Job, Peer, Setting
from benchmarks.packages import optional
from benchmarks.rates import Work

K = 30


def by_faiss(rows: Rows, k: int) -> Neighbors:
    index = optional("faiss").IndexFlatIP(rows.shape[1])
    index.add(rows)
    similarity, indices = index.search(rows, k)
    return indices, similarity


def by_scikit_learn(rows: Rows, k: int) -> Neighbors:
    distance, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows).kneighbors(rows)
    return indices, 1 - distance**2 / 2


def by_torch(rows: Rows, k: int) -> Neighbors:
    held = torch.from_numpy(rows)
    similarity, indices = (held @ held.T).topk(k)
    return indices.numpy(), similarity.numpy()


def nearest(setting: Setting) -> Iterator[Case]:
    rows = market()[0] if setting.full else market(5_000, 512)[0]
    n, dimensions = rows.shape
    yield Case(
        f"{n:,} x {dimensions:,}, k {K}",
        lambda: reunite.nearest_neighbors(rows, K),
        [
            Peer("faiss IndexFlatIP", (lambda: by_faiss(rows, K)) if optional("faiss") else None, same_neighbors),
            Peer("scikit-learn, brute", lambda: by_scikit_learn(rows, K), same_neighbors),
            Peer("torch, product and topk", lambda: by_torch(rows, K), same_neighbors, needs=5.0 * n * n),
        ],
        Work(bfloat16=float(n) * n * dimensions),
    )


JOBS: dict[str, Job] = {"exact neighbors": nearest}
