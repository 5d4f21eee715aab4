"""What the report shows of the images: which queries, which clusters, and small pictures that live inside the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import PurePath

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse

from reunite.errors import ImageError
from reunite.images.decoding import decode_within
from reunite.types import Clusters, Images, evenly_spread, unit_rows

BYTES = 3_000
"""Most bytes of one encoded thumbnail; 200 of them are less than 1 MB of page."""

AREA = 80 * 140
"""Area of a thumbnail in CSS pixels. One area, not one height: tall people and wide vehicles share a strip."""


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI and its size in CSS pixels; a grey box where the file cannot be read."""

    source: str
    width: int
    height: int
    readable: bool


@dataclass(frozen=True, eq=False)
class RankedList:
    """A query and the gallery images nearest to it.

    Attributes:
        query: row of the query.
        choice: why this query is shown: best, median, worst or random.
        average_precision: of the query, NaN where not known.
        gallery: rows of the nearest gallery images, nearest first.
        similarity: cosine similarity of each.
        right: whether each shows the query's individual.
        matches: images of the query's individual in the whole gallery, those that are ignored not counted.
    """

    query: int
    choice: str
    average_precision: float
    gallery: Int64[np.ndarray, " k"]
    similarity: Float[np.ndarray, " k"]
    right: Bool[np.ndarray, " k"]
    matches: int


@dataclass(frozen=True, eq=False)
class ClusterExample:
    """A cluster to look at.

    Attributes:
        label: its number.
        choice: why it is shown: largest, median size, least cohesive, or several of these.
        size: images in it.
        cohesion: mean cosine similarity of its images to their center; NaN without embeddings.
        purity: share of its identified images that show its majority individual; NaN if none is identified.
        rows: the images shown, evenly spread from the most to the least central.
        stranger: whether each shown image is identified as somebody else than the majority.
    """

    label: int
    choice: str
    size: int
    cohesion: float
    purity: float
    rows: Int64[np.ndarray, " k"]
    stranger: Bool[np.ndarray, " k"]


def thumbnail(path: str, area: int = AREA, most: int = BYTES) -> Thumbnail:
    """The image at `path`, small enough for a page that holds hundreds; a broken file gives a grey box.

    Args:
        path: the file.
        area: in CSS pixels; no side is longer than 160.
        most: bytes of the encoded picture.
    """
    try:
        # Twice the longest side that is shown, for sharp screens.
        picture, readable = Image.fromarray(decode_within(path, (320, 320))), True
    except (ImageError, OSError):
        picture, readable = Image.new("RGB", (80, 140), (150, 150, 150)), False
    scale = min((area / (picture.width * picture.height)) ** 0.5, 160 / picture.width, 160 / picture.height)
    width, height = (max(8, round(side * scale)) for side in picture.size)
    code = base64.b64encode(_encode(picture, width, height, most)).decode("ascii")
    return Thumbnail(f"data:image/webp;base64,{code}", width, height, readable)


def _encode(picture: Image.Image, width: int, height: int, most: int) -> bytes:
    """WebP of at most `most` bytes: twice the shown pixels for sharp screens, then less detail until it fits.

    A picture of fewer pixels is not enlarged: a browser does that as well, from fewer bytes.
    """
    code = b""
    for density in (2.0, 1.5, 1.0, 0.5):
        scale = min(density, max(picture.width / width, 0.5))
        small = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
        for quality in (70, 45):
            buffer = BytesIO()
            small.save(buffer, "WEBP", quality=quality, method=2)
            code = buffer.getvalue()
            if len(code) <= most:
                return code
    return code


def image_tag(images: Images, row: int, label: str, small: Thumbnail | None = None) -> str:
    """One <img>, named by what it stands for and by its file; `small` where its thumbnail is there already."""
    path = str(images.paths[row])
    small = small or thumbnail(path)
    name = escape(PurePath(path).name + ("" if small.readable else ", cannot be read"))
    size = f'width="{small.width}" height="{small.height}"'
    return f'<img src="{small.source}" {size} alt="{escape(label)}: {name}" title="{name}">'


