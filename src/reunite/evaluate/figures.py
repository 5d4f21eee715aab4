"""The report's figures, drawn by matplotlib and returned as inline SVG that takes its colors from the page.

Every color in a figure is a stand-in that becomes a CSS variable, so one drawing serves light and dark pages; text
stays text, in the page's own font. No pyplot: nothing global is opened, and nothing needs closing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from io import StringIO

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Float32, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from reunite.types import Clusters, unit_rows

INK, MUTED, LINE = "#010100", "#010101", "#010102"
SERIES = ("#010110", "#010111", "#010112")
GROUPS = tuple(f"#0102{index:02x}" for index in range(12))
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    **{color: f"var(--series-{index})" for index, color in enumerate(SERIES)},
    **{color: f"var(--group-{index})" for index, color in enumerate(GROUPS)},
}
"""Stand-in colors, one for each CSS variable of report.css that figures use."""

DOTS = 96


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a chart: its name and a value for each round, NaN where it was not measured."""

    name: str
    values: NDArray[np.float64]

    @property
    def drawable(self) -> bool:
        """Whether there are two points to join."""
        return int(np.isfinite(self.values).sum()) >= 2


ROUND_COLUMNS = (
    ("loss", "loss", ".3f"),
    ("clusters", "clusters", ".0f"),
    ("noise", "noise", ".0f"),
    ("mAP", "mAP", ".3f"),
    ("rank1", "rank-1", ".3f"),
    ("mINP", "mINP", ".3f"),
    ("ari", "ARI", ".3f"),
    ("nmi", "NMI", ".3f"),
    ("pairwise_f", "pairwise F", ".3f"),
    ("purity", "purity", ".3f"),
    ("learning_rate", "learning rate", ".2g"),
)
"""What a round may have measured: key, name on the page and number format."""


def style() -> AbstractContextManager[None]:
    """Settings of all figures: hardly any frame, text as text, and the same ids each time."""
    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "reunite",
            "font.size": 9.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.spines.left": False,
            "axes.edgecolor": LINE,
            "axes.labelcolor": MUTED,
            "text.color": INK,
            "xtick.color": LINE,
            "ytick.color": LINE,
            "xtick.labelcolor": MUTED,
            "ytick.labelcolor": MUTED,
            "ytick.major.size": 0,
            "grid.color": LINE,
            "grid.linewidth": 0.6,
        }
    )


def round_charts(rounds: Sequence[Mapping[str, int | float]], individuals: int) -> list[tuple[str, str]]:
    """Title and drawing of each curve that has at least two points.

    Args:
        rounds: what was measured in each round.
        individuals: known in the training images, drawn beside the number of clusters; 0 for none.
    """

    def column(key: str) -> NDArray[np.float64]:
        return np.array([row.get(key, np.nan) for row in rounds], np.float64)

    numbers = np.array([row.get("round", place) for place, row in enumerate(rounds)], np.float64)
    if not (np.diff(numbers) > 0).all():
        numbers = np.arange(len(rounds), dtype=np.float64)
    noise = Series("noise", 100 * column("noise") / np.maximum(column("images"), 1))
    charts = [
        ("retrieval", "Retrieval on the test queries, %", ".1f", [("mAP", "mAP"), ("rank-1", "rank1")]),
        ("loss", "Training loss", ".2f", [("loss", "loss")]),
        ("count", "Clusters found", ",.0f", [("found", "clusters")]),
        ("noise", "Noise, % of the images", ".1f", []),
        ("agreement", "Agreement with identities, %", ".1f", [("ARI", "ari"), ("pairwise F", "pairwise_f")]),
        ("time", "Seconds for a round", ".1f", [(name, f"seconds_{name}") for name in ("embed", "cluster", "train")]),
    ]
    drawn = []
    for name, title, number_format, columns in charts:
        factor = 100 if title.endswith("%") else 1
        lines = [Series(label, factor * column(key)) for label, key in columns] or [noise]
        lines = [line for line in lines if line.drawable]
        level = ("known", float(individuals)) if name == "count" and individuals else None
        if lines:
            options = {"name": f"chart-{name}", "description": title, "number_format": number_format}
            drawn.append((title, line_chart(numbers, lines, reference=level, **options)))
    return drawn


