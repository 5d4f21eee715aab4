"""Embeddings to test with: identities of unequal size, several cameras, noise; and the nasty ones."""

from __future__ import annotations

import numpy as np


def people(
    n: int, dimensions: int = 16, seed: int = 0, spread: float = 0.6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, identities (sizes about 1 to 12) and cameras 0 to 3."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(n), rng.integers(1, 13, n))[:n]
    camera = rng.integers(0, 4, n)
    centers, shifts = rng.standard_normal((n, dimensions)), 0.4 * rng.standard_normal((4, dimensions))
    rows = centers[identity] + shifts[camera] + spread * rng.standard_normal((n, dimensions))
    order = rng.permutation(n)
    return rows[order].astype(np.float32), identity[order], camera[order]


def nasty(name: str, n: int = 40, seed: int = 0) -> np.ndarray:
    """Embeddings that break careless code, (n, 8)."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 8)).astype(np.float32)
    if name == "duplicates":
        return np.repeat(rows[: n // 5], 5, axis=0)
    if name == "constant":
        return np.ones((n, 8), np.float32)
    if name == "zeros":
        return np.where(np.arange(n)[:, None] % 3 == 0, 0, rows).astype(np.float32)
    if name == "untrained":  # all rows within 0.01 of each other in cosine, as an untrained network gives them
        return (np.ones(8) + 0.05 * rows).astype(np.float32)
    if name == "lattice":  # many exact ties
        return rng.integers(0, 2, (n, 8)).astype(np.float32)
    raise ValueError(name)


NASTY = ("duplicates", "constant", "zeros", "untrained", "lattice")
