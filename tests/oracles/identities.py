"""Identities across cameras from their definitions: all pairs of tracks, all cuts, all assignments, in plain loops."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np

from oracles.merging import members_of, unit


def overlapping_by_pairs(camera: np.ndarray, begin: np.ndarray, end: np.ndarray) -> list[list[int]]:
    """Pairs of one known camera of which neither is over before the other begins; comparisons with NaN are false."""
    pairs = combinations(range(len(camera)), 2)
    return [[i, j] for i, j in pairs if camera[i] == camera[j] >= 0 and begin[i] <= end[j] and begin[j] <= end[i]]


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    return float(sum(float(a) * float(b) for a, b in zip(x, y, strict=True)))


def mean_distance(rows: np.ndarray, a: list[int], b: list[int]) -> float:
    return float(np.mean([1 - cosine(rows[i], rows[j]) for i in a for j in b]))


def merges_apart(embeddings: np.ndarray, apart: list[list[int]]) -> list[tuple[float, np.ndarray]]:
    """Greedy average linkage: the height of each merge and the labels after it, until all that is left stays apart."""
    rows = unit(embeddings)
    forbidden = {frozenset(pair) for pair in apart}
    labels = np.arange(len(rows))
    merges = []
    while True:
        allowed = [
            (mean_distance(rows, a, b), a, b)
            for a, b in combinations(members_of(labels), 2)
            if not any(frozenset((i, j)) in forbidden for i in a for j in b)
        ]
        if not allowed:
            return merges
        height, a, b = min(allowed)
        labels = labels.copy()
        labels[b] = labels[a[0]]
        merges.append((height, labels))


def cut_by_scan(frames: np.ndarray, shortest: int) -> tuple[int, float]:
    """The first cut with the largest between-parts sum of squares, and the distance of the parts from all pairs of frames."""
    rows = unit(frames)
    best, place = -1.0, 0
    for k in range(shortest, len(rows) - shortest + 1):
        a, b = rows[:k], rows[k:]
        between = len(a) * len(b) / len(rows) * float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum())
        if between > best:
            best, place = between, k
    if place == 0:
        return 0, 0.0
    left, right = range(place), range(place, len(rows))
    across = np.mean([cosine(rows[i], rows[j]) for i in left for j in right])
    within = [np.mean([cosine(rows[i], rows[j]) for i, j in combinations(part, 2)]) for part in (left, right)]
    if min(within) <= 0:
        return place, 0.0
    return place, float(np.clip(1 - across / np.sqrt(within[0] * within[1]), 0, 2))


def confidence_by_loops(
    embeddings: np.ndarray, labels: np.ndarray, eps: float, apart: list[list[int]]
) -> tuple[list[float], list[int]]:
    """Value and second best of each row, from the distances to all members."""
    rows = unit(embeddings)
    forbidden = {frozenset(pair) for pair in apart}
    values, seconds = [], []
    for i, label in enumerate(labels.tolist()):
        inside = [1 - cosine(rows[i], rows[j]) for j in range(len(rows)) if j != i and labels[j] == label]
        a = float(np.mean(inside)) if inside else eps
        others = []
        for name in sorted(set(labels.tolist()) - {label, -1}):
            members = [j for j in range(len(rows)) if labels[j] == name]
            if not any(frozenset((i, j)) in forbidden for j in members):
                others.append((mean_distance(rows, [i], members), name))
        b, second = min(others, default=(np.inf, -1))
        seconds.append(second)
        if label == -1:
            values.append(0.0)
        else:
            values.append(1.0 if second == -1 else min(max((b - a) / max(b, eps), 0.0), 1.0))
    return values, seconds


def identity_f1_by_permutations(
    labels: np.ndarray, identity: np.ndarray, frames: np.ndarray
) -> tuple[float, float, float]:
    """IDF1, IDP and IDR (Ristani et al. 2016) with every assignment tried; an identity found may be nobody."""
    found, true = sorted(set(labels.tolist()) - {-1}), sorted(set(identity.tolist()) - {-1})
    best = 0
    for names in permutations([*true, *[None] * len(found)], len(found)):
        right = 0
        for label, name in zip(found, names, strict=True):
            right += sum(int(f) for a, b, f in zip(labels, identity, frames, strict=True) if a == label and b == name)
        best = max(best, right)
    reported, present = int(frames[labels >= 0].sum()), int(frames[identity >= 0].sum())
    return 2 * best / (reported + present), best / reported if reported else 0.0, best / present


def camera_means_by_loops(rows: np.ndarray, camera: np.ndarray, fewest: int) -> np.ndarray:
    """For each row the mean of its camera's rows, of all rows where these are too few; zeros without two such cameras."""
    seen_by = {code: [i for i in range(len(rows)) if camera[i] == code] for code in set(camera.tolist())}
    enough = {code: members for code, members in seen_by.items() if code != -1 and len(members) >= fewest}
    means = np.zeros(rows.shape)
    for i, code in enumerate(camera.tolist()):
        if len(enough) >= 2:
            members = enough.get(code, range(len(rows)))
            means[i] = sum(rows[j].astype(np.float64) for j in members) / len(members)
    return means


def summaries_by_loops(
    frames: list[np.ndarray], camera: np.ndarray, center: bool, fewest: int
) -> list[tuple[np.ndarray, np.ndarray, int, float]]:
    """Of each track its embedding, its two parts, where they meet and how far they are apart."""
    readable = [[k for k, frame in enumerate(track) if not any(np.isnan(frame))] for track in frames]
    rows = [unit(np.array([track[k] for k in kept])) for track, kept in zip(frames, readable, strict=True)]
    means = np.array([unit(each.mean(axis=0)[None])[0] for each in rows])
    offset = camera_means_by_loops(means, camera, fewest) if center else np.zeros(means.shape)
    found = []
    for each, kept, mean, shift in zip(rows, readable, means, offset, strict=True):
        place, distance = cut_by_scan(each - shift, 4)
        parts = [each[:place], each[place:]] if place else [each, each]
        directions = [unit(unit(part.mean(axis=0)[None]) - shift)[0] for part in parts]
        found.append((unit((mean - shift)[None])[0], np.array(directions), kept[place] if place else 0, distance))
    return found


def nearest_identities(
    parts: np.ndarray, rows: np.ndarray, labels: np.ndarray, taken: set[int], eps: float
) -> tuple[int, ...]:
    """The label within `eps` of each part by mean distance to its members, of those that are not taken; or -1."""
    found = []
    for part in parts:
        every = np.vstack([rows, part])
        near = [
            (mean_distance(every, [len(rows)], [i for i in range(len(rows)) if labels[i] == name]), name)
            for name in sorted(set(labels.tolist()) - {-1} - taken)
        ]
        distance, name = min(near, default=(np.inf, -1))
        found.append(name if distance <= eps else -1)
    return tuple(found)
