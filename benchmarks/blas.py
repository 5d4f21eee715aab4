"""`python -m benchmarks.blas`: how fast NumPy and faiss multiply with each set of OpenBLAS kernels.

OpenBLAS chooses its kernels when it is loaded, by the processor or by OPENBLAS_CORETYPE, and the choice can cost a factor
of two in either direction. So every choice is measured in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

KERNELS = ("default", "Haswell", "Zen", "SkylakeX")
OF_FAISS = "BENCHMARK_FAISS_KERNELS"
"""Environment variable with the kernels that faiss is to take, if not NumPy's: it brings an OpenBLAS of its own."""

WORTHWHILE = 1.25
"""Kernels are forced if they are faster than the default by this factor; less is noise."""

MEASURED_IN_A_PROCESS = """
import json, time
import numpy as np

def rate(call, operations, runs):
    best = 1e9
    for _ in range(runs):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return operations / best / 1e9

a, b = (np.random.default_rng(i).standard_normal((2048, 1024), dtype=np.float32) for i in range(2))
found = {"numpy": rate(lambda: a @ b.T, 2 * 2048 * 2048 * 1024, 7)}
try:
    import faiss
    index = faiss.IndexFlatIP(1024)
    index.add(b)
    found["faiss"] = rate(lambda: index.search(a, 30), 2 * 2048 * 2048 * 1024, 5)
except ImportError:
    pass
print(json.dumps(found))
"""


def measure_kernels(kernels: str) -> dict[str, float]:
    """GFLOP/s of NumPy's product and of faiss' search, where it is installed; nothing if the processor cannot run them."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": "" if kernels == "default" else kernels}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED_IN_A_PROCESS], env=environment, capture_output=True, text=True, timeout=120
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}


def best_kernels() -> dict[str, tuple[str, dict[str, float]]]:
    """For numpy and faiss: the best kernels, and the GFLOP/s of all."""
    measured = {kernels: measure_kernels(kernels) for kernels in KERNELS}
    found = {}
    for library in measured["default"]:
        rates = {kernels: rate[library] for kernels, rate in measured.items() if library in rate}
        best = max(rates, key=rates.__getitem__)
        found[library] = best if rates[best] > WORTHWHILE * rates["default"] else "default", rates
    return found


def told(library: str, best: str, rates: dict[str, float]) -> str:
    measured = ", ".join(f"{kernels} {rate:.0f}" for kernels, rate in rates.items())
    return f"OpenBLAS kernels of {library}, GFLOP/s: {measured}; taken: {best}"


if __name__ == "__main__":
    for library, (best, rates) in best_kernels().items():
        print(told(library, best, rates))
