"""Cluster memory by its definition, one image at a time (Dai et al. 2021; methods as the authors' cm.py runs them)."""

from __future__ import annotations

import math

import numpy as np


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / math.sqrt(sum(x * x for x in vector.tolist()))


def loss(embeddings: np.ndarray, labels: np.ndarray, memory: np.ndarray, temperature: float) -> float:
    """Mean over the batch of -log softmax of the similarity to the own row."""
    total = 0.0
    for vector, label in zip(embeddings, labels, strict=True):
        query = unit(vector)
        logits = [float(query @ row) / temperature for row in memory]
        largest = max(logits)
        total += largest + math.log(sum(math.exp(each - largest) for each in logits)) - logits[label]
    return total / len(labels)


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
