"""Embeddings to measure with: people of unequal frequency, seen by cameras that shift what they see, some badly."""

from __future__ import annotations

import numpy as np


def embeddings(
    n: int, dimensions: int, *, people: int, cameras: int = 6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit rows (n, dimensions) float32, identity (n,) and camera (n,).

    They lie near a subspace of 64 directions, as trained embeddings do. A tenth of the images is twice as noisy.
    """
    rng = np.random.default_rng(seed)
    popularity = rng.gamma(2.0, size=people)
    identity = rng.choice(people, n, p=popularity / popularity.sum())
    camera = rng.integers(0, cameras, n)
    appearance = rng.standard_normal((people, 64))
    lighting = 0.6 * rng.standard_normal((cameras, 64))
    pose = 0.45 * rng.standard_normal((people, cameras, 64))  # how one person looks to one camera
    noise = 0.8 * np.where(rng.random(n) < 0.1, 2.0, 1.0)[:, None] * rng.standard_normal((n, 64))
    latent = appearance[identity] + lighting[camera] + pose[identity, camera] + noise
    rows = latent.astype(np.float32) @ rng.standard_normal((64, dimensions), dtype=np.float32) / 8
    rows += 0.35 * rng.standard_normal((n, dimensions), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), identity, camera
