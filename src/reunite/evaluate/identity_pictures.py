"""The pictures of the page of identities: who is in which row, and what a person should look at first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Int64

from reunite.evaluate.identity_figures import Clock, Links, camera_tag, individual_link
from reunite.evaluate.identity_story import DOUBTFUL, IdentityStory, Individual
from reunite.evaluate.page import missing, number
from reunite.evaluate.thumbnails import image_tag
from reunite.types import Images, evenly_spread

STRIP_PICTURES, STRIP_BYTES = 240, 800_000
"""Most pictures of all strips together, and most bytes: with the other sections they keep any page below 2 MB."""

DOUBTFUL_SHOWN, MIXED_SHOWN, ALONE_SHOWN = 24, 12, 40


def strips(story: IdentityStory, several: Sequence[Individual], clock: Clock | None) -> str:
    """The strips, with as many pictures each as `STRIP_PICTURES` and `STRIP_BYTES` allow."""
    item = cache(lambda row: _track_item(story, row, f"individual {story.labels[row]}"))
    each = pictures_each([len(individual.rows) for individual in several], STRIP_PICTURES)
    while True:
        drawn = [[item(row) for row in spread(individual.rows, each)] for individual in several]
        if each == 2 or sum(len(one) for strip in drawn for one in strip) <= STRIP_BYTES:
            return "".join(_strip(story, one, items, clock) for one, items in zip(several, drawn, strict=True))
        each -= 1


def pictures_each(sizes: Sequence[int], limit: int) -> int:
    """The most pictures that each strip may have so that all have at most `limit`; never fewer than two."""
    each = 2
    while each < max(sizes) and sum(min(size, each + 1) for size in sizes) <= limit:
        each += 1
    return each


def spread(rows: Int64[np.ndarray, " k"], count: int) -> list[int]:
    """At most `count` of these rows, evenly spread from first to last."""
    return list(rows[evenly_spread(len(rows), count)].tolist())


def _strip(story: IdentityStory, individual: Individual, items: Sequence[str], clock: Clock | None) -> str:
    rows = individual.rows
    name = f"individual {individual.label}"
    facts = [number(len(rows), "track")]
    cameras = int((individual.cameras >= 0).sum())
    if cameras:
        facts.append(number(cameras, "camera"))
    start, stop = story.span
    if clock and not np.isnan(start[rows]).all():
        facts.append(f"{clock.text(np.nanmin(start[rows]))} to {clock.text(np.nanmax(stop[rows]))}")
    doubtful = int(story.doubtful[rows].sum())
    if doubtful:
        facts.append(f'<b class="ask">?</b> {doubtful} doubtful')
    if len(items) < len(rows):
        facts.append(f"{len(items)} shown, evenly spread over time")
    return (
        f'<figure class="cluster" id="individual-{individual.label}"><figcaption><b class="tag">{name}</b> '
        f'{" · ".join(facts)}</figcaption><ul class="strip wrap people">{"".join(items)}</ul></figure>'
    )


def _track_item(story: IdentityStory, row: int, name: str, *, more: str = "", anchor: str = "") -> str:
    """A list item with the picture of a track, its camera, number and confidence."""
    doubt = bool(story.doubtful[row])
    label = f"{name}, {_track_name(story, row)}{', doubtful' if doubt else ''}"
    kind = ' class="doubt"' if doubt else ""
    mark = '<b class="ask">?</b> ' if doubt else ""
    return (
        f"<li{kind}{anchor}>{image_tag(story.tracks, row, label)}<span>{camera_tag(story, _camera(story, row))}</span>"
        f"<span>{_track_number(story, row)}</span><span>{mark}{confidence_text(story, row)}</span>{more}</li>"
    )


def confidence_text(story: IdentityStory, row: int) -> str:
    """Two digits, rounded down, so that what is called doubtful reads so."""
    return f"{math.floor(100 * story.confidence[row] + 1e-9) / 100:.2f}"


def _camera(story: IdentityStory, row: int) -> int:
    return int(story.tracks.camera[row])


def _track_number(story: IdentityStory, row: int) -> str:
    track = int(story.tracks.track[row])
    return f"track {track}" if track >= 0 else "no track"


def _track_name(story: IdentityStory, row: int) -> str:
    """Camera and number of a track, as text."""
    return f"{story.camera_name(_camera(story, row))}, {_track_number(story, row)}"


def doubtful_tracks(story: IdentityStory, linked: Links) -> str:
    """The tracks of the lowest confidence, each beside its own individual and the second best."""
    asked = np.flatnonzero((story.labels >= 0) & (story.second_best >= 0))
    if not len(asked):
        return missing("There is nothing to compare: no track has another individual that it could be.")
    shown = asked[np.argsort(story.confidence[asked], kind="stable")][:DOUBTFUL_SHOWN]
    count = int(story.doubtful.sum())
    below = (
        f"{number(count, 'track')} of {len(asked):,} {'has' if count == 1 else 'have'} a confidence below {DOUBTFUL}."
    )
    first = f"Here {'is' if len(shown) == 1 else 'are'} the {number(len(shown), 'track')} with the lowest one. "
    note = (
        f"{below} {first}Left the track, in the middle another track of the individual it was given to, right one of the "
        "second best: does the left picture show the same as the middle one, or as the right one?"
    )
    cases = "".join(_case(story, int(row), linked) for row in shown)
    return f'<p class="note">{note}</p><div class="cases">{cases}</div>'


def _case(story: IdentityStory, row: int, linked: Links) -> str:
    own, other = int(story.labels[row]), int(story.second_best[row])
    mark = '<b class="ask">?</b> ' if story.doubtful[row] else ""
    track = f"{camera_tag(story, _camera(story, row))}, {_track_number(story, row)}"
    columns = (
        f"<li>{image_tag(story.tracks, row, f'doubtful {_track_name(story, row)}')}<span>this track</span></li>"
        + _stand_in(story, own, "given to", linked, without=row)
        + _stand_in(story, other, "or", linked)
    )
    return (
        f'<figure class="case"><figcaption>{track} · {mark}{confidence_text(story, row)}</figcaption>'
        f'<ul class="compare">{columns}</ul></figure>'
    )


def _stand_in(story: IdentityStory, label: int, role: str, linked: Links, *, without: int = -1) -> str:
    """The most central track of an individual, to compare with; a box of words where there is none."""
    row = story.central(label, without)
    if row >= 0:
        text = f"{role} individual {label}, {_track_name(story, row)}"
        return f"<li>{image_tag(story.tracks, row, text)}<span>{role} {individual_link(label, linked)}</span></li>"
    if label < 0:
        return f'<li><span class="empty">{role} nobody near</span></li>'
    return f'<li><span class="empty">no other track</span><span>{role} {individual_link(label, linked)}</span></li>'


def mixed_tracks(story: IdentityStory, linked: Links) -> str:
    """The two parts of each track that seems to hold two individuals, and whom each part resembles."""
    rows = np.flatnonzero(story.mixed)
    if not len(rows):
        return missing("No track seems to hold two individuals.")
    shown = f"{MIXED_SHOWN} of {len(rows):,} are shown. " if len(rows) > MIXED_SHOWN else ""
    note = (
        f"{shown}Such a track falls in two parts that look like different people, as where a tracker jumps from one to "
        "the other. It was set aside, since it would unite the two. For each part: a picture, and the individual that it "
        "resembles most."
    )
    cases = "".join(_mixed_case(story, int(row), linked) for row in rows[:MIXED_SHOWN])
    return f'<p class="note">{note}</p><div class="cases wide">{cases}</div>'


def _mixed_case(story: IdentityStory, row: int, linked: Links) -> str:
    pictures = Images.of(np.asarray(story.part_paths)[row])
    columns = ""
    for part, (name, label) in enumerate(zip(("first", "second"), story.parts[row].tolist(), strict=True)):
        text = f"{name} part of {_track_name(story, row)}"
        shown = image_tag(pictures, part, text) if pictures.paths[part] else '<span class="empty">no picture</span>'
        columns += f"<li>{shown}<span>{name} part</span></li>{_stand_in(story, label, 'like', linked)}"
    track = f"{camera_tag(story, _camera(story, row))}, {_track_number(story, row)} · {number(int(story.frames[row]), 'frame')}"
    return f'<figure class="case"><figcaption>{track}</figcaption><ul class="compare">{columns}</ul></figure>'


def alone_rows(story: IdentityStory) -> Int64[np.ndarray, " a"]:
    """Tracks that are the only one of their individual, the most doubtful first."""
    rows = np.array([each.rows[0] for each in story.individuals if len(each.rows) == 1], np.int64)
    return rows[np.lexsort((rows, story.confidence[rows]))]


def tracks_alone(story: IdentityStory, rows: Int64[np.ndarray, " a"], linked: Links) -> str:
    """The first of the tracks that are the only one of their individual, and whom each would be otherwise."""
    if not len(rows):
        return missing("Every individual has two tracks or more." if story.individuals else "There are no individuals.")
    shown = rows[:ALONE_SHOWN]
    first = f"The {len(shown)} with the lowest confidence of {len(rows):,}. " if len(shown) < len(rows) else ""
    items = ""
    for row in shown.tolist():
        label, other = int(story.labels[row]), int(story.second_best[row])
        more = f"<span>near {individual_link(other, linked, short=True)}</span>" if other >= 0 else ""
        items += _track_item(story, row, f"individual {label}", more=more, anchor=f' id="individual-{label}"')
    return (
        f'<p class="note">{first}Individuals of one track: seen once, or cut off from their other tracks. '
        f'"Near" is the individual that each would be otherwise.</p><ul class="strip wrap people">{items}</ul>'
    )
