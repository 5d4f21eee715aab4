"""Losses that keep rows of their own by definition, one image at a time.

Cluster memory (Dai et al. 2021; methods as the authors' cm.py runs them), the lookup table of BUC (Lin et al. 2019), a
memory of single images (Ge et al. 2020), and cross entropy with smoothed labels (Szegedy et al. 2016).
"""

from __future__ import annotations

import math

import numpy as np


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / math.sqrt(sum(x * x for x in vector.tolist()))


def batch(seed: int, size: int, clusters: int, dimensions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Made-up embeddings of any length, their labels, and one centroid per cluster."""
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((size, dimensions)) * rng.uniform(0.1, 3, (size, 1))
    return embeddings, rng.integers(0, clusters, size), rng.standard_normal((clusters, dimensions))


def surprise(logits: list[float], target: int) -> float:
    """-log softmax of one entry."""
    largest = max(logits)
    return largest + math.log(sum(math.exp(each - largest) for each in logits)) - logits[target]


def loss(embeddings: np.ndarray, labels: np.ndarray, memory: np.ndarray, temperature: float) -> float:
    """Mean over the batch of -log softmax of the similarity to the own row."""
    return table_loss(np.array([unit(vector) for vector in embeddings]), labels, memory, temperature)


def table_loss(embeddings: np.ndarray, labels: np.ndarray, table: np.ndarray, temperature: float) -> float:
    """The same with embeddings as they come, of any length."""
    total = 0.0
    for vector, label in zip(embeddings, labels, strict=True):
        total += surprise([float(vector @ row) / temperature for row in table], label)
    return total / len(labels)


def table_start(start: str, embeddings: np.ndarray, labels: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Rows of the table after a merge: nothing, the mean of each class, or, the leak, the mean of each OLD class."""
    if start == "zeros":
        return np.zeros((max(labels) + 1, embeddings.shape[1]))
    names = previous if start == "stale" else labels
    rows = []
    for name in range(max(names) + 1):
        members = [vector for vector, own in zip(embeddings, names, strict=True) if own == name]
        rows.append(unit(sum(members) / len(members)))
    return np.array(rows)


def table_update(table: np.ndarray, embeddings: np.ndarray, labels: np.ndarray, momentum: float) -> np.ndarray:
    """Every image moves its row, in the order of the batch, by its embedding as it comes."""
    rows = table.copy()
    for vector, label in zip(embeddings, labels, strict=True):
        rows[label] = unit(momentum * rows[label] + (1 - momentum) * vector)
    return rows


def instance_loss(
    embeddings: np.ndarray, labels: np.ndarray, entries: np.ndarray, owner: np.ndarray, temperature: float
) -> float:
    """Mean over the batch of -log softmax of the mean similarity to the members of each cluster; -1 belongs to none."""
    total = 0.0
    for vector, label in zip(embeddings, labels, strict=True):
        query, logits = unit(vector), []
        for cluster in range(max(owner) + 1):
            members = [float(query @ entry) for entry, own in zip(entries, owner, strict=True) if own == cluster]
            logits.append(sum(members) / len(members) / temperature)
        total += surprise(logits, label)
    return total / len(labels)


def instance_update(entries: np.ndarray, embeddings: np.ndarray, rows: np.ndarray, momentum: float) -> np.ndarray:
    """Every image moves its own entry, in the order of the batch; an image may be in a batch more than once."""
    return table_update(entries, np.array([unit(vector) for vector in embeddings]), rows, momentum)


def smoothed_cross_entropy(
    embeddings: np.ndarray, labels: np.ndarray, weight: np.ndarray, label_smoothing: float
) -> float:
    """Mean over the batch of -sum q log softmax, where q is the label with a share spread evenly over all classes."""
    total = 0.0
    for vector, label in zip(embeddings, labels, strict=True):
        logits = [float(vector @ row) for row in weight]
        for each in range(len(weight)):
            share = (1 - label_smoothing) * (each == label) + label_smoothing / len(weight)
            total += share * surprise(logits, each)
    return total / len(labels)


def turns(rows: list[int]) -> list[list[int]]:
    """Positions of the first entry of each row in ascending row, then of the second entries, and so on."""
    found: list[list[tuple[int, int]]] = []
    for position, row in enumerate(rows):
        earlier = rows[:position].count(row)
        if earlier == len(found):
            found.append([])
        found[earlier].append((row, position))
    return [[position for _, position in sorted(turn)] for turn in found]


def momentum_update(memory: np.ndarray, embeddings: np.ndarray, labels: np.ndarray, momentum: float) -> np.ndarray:
    """Every image moves its row, in the order of the batch."""
    rows = memory.copy()
    for vector, label in zip(embeddings, labels, strict=True):
        rows[label] = unit(momentum * rows[label] + (1 - momentum) * unit(vector))
    return rows


def hard_update(memory: np.ndarray, embeddings: np.ndarray, labels: np.ndarray, momentum: float) -> np.ndarray:
    """Only the image least similar to its row moves it."""
    rows = memory.copy()
    for label in sorted(set(labels.tolist())):
        members = [unit(vector) for vector, own in zip(embeddings, labels, strict=True) if own == label]
        hardest = min(members, key=lambda member: float(member @ memory[label]))
        rows[label] = unit(momentum * memory[label] + (1 - momentum) * hardest)
    return rows


def mean_update(memory: np.ndarray, embeddings: np.ndarray, labels: np.ndarray, momentum: float) -> np.ndarray:
    """The mean of a cluster's images moves its row, once."""
    rows = memory.copy()
    for label in sorted(set(labels.tolist())):
        members = [unit(vector) for vector, own in zip(embeddings, labels, strict=True) if own == label]
        rows[label] = unit(momentum * memory[label] + (1 - momentum) * np.mean(members, axis=0))
    return rows
