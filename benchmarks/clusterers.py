"""`python -m benchmarks.clusterers FILE`: embeddings with known identities, clustered by every clusterer a user would try.

FILE is a Parquet table as `reunite embed` writes it, or an .npz with embeddings and identities. Nothing is trained: bottom-up
merging, which in its recipes alternates with training, here merges round after round on the same embeddings. Only clusterers
marked * are told how many identities there are. A first, unmeasured fit of each on a few rows compiles what is compiled.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import HDBSCAN, KMeans

import reunite
from benchmarks.harness import measure
from reunite.cluster.bottom_up import BottomUp
from reunite.types import unit_rows

ROUNDS = 18
"""Merges of BUC and DBC before their last round of training: 10 % of the images are left as clusters."""

Fit = Callable[[np.ndarray], np.ndarray]


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings and identities of the images whose identity is known (above 0: 0 are Market-1501's distractors)."""
    if path.suffix == ".npz":
        stored = np.load(path)
        name = "gallery" if "gallery" in stored else "embeddings"
        rows, identity = stored[name], stored["gallery_identity" if name == "gallery" else "identity"]
    else:
        table = pq.read_table(path, columns=["embedding", "identity"])
        rows = np.stack(table["embedding"].to_numpy())
        identity = table["identity"].to_numpy()
    known = identity > 0
    return unit_rows(rows[known].astype(np.float32)), identity[known].astype(np.int64)


def clusterers(identities: int) -> Iterator[tuple[str, Fit]]:
    yield "`JaccardDBSCAN()`", reunite.JaccardDBSCAN().fit_predict
    yield "`JaccardDBSCAN(eps=0.5)`", reunite.JaccardDBSCAN(eps=0.5).fit_predict
    yield "`InfomapClustering()`", reunite.InfomapClustering().fit_predict
    yield "`AverageLinkage()`", reunite.AverageLinkage().fit_predict
    yield f"`BottomUp(MinimumDistance())`, {ROUNDS} rounds", rounds(BottomUp(reunite.MinimumDistance()))
    yield f"`BottomUp(Dispersion())`, {ROUNDS} rounds", rounds(BottomUp(reunite.Dispersion()))
    yield (
        f"the same with `merge_rule='union'`, {ROUNDS} rounds",
        rounds(BottomUp(reunite.Dispersion(), merge_rule="union")),
    )
    yield f"the same with `weight=0.0`, {ROUNDS} rounds", rounds(BottomUp(reunite.Dispersion(0.0), merge_rule="union"))
    yield "scikit-learn `HDBSCAN(min_cluster_size=4)`", HDBSCAN(min_cluster_size=4, copy=True).fit_predict
    yield "scikit-learn `KMeans` *", KMeans(identities, n_init=1, random_state=0).fit_predict


def rounds(clusterer: BottomUp) -> Fit:
    """Merges of the labels of the merge before."""

    def fit(rows: np.ndarray) -> np.ndarray:
        labels = None
        for _ in range(ROUNDS):
            labels = clusterer.fit_predict(rows, labels)
        return labels

    return fit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clusterers", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="rows in a random order instead of the file's")
    parser.add_argument("--only", default="", metavar="TEXT", help="clusterers whose name holds this text")
    options = parser.parse_args()
    rows, identity = read(options.file)
    if options.shuffle is not None:
        order = np.random.default_rng(options.shuffle).permutation(len(rows))
        rows, identity = rows[order], identity[order]
    identities = len(np.unique(identity))
    print(f"{len(rows):,} images of {identities:,} identities, {rows.shape[1]} dimensions\n")
    print("| clusterer | clusters | noise | ARI | NMI | pairwise F | B-cubed F | purity | seconds | MB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, fit in clusterers(identities):
        if options.only not in name:
            continue
        fit(rows[: max(200, identities)])
        labels, seconds, memory = measure(lambda fit=fit: fit(rows))
        scores = reunite.clustering_scores(labels, identity)
        cells = [scores.ari, scores.nmi, scores.pairwise_f, scores.bcubed_f, scores.purity]
        print(
            f"| {name} | {scores.clusters:,} | {scores.noise:,} | {' | '.join(f'{cell:.3f}' for cell in cells)} | "
            f"{seconds:.1f} | {memory / 1e6:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
