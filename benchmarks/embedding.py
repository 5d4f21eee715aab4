"""ResNet-50 embeddings on a CPU beside the same network as plain torch runs it: float32, eager. Pixels in, unit rows out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

import reunite
from benchmarks.harness import Case, Job, Peer, Setting
from benchmarks.rates import Work
from reunite.model.inference import bfloat16_pooled, use_bfloat16

BATCH = 32
LEAST_COSINE = 0.999


def _nearly_the_same(ours: NDArray, peer: NDArray) -> None:
    least = float((ours * peer).sum(axis=1).min())
    assert least >= LEAST_COSINE, f"cosine {least:.6f}"


def batch(setting: Setting) -> Iterator[Case]:
    """The network is made ready before: `embed` does it once for all its batches. Weights are random."""
    torch.manual_seed(0)
    encoder = reunite.Encoder("resnet50", pretrained=False).eval()
    height, width = encoder.spec.image_size
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8)
    pixels = torch.from_numpy(noise)
    fast = use_bfloat16("auto", torch.device("cpu"))
    pooled = bfloat16_pooled(encoder) if fast else encoder.pooled

    def embedded() -> NDArray[np.float32]:
        with torch.inference_mode():
            return encoder.tested(encoder.head(pooled(pixels))).numpy()

    def eager() -> NDArray[np.float32]:
        with torch.inference_mode():
            return encoder(pixels).numpy()

    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        encoder(pixels[:1])
    operations = float(counted.get_total_flops()) * BATCH
    yield Case(
        f"batch {BATCH}, {height} x {width}, {'bfloat16' if fast else 'float32'}",
        embedded,
        [Peer("torch float32, eager", eager, _nearly_the_same)],
        Work(bfloat16=operations) if fast else Work(float32=operations),
    )


JOBS: dict[str, Job] = {"ResNet-50 embedding": batch}
