"""Bottom-up merging and agglomeration from their definitions, in plain loops; and the nine points of the method notes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

ANGLES = (0, 10, 41, 101, 150, 163, 215, 232, 304)
NINE = np.array([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in ANGLES])
NINE_LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])

Distance = Callable[[np.ndarray, np.ndarray], float]


def squared(a: np.ndarray, b: np.ndarray) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def euclidean(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(squared(a, b))


METRICS: dict[str, Distance] = {"sqeuclidean": squared, "euclidean": euclidean}


def unit(rows: np.ndarray) -> np.ndarray:
    lengths = [math.sqrt(sum(float(x) ** 2 for x in row)) for row in rows]
    return np.array([[float(x) / (length or 1) for x in row] for row, length in zip(rows, lengths, strict=True)])


def members_of(labels: np.ndarray) -> list[list[int]]:
    return [[i for i, label in enumerate(labels) if label == c] for c in sorted(set(labels.tolist()))]


def minimum_distance(rows: np.ndarray, a: list[int], b: list[int], penalty: float, metric: str) -> float:
    return min(METRICS[metric](rows[i], rows[j]) for i in a for j in b) + penalty * (len(a) + len(b))


def dispersion(rows: np.ndarray, a: list[int], metric: str, norm: str) -> float:
    n = len(a)
    total = sum(METRICS[metric](rows[i], rows[j]) for i in a for j in a)
    return total / {"n2": n * n, "n": n, "n(n-1)": max(n * (n - 1), 1)}[norm]


def dispersed_linkage(rows: np.ndarray, a: list[int], b: list[int], weight: float, metric: str, norm: str) -> float:
    mean = sum(METRICS[metric](rows[i], rows[j]) for i in a for j in b) / (len(a) * len(b))
    return mean + weight * (dispersion(rows, a, metric, norm) + dispersion(rows, b, metric, norm))


def ranked(members: list[list[int]], value: Callable[[list[int], list[int]], float]) -> list[tuple[float, int, int]]:
    count = len(members)
    return sorted((value(members[a], members[b]), a, b) for a in range(count) for b in range(a + 1, count))


def merge_by_scan(labels: np.ndarray, pairs: list[tuple[float, int, int]], merges: int, rule: str) -> np.ndarray:
    """The published loops: relabel the whole list at each merge, compact at the end."""
    now = labels.tolist()
    absorbed: set[int] = set()
    for _, a, b in pairs:
        if merges == 0:
            break
        if rule == "skip_absorbed":
            if a in absorbed or b in absorbed:
                continue
            absorbed.add(b)
            keep, gone = a, b
        else:
            current_a = now[labels.tolist().index(a)]
            current_b = now[labels.tolist().index(b)]
            if current_a == current_b:
                continue
            keep, gone = min(current_a, current_b), max(current_a, current_b)
        now = [keep if label == gone else label for label in now]
        merges -= 1
    compact = {label: place for place, label in enumerate(sorted(set(now)))}
    return np.array([compact[label] for label in now])


def linkage_of(rows: np.ndarray, a: list[int], b: list[int], linkage: str, metric: str) -> float:
    if linkage in ("ward", "centroid"):
        apart = euclidean(rows[a].mean(axis=0), rows[b].mean(axis=0))
        return apart * math.sqrt(2 * len(a) * len(b) / (len(a) + len(b))) if linkage == "ward" else apart
    all_pairs = [METRICS[metric](rows[i], rows[j]) for i in a for j in b]
    return {"average": sum(all_pairs) / len(all_pairs), "single": min(all_pairs), "complete": max(all_pairs)}[linkage]


def agglomerate(
    rows: np.ndarray, labels: np.ndarray, linkage: str, metric: str, merges: int
) -> tuple[np.ndarray, list[float]]:
    """Merge the closest pair, link anew, again."""
    heights = []
    for _ in range(merges):
        pairs = ranked(members_of(labels), lambda a, b: linkage_of(rows, a, b, linkage, metric))
        heights.append(pairs[0][0])
        labels = merge_by_scan(labels, pairs, 1, "union")
    return labels, heights


def agglomerate_in_batches(
    rows: np.ndarray, labels: np.ndarray, linkage: str, metric: str, merges: int, steps: int
) -> np.ndarray:
    for _ in range(steps):
        pairs = ranked(members_of(labels), lambda a, b: linkage_of(rows, a, b, linkage, metric))
        labels = merge_by_scan(labels, pairs, merges, "union")
    return labels
