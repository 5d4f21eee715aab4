"""The pictures of the page of a folder: whom to look at first, pairs to answer, strips of individuals, images alone."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from reunite.evaluate.folder_choice import LOOK_PICTURES, Choice, Look, Strip
from reunite.evaluate.folder_story import FolderStory
from reunite.evaluate.identity_figures import Links, camera_tag, individual_link
from reunite.evaluate.identity_pictures import spread
from reunite.evaluate.page import missing, number
from reunite.evaluate.thumbnails import AREA, BYTES, Thumbnail, image_tag, thumbnail
from reunite.threads import thread_count

SMALL_AREA, SMALL_BYTES = 64 * 104, 2_000
"""Area in CSS pixels and most bytes of a picture in a strip: 600 of them are less than 2 MB of page."""

STRIP_WIDTH, GAP = 502, 5
"""CSS pixels that a strip has on a wide screen, and between its pictures."""

LOOK_WIDTH = 300
"""CSS pixels that a group to look at first has on a phone, and that a column of short strips has everywhere."""

WIDEST = 2.2
"""A picture in a strip is at most this much wider than high; a wider one is made lower."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Thumbnails of the images that are shown, each read once, and what leads from one page to another.

    Attributes:
        story: whose images these are.
        small, large: thumbnails by file name, for strips and for pairs.
        height, width: of pictures in strips, in CSS pixels: all of one height make calm rows; the width is the usual one.
        folder: where all images are.
        links: in which page each individual is.
        sheets: individuals that have a contact sheet.
    """

    story: FolderStory
    small: dict[str, Thumbnail]
    large: dict[str, Thumbnail]
    height: int
    width: int
    folder: str
    links: Links
    sheets: Collection[int]

    @classmethod
    def read(cls, story: FolderStory, choice: Choice, links: Links, sheets: Collection[int]) -> Pictures:
        """Reads what is shown, in threads."""
        small = _thumbnails(story, choice.small, SMALL_AREA, SMALL_BYTES)
        asked = set() if story.pairs is None else set(story.pairs[0][choice.pairs].ravel().tolist())
        large = _thumbnails(story, asked, AREA, BYTES)
        aspects = [each.width / each.height for each in small.values() if each.readable]
        middle = float(np.median(aspects)) if aspects else 0.6
        height = min(120, max(48, round(math.sqrt(SMALL_AREA / middle))))
        paths = story.images.paths.tolist()
        # All begin as the first and the last in order do; the folder is where that ends in a separator.
        start = os.path.commonprefix([min(paths), max(paths)]) if paths else ""  # noqa: RUF071
        folder = os.path.dirname(start)
        return cls(story, small, large, height, round(middle * height), folder, links, sheets)

    def on(self, links: Links) -> Pictures:
        """The same pictures for a page where individuals are linked like this."""
        return replace(self, links=links)

    def item(self, row: int, *, more: str = "", anchor: str = "", mark: bool = True) -> str:
        """A list item with one picture: framed and marked where it is doubtful, unless `mark` is off."""
        story = self.story
        doubt = mark and bool(story.doubtful[row])
        kind = ' class="doubt"' if doubt else ""
        sign = f'<span><b class="ask">?</b> {two_digits(story.confidence[row])}</span>' if doubt else ""
        return f"<li{kind}{anchor}>{self.tag(row, doubt)}{sign}{more}</li>"

    def tag(self, row: int, doubt: bool = False) -> str:
        """The picture of a row, all of one height."""
        small = self.small[str(self.story.images.paths[row])]
        width = min(small.width * self.height / small.height, WIDEST * self.height)
        sized = Thumbnail(small.source, max(1, round(width)), self.height, small.readable)
        return image_tag(self.story.images, row, _name(self.story, row, doubt), sized)

    def facts(self, place: int, shown: int = 0) -> str:
        """Size, cameras, trust and doubtful images of a group, and where all of it is to be seen."""
        story, rows = self.story, self.story.groups.rows(place)
        label = int(story.groups.labels[place])
        images = number(len(rows), "image")
        if label in self.sheets:
            images = f'<a href="{sheet_name(label)}" title="contact sheet">{images}</a>'
        facts = [f"{shown} of {images}" if 0 < shown < len(rows) else images]
        cameras = len(np.unique(story.camera[rows][story.camera[rows] >= 0]))
        if cameras:
            facts.append(number(cameras, "camera"))
        facts.append(trust(story, place))
        doubtful = int(story.doubtful[rows].sum())
        if doubtful:
            facts.append(f'<b class="ask">?</b> {doubtful:,}<span class="unseen"> doubtful</span>')
        return f'<span class="about">{"".join(f"<span>{fact}</span>" for fact in facts)}</span>'


def sheet_name(label: int) -> str:
    """File of an individual's contact sheet, below the folder of the page."""
    return f"groups/{label:06d}.jpg"