def line_chart(
    rounds: Float[np.ndarray, " r"],
    series: Sequence[Series],
    *,
    name: str,
    description: str,
    number_format: str = ".1f",
    reference: tuple[str, float] | None = None,
) -> str:
    """Lines over rounds, each named at its end with its last value; no legend to look up.

    Args:
        rounds: number of each round.
        series: at most three lines with at least two finite values each.
        name: makes the ids inside the figure unique on the page.
        description: what the chart shows, for those who cannot see it.
        number_format: of the last values.
        reference: a level to compare with, and its name.
    """
    with style():
        figure = Figure(figsize=(380 / DOTS, 230 / DOTS), dpi=DOTS)
        axes = figure.add_axes((0.1, 0.15, 0.6, 0.81))
        ends = []
        for line, color, dashes in zip(series, SERIES, ("-", (0, (5, 2)), (0, (1.5, 1.5))), strict=False):
            there = np.isfinite(line.values)
            axes.plot(rounds[there], line.values[there], color=color, linestyle=dashes, linewidth=1.8)
            last = float(line.values[there][-1])
            axes.plot(rounds[there][-1:], [last], "o", color=color, markersize=4, markeredgewidth=0, clip_on=False)
            ends.append((last, f"{line.name} {last:{number_format}}"))
        if reference:
            axes.axhline(reference[1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
            ends.append((reference[1], f"{reference[0]} {reference[1]:{number_format}}"))
        _frame(axes, rounds, ends)
        _name_ends(axes, ends)
        return inline_svg(figure, name, description)


def scatter_map(
    points: Float[np.ndarray, "n 2"], groups: Int64[np.ndarray, " n"], *, name: str, description: str
) -> str:
    """Points colored by group; those of no group (-1) are small grey crosses, so that color is not all that tells."""
    with style():
        figure = Figure(figsize=(420 / DOTS, 380 / DOTS), dpi=DOTS)
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
        axes.set_axis_off()
        color = group_colors(points, groups)
        for index, variable in enumerate(GROUPS):
            chosen = points[color == index]
            axes.plot(chosen[:, 0], chosen[:, 1], "o", markersize=3.4, color=variable, markeredgewidth=0, alpha=0.85)
        noise = points[color < 0]
        axes.plot(noise[:, 0], noise[:, 1], "x", markersize=3, color=MUTED, markeredgewidth=0.7, alpha=0.8)
        return inline_svg(figure, name, description)


def map_rows(labels: Int64[np.ndarray, " n"], limit: int, rng: np.random.Generator) -> Int64[np.ndarray, " m"]:
    """Rows to draw on a map of at most `limit` points: whole clusters drawn at random, and noise in its true share.

    Images drawn one by one from thousands of clusters would show each cluster as a single point. No cluster may take
    more than a tenth of the map, unless there are too few clusters to fill it otherwise.
    """
    if len(labels) <= limit:
        return np.arange(len(labels))
    clusters = Clusters.of(labels)
    shuffled = rng.permutation(len(labels))
    noise = shuffled[clusters.labels[shuffled] < 0]
    noise = noise[: round(limit * len(noise) / len(labels))]
    members = shuffled[clusters.labels[shuffled] >= 0]
    turn = rng.permutation(clusters.count)[clusters.labels[members]]
    members, turn = members[np.argsort(turn, kind="stable")], np.sort(turn)
    place = np.arange(len(members)) - np.searchsorted(turn, turn)
    members = members[place < max(limit // 10, limit // max(1, clusters.count))]
    return np.sort(np.concatenate([noise, members[: limit - len(noise)]]))


def project(embeddings: Float32[np.ndarray, "n d"], seed: int) -> Float[np.ndarray, "n 2"] | None:
    """Points in the plane that keep neighbors together: PCA to 50, then t-SNE (van der Maaten & Hinton 2008).

    None where there is nothing to lay out: fewer than ten images, or embeddings of one dimension or that do not differ.
    """
    rows = unit_rows(embeddings)
    if len(rows) < 10 or rows.shape[1] < 2 or float(np.ptp(rows, axis=0).max()) < 1e-6:
        return None
    dimensions = min(50, rows.shape[1], len(rows) - 1)
    small = PCA(dimensions, random_state=seed).fit_transform(rows)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    # More threads gain little at 1,500 points, and cost five times as much where another process keeps a core busy.
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init="pca", max_iter=500, random_state=seed).fit_transform(small)


def group_colors(points: Float[np.ndarray, "n 2"], groups: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Palette index of each point, -1 for no group; groups that lie close together get different colors.

    There are more groups than colors the eye can tell apart. So each group, largest first, takes the color whose
    nearest use on the map is farthest away.
    """
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    centers = np.stack([np.bincount(inverse, points[:, axis]) / sizes for axis in (0, 1)], axis=1)
    nearest_use = np.full((len(GROUPS), len(names)), np.inf)
    chosen = np.full(len(names), -1, np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        if names[group] < 0:
            continue
        chosen[group] = int(np.argmax(nearest_use[:, group]))
        distance = np.linalg.norm(centers - centers[group], axis=1)
        nearest_use[chosen[group]] = np.minimum(nearest_use[chosen[group]], distance)
    return chosen[inverse]


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as one <svg> element for an HTML page: CSS variables for colors, ids of its own, no address."""
    buffer = StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    drawing = buffer.getvalue()
    view = re.search(r'viewBox="([^"]+)"', drawing)
    body = drawing[drawing.index(">", drawing.index("<svg")) + 1 :]
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    used = set(re.findall(r"#([\w-]+)\)?\"", body))
    body = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", body)
    body = re.sub(r'href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    body = re.sub(r"#010[12][0-9a-f]{2}", lambda match: VARIABLES[match[0]], body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]+;?", "", body)
    body = re.sub(r"\n\s*", "\n", body).strip()
    return f'<svg viewBox="{view[1] if view else ""}" role="img" aria-label="{escape(description)}">{body}'


def _frame(axes: Axes, rounds: NDArray[np.float64], ends: Sequence[tuple[float, str]]) -> None:
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlim(float(rounds.min()), float(rounds.max()))
    low, high = axes.dataLim.y0, max(axes.dataLim.y1, *(value for value, _ in ends))
    low = min(0.0, float(low))
    axes.set_ylim(low, (high - low) * 1.06 + low or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("round", labelpad=1)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str]]) -> None:
    """Writes each name beside the end of its line, moved up where two would touch."""
    low, high = axes.get_ylim()
    gap, floor = 0.1, -1.0
    for value, text in sorted(ends):
        height = max((value - low) / (high - low), floor + gap)
        floor = height
        axes.text(1.03, height, text, transform=axes.transAxes, va="center")
