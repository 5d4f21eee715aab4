"""Run ours and its peers in turn on one input, check that they agree, and keep the median time and the peak memory."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rates import Work
from reunite.cluster.available_memory import available_bytes

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

SLOW = 10.0
"""Seconds from which on the first run of a peer, which is there for the check, counts as one of its measured runs."""

Call = Callable[[], Any]
Check = Callable[[Any, Any], None]
"""Takes what ours and the peer gave; raises AssertionError unless they are equal, within what the stage promises."""


class Missing(Exception):
    """A job cannot run here; the message says why, in a few words."""


@dataclass(frozen=True)
class Setting:
    """What the command line chose: sizes, and where checkouts of other repositories are."""

    full: bool = False
    million: bool = False
    checkouts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """What ours is compared with: give it the best setting it has.

    Args:
        name: as printed.
        call: without arguments; None where it cannot run.
        check: see `Check`.
        needs: bytes that it takes beyond the inputs, about; it does not run where there are fewer.
        missing: why `call` is None, in a few words.
    """

    name: str
    call: Call | None
    check: Check
    needs: float = 0
    missing: str = "not installed"


@dataclass(frozen=True)
class Case:
    """One input: ours, its peers, and the work that no implementation can do without."""

    size: str
    ours: Call
    peers: Sequence[Peer] = ()
    work: Work | None = None
    once: bool = False  # no first run that is not measured, and one that is


Job = Callable[[Setting], Iterator[Case]]
"""Makes the inputs of a row of the table when it is called for; several where it is measured on several."""


@dataclass(frozen=True)
class Figures:
    """Median seconds, and the largest peak of memory above what was resident when the call began, in bytes."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Compared:
    """Ours beside one peer; `figures` is None where the peer did not run, and `note` says why."""

    name: str
    figures: Figures | None
    note: str = ""
    differs: bool = False


def run(case: Case, repeats: int, peer_repeats: int) -> tuple[Figures, list[Compared]]:
    """Figures of ours and of each peer, whose first output was checked against ours; runs alternate."""
    ours: list[Figures] = []
    peers = {peer.name: peer for peer in case.peers}
    notes: dict[str, tuple[str, bool]] = {}
    runs: dict[str, list[Figures]] = {name: [] for name in peers}
    if case.once:
        ours.append(_figures(case.ours))
    else:
        expected = case.ours()
        for name, peer in peers.items():
            notes[name] = _first_run(peer, expected, runs[name])
        del expected
        running = [name for name in peers if not notes[name][0]]
        for number in range(max(repeats, peer_repeats)):
            if number < repeats:
                ours.append(_figures(case.ours))
            for name in running:
                if len(runs[name]) < peer_repeats:
                    runs[name].append(_figures(peers[name].call))
    compared = [Compared(name, _summary(runs[name]) if not notes[name][0] else None, *notes[name]) for name in notes]
    return _summary(ours), compared


def _first_run(peer: Peer, expected: Any, runs: list[Figures]) -> tuple[str, bool]:
    """Why the peer is not measured, and whether that is a difference; a slow first run is kept in `runs`."""
    if peer.call is None:
        return peer.missing, False
    available = available_bytes()
    if available is not None and peer.needs > available:
        return f"needs {peer.needs / 1e9:,.0f} GB", False
    result, seconds, memory = measure(peer.call)
    try:
        peer.check(expected, result)
    except AssertionError as error:
        words = [line.strip() for line in str(error).splitlines() if line.strip()]
        return "DIFFERS: " + " ".join(words[:4]), True
    if seconds > SLOW:
        runs.append(Figures(seconds, memory))
    return "", False


def _figures(call: Call) -> Figures:
    return Figures(*measure(call)[1:])


def _summary(runs: Sequence[Figures]) -> Figures:
    return Figures(statistics.median(run.seconds for run in runs), max(run.memory for run in runs))


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
