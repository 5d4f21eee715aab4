"""The page of identities: one HTML page that shows who is who among the tracks of several cameras, and what is doubtful.

Like the run report it holds everything it shows, asks no server for anything and runs no script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from reunite.evaluate.figures import map_rows, project, scatter_map
from reunite.evaluate.identity_figures import (
    CAMERA_ROWS,
    Clock,
    Links,
    camera_legend,
    camera_map,
    camera_table,
    clock_of,
    cut_charts,
    individual_link,
    timeline,
)
from reunite.evaluate.identity_pictures import (
    ALONE_SHOWN,
    alone_rows,
    confidence_text,
    doubtful_tracks,
    mixed_tracks,
    strips,
    tracks_alone,
)
from reunite.evaluate.identity_story import DOUBTFUL, IdentityStory, Individual, identity_result
from reunite.evaluate.page import Section, card, fact_list, missing, number, page
from reunite.evaluate.report_words import IDENTITY_LIMITS, IDENTITY_READING

__all__ = ["IdentityStory", "identity_page", "identity_result"]

TIMELINE_ROWS = 40
STRIPS = 60
TABLE_ROWS = 400
MAP_POINTS = 1_000


def identity_page(story: IdentityStory, *, seed: int = 0) -> str:
    """The page, as HTML text. The same story and seed give the same page on the same machine.

    Of many individuals and tracks only the first are drawn, and a sentence says how many are not, so 5,000 tracks make a
    page below 2 MB. What a story does not have is replaced by a sentence that says so, and a picture that cannot be read
    is a grey box.
    """
    several = [individual for individual in story.individuals if len(individual.rows) > 1][:STRIPS]
    alone = alone_rows(story)
    shown = [individual.label for individual in several] + story.labels[alone[:ALONE_SHOWN]].tolist()
    linked = dict.fromkeys(shown, "")
    clock = clock_of(story)
    return page(
        "page of identities",
        story.title,
        identity_result(story),
        [
            Section("overview", "Overview", _overview(story)),
            Section("timeline", "When each was seen", _timeline(story, clock, linked)),
            Section("individuals", "Individuals", _individuals(story, several, clock, linked)),
            Section("doubtful", "Doubtful tracks", doubtful_tracks(story, linked)),
            Section("mixed", "Tracks that seem to hold two individuals", mixed_tracks(story, linked)),
            Section("alone", "Tracks alone", tracks_alone(story, alone, linked)),
            Section("line", "How the line was drawn", _line(story)),
            Section("map", "Map of the tracks", _map(story, seed)),
            Section("facts", "Facts", fact_list(story.facts)),
            Section("reading", "How to read this page", IDENTITY_READING),
            Section("limits", "What this may not be used for", IDENTITY_LIMITS),
        ],
        ("report.css", "identity_page.css"),
    )


def _overview(story: IdentityStory) -> str:
    tracks, found = len(story.tracks), story.individuals
    shared = sum(int((individual.cameras >= 0).sum()) > 1 for individual in found)
    single = sum(len(individual.rows) == 1 for individual in found)
    mixed, aside = int(np.sum(story.mixed)), int(np.sum(story.labels < 0))
    kinds = f"{mixed:,} seem to hold two individuals" if mixed else "tracks that are nobody's"
    cards = [
        card("individuals", f"{len(found):,}", f"{single:,} of a single track"),
        card("tracks", f"{tracks:,}", f"of {number(int(np.sum(story.frames)), 'frame')}"),
        card("in several cameras", f"{shared:,}", f"of {number(len(found), 'individual')}"),
        card("doubtful", f"{int(story.doubtful.sum()):,}", f"tracks with a confidence below {DOUBTFUL}"),
        card("set aside", f"{aside:,}", kinds),
    ]
    return f'<dl class="cards">{"".join(cards)}</dl>{_camera_table(story)}'


def _camera_table(story: IdentityStory) -> str:
    """For each camera its tracks, its individuals, and how many of these another camera saw as well."""
    if not len(story.cameras):
        return missing("There are no tracks.")
    counts = []
    for code in story.cameras[:CAMERA_ROWS].tolist():
        seen = [individual for individual in story.individuals if code in individual.cameras]
        elsewhere = sum(bool(((each.cameras >= 0) & (each.cameras != code)).any()) for each in seen)
        counts.append((int((story.tracks.camera == code).sum()), len(seen), elsewhere))
    return camera_table(story, ("tracks", "individuals", "seen elsewhere"), counts)


def _timeline(story: IdentityStory, clock: Clock | None, linked: Links) -> str:
    if clock is None:
        return missing("There is no timeline: the times of the tracks are not known.")
    if not story.individuals:
        return missing("There is no timeline: no individuals were found.")
    shown = story.individuals[:TIMELINE_ROWS]
    zero = "" if not clock.origin else f" Zero is the first moment, {clock.origin:,.0f} of the clock."
    unit = "number of the frame" if clock.unit == "frames" else "time"
    notes = [f"Each row is an individual, each bar a track or several that touch, from left to right the {unit}.{zero}"]
    if len(story.cameras) > 1:
        notes.append("Each camera has a lane of its own in every row, from top to bottom as listed here.")
        notes.append("Cameras can be compared only where their clocks agree.")
    rest = len(story.individuals) - len(shown)
    if rest:
        notes.append(f"The {len(shown)} individuals with most tracks are drawn; {rest:,} more are not.")
    unknown = int(np.isnan(story.span[0][story.labels >= 0]).sum())
    if unknown:
        notes.append(f"{number(unknown, 'track')} of unknown time {'is' if unknown == 1 else 'are'} not drawn.")
    return (
        f'<p class="note">{" ".join(notes)}</p>{camera_legend(story, "Cameras")}{timeline(story, shown, clock, linked)}'
    )


def _individuals(story: IdentityStory, several: Sequence[Individual], clock: Clock | None, linked: Links) -> str:
    if not story.individuals:
        return missing("No individuals were found.")
    table = _table(story, clock, linked)
    if not several:
        return missing("Every individual has one track only: see the tracks alone.") + table
    count = sum(len(individual.rows) > 1 for individual in story.individuals)
    part = f"The {len(several)} individuals with most tracks; {count - len(several):,} more are in the table. "
    note = (
        f"{part if count > len(several) else ''}Tracks in order of time, each with its camera, its number and its "
        f'confidence. <b class="ask">?</b> marks those with a confidence below {DOUBTFUL}.'
    )
    return f'<p class="note">{note}</p><div class="strips">{strips(story, several, clock)}</div>{table}'


def _table(story: IdentityStory, clock: Clock | None, linked: Links) -> str:
    """Every individual in numbers, up to `TABLE_ROWS`."""
    start, stop = story.span
    rows = ""
    for individual in story.individuals[:TABLE_ROWS]:
        own = individual.rows
        cameras = ", ".join(escape(story.camera_name(code)) for code in individual.cameras[:8].tolist())
        cameras += f" and {len(individual.cameras) - 8} more" if len(individual.cameras) > 8 else ""
        known = clock is not None and not np.isnan(start[own]).all()
        times = (np.nanmin(start[own]), np.nanmax(stop[own])) if known else (math.nan, math.nan)
        cells = [f"{len(own):,}", f"{int(np.sum(story.frames[own])):,}", cameras]
        cells += [clock.text(moment) if clock and known else "–" for moment in times]
        cells.append(confidence_text(story, int(own[story.confidence[own].argmin()])))
        body = "".join(f"<td>{cell}</td>" for cell in cells)
        rows += f'<tr><th scope="row">{individual_link(individual.label, linked, short=True)}</th>{body}</tr>'
    names = ("individual", "tracks", "frames", "cameras", "first seen", "last seen", "lowest confidence")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    rest = len(story.individuals) - TABLE_ROWS
    more = f'<p class="note">{number(rest, "more individual")} not listed.</p>' if rest > 0 else ""
    return (
        f"<details><summary>All individuals in numbers</summary>"
        f'<div class="scroll" tabindex="0" role="group" aria-label="individuals in numbers"><table class="numbers">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{more}</details>"
    )


def _line(story: IdentityStory) -> str:
    evidence = story.evidence
    curves = (
        ("clusters", "Groups left at each cut", evidence.clusters.astype(np.float64)),
        ("silhouette", "Mean silhouette at each cut", evidence.curve("silhouette")),
    )
    charts = cut_charts(curves, evidence.cuts, evidence.eps, "cut (mean cosine distance)")
    rule = "The rule that one camera cannot see an individual twice at the same moment was off."
    if story.overlap:
        seen = f"{number(story.apart, 'pair')} of tracks {'was' if story.apart == 1 else 'were'} seen by one camera at the same"
        rule = f"{seen} moment and {'was' if story.apart == 1 else 'were'} kept apart."
    return (
        f"<p>{escape(evidence.chosen)}</p><p>{rule}</p>{charts}"
        '<p class="note">Tracks are united, the most similar first, until groups are farther apart than the cut. Further '
        "left there are more individuals and some are split; further right there are fewer and some are two in one. The "
        "mean silhouette says how much nearer tracks are to their own group than to the next one.</p>"
    )


def _map(story: IdentityStory, seed: int) -> str:
    if story.embeddings is None:
        return missing("There is no map: the embeddings of the tracks were not given.")
    rows = map_rows(story.labels, MAP_POINTS, np.random.default_rng(seed))
    points = project(story.embeddings[rows], seed)
    if points is None:
        return missing("There is no map: it needs ten tracks or more with embeddings that differ.")
    labels, camera = story.labels[rows], story.tracks.camera[rows]
    found = len(np.unique(labels[labels >= 0]))
    by_individual = scatter_map(points, labels, name="map-individual", description="Map of the tracks by individual")
    part = f"All {len(rows):,} tracks"
    if len(rows) < len(story.labels):
        part = f"{len(rows):,} of {len(story.labels):,} tracks: whole individuals drawn at random, and some that are nobody's"
    return (
        '<div class="charts maps"><figure class="chart"><figcaption>By individual: '
        f"{number(found, 'individual')}, grey crosses are nobody's</figcaption>{by_individual}</figure>"
        f'<figure class="chart"><figcaption>By camera</figcaption>{camera_map(points, camera, story)}'
        f'{camera_legend(story, "Cameras on the map")}</figure></div><p class="note">{part}. Near '
        "points are similar tracks (PCA, then t-SNE); the axes and the distances between far groups mean nothing. Colors "
        "of individuals repeat: they only tell neighbors apart. Where cameras lie apart within an individual, the network "
        "sees the camera, not the individual.</p>"
    )
