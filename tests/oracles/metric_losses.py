"""Metric losses by their definitions, one image at a time, on lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import strategies as st

Row = Sequence[float]


@st.composite
def batches(draw: st.DrawFn, repeated_rows: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Any batch: unequal images per identity, one identity, one image, unsorted, any integers as labels."""
    names = draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6, unique=True))
    labels = draw(st.lists(st.sampled_from(names), min_size=1, max_size=20))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = rng.standard_normal((len(labels), draw(st.integers(1, 6)))) * draw(st.sampled_from([0.1, 1.0, 100.0]))
    if repeated_rows and draw(st.booleans()):
        rows = rows[rng.integers(0, len(rows), len(rows))]
    return torch.from_numpy(rows), torch.tensor(labels)


def distance(left: Row, right: Row, squared: bool = False) -> float:
    square = sum((x - y) ** 2 for x, y in zip(left, right, strict=True))
    return square if squared else math.sqrt(max(square, 1e-12))


def mean(rows: list[Row]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def unit(row: Row) -> list[float]:
    length = math.sqrt(sum(x * x for x in row))
    return [x / length if length else 0.0 for x in row]


def batch_hard_triplet(rows: list[Row], labels: list[int], margin: float | str, normalize: bool = False) -> float:
    """Of every anchor: the farthest image of its label (itself counts) against the nearest image of another label."""
    if normalize:
        rows = [unit(row) for row in rows]
    losses = []
    for anchor, label in zip(rows, labels, strict=True):
        positives = [distance(anchor, row) for row, other in zip(rows, labels, strict=True) if other == label]
        negatives = [distance(anchor, row) for row, other in zip(rows, labels, strict=True) if other != label]
        if negatives:
            gap = max(positives) - min(negatives)
            losses.append(math.log1p(math.exp(gap)) if margin == "soft" else max(0.0, gap + margin))
    return sum(losses) / len(losses) if losses else 0.0


def cluster(
    rows: list[Row],
    labels: list[int],
    margin: float = 0.3,
    squared: bool = False,
    reduction: str = "mean",
    normalize: bool = False,
    intra: str = "max",
    inter: str = "min",
) -> float:
    """Of every identity: from its mean to its images against from its mean to the other means."""
    if normalize:
        rows = [unit(row) for row in rows]
    members = {
        label: [row for row, own in zip(rows, labels, strict=True) if own == label] for label in sorted(set(labels))
    }
    centroids = {label: mean(own) for label, own in members.items()}
    if len(centroids) == 1:
        return 0.0
    losses = []
    for label, centroid in centroids.items():
        own = [distance(row, centroid, squared) for row in members[label]]
        others = [distance(centroid, centroids[other], squared) for other in centroids if other != label]
        width = max(own) if intra == "max" else sum(own) / len(own)
        gap = min(others) if inter == "min" else sum(others) / len(others)
        losses.append(max(0.0, width - gap + margin))
    return sum(losses) if reduction == "sum" else sum(losses) / len(losses)


def support_neighbor(
    rows: list[Row],
    labels: list[int],
    neighbors: int,
    alpha: float,
    weight: float,
    squeeze: str = "range_all",
    support: str = "strict",
) -> float:
    """Of every anchor with a positive: separation over its support neighbors, plus the weighted squeeze."""
    rows = [unit(row) for row in rows]
    losses = []
    for anchor in range(len(rows)):
        away = {j: distance(rows[anchor], rows[j]) for j in range(len(rows)) if j != anchor}
        positives = [j for j in away if labels[j] == labels[anchor]]
        if not positives:
            continue
        ranked = sorted(away, key=away.__getitem__)
        if len(ranked) <= neighbors:
            members = ranked
        elif support == "topk":
            members = ranked[:neighbors]
        else:
            members = [j for j in ranked if away[j] < away[ranked[neighbors]]]
        near = [j for j in members if labels[j] == labels[anchor]]
        near = near or [min(positives, key=away.__getitem__)]
        other = [j for j in members if labels[j] != labels[anchor]]
        exponents = {j: -alpha * away[j] for j in near + other}
        separation = log_sum_exp(list(exponents.values())) - log_sum_exp([exponents[j] for j in near])
        losses.append(separation + weight * squeeze_of(rows, away, positives, near, squeeze))
    return sum(losses) / len(losses) if losses else 0.0


def log_sum_exp(exponents: list[float]) -> float:
    largest = max(exponents)
    return largest + math.log(sum(math.exp(each - largest) for each in exponents))


def squeeze_of(rows: list[Row], away: dict[int, float], positives: list[int], near: list[int], squeeze: str) -> float:
    first, last = min(positives, key=away.__getitem__), max(positives, key=away.__getitem__)
    if squeeze == "range_all":
        return away[last] - away[first]
    if squeeze == "range_knn":
        return away[first] if len(near) == 1 else max(away[j] for j in near) - min(away[j] for j in near)
    if squeeze == "nearest":
        return away[first]
    if squeeze == "pair":
        return distance(rows[first], rows[last])
    return 0.0
