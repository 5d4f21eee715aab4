"""How fast this machine multiplies matrices: what the fastest possible implementation of a stage is bound by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

SHAPE = (1024, 4096, 2048)
RUNS = 9


@dataclass(frozen=True)
class Work:
    """Floating point operations (a multiplication and an addition are two) that a stage cannot do without.

    Args:
        bfloat16: those that may be done in bfloat16 without changing an exact answer: a filter whose survivors are
            computed again. Half of a symmetric product.
        float32: those whose results are needed in float32.
    """

    bfloat16: float = 0
    float32: float = 0


@dataclass(frozen=True)
class Rates:
    """Operations per second of the best product of each kind; bfloat16's is float32's where the processor has none."""

    bfloat16: float
    float32: float
    names: tuple[str, str] = ("", "")

    def seconds(self, work: Work) -> float:
        """The shortest time in which the products of `work` could be done."""
        return work.bfloat16 / self.bfloat16 + work.float32 / self.float32

    def __str__(self) -> str:
        kinds = zip(("bfloat16", "float32"), (self.bfloat16, self.float32), self.names, strict=True)
        return ", ".join(f"{kind} {rate / 1e9:,.0f} GFLOP/s ({name})" for kind, rate, name in kinds)


def measure_rates() -> Rates:
    """The best of several products of each library, about two seconds."""
    m, n, d = SHAPE
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, d), dtype=np.float32), rng.standard_normal((n, d), dtype=np.float32)
    out = np.empty((m, n), np.float32)
    at, bt, to = torch.from_numpy(a), torch.from_numpy(b).T, torch.from_numpy(out)
    float32 = max(
        (_rate(lambda: np.matmul(a, b.T, out=out)), "numpy"),
        (_rate(lambda: torch.mm(at, bt, out=to)), "torch"),
    )
    a16, b16, out16 = at.bfloat16(), bt.bfloat16(), to.bfloat16()
    # Without the instructions a bfloat16 product can be a hundred times slower: try a small one first.
    small = _rate(lambda: torch.mm(a16[:128, :256], b16[:256, :128]), 2 * 128 * 256 * 128)
    if small < float32[0] / 50:
        return Rates(float32[0], float32[0], ("as float32", float32[1]))
    bfloat16 = _rate(lambda: torch.mm(a16, b16, out=out16))
    best = max((bfloat16, "torch"), (float32[0], "as float32"))
    return Rates(best[0], float32[0], (best[1], float32[1]))


def _rate(call: Callable[[], object], operations: float = 2.0 * SHAPE[0] * SHAPE[1] * SHAPE[2]) -> float:
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return operations / best
