"""Embeddings to measure with: individuals of unequal frequency, look-alikes, cameras that shift what they see, bad crops.

Unit rows, float32, near a subspace of 96 directions as trained embeddings are. The sizes are those of the public data sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reunite.types import Clusters

Rows = NDArray[np.float32]
Codes = NDArray[np.int64]

LATENT = 96
"""Directions that individuals and cameras differ in."""

ROWS_PER_BLOCK = 65_536
"""Rows made at a time: scratch does not grow with the number of rows."""


def embeddings(n: int, identities: int, cameras: int, dimensions: int, seed: int = 0) -> tuple[Rows, Codes, Codes]:
    """Unit rows (n, dimensions) in random order, identity (n,) and camera (n,), both from 0."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(identities), _sizes(n, identities, rng))
    appearance = _normal(rng, identities, LATENT)
    alike = rng.random(identities) < 0.25  # clothes of the same colour
    appearance[alike] = 0.75 * appearance[rng.integers(0, identities, alike.sum())] + 0.66 * appearance[alike]
    camera = rng.integers(0, cameras, n)
    light = np.float32(0.65) * _normal(rng, cameras, LATENT)
    pairs, pair = np.unique(identity * cameras + camera, return_inverse=True)
    in_light = np.float32(0.45) * _normal(rng, len(pairs), LATENT)  # how one individual looks to one camera
    noise = 0.75 * rng.lognormal(0, 0.25, n).astype(np.float32)
    noise[rng.random(n) < 0.15] *= 1.9  # occluded, or badly cropped
    projection = _normal(rng, LATENT, dimensions) / np.sqrt(LATENT)
    rows = np.empty((n, dimensions), np.float32)
    for start in range(0, n, ROWS_PER_BLOCK):
        block = slice(start, min(start + ROWS_PER_BLOCK, n))
        latent = appearance[identity[block]] + light[camera[block]] + in_light[pair[block]]
        latent += noise[block, None] * rng.standard_normal(latent.shape, dtype=np.float32)
        made = latent @ projection
        made += 0.35 * rng.standard_normal(made.shape, dtype=np.float32)
        rows[block] = made / np.linalg.norm(made, axis=1, keepdims=True)
    order = rng.permutation(n)
    return rows[order], identity[order], camera[order]


def market(n: int = 12_936, dimensions: int = 2048, seed: int = 0) -> tuple[Rows, Codes, Codes]:
    """As many images and individuals as Market-1501's training set has, or fewer at the same rate."""
    return embeddings(n, max(10, int(751 * n / 12_936)), 6, dimensions, seed)


def msmt(dimensions: int = 2048, seed: int = 0) -> tuple[Rows, Codes, Codes]:
    """As many images and individuals as MSMT17's training set has."""
    return embeddings(32_621, 1_041, 15, dimensions, seed)


def large(n: int, dimensions: int = 256, seed: int = 0) -> tuple[Rows, Codes, Codes]:
    """25 images of every individual, 20 cameras."""
    return embeddings(n, n // 25, 20, dimensions, seed)


def market_test(
    dimensions: int = 2048, seed: int = 1, queries: int = 3_368, gallery: int = 19_732, distractors: int = 6_617
) -> tuple[Rows, Rows, Codes, Codes, Codes, Codes]:
    """Query and gallery rows, query and gallery identity, query and gallery camera, as `retrieval_scores` takes them.

    750 individuals from 1 on over six cameras; the gallery also holds distractors, identity 0, of up to 4,000 others.
    """
    known, identity, camera = embeddings(queries + gallery - distractors, 750, 6, dimensions, seed)
    others, _, other_camera = embeddings(distractors, min(4_000, distractors), 6, dimensions, seed + 7)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(known))
    asked, held = order[:queries], order[queries:]
    rows = np.concatenate([known[held], others])
    held_identity = np.concatenate([identity[held] + 1, np.zeros(distractors, np.int64)])
    held_camera = np.concatenate([camera[held], other_camera])
    mixed = rng.permutation(gallery)
    return (
        known[asked],
        rows[mixed],
        identity[asked] + 1,
        held_identity[mixed],
        camera[asked],
        held_camera[mixed],
    )


def halves(identity: Codes, seed: int = 0) -> Codes:
    """Half as many clusters as rows: random groups of rows of one individual, one and more; numbered by first member."""
    rng = np.random.default_rng(seed)
    order = np.argsort(identity, kind="stable")
    same = np.flatnonzero(np.diff(identity[order]) == 0) + 1  # places whose row may join the one before
    joined = np.zeros(len(identity), bool)
    joined[rng.choice(same, len(identity) // 2, replace=False)] = True
    labels = np.empty(len(identity), np.int64)
    labels[order] = np.cumsum(~joined) - 1
    return Clusters.of(labels).labels


def _sizes(n: int, identities: int, rng: np.random.Generator) -> Codes:
    """Images of each individual, log-normal, at least one, n in all."""
    if n < identities:
        raise ValueError(f"{identities:,} individuals need as many images; got {n:,}.")
    weight = rng.lognormal(0, 0.6, identities)
    weight = np.maximum(weight, 0.12 * weight.mean())
    sizes = np.maximum(1, np.floor(weight / weight.sum() * n).astype(int))
    while (missing := n - sizes.sum()) != 0:
        chosen = rng.integers(identities)
        if missing > 0 or sizes[chosen] > 1:
            sizes[chosen] += np.sign(missing)
    return sizes


def _normal(rng: np.random.Generator, *shape: int) -> Rows:
    return rng.standard_normal(shape).astype(np.float32)
