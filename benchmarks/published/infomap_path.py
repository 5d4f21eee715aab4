"""Cluster Contrast's other clustering: neighbors to links one by one in Python, Infomap, small modules to outliers."""

from __future__ import annotations

import infomap
import numpy as np
from numpy.typing import NDArray


def infomap_labels(
    nearest: NDArray[np.int64],
    similarity: NDArray[np.float32],
    min_similarity: float = 0.5,
    largest_outlier: int = 4,
    seed: int = 1,
) -> NDArray[np.int64]:
    """Labels of rows whose k nearest and similarities are known, best first, themselves included; -1 is an outlier.

    Modules are read from the leaves, as current packages give them; the program's own way fits an Infomap of 2021.
    """
    distance = 1 - similarity
    links = {}
    for i in range(len(nearest)):
        for j, far in zip(nearest[i], distance[i], strict=True):
            if i == j:
                continue
            if far > 1 - min_similarity:
                break
            links[i, int(j)] = float(1 - far)
    if not links:
        return np.full(len(nearest), -1)
    network = infomap.Network()
    for (i, j), weight in links.items():
        network.add_link(i, j, weight)
    modules = network.run(two_level=True, directed=True, num_trials=1, seed=seed).modules()
    members: dict[int, list[int]] = {}
    for node, module in modules.items():
        members.setdefault(module, []).append(node)
    labels = np.full(len(nearest), -1)
    for number, nodes in enumerate(nodes for nodes in members.values() if len(nodes) > largest_outlier):
        labels[nodes] = number
    return labels
