"""Where the time of a round goes, and how much memory it takes."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch


class Clock:
    """Seconds by name, of work that a device may do later than it is asked to.

    A mark ends what is named and begins what comes next. On a GPU marks are events in its stream, so nothing waits for it
    before `seconds` is asked for; time in which the GPU had nothing to do counts as what it waited for.
    """

    def __init__(self, device: torch.device):
        self._events = device.type == "cuda"
        self._marks: list[tuple[str, Any]] = []
        self._before: dict[str, float] = {}
        self.start()

    def start(self, before: dict[str, float] | None = None) -> None:
        """Forget all marks, but for seconds from before a stop."""
        self._before = before or {}
        self._marks = [("", self._now())]

    def mark(self, name: str) -> None:
        """What was done since the mark before is called `name`."""
        self._marks.append((name, self._now()))

    def seconds(self) -> dict[str, float]:
        """The sum of each name, in seconds."""
        found: dict[str, float] = defaultdict(float, self._before)
        if self._events:
            torch.cuda.synchronize()
        for (_, begin), (name, end) in zip(self._marks[:-1], self._marks[1:], strict=True):
            found[name] += begin.elapsed_time(end) / 1000 if self._events else end - begin
        return dict(found)

    def _now(self) -> Any:
        if not self._events:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def forget_peak(device: torch.device) -> None:
    """Begins to measure the peaks of memory anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if sys.platform == "linux":
        with suppress(OSError):  # not allowed everywhere: the peak is then that of the whole run
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes at the peak: "memory" of this process in main memory, "device_memory" on a GPU."""
    found: dict[str, int] = {}
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text("utf-8")
        found["memory"] = 1024 * int(status.split("VmHWM:")[1].split()[0])
    else:
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        found["memory"] = scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if device.type == "cuda":
        found["device_memory"] = int(torch.cuda.max_memory_allocated(device))
    return found