def trust(story: FolderStory, place: int) -> str:
    """How far to trust a group, as a number and a small bar."""
    share = 100 * float(story.trusted[place])
    word = "trust" if story.trust is not None else "mean confidence"
    bar = f'<i class="gauge" aria-hidden="true"><i style="width:{share:.0f}%"></i></i>'
    return f"{word} {bar} {math.floor(share + 1e-9):.0f}\u00a0%"


def two_digits(value: float) -> str:
    """Two digits, rounded down, so that what is called doubtful reads so."""
    return f"{math.floor(100 * float(value) + 1e-9) / 100:.2f}"


def _thumbnails(story: FolderStory, rows: Collection[int], area: int, most: int) -> dict[str, Thumbnail]:
    """By file name, so that a file shown twice is read once."""
    paths = sorted({str(story.images.paths[row]) for row in rows})
    with ThreadPoolExecutor(thread_count(), "reunite-thumbnails") as pool:
        return dict(zip(paths, pool.map(lambda path: thumbnail(path, area, most), paths), strict=True))


def _name(story: FolderStory, row: int, doubt: bool = False) -> str:
    """What an image stands for, as text."""
    label, code = int(story.labels[row]), int(story.camera[row])
    parts = [f"individual {label}" if label >= 0 else "noise"]
    parts += [story.camera_name(code)] if code >= 0 else []
    return ", ".join([*parts, "doubtful"] if doubt else parts)


def faces(pictures: Pictures, chosen: Sequence[tuple[int, int]]) -> str:
    """One picture of each of the largest individuals, which leads to all of its pictures."""
    if not chosen:
        return missing("No individuals were found.")
    story, items = pictures.story, ""
    for place, row in chosen:
        label, size = int(story.groups.labels[place]), int(story.groups.sizes[place])
        href = f"{pictures.links[label]}#individual-{label}"
        items += f'<li><a href="{href}">{pictures.tag(row)}<span>{label}<small> × {size:,}</small></span></a></li>'
    every = (
        "Each individual" if len(chosen) == len(story.groups) else f"The {len(chosen)} individuals of most images, each"
    )
    note = f"{every} by its most central picture, with its number and how many images it has."
    if story.embeddings is None:
        note = note.replace("central", "confident")
    return f'<p class="note">{note}</p><ul class="faces">{items}</ul>'


def look_first(pictures: Pictures, looks: Sequence[Look]) -> str:
    """The groups of the lowest trust: their core, their edge, and whom they would be otherwise."""
    if not looks:
        return missing("There is nothing to look at: no individual has two images or more.")
    kind = "trust" if pictures.story.trust is not None else "mean confidence"
    core = "most central" if pictures.story.embeddings is not None else "most confident"
    note = (
        f"The {number(len(looks), 'group')} with the lowest {kind}. Do the most doubtful images show the same individual as "
        f"the {core} ones? If they show the nearest one, they were put in the wrong group; if all show one, it was split."
    )
    # Four of the usual width fit into the narrowest card.
    height = max(48, min(84, round(LOOK_WIDTH / LOOK_PICTURES * pictures.height / pictures.width) - GAP))
    drawn = "".join(_look(pictures, look) for look in looks)
    return f'<p class="note">{note}</p><div class="looks" style="--look:{height}px">{drawn}</div>'


def _look(pictures: Pictures, look: Look) -> str:
    story = pictures.story
    label = int(story.groups.labels[look.place])
    kinds = [
        ("most central" if story.embeddings is not None else "most confident", look.central),
        ("most doubtful", look.doubtful),
    ]
    if look.other >= 0:
        other = individual_link(int(story.groups.labels[look.other]), pictures.links)
        kinds.append((f"nearest: {other}", look.others))
    rows = "".join(
        f'<div><p>{title}</p><ul class="contact">{"".join(pictures.item(row, mark=False) for row in shown)}</ul></div>'
        for title, shown in kinds
        if shown
    )
    name = individual_link(label, pictures.links)
    return (
        f'<figure class="look"><figcaption><b class="tag">{name}</b> {pictures.facts(look.place)}</figcaption>'
        f'<div class="kinds">{rows}</div></figure>'
    )