def plain_item(images: Images, row: int, label: str) -> str:
    """A list item that only shows the image."""
    return f"<li>{image_tag(images, row, label)}</li>"


def marked_item(images: Images, row: int, label: str, right: bool, caption: str) -> str:
    """A list item with a framed image, ticked or crossed: the mark says the same as the color."""
    kind, sign = ("right", "✓") if right else ("wrong", "✗")
    picture = image_tag(images, row, f"{label}, {kind}")
    return f'<li class="{kind}">{picture}<span><b aria-hidden="true">{sign}</b> {caption}</span></li>'


def choose_queries(
    average_precision: Float64[np.ndarray, " q"], count: int, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Queries from the whole range of success, so that the page is neither a showcase nor a complaint.

    A quarter are the best by average precision, and the rest are split between the middle and the worst. Ties are
    broken by `rng`, so that the many perfect queries of a good model do not always show the first individual.

    Args:
        average_precision: one per query, NaN where it was not scored.
        count: how many to choose; all scored queries where there are fewer.
        rng: breaks ties.

    Returns:
        Row and the reason: best, median or worst; sorted from best to worst.
    """
    scored = rng.permutation(np.flatnonzero(np.isfinite(average_precision)))
    order = scored[np.argsort(-average_precision[scored], kind="stable")]
    count = min(count, len(order))
    best = (count + 3) // 4
    worst = (count - best + 1) // 2
    median = count - best - worst
    first = best + (len(order) - count) // 2
    chosen = [
        *((row, "best") for row in order[:best]),
        *((row, "median") for row in order[first : first + median]),
        *((row, "worst") for row in order[len(order) - worst :]),
    ]
    return [(int(row), choice) for row, choice in chosen]


def candidates(query: Images, gallery: Images, row: int) -> Int64[np.ndarray, " k"]:
    """Rows of the gallery that the protocol looks at for one query.

    Junk (identity -1), the query's own file, and images of its individual from its own camera are ignored; a camera
    that is not known is nobody's own camera.
    """
    same_camera = (gallery.camera == query.camera[row]) & (query.camera[row] >= 0)
    ignored = (gallery.identity == query.identity[row]) & same_camera
    ignored |= (gallery.identity < 0) | (gallery.paths == query.paths[row])
    return np.flatnonzero(~ignored)


def nearest_gallery(
    query: Images,
    gallery: Images,
    embedding: Float32[np.ndarray, " d"],
    embeddings: Float32[np.ndarray, "g d"],
    row: int,
    count: int = 10,
) -> tuple[Int64[np.ndarray, " k"], Float32[np.ndarray, " k"]]:
    """Rows and cosine similarity of the gallery images nearest to one query, among its `candidates`."""
    kept = candidates(query, gallery, row)
    # einsum: the length of each row without a copy of a gallery that may fill half the memory
    lengths = np.sqrt(np.einsum("gd,gd->g", embeddings, embeddings))
    similarity = embeddings @ unit_rows(embedding[None])[0] / np.maximum(lengths, np.finfo(np.float32).tiny)
    nearest = kept[np.argsort(-similarity[kept], kind="stable")[:count]]
    return nearest, similarity[nearest]


def ranked_lists(
    query: Images,
    gallery: Images,
    query_embeddings: Float32[np.ndarray, "q d"],
    gallery_embeddings: Float32[np.ndarray, "g d"],
    average_precision: Float64[np.ndarray, " q"] | None,
    rng: np.random.Generator,
    count: int = 8,
) -> list[RankedList]:
    """Ranked lists of `count` queries: best, median and worst by average precision, or drawn at random without it."""
    if average_precision is None:
        known = np.flatnonzero(query.identity >= 0)
        drawn = rng.choice(known, min(count, len(known)), replace=False)
        chosen, precision = [(int(row), "random") for row in drawn], np.full(len(query), np.nan)
    else:
        chosen, precision = choose_queries(average_precision, count, rng), average_precision
    lists = []
    for row, choice in chosen:
        nearest, similarity = nearest_gallery(query, gallery, query_embeddings[row], gallery_embeddings, row)
        right = gallery.identity[nearest] == query.identity[row]
        matches = int((gallery.identity[candidates(query, gallery, row)] == query.identity[row]).sum())
        lists.append(RankedList(row, choice, float(precision[row]), nearest, similarity, right, matches))
    return lists


def cluster_examples(
    labels: Int64[np.ndarray, " n"],
    identity: Int64[np.ndarray, " n"],
    embeddings: Float32[np.ndarray, "n d"] | None,
    rng: np.random.Generator,
    each: int = 3,
    shown: int = 10,
) -> list[ClusterExample]:
    """The largest clusters, those of median size and, with embeddings, the least cohesive; `each` of each kind."""
    clusters = Clusters.of(labels)
    by_size = np.argsort(-clusters.sizes, kind="stable")
    middle = max(0, (clusters.count - each) // 2)
    choices = {"largest": by_size[:each], "median size": by_size[middle : middle + each]}
    if embeddings is not None:
        # The mean cosine of unit rows to the direction of their sum is the length of that sum over their number.
        cohesion = np.linalg.norm(_sums_of_unit_rows(clusters, embeddings), axis=1) / clusters.sizes
        choices["least cohesive"] = np.argsort(cohesion, kind="stable")[:each]
    reasons: dict[int, list[str]] = {}
    for choice, numbers in choices.items():
        for number in numbers.tolist():
            reasons.setdefault(number, []).append(choice)
    examples = []
    for number, reason in reasons.items():
        members = np.flatnonzero(clusters.labels == number)
        label = int(labels[members[0]])
        examples.append(_example(members, label, ", ".join(reason), identity, embeddings, rng, shown))
    return examples


def _sums_of_unit_rows(clusters: Clusters, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of the unit rows of each cluster, (count, d), without a normalised copy of all embeddings."""
    rows = np.flatnonzero(clusters.labels >= 0)
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))[rows]
    weights = 1 / np.maximum(lengths, np.finfo(np.float32).tiny)
    shape = (clusters.count, len(embeddings))
    return sparse.csr_array((weights, (clusters.labels[rows], rows)), shape=shape) @ embeddings


