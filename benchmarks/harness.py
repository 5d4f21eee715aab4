"""Run ours and a peer in turn on one input, check that they agree, and keep the median time and the peak memory."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Row:
    """One comparison: seconds are medians, memory is bytes above what was resident when the call began."""

    what: str
    size: str
    peer: str
    our_seconds: float
    peer_seconds: float
    our_memory: float
    peer_memory: float


def compare(
    what: str,
    size: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    peer_name: str,
    check: Callable[[Any, Any], None],
    repeats: int = 3,
) -> Row:
    """Time `ours` and `peer`, alternating, after `check` has accepted what a first, unmeasured run of both gave.

    Args:
        what: the stage, as printed.
        size: the input, as printed.
        ours: call without arguments.
        peer: likewise; give it the best setting it has.
        peer_name: as printed.
        check: raises AssertionError unless both outputs are equal, within what the stage promises.
        repeats: measured runs of each.
    """
    check(ours(), peer())
    ours_runs, peer_runs = [], []
    for _ in range(repeats):
        ours_runs.append(measure(ours)[1:])
        peer_runs.append(measure(peer)[1:])
    seconds = [statistics.median(run[0] for run in runs) for runs in (ours_runs, peer_runs)]
    memory = [max(run[1] for run in runs) for runs in (ours_runs, peer_runs)]
    return Row(what, size, peer_name, *seconds, *memory)


def measure(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call gives, its seconds and its peak memory; memory is NaN where there is no /proc (it is Linux's)."""
    before = _reset_peak()
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    return result, seconds, _status("VmHWM") - before


def _reset_peak() -> float:
    """Set the high-water mark to what is resident now, and say how much that is.

    Memory that earlier calls freed is given back first: a call that used it again would seem to need none.
    """
    gc.collect()
    if CLEAR.exists():
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library has it
        if trim:
            trim(0)
        CLEAR.write_text("5")
    return _status("VmRSS")


def _status(field: str) -> float:
    """A field of /proc/self/status in bytes."""
    if not STATUS.exists():
        return float("nan")
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024.0


def print_table(rows: Iterable[Row], console: Console) -> None:
    """Print all rows when the last is there, with the ratios peer / ours."""
    table = Table(title="ours beside a peer: median time, peak memory above the inputs, peer / ours")
    table.add_column("stage")
    for name in ("ours", "peer", "ratio", "ours", "peer", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.what}, {row.size}\nbeside {row.peer}",
            _seconds(row.our_seconds),
            _seconds(row.peer_seconds),
            _ratio(row.peer_seconds, row.our_seconds),
            _megabytes(row.our_memory),
            _megabytes(row.peer_memory),
            _ratio(row.peer_memory, row.our_memory),
        )
    console.print(table)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.2f} ms"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB" if value >= 1e6 else "< 1 MB"


def _ratio(peer: float, ours: float) -> str:
    return f"{peer / ours:.1f}x" if ours > 0 else "-"
