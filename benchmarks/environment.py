"""What a run was measured on: processor, threads, BLAS, load."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numba
import torch
from threadpoolctl import threadpool_info

from reunite.threads import thread_count

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "sve")
PACKAGES = (
    "numpy", "scipy", "torch", "numba", "scikit-learn", "faiss-cpu", "fastcluster", "infomap", "pytorch-metric-learning",
)  # fmt: skip


def lines() -> list[str]:
    """A few lines for the top of the tables."""
    fields = dict(_cpuinfo())
    present = set(fields.get("flags", fields.get("Features", "")).split())
    flags = " ".join(flag for flag in FLAGS if flag in present) or "no vector flags known"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return [
        f"processor: {fields.get('model name', platform.processor() or platform.machine())}, {os.cpu_count()} CPUs, {flags}",
        f"threads: ours {thread_count()} (torch {torch.get_num_threads()}, numba {numba.get_num_threads()}), "
        f"OMP_WAIT_POLICY {os.environ.get('OMP_WAIT_POLICY', 'not set')}; load {load}",
        f"BLAS: {'; '.join(_blas())}; torch {torch.backends.cpu.get_cpu_capability()}, "
        f"{'with' if torch.backends.mkl.is_available() else 'without'} MKL",
        "versions: " + ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    ]


def _blas() -> list[str]:
    """Library, version, kernels and threads of every BLAS that is loaded, with the package that brought it."""
    found = []
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            package = Path(pool["filepath"]).parent.name.removesuffix(".libs")
            kernels = pool.get("architecture") or "kernels unknown"
            found.append(f"{package}: {pool['internal_api']} {pool['version']} {kernels} x {pool['num_threads']}")
    return found or ["none that threadpoolctl knows"]


def _cpuinfo() -> list[tuple[str, str]]:
    """Fields of the first processor."""
    text = CPUINFO.read_text().split("\n\n")[0] if CPUINFO.exists() else ""
    return [(name.strip(), value.strip()) for name, _, value in (each.partition(":") for each in text.splitlines())]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
