"""Which precision of a first look at pairs is fast on this processor. The answer of a search never depends on the choice."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from reunite.threads import is_fork

Precision = Literal["float32", "bfloat16", "int8"]

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls products in bfloat16, on x86 and ARM."""

INT8_INSTRUCTIONS = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Products of bytes that are added without saturating. Older instructions saturate, and would break the bound."""

LEAST_ROWS, LEAST_COLUMNS = 8192, 128
"""Sets from this size on are searched with bytes: below, what they save is less than the larger number of candidates costs."""


def fastest(rows: int, columns: int) -> Precision:
    """The precision to take for so many rows and columns. A forked process takes NumPy's products, see `is_fork`."""
    if is_fork():
        return "float32"
    if rows >= LEAST_ROWS and columns >= LEAST_COLUMNS and adds_bytes_exactly():
        return "int8"
    return "bfloat16" if bfloat16_pays() else "float32"


@cache
def adds_bytes_exactly() -> bool:
    """Whether products of bytes are exact and fast here: where Linux lists their instructions, and torch can use them."""
    return (
        bool(INT8_INSTRUCTIONS & _instructions()) and hasattr(torch, "_int_mm") and torch.backends.mkldnn.is_available()
    )


@cache
def bfloat16_pays() -> bool:
    """Whether bfloat16 multiplies faster than float32.

    Linux lists the instructions. Elsewhere it is measured once, in milliseconds; on a busy machine, the clock can mislead.
    """
    if known := _instructions():
        return bool(BFLOAT16_INSTRUCTIONS & known) and torch.backends.mkldnn.is_available()
    exact = np.random.default_rng(0).standard_normal((512, 512), np.float32)
    rounded = torch.from_numpy(exact).bfloat16()
    shortest = [np.inf, np.inf]
    for _ in range(5):
        for which, product in enumerate((lambda: exact @ exact.T, lambda: torch.mm(rounded, rounded.T))):
            start = time.perf_counter()
            product()
            shortest[which] = min(shortest[which], time.perf_counter() - start)
    return shortest[1] < 0.8 * shortest[0]


def _instructions() -> set[str]:
    """Words of Linux's description of the processor, its instructions among them; none on other systems."""
    return set(CPU_INFO.read_text("utf-8", "replace").split()) if CPU_INFO.exists() else set()
