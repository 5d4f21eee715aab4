"""Drawings of the page of identities: when each individual was seen, how the line was drawn, and tracks by camera."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reunite.evaluate.figures import DOTS, GROUPS, SERIES, inline_svg, style
from reunite.evaluate.identity_story import Individual
from reunite.evaluate.page import missing, number

Links = Mapping[int, str]
"""Individuals whose pictures are shown, and in which file; "" is the page itself."""


@runtime_checkable
class Sightings(Protocol):
    """What was seen by which camera and when: the part of a story that these drawings need, for n tracks or images."""

    @property
    def camera(self) -> Int64[np.ndarray, " n"]:
        """The camera code of each row; -1 unknown."""

    @property
    def cameras(self) -> Int64[np.ndarray, " c"]:
        """Camera codes that occur, ascending; an unknown camera, -1, is the last of them."""

    @property
    def span(self) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """First and last moment of each row; NaN unknown."""

    @property
    def clock(self) -> str:
        """What moments count, "seconds" or "frames"."""

    @property
    def unit(self) -> str:
        """What a row is, a "track" or an "image"."""

    def camera_name(self, code: int) -> str:
        """What a camera is called, as text."""


MARKS = ("o●", "s■", "^▲", "D◆", "v▼", "P✚")
"""How a camera is marked on the map and in text: matplotlib's name of the mark, and the character that looks like it."""

CAMERA_ROWS = 40
"""Cameras that are listed."""

WIDTH = 1_000
"""Units of the time axis; the page stretches them to the room there is."""

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)
"""Seconds between ticks that read well; of more than a day, whole days."""