def same_or_not(pictures: Pictures, shown: Sequence[int]) -> str:
    """Pairs of images whose answer is the most open, side by side."""
    story = pictures.story
    if story.pairs is None or not shown:
        return missing("There are no borderline pairs to show.")
    total = len(story.pairs[0])
    first = f"The {len(shown)} most undecided of {total:,} pairs. " if len(shown) < total else ""
    note = (
        f"{first}Each was found to be about as likely the same individual as not. An answer here teaches most: write "
        "both file names and <code>same</code> or <code>different</code> in a line of a file, and pass it with "
        "<code>--constraints</code>."
    )
    rows, probability = story.pairs
    cases = "".join(_pair(pictures, rows[pair].tolist(), float(probability[pair])) for pair in shown)
    return f'<p class="note">{note}</p><div class="cases pairs">{cases}</div>'


def _pair(pictures: Pictures, pair: Sequence[int], probability: float) -> str:
    story, (one, other) = pictures.story, pair
    together = story.labels[one] == story.labels[other] and story.labels[one] >= 0
    columns = ""
    for row in (one, other):
        path = str(story.images.paths[row])
        picture = image_tag(story.images, row, _name(story, row), pictures.large[path])
        code, label = int(story.camera[row]), int(story.labels[row])
        camera = f"<span>{camera_tag(story, code)}</span>" if code >= 0 else ""
        own = f"<span>{individual_link(label, pictures.links) if label >= 0 else 'noise'}</span>"
        file = f'<span class="file">{escape(_relative(path, pictures.folder)).replace("_", "_<wbr>")}</span>'
        columns += f"<li>{picture}{own}{camera}{file}</li>"
    verdict = "put together" if together else "kept apart"
    return (
        f'<figure class="case"><figcaption><b>{round(100 * probability)}\u00a0% the same</b> · {verdict}</figcaption>'
        f'<ul class="compare">{columns}</ul></figure>'
    )


def strips(pictures: Pictures, chosen: Sequence[Strip]) -> str:
    """A strip of each individual, the most confident picture first."""
    drawn = ""
    for strip in chosen:
        label = int(pictures.story.groups.labels[strip.place])
        rows = whole_lines(strip.rows, (STRIP_WIDTH + GAP) // (pictures.width + GAP))
        items = "".join(pictures.item(row) for row in rows)
        drawn += (
            f'<figure class="cluster" id="individual-{label}"><figcaption><b class="tag">individual {label}</b> '
            f'{pictures.facts(strip.place, len(rows))}</figcaption><ul class="contact">{items}</ul></figure>'
        )
    longest = max((len(strip.rows) for strip in chosen), default=0)
    narrow = " narrow" if longest * (pictures.width + GAP) <= LOOK_WIDTH else ""
    return f'<div class="strips{narrow}">{drawn}</div>'


def whole_lines(rows: list[int], line: int) -> list[int]:
    """The rows, evenly thinned where that saves a last line that would not be full; `line` fit into one."""
    return rows if len(rows) <= line or line < 1 else spread(np.array(rows), len(rows) - len(rows) % line)


def _relative(path: str, folder: str) -> str:
    """The path below the folder of all images."""
    return path[len(folder) :].lstrip("/\\")


def alone(pictures: Pictures, choice: Choice) -> str:
    """Images that are the only one of their individual, and those that are noise."""
    story = pictures.story
    once, noise = int((story.groups.sizes == 1).sum()), int((story.labels < 0).sum())
    if not once and not noise:
        return missing("Every image is of an individual of two images or more.")
    text = ""
    if once:
        items = "".join(_once(pictures, row) for row in choice.alone)
        part = f"The {len(choice.alone)} with the lowest confidence of " if len(choice.alone) < once else ""
        note = f"{part}{number(once, 'individual')} seen once, or cut off from the rest. Below each whom it would be otherwise."
        text += f'<h3>Seen once</h3><p class="note">{note}</p><ul class="contact">{items}</ul>'
    if noise:
        items = "".join(pictures.item(row, mark=False) for row in choice.noise)
        part = f"{len(choice.noise)} of " if len(choice.noise) < noise else ""
        note = f"{part}{number(noise, 'image')} given to nobody."
        text += f'<h3>Noise</h3><p class="note">{note}</p><ul class="contact">{items}</ul>'
    return text


def _once(pictures: Pictures, row: int) -> str:
    label, other = int(pictures.story.labels[row]), int(pictures.story.second_best[row])
    near = f"<span>near {individual_link(other, pictures.links, short=True)}</span>" if other >= 0 else ""
    return pictures.item(row, mark=False, more=f"<span>{label}</span>{near}", anchor=f' id="individual-{label}"')
