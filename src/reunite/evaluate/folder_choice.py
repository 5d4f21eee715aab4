"""Which images the pages of a folder show: the same number for 1,000 and for 1,000,000 of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from reunite.evaluate.folder_story import FolderStory
from reunite.evaluate.identity_pictures import pictures_each, spread
from reunite.types import unit_rows

FACES = 48
"""Individuals in the overview, each by one picture."""

FIRST_LOOKS, LOOK_PICTURES = 9, 4
"""Groups to look at first, and most pictures of each kind for one of them."""

PAIRS_SHOWN, ALONE_SHOWN = 12, 36

FIRST_GROUPS, PAGE_GROUPS, PAGES = 20, 60, 10
"""Individuals on the first page, on each of the others, and most pages in all."""

FIRST_PICTURES, PAGE_PICTURES, STRIP_PICTURES = 200, 480, 24
"""Most pictures of all strips of the first page, of those of another page, and of one strip."""

CENTER_ROWS = 256
"""Images from which the center of a group is found; of more, evenly spread ones."""


@dataclass(frozen=True, eq=False)
class Look:
    """A group to look at first, by its place.

    Attributes:
        central, doubtful: rows of its images, the most central and the least confident first; no image is in both.
        other: place of the group that most of its images would be in otherwise, -1 for none, and its most central rows.
    """

    place: int
    central: list[int]
    doubtful: list[int]
    other: int
    others: list[int]


@dataclass(frozen=True, eq=False)
class Strip:
    """A group, by its place, and those of its images that are shown, the most confident first."""

    place: int
    rows: list[int]


@dataclass(frozen=True, eq=False)
class Choice:
    """Everything that is shown.

    Attributes:
        faces: a group and the row that stands for it, the largest groups first.
        looks: the groups with the lowest trust.
        pairs: positions among the story's pairs, the most undecided first.
        pages: the strips of each page, the largest groups first.
        alone, noise: rows of individuals seen once, the least confident first, and of noise, evenly spread.
    """

    faces: list[tuple[int, int]]
    looks: list[Look]
    pairs: list[int]
    pages: list[list[Strip]]
    alone: list[int]
    noise: list[int]

    @property
    def small(self) -> set[int]:
        """Rows shown as small pictures."""
        rows = {row for _, row in self.faces} | set(self.alone) | set(self.noise)
        rows |= {row for look in self.looks for row in (*look.central, *look.doubtful, *look.others)}
        return rows | {row for strips in self.pages for strip in strips for row in strip.rows}


def choose(story: FolderStory) -> Choice:
    """What to show of a story."""
    groups = story.groups
    several = groups.by_size[groups.sizes[groups.by_size] > 1]
    least = several[np.lexsort((several, story.trusted[several]))][:FIRST_LOOKS]
    alone = np.flatnonzero(np.append(groups.sizes, 0)[groups.of_image] == 1)
    noise = np.flatnonzero(story.labels < 0)
    undecided = (
        [] if story.pairs is None else np.argsort(np.abs(story.pairs[1] - 0.5), kind="stable")[:PAIRS_SHOWN].tolist()
    )
    faces = several[:FACES] if len(several) else groups.by_size[:FACES]
    return Choice(
        [(int(place), central(story, int(place))[0]) for place in faces],
        [_look(story, int(place)) for place in least],
        undecided,
        _pages(story, several),
        alone[np.argsort(story.confidence[alone], kind="stable")][:ALONE_SHOWN].tolist(),
        spread(noise, ALONE_SHOWN) if len(noise) else [],
    )


def page_count(groups: int) -> int:
    """How many pages this many groups of several images take; no more than `PAGES`."""
    return min(PAGES, 1 + -(-max(0, groups - FIRST_GROUPS) // PAGE_GROUPS))


def _pages(story: FolderStory, several: Int64[np.ndarray, " s"]) -> list[list[Strip]]:
    pages, start = [], 0
    for page in range(page_count(len(several))):
        places = several[start : start + (PAGE_GROUPS if page else FIRST_GROUPS)]
        start += len(places)
        sizes = story.groups.sizes[places].tolist()
        each = 0
        if sizes:
            each = min(STRIP_PICTURES, pictures_each(sizes, PAGE_PICTURES if page else FIRST_PICTURES))
        pages.append([Strip(int(place), spread(by_confidence(story, int(place)), each)) for place in places])
    return pages


def by_confidence(story: FolderStory, place: int) -> Int64[np.ndarray, " m"]:
    """Rows of a group, the most confident first."""
    rows = story.groups.rows(place)
    return rows[np.argsort(-story.confidence[rows], kind="stable")]


def central(story: FolderStory, place: int) -> list[int]:
    """Rows of a group, or of `CENTER_ROWS` of them, the most central first; without embeddings the most confident first.

    Central is a large cosine similarity to the mean of the group's unit rows.
    """
    if story.embeddings is None:
        return [int(row) for row in by_confidence(story, place)]
    rows = np.array(spread(story.groups.rows(place), CENTER_ROWS))
    unit = unit_rows(np.asarray(story.embeddings[rows], np.float32))
    return [int(row) for row in rows[np.argsort(-(unit @ unit.sum(axis=0)), kind="stable")]]


def _look(story: FolderStory, place: int) -> Look:
    inner = central(story, place)
    size = int(story.groups.sizes[place])
    shown = inner[: min(LOOK_PICTURES, (size + 1) // 2)]
    rows = by_confidence(story, place)[::-1]
    doubtful = [int(row) for row in rows if row not in shown][:LOOK_PICTURES]
    seconds, votes = np.unique(story.second_best[rows][story.second_best[rows] >= 0], return_counts=True)
    if not len(seconds):
        return Look(place, shown, doubtful, -1, [])
    other = int(np.searchsorted(story.groups.labels, seconds[votes.argmax()]))
    return Look(place, shown, doubtful, other, central(story, other)[: LOOK_PICTURES // 2])
