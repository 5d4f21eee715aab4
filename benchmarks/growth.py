"""Time and memory of the Jaccard clustering as the number of rows doubles: products grow with its square, memory must not."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import reunite
from benchmarks.features import large
from benchmarks.harness import Setting, measure
from benchmarks.table import head, line, megabytes, seconds

HEADINGS = ("JaccardDBSCAN, rows", "time", "memory", "time, per doubling", "memory, per doubling")
WIDTHS = (20, 8, 8, 18, 20)
LINEAR = 2.2
"""Memory may grow this much when the rows double and still be called linear: peaks are measured in whole blocks."""


def table(setting: Setting, repeats: int) -> Iterator[str]:
    """Lines of the table, and a last one that says whether memory grew linearly."""
    n = 12_500 if setting.full else 4_000
    yield head(HEADINGS, WIDTHS)
    clusterer = reunite.JaccardDBSCAN()
    clusterer.fit(large(2_000)[0])
    found: list[tuple[float, float]] = []
    growth = []
    for rows in (n, 2 * n, 4 * n, 8 * n):
        embeddings = large(rows)[0]
        runs = [measure(lambda embeddings=embeddings: clusterer.fit(embeddings))[1:] for _ in range(repeats)]
        found.append((statistics.median(run[0] for run in runs), max(run[1] for run in runs)))
        by = ["", ""]
        if len(found) > 1:
            ratios = [
                new / max(old, 1) if new > 1e6 else new / old for new, old in zip(found[-1], found[-2], strict=True)
            ]
            growth.append(ratios[1])
            by = [f"{ratio:.1f}x" for ratio in ratios]
        yield line([f"{rows:,} x 256", seconds(found[-1][0]), megabytes(found[-1][1]), *by], WIDTHS)
    verdict = "at most" if growth[-1] <= LINEAR else "MORE THAN"
    yield f"\nMemory grows {verdict} linearly: {growth[-1]:.2f}x for the last doubling."
