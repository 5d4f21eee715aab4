"""One stage of BUC and DBC, and average linkage, beside the published matrices and the packages that have a linkage."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

import reunite
from benchmarks.checks import same_labels, same_partition
from benchmarks.features import Rows, halves, market
from benchmarks.harness import Case, Job, Peer, Setting
from benchmarks.packages import from_checkout, optional
from benchmarks.published.average_linkage import average_linkage
from benchmarks.published.merging import buc_stage, dbc_stage
from benchmarks.published.reranking import euclidean
from benchmarks.rates import Work

Labels = NDArray[np.int64]
MERGED = 0.05
"""Of the rows, in one stage."""

NOT_USED = ("models", "trainers", "evaluators", "dist_metric", "utils", "exclusive_loss")
STUBS = [f"reid.{name}" for name in (*NOT_USED, "utils.serialization", "utils.data", "utils.data.preprocessor")]
"""What the authors' module imports to train."""


def buc(setting: Setting) -> Iterator[Case]:
    """From single images, which is the most expensive stage."""
    rows = market()[0] if setting.full else market(3_000, 512)[0]
    n, dimensions = rows.shape
    labels = np.arange(n)
    merges = int(n * MERGED)
    peers = [Peer("published, dense", lambda: buc_stage(rows, labels, merges), same_labels, needs=30.0 * n * n)]
    if checkout := setting.checkouts.get("buc"):
        stage = _buc_program(checkout)
        peers.append(Peer("the authors' program", lambda: stage(rows, labels, merges), same_labels, needs=30.0 * n * n))
    clusterer = reunite.BottomUp(reunite.MinimumDistance())
    work = Work(bfloat16=float(n) * n * dimensions)
    yield Case(f"{n:,} x {dimensions:,}, alone", lambda: clusterer.fit_predict(rows), peers, work)


def dbc(setting: Setting) -> Iterator[Case]:
    """From half as many clusters as images."""
    rows, identity, _ = market() if setting.full else market(2_000, 512)
    n, dimensions = rows.shape
    labels = halves(identity)
    clusters, merges = n // 2, int(n * MERGED)
    peers = [Peer("published, dense", lambda: dbc_stage(rows, labels, merges), same_labels, needs=15.0 * n * n)]
    if checkout := setting.checkouts.get("dbc"):
        stage = _dbc_program(checkout)
        peers.append(Peer("the authors' program", lambda: stage(rows, labels, merges), same_labels, needs=15.0 * n * n))
    clusterer = reunite.BottomUp(reunite.Dispersion())
    work = Work(bfloat16=float(clusters) ** 2 * dimensions)
    yield Case(
        f"{n:,} x {dimensions:,}, {clusters:,} clusters", lambda: clusterer.fit_predict(rows, labels), peers, work
    )


def linkage(setting: Setting) -> Iterator[Case]:
    """Embeddings in, labels out; every peer gets its distances from one float32 product."""
    rows = market()[0] if setting.full else market(4_000, 512)[0]
    n, dimensions = rows.shape
    merges = 13 * int(0.07 * n)
    fastcluster = optional("fastcluster")

    def by_fastcluster() -> Labels:
        return average_linkage(rows, merges, lambda d: fastcluster.linkage(d, "average", preserve_input=False))

    def by_scikit_learn() -> Labels:
        clusterer = AgglomerativeClustering(n - merges, metric="precomputed", linkage="average")
        return clusterer.fit_predict(euclidean(rows))

    yield Case(
        f"{n:,} x {dimensions:,}",
        lambda: reunite.AverageLinkage().fit_predict(rows),
        [
            Peer("SciPy", lambda: average_linkage(rows, merges), same_partition, needs=20.0 * n * n),
            Peer("fastcluster", by_fastcluster if fastcluster else None, same_partition, needs=20.0 * n * n),
            Peer("scikit-learn", by_scikit_learn, same_partition, needs=28.0 * n * n),
        ],
        Work(float32=float(n) * n * dimensions),
    )


def _buc_program(checkout: Path) -> Callable[[Rows, Labels, int], Labels]:
    """The steps of its stage between the features and the labels."""
    program = from_checkout(checkout, "reid.bottom_up", STUBS).Bottom_up

    def stage(rows: Rows, labels: Labels, merges: int) -> Labels:
        images = _images_of(labels)
        data = SimpleNamespace(u_label=labels, u_data=[[None, None, None, label] for label in labels])
        with _quietly():
            distance = program.calculate_distance(data, rows)
            pairs = program.select_merge_data(data, rows, labels.tolist(), images, 0.003, distance)
            return np.array(program.generate_new_train_data(data, *pairs, labels.tolist(), merges)[1])

    return stage


def _dbc_program(checkout: Path) -> Callable[[Rows, Labels, int], Labels]:
    """The steps of its stage, with the penalised linkage that it computes and then does not use."""
    module = from_checkout(checkout, "reid.bottom_up", STUBS)
    module.np = _NumPyOf2019()
    program = module.Bottom_up

    def stage(rows: Rows, labels: Labels, merges: int) -> Labels:
        data = SimpleNamespace(label_to_images=_images_of(labels), u_data=[[0, 0, 0, int(label)] for label in labels])
        data.assign_label = lambda found: program.assign_label(data, found)
        order = np.argsort(labels, kind="stable")
        with _quietly():
            distance = program.calculate_distance(data, rows[order])
            _, penalised = program.linkage_calculation(data, distance, labels[order], 0.1)
            pairs = program.select_merge_data_v2(data, rows, labels, penalised)
            return np.array(program.generate_new_train_data_v2(data, *pairs, merges)[1])

    return stage


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the programs print, and without warnings about the torch they were written for."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _NumPyOf2019:
    """NumPy with the name `int`, which it had when the program was written."""

    int = int

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _images_of(labels: Labels) -> dict[int, list[int]]:
    return {label: np.flatnonzero(labels == label).tolist() for label in range(labels.max() + 1)}


JOBS: dict[str, Job] = {"BUC stage": buc, "DBC stage": dbc, "average linkage": linkage}
