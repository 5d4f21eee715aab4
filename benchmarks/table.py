"""The table, a line at a time as it is measured, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness import Compared, Figures

HEADINGS = ("stage", "beside", "ours", "peer", "ratio", "memory", "peer's", "limit")
WIDTHS = (53, 36, 8, 8, 6, 8, 8, 5)


def head(headings: Sequence[str] = HEADINGS, widths: Sequence[int] = WIDTHS) -> str:
    """The first two lines: names flush left, figures flush right."""
    rule = "|".join(
        "-" * (width + 2) if name in ("stage", "beside") else "-" * (width + 1) + ":"
        for name, width in zip(headings, widths, strict=True)
    )
    return f"{line(headings, widths)}\n|{rule}|"


def line(cells: Sequence[str], widths: Sequence[int] = WIDTHS) -> str:
    left = [
        f"{cell:<{width}}" if at < 2 and len(cells) > 5 else f"{cell:>{width}}"
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(left)} |"


def lines(what: str, size: str, ours: Figures, compared: Sequence[Compared], limit: float | None) -> list[str]:
    """Ours beside each peer; ours is printed once. `limit` is the shortest possible time in seconds."""
    share = f"{100 * limit / ours.seconds:.0f} %" if limit else ""
    first = [f"{what}, {size}", seconds(ours.seconds), megabytes(ours.memory), share]
    found = []
    for peer in compared or [Compared("none can", None)]:
        name = f"{peer.name}: {peer.note}" if peer.note else peer.name
        time, ratio, memory = ("", "", "")
        if peer.figures:
            time, memory = seconds(peer.figures.seconds), megabytes(peer.figures.memory)
            ratio = f"{peer.figures.seconds / ours.seconds:.{1 if peer.figures.seconds < 100 * ours.seconds else 0}f}x"
        found.append(line([first[0], name, first[1], time, ratio, first[2], memory, first[3]]))
        first = ["", "", "", ""]
    return found


def note(what: str, words: str) -> str:
    """A row that could not be measured, and why."""
    return line([what, words, *[""] * (len(WIDTHS) - 2)])


def seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.2f} ms"


def megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB" if value >= 1e6 else "< 1 MB"
