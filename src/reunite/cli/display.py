"""What people see while they wait, and the tables at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from reunite.train.run import seconds_of
from reunite.types import Scores

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def percent(fraction: float) -> str:
    """A fraction as per cent with one decimal."""
    return f"{100 * fraction:.1f}"


def scores_table(title: str, rows: dict[str, Scores]) -> Table:
    """Retrieval scores side by side, in per cent."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for name in ("mAP", "rank-1", "rank-5", "rank-10", "mINP", "queries"):
        table.add_column(name, justify="right")
    for name, scores in rows.items():
        ranks = [scores.cmc[min(rank, len(scores.cmc)) - 1] for rank in (1, 5, 10)]
        table.add_row(name, percent(scores.mAP), *map(percent, ranks), percent(scores.mINP), f"{scores.queries:,}")
    return table


def scores_dict(scores: Scores) -> dict[str, Any]:
    """Scores as JSON keeps them; fractions."""
    return {
        "mAP": scores.mAP,
        "rank1": scores.rank1,
        "mINP": scores.mINP,
        "cmc": scores.cmc.tolist(),
        "queries": scores.queries,
        "skipped": scores.skipped,
    }


def round_line(line: dict[str, Any], rounds: int) -> str:
    """One finished round in one line."""
    seconds = seconds_of(line)
    parts = [
        f"round {line['round'] + 1:>{len(str(rounds))}}/{rounds}",
        f"{line['clusters']:,} clusters",
        f"{percent(line['noise'] / max(line['images'], 1))} % noise",
        f"loss {line['loss']:.3f}",
        f"{seconds:.0f} s",
    ]
    if "ari" in line:
        parts.insert(3, f"ARI {line['ari']:.3f}")
    if "mAP" in line:
        parts.append(f"[bold]mAP {percent(line['mAP'])}[/]  rank-1 {percent(line['rank1'])}")
    return "  ".join(parts)


class TrainingBars:
    """Two bars: rounds with the time left, and the stage at work with its own count."""

    def __init__(self, bar: Progress, rounds: int, done: int):
        self._bar = bar
        self._rounds = bar.add_task("rounds", total=rounds, completed=done)
        self._stage = bar.add_task("", total=None)

    def stage(self, name: str, done: int, total: int) -> None:
        """What `train` reports as it works."""
        self._bar.update(self._stage, description=name, completed=done, total=total or None)

    def round_done(self, line: dict[str, Any]) -> None:
        """One more round is finished; its numbers stay beside the bar while the next one runs."""
        noise = percent(line["noise"] / max(line["images"], 1))
        numbers = f"{line['clusters']:,} clusters, {noise} % noise, loss {line['loss']:.3f}; rounds"
        self._bar.update(self._rounds, advance=1, description=numbers)


@contextmanager
def training_bars(rounds: int, done: int) -> Iterator[TrainingBars]:
    """Progress bars for a training run; they vanish at the end."""
    with _progress() as bar:
        yield TrainingBars(bar, rounds, done)


@contextmanager
def counting(name: str) -> Iterator[Any]:
    """One bar; gives a function to call with (done, total)."""
    with _progress() as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # In a log file a bar is nothing but blank lines.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
