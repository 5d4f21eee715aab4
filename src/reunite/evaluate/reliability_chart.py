"""The drawing of a reliability table: what was said against what was so."""

from __future__ import annotations

from matplotlib.figure import Figure

from reunite.evaluate.figures import DOTS, MUTED, SERIES, inline_svg, style
from reunite.identities.reliability import Reliability


def reliability_chart(
    table: Reliability, *, name: str = "reliability", description: str = "Probability that was said, and what was so"
) -> str:
    """A dot for each bin: on the diagonal said and found agree, below it too much was said. Below, how many pairs there were.

    Args:
        table: what `reliability` gave.
        name: makes the ids inside the figure unique on the page.
        description: what the chart shows, for those who cannot see it.

    Returns:
        One <svg> element that takes its colors from the page.
    """
    with style():
        figure = Figure(figsize=(380 / DOTS, 340 / DOTS), dpi=DOTS)
        axes = figure.add_axes((0.13, 0.33, 0.84, 0.64))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(
            table.said,
            table.found,
            "o-",
            color=SERIES[0],
            linewidth=1.4,
            markersize=4,
            markeredgewidth=0,
            clip_on=False,
        )
        axes.text(0.03, 0.95, f"expected calibration error {table.error:.3f}", transform=axes.transAxes, va="top")
        axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is the same")
        axes.set_xticklabels([])
        below = figure.add_axes((0.13, 0.12, 0.84, 0.16))
        below.vlines(table.said, 0.5, table.pairs, color=SERIES[0], linewidth=5)
        below.set_yscale("log")
        below.set(xlim=(0, 1), xlabel="probability of the same", ylabel="pairs")
        below.set_ylim(0.5, max(10.0, 2 * float(table.pairs.max())))
        return inline_svg(figure, name, f"{description}; expected calibration error {table.error:.3f}")
