"""Figures and tables of the page of a folder: sizes, the map, cameras, what was counted against known identities."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Int64
from matplotlib.figure import Figure

from reunite.evaluate.figures import DOTS, INK, MUTED, SERIES, inline_svg, map_rows, project, scatter_map, style
from reunite.evaluate.folder_story import FolderStory
from reunite.evaluate.identity_figures import CAMERA_ROWS, camera_legend, camera_map, camera_table
from reunite.evaluate.page import missing

MAP_POINTS = 1_500


def size_chart(sizes: Int64[np.ndarray, " k"]) -> str:
    """How many individuals have 1, 2, 3 to 4, 5 to 8, ... images; both axes are logarithmic."""
    names, counts = size_bins(sizes)
    with style():
        figure = Figure(figsize=(420 / DOTS, 260 / DOTS), dpi=DOTS)
        axes = figure.add_axes((0.02, 0.17, 0.96, 0.75))
        places = np.arange(len(names))
        # From a half, so that a single individual has a bar.
        axes.bar(places, np.maximum(counts, 0.5) / 0.5, width=0.72, color=SERIES[0], linewidth=0)
        axes.set_yscale("log")
        axes.set_ylim(1, max(4, 2.6 * counts.max(initial=1) / 0.5))
        axes.yaxis.set_visible(False)
        for place, count in enumerate(counts.tolist()):
            height = max(count, 0.5) / 0.5
            color = INK if count else MUTED
            axes.annotate(f"{count:,}", (place, height), (0, 3), textcoords="offset points", ha="center", color=color)
        axes.set_xticks(places, names)
        axes.tick_params(axis="x", length=0)
        axes.minorticks_off()
        axes.set_xlabel("images of an individual", labelpad=2)
        said = "; ".join(f"{count:,} of {name}" for name, count in zip(names, counts.tolist(), strict=True))
        return inline_svg(figure, "sizes", f"Individuals by number of images: {said}")


def size_bins(sizes: Int64[np.ndarray, " k"]) -> tuple[list[str], Int64[np.ndarray, " b"]]:
    """Names of bins that double, "1", "2", "3–4", "5–8", ..., and how many sizes fall in each, up to the largest."""
    last = int(np.ceil(np.log2(max(2, sizes.max(initial=1)))))
    edges = [0, *(2**step for step in range(last + 1))]
    names = [f"{low + 1:,}" if low + 1 == high else f"{low + 1:,}–{high:,}" for low, high in pairwise(edges)]
    return names, np.bincount(np.searchsorted(edges[1:], sizes), minlength=len(names))


def maps(story: FolderStory, seed: int) -> str:
    """The images in the plane, by individual and, where they are known, by camera."""
    if story.embeddings is None:
        return missing("There is no map: the embeddings of the images were not given.")
    rows = map_rows(story.labels, MAP_POINTS, np.random.default_rng(seed))
    points = project(np.asarray(story.embeddings[rows], np.float32), seed)
    if points is None:
        return missing("There is no map: it needs ten images or more with embeddings that differ.")
    found = len(np.unique(story.labels[rows][story.labels[rows] >= 0]))
    crosses = ", grey crosses are noise" if (story.labels[rows] < 0).any() else ""
    drawing = scatter_map(
        points, story.labels[rows], name="map-individual", description="Map of the images by individual"
    )
    panels = (
        f'<figure class="chart"><figcaption>By individual: {found:,} of them{crosses}</figcaption>{drawing}</figure>'
    )
    cameras = ""
    if len(story.cameras) > 1:
        drawing = camera_map(points, story.camera[rows], story)
        legend = camera_legend(story, "Cameras on the map")
        panels += f'<figure class="chart"><figcaption>By camera</figcaption>{drawing}{legend}</figure>'
        cameras = " Where cameras lie apart within an individual, the network sees the camera, not the individual."
    part = f"All {len(rows):,} images"
    if len(rows) < len(story.labels):
        part = (
            f"{len(rows):,} of {len(story.labels):,} images: whole individuals drawn at random, and noise in its share"
        )
    return (
        f'<div class="charts maps">{panels}</div><p class="note">{part}. Near points are similar images (PCA, then t-SNE); '
        "the axes and the distances between far groups mean nothing. Colors repeat: they only tell neighbors apart."
        f"{cameras}</p>"
    )


def cameras(story: FolderStory) -> str:
    """For each camera its images, its individuals, and how many of these another camera saw as well."""
    known = story.labels >= 0
    pairs = np.unique(np.stack([story.labels[known], story.camera[known]], axis=1), axis=0)
    labels, seen_by = np.unique(pairs[pairs[:, 1] >= 0, 0], return_counts=True)
    of_pair = np.append(seen_by, 0)[np.searchsorted(labels, pairs[:, 0])] if len(labels) else np.zeros(len(pairs))
    of_pair[~np.isin(pairs[:, 0], labels)] = 0
    counts = []
    for code in story.cameras[:CAMERA_ROWS].tolist():
        own = pairs[:, 1] == code
        elsewhere = of_pair[own] > (1 if code >= 0 else 0)
        counts.append((int((story.camera == code).sum()), int(own.sum()), int(elsewhere.sum())))
    return camera_table(story, ("images", "individuals", "seen elsewhere"), counts)


def several_cameras(story: FolderStory) -> int:
    """Individuals that two known cameras or more saw."""
    known = (story.labels >= 0) & (story.camera >= 0)
    pairs = np.unique(np.stack([story.labels[known], story.camera[known]], axis=1), axis=0)
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def splits_and_merges(
    story: FolderStory,
) -> tuple[list[tuple[int, list[tuple[int, int]]]], list[tuple[int, list[tuple[int, int]]]]]:
    """Known identities that lie in several individuals, and individuals that hold several known identities.

    Returns:
        Of both the worst first: a number, and the numbers of the others with how many images they share, most first.
        Worst is where most images are outside the largest share.
    """
    known = (story.labels >= 0) & (story.images.identity >= 0)
    pairs, shared = np.unique(
        np.stack([story.images.identity[known], story.labels[known]], axis=1), axis=0, return_counts=True
    )
    return _several(pairs, shared), _several(pairs[:, ::-1], shared)


def _several(
    pairs: Int64[np.ndarray, "p 2"], shared: Int64[np.ndarray, " p"]
) -> list[tuple[int, list[tuple[int, int]]]]:
    order = np.lexsort((pairs[:, 1], -shared, pairs[:, 0]))
    names, first, counts = np.unique(pairs[order, 0], return_index=True, return_counts=True)
    found = []
    for name, start, count in zip(names.tolist(), first.tolist(), counts.tolist(), strict=True):
        if count > 1:
            own = order[start : start + count]
            found.append((name, list(zip(pairs[own, 1].tolist(), shared[own].tolist(), strict=True))))
    return sorted(found, key=lambda each: (-sum(many for _, many in each[1][1:]), each[0]))