@dataclass(frozen=True)
class Clock:
    """How moments are written, and where they lie on the axis. Made by `clock_of`.

    Attributes:
        unit: seconds or frames.
        low, high: first and last moment of the axis.
        origin: the moment that is called zero: 0, or the first one where 0 is far away.
    """

    unit: str
    low: float
    high: float
    origin: float

    def text(self, moment: float) -> str:
        """A moment as hours, minutes and seconds since the origin, or as the number of a frame."""
        since = moment - self.origin
        if self.unit == "frames":
            return f"{since:,.0f}"
        if self.high - self.low < 20:
            return f"{since:.1f} s"
        minutes, seconds = divmod(round(since), 60)
        hours, minutes = divmod(minutes, 60)
        if self.high - self.origin < 3_600:
            return f"{minutes}:{seconds:02d}"
        if self.high - self.origin < 2 * 86_400:
            return f"{hours}:{minutes:02d}:{seconds:02d}"
        return f"{hours // 24} d {hours % 24:02d}:{minutes:02d}"

    def place(self, moment: float) -> float:
        """Where a moment lies on an axis of `WIDTH` units."""
        return WIDTH * (moment - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """At most six moments, evenly spaced, that read well."""
        span = self.high - self.low
        if self.unit == "frames" or span < 20:
            locator = MaxNLocator(5, integer=self.unit == "frames")
            ticks = np.asarray(locator.tick_values(self.low - self.origin, self.high - self.origin))
            if self.unit == "frames":
                ticks = np.unique(ticks.round())
        else:
            step = next((step for step in STEPS if span / step <= 5), 86_400 * math.ceil(span / 5 / 86_400))
            first = math.ceil((self.low - self.origin) / step)
            ticks = step * np.arange(first, first + 6, dtype=np.float64)
        moments = [self.origin + float(tick) for tick in ticks]
        return [moment for moment in moments if self.low <= moment <= self.high]


def clock_of(story: Sightings) -> Clock | None:
    """The clock of a story; None where no time is known."""
    start, stop = story.span
    known = ~np.isnan(start)
    if not known.any():
        return None
    low, high = float(start[known].min()), float(stop[known].max())
    origin = 0.0 if 0 <= low <= 10 * (high - low) else low
    return Clock(story.clock, low, max(high, low + 1), origin)


def camera_mark(story: Sightings, code: int) -> str:
    """The colored mark of a camera, which stands before its name."""
    place = _place(story, code)
    return f'<i class="cam-{place % len(GROUPS)}" aria-hidden="true">{MARKS[place % len(MARKS)][1]}</i>'


def camera_tag(story: Sightings, code: int) -> str:
    """Mark and name of a camera, as HTML."""
    return f"{camera_mark(story, code)} {escape(story.camera_name(code))}"


def _place(story: Sightings, code: int) -> int:
    return int(np.flatnonzero(story.cameras == code)[0])


def timeline(story: Sightings, shown: Sequence[Individual], clock: Clock, linked: Links) -> str:
    """A table with a row for each individual and, in it, a lane of bars for each camera.

    Each row is a drawing of its own that the page may stretch, so that text keeps its size on a phone.
    """
    axis = "".join(_tick(clock, moment) for moment in clock.ticks())
    axis = f'<div class="axis" aria-hidden="true">{axis}</div>'
    rows = "".join(
        f'<tr><th scope="row">{individual_link(individual.label, linked, short=True)}</th>'
        f"<td>{_bars(story, individual, clock)}</td><td>{len(individual.rows)}</td></tr>"
        for individual in shown
    )
    return (
        '<table class="timeline"><thead><tr><th scope="col">individual</th><th scope="col">'
        f'<span class="unseen">time</span>{axis}</th><th scope="col">{story.unit}s</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def individual_link(label: int, linked: Links, *, short: bool = False) -> str:
    """The name of an individual, which leads to its pictures where there are any."""
    name = str(label) if short else f"individual {label}"
    return f'<a href="{linked[label]}#individual-{label}">{name}</a>' if label in linked else name


def _tick(clock: Clock, moment: float) -> str:
    left = clock.place(moment) / WIDTH
    # The first and the last one would stand out of the axis if they were centered.
    shift = -100 if left > 0.93 else 0 if left < 0.07 else -50
    return f'<span style="left:{100 * left:.1f}%;transform:translateX({shift}%)">{clock.text(moment)}</span>'


def _bars(story: Sightings, individual: Individual, clock: Clock) -> str:
    lane = min(max(24 / len(story.cameras), 3.0), 10.0)
    height = round(lane * len(story.cameras) + 6)
    grid = "".join(f"M{clock.place(moment):.0f} 0v{height}" for moment in clock.ticks())
    start, stop = story.span
    drawn, said = "", []
    for code in story.cameras[np.isin(story.cameras, individual.cameras)].tolist():
        rows = individual.rows[story.camera[individual.rows] == code]
        rows = rows[~np.isnan(start[rows])]
        if not len(rows):
            continue
        top, place = 3 + lane * _place(story, code), _place(story, code) % len(GROUPS)
        path = "".join(
            f"M{left:.0f} {top:.1f}h{width:.0f}v{lane - 1:.1f}h-{width:.0f}z"
            for left, width in _merged([(clock.place(start[row]), clock.place(stop[row])) for row in rows])
        )
        when = f"{clock.text(start[rows].min())} to {clock.text(stop[rows].max())}"
        text = f"{story.camera_name(code)}, {number(len(rows), story.unit)}, {when}"
        said.append(text)
        drawn += f'<path class="cam-{place}" d="{path}"><title>{escape(text)}</title></path>'
    name = escape(f"individual {individual.label}: {'; '.join(said) or 'time unknown'}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" style="height:{height}px" role="img" '
        f'aria-label="{name}"><path class="grid" d="{grid}"/>{drawn}</svg>'
    )


def _merged(bars: Sequence[tuple[float, float]], least: float = 5.0) -> list[tuple[float, float]]:
    """Left and width of bars in order of their left end: none too short to see, and those that touch made one."""
    merged: list[tuple[float, float]] = []
    for left, right in bars:
        left = min(left, WIDTH - least)
        right = max(right, left + least)
        if merged and left <= sum(merged[-1]):
            first = merged[-1][0]
            merged[-1] = (first, max(right, sum(merged[-1])) - first)
        else:
            merged.append((left, right - left))
    return merged


def cut_charts(
    curves: Sequence[tuple[str, str, NDArray[np.float64]]],
    cuts: Float64[np.ndarray, " k"],
    eps: float,
    unit: str,
) -> str:
    """What was counted at each cut, with the chosen one marked; a sentence where there is nothing to draw.

    Args:
        curves: of each, a short name for ids within the page, its title, and its value at each cut, NaN where undefined.
        cuts: ascending.
        eps: the chosen one.
        unit: what a cut is.
    """
    drawn = "".join(
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f"{_cut_chart(cuts, values, eps, unit, f'cut-{name}', title)}</figure>"
        for name, title, values in curves
        if np.isfinite(values).sum() >= 2
    )
    if not drawn:
        return missing("There is no chart: fewer than two cuts were looked at.")
    return f'<div class="charts">{drawn}</div>'


def _cut_chart(
    cuts: NDArray[np.float64], values: NDArray[np.float64], eps: float, unit: str, name: str, title: str
) -> str:
    there = np.isfinite(values)
    cuts, values = cuts[there], values[there]
    with style():
        figure = Figure(figsize=(420 / DOTS, 250 / DOTS), dpi=DOTS)
        axes = figure.add_axes((0.11, 0.17, 0.86, 0.72))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.plot(cuts, values, color=SERIES[0], linewidth=1.8, marker="o", markersize=2.6, markeredgewidth=0)
        axes.axvline(eps, color=SERIES[1], linewidth=1.4, linestyle=(0, (4, 2)))
        axes.set_ylim(min(0.0, float(values.min())), float(values.max()) * 1.06 or 1.0)
        left, right = axes.get_xlim()
        late = eps > (left + right) / 2
        axes.annotate(
            f"drawn at {eps:.3g}",
            (eps, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(-4 if late else 4, 3),
            textcoords="offset points",
            ha="right" if late else "left",
        )
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(unit, labelpad=2)
        return inline_svg(figure, name, title)


def camera_map(points: Float[np.ndarray, "n 2"], camera: Int64[np.ndarray, " n"], story: Sightings) -> str:
    """Rows colored and marked by camera, as in the legend: `camera_mark`."""
    with style():
        figure = Figure(figsize=(420 / DOTS, 380 / DOTS), dpi=DOTS)
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
        axes.set_axis_off()
        for place, code in enumerate(story.cameras.tolist()):
            own = points[camera == code]
            color, mark = GROUPS[place % len(GROUPS)], MARKS[place % len(MARKS)][0]
            axes.plot(own[:, 0], own[:, 1], mark, markersize=3.6, color=color, markeredgewidth=0, alpha=0.85)
        return inline_svg(figure, "map-camera", f"Map of the {story.unit}s by camera")


def camera_table(story: Sightings, heads: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A row for each camera, of the first `CAMERA_ROWS`: its mark and name, and its counts, one for each of `heads`."""
    rows = ""
    for code, numbers in zip(story.cameras[:CAMERA_ROWS].tolist(), counts, strict=False):
        cells = "".join(f"<td>{count:,}</td>" for count in numbers)
        rows += f'<tr><th scope="row">{camera_tag(story, code)}</th>{cells}</tr>'
    columns = "".join(f'<th scope="col">{name}</th>' for name in ("camera", *heads))
    table = f'<table class="cameras"><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>'
    rest = len(story.cameras) - CAMERA_ROWS
    return table + (f'<p class="note">{number(rest, "more camera")} not listed.</p>' if rest > 0 else "")


def camera_legend(story: Sightings, name: str) -> str:
    """Marks and names of the first `CAMERA_ROWS` cameras; `name` is for those who cannot see it."""
    items = "".join(f"<li>{camera_tag(story, code)}</li>" for code in story.cameras[:CAMERA_ROWS].tolist())
    return f'<ul class="legend" aria-label="{name}">{items}</ul>'