def _example(
    members: NDArray[np.int64],
    label: int,
    choice: str,
    identity: NDArray[np.int64],
    embeddings: NDArray[np.float32] | None,
    rng: np.random.Generator,
    shown: int,
) -> ClusterExample:
    similarity = np.full(len(members), np.nan)
    if embeddings is None:
        members = rng.permutation(members)
    else:
        unit = unit_rows(embeddings[members])
        similarity = unit @ unit_rows(unit.sum(axis=0, keepdims=True))[0]
        members = members[np.argsort(-similarity, kind="stable")]
    rows = members[evenly_spread(len(members), shown)]
    majority, purity = _majority(identity[members])
    stranger = (identity[rows] >= 0) & (identity[rows] != majority)
    return ClusterExample(label, choice, len(members), float(similarity.mean()), purity, rows, stranger)


def _majority(identity: NDArray[np.int64]) -> tuple[int, float]:
    """The most frequent known identity (-1 if none is known) and its share of the known ones."""
    known, counts = np.unique(identity[identity >= 0], return_counts=True)
    if not len(known):
        return -1, float("nan")
    return int(known[np.argmax(counts)]), float(counts.max() / counts.sum())


def noise_examples(
    labels: Int64[np.ndarray, " n"], rng: np.random.Generator, count: int = 24
) -> Int64[np.ndarray, " k"]:
    """Rows of up to `count` images that belong to no cluster, drawn at random."""
    noise = np.flatnonzero(labels < 0)
    return np.sort(rng.choice(noise, min(count, len(noise)), replace=False))
