"""Clustering scores by their definitions over all pairs and all rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def with_singletons(labels: np.ndarray) -> np.ndarray:
    """Noise as clusters of one."""
    singletons = max(labels.max(initial=-1), -1) + 1 + np.arange(len(labels))
    return np.where(labels < 0, singletons, labels)


def pairwise_f_by_pairs(labels: np.ndarray, identity: np.ndarray) -> float:
    """F1 over pairs put together."""
    hit = found = true = 0
    for i, j in combinations(range(len(labels)), 2):
        together, same = labels[i] == labels[j], identity[i] == identity[j]
        hit, found, true = hit + (together and same), found + together, true + same
    return 2 * hit / (found + true) if found + true else 1.0


def bcubed_f_by_rows(labels: np.ndarray, identity: np.ndarray) -> float:
    """F1 of mean precision and mean recall over rows (Bagga and Baldwin 1998)."""
    precision, recall = [], []
    for i in range(len(labels)):
        cluster = {j for j in range(len(labels)) if labels[j] == labels[i]}
        person = {j for j in range(len(labels)) if identity[j] == identity[i]}
        precision.append(len(cluster & person) / len(cluster))
        recall.append(len(cluster & person) / len(person))
    p, r = float(np.mean(precision)), float(np.mean(recall))
    return 2 * p * r / (p + r)


def purity_by_clusters(labels: np.ndarray, identity: np.ndarray) -> float:
    """Share of rows in the majority identity of their cluster."""
    majority = 0
    for cluster in set(labels.tolist()):
        members = identity[labels == cluster].tolist()
        majority += max(members.count(person) for person in members)
    return majority / len(labels)
