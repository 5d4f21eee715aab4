"""How much memory there is, for the few things that grow with the square of the number of rows."""

from __future__ import annotations

import os
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def available_bytes() -> int | None:
    """Bytes that can still be had on Linux, all memory of the machine elsewhere; None where the system does not say."""
    known = []
    if MEMINFO.exists():
        sizes = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        known.append(1024 * int(sizes["MemAvailable"].split()[0]))
    elif hasattr(os, "sysconf"):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if CONTAINER_LIMIT.exists() and (limit := CONTAINER_LIMIT.read_text().strip()) != "max":
        known.append(int(limit))
    return min(known, default=None)
