"""Random numbers that depend on the seed, on what they are for and on the round, and on nothing that came before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

INIT, BATCHES, AUGMENT, NETWORK, BEGIN, FRAMES = range(6)
"""Streams: first weights, batches, augmentation, what the network draws in training, what a loss draws in `begin`, frames
of tracklets."""


@contextmanager
def seeded(seed: int, stream: int, number: int) -> Iterator[None]:
    """PyTorch's own generator starts here and is put back afterwards: nobody else's random numbers are touched."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence([seed, stream, number]).generate_state(1, np.uint64)[0] >> 1))
        yield
