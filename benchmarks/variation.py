"""`python -m benchmarks.variation DATA RUN [RUN ...]`: do embeddings of new individuals cluster? Cluster Loss's own claim.

For each run the images of the data's test, individuals never trained on, are embedded: how far an image is from the mean of its
individual (intra), how far that mean is from the nearest other one (inter), their ratio, and how well k-means, told the number
of individuals, finds them. Runs of one name are one row: mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

import reunite
from benchmarks.methods import spread
from reunite.cluster.centroids import centroids
from reunite.evaluate.protocol import retrieval_test
from reunite.types import Clusters


def variation(rows: np.ndarray, identity: np.ndarray) -> list[float]:
    """Intra, inter, their ratio, and ARI and NMI of k-means."""
    own = Clusters.of(identity).labels
    means = centroids(rows, own)
    intra = np.linalg.norm(rows - means[own], axis=1).mean()
    between = np.linalg.norm(means[:, None] - means[None, :], axis=2)
    inter = (between + np.diag(np.full(len(means), np.inf))).min(axis=1).mean()
    found = reunite.clustering_scores(KMeans(len(means), n_init=10, random_state=0).fit_predict(rows), identity)
    return [float(intra), float(inter), float(intra / inter), found.ari, found.nmi]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.variation", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", nargs="+", type=Path)
    options = parser.parse_args()
    images = retrieval_test(reunite.images.read(options.data)).images
    images = images.take(images.identity > 0)
    found: dict[str, list[list[float]]] = defaultdict(list)
    for folder in options.runs:
        run = reunite.Run.open(folder)
        found[run.about["name"]].append(
            variation(reunite.embed(run.encoder(), images, progress=False), images.identity)
        )
    print(
        "| recipe | seeds | intra | inter | intra / inter | k-means ARI | k-means NMI |\n|---|---|---|---|---|---|---|"
    )
    for name, rows in found.items():
        cells = [spread(list(column), 3) for column in zip(*rows, strict=True)]
        print(f"| {' '.join(f'`{part}`' for part in name.split())} | {len(rows)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
