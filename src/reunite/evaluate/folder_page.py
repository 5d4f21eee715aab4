"""The page of a folder: who is who among its images, where to look first, and how far to trust it.

Like the other pages it holds everything it shows, asks no server for anything and runs no script. Individuals that do not
fit on it are on further pages beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path

import numpy as np

from reunite.evaluate.folder_choice import Choice, choose
from reunite.evaluate.folder_figures import cameras, maps, several_cameras, size_chart, splits_and_merges
from reunite.evaluate.folder_pictures import Pictures, alone, faces, look_first, same_or_not, strips
from reunite.evaluate.folder_story import FolderStory, folder_result
from reunite.evaluate.identity_figures import Links, camera_legend, clock_of, cut_charts, individual_link, timeline
from reunite.evaluate.page import Section, card, fact_list, missing, number, page
from reunite.evaluate.report_words import FOLDER_LIMITS, FOLDER_READING
from reunite.files import replacing
from reunite.identities.evidence import Evidence

__all__ = ["FolderStory", "folder_pages", "folder_result", "write_folder_pages"]

STYLES = ("report.css", "identity_page.css", "folder_page.css")
TIMELINE_ROWS, LISTED = 40, 12


def folder_pages(story: FolderStory, *, seed: int = 0, sheets: Collection[int] = ()) -> dict[str, str]:
    """The pages, as file names and HTML texts: report.html first, then report-2.html, ... with further individuals.

    The pages are at most `PAGES` and each is below 3 MB, whatever the number of images: of more only a part is drawn, and a
    sentence says how much is not. The same story and seed give the same pages on the same machine. What a story does not
    have is left out or replaced by a sentence that says so, and a picture that cannot be read is a grey box.

    Args:
        story: what to tell.
        seed: draws the images of the map, and lays it out.
        sheets: individuals that have a contact sheet in `groups/` beside the pages; these are linked.
    """
    choice = choose(story)
    where = _where(story, choice)
    pictures = Pictures.read(story, choice, where, sheets)
    pages = {page_name(0): _first(story, choice, pictures, seed)}
    for place in range(1, len(choice.pages)):
        pages[page_name(place)] = _further(story, choice, pictures, place)
    return pages


def write_folder_pages(
    story: FolderStory, folder: Path, *, seed: int = 0, sheets: Collection[int] = ()
) -> tuple[Path, ...]:
    """Writes `folder_pages` into a folder, and removes the further pages of an earlier result that had more of them.

    Returns:
        The files, report.html first.
    """
    pages = folder_pages(story, seed=seed, sheets=sheets)
    for name in reversed(pages):  # report.html last, so that what it leads to is there
        with replacing(folder / name) as temporary:
            temporary.write_text(pages[name], "utf-8")
    for old in folder.glob("report-*.html"):
        if old.name not in pages and old.stem.removeprefix("report-").isdigit():
            old.unlink()
    return tuple(folder / name for name in pages)


def page_name(place: int) -> str:
    """File of the first (0) or a further page."""
    return f"report-{place + 1}.html" if place else "report.html"


def _where(story: FolderStory, choice: Choice) -> dict[int, str]:
    """In which file each individual that is shown has its pictures."""
    where = {int(story.labels[row]): page_name(0) for row in choice.alone}
    for place, shown in enumerate(choice.pages):
        where.update({int(story.groups.labels[strip.place]): page_name(place) for strip in shown})
    return where


def _from(links: Links, place: int) -> dict[int, str]:
    """The same links as they are written on a page itself."""
    return {label: "" if file == page_name(place) else file for label, file in links.items()}


def _first(story: FolderStory, choice: Choice, pictures: Pictures, seed: int) -> str:
    pictures = pictures.on(_from(pictures.links, 0))
    clock = clock_of(story)
    sections = [
        Section("overview", "Overview", _overview(story) + faces(pictures, choice.faces)),
        *([Section("changes", "Changes", _changes(story, pictures.links))] if story.changes else []),
        Section("first", "Look here first", look_first(pictures, choice.looks)),
        Section("pairs", "Same or not?", same_or_not(pictures, choice.pairs)),
        Section("individuals", "Individuals", _individuals(story, choice, pictures, 0)),
        Section("alone", "Images alone", alone(pictures, choice)),
        Section("sizes", "Sizes", _sizes(story)),
        Section("map", "Map of the images", maps(story, seed)),
        *([Section("timeline", "When each was seen", _timeline(story, pictures.links))] if clock else []),
        *([Section("cameras", "Cameras", cameras(story))] if (story.cameras >= 0).any() else []),
        Section("radius", "How the radius was chosen", _radius(story)),
        *([Section("quality", "Against known identities", _quality(story, pictures.links))] if story.scores else []),
        *([Section("calibration", "How far to trust it", _calibration(story))] if story.calibration else []),
        Section("facts", "Facts", fact_list(story.facts)),
        Section("reading", "How to read this page", FOLDER_READING),
        Section("limits", "What this may not be used for", FOLDER_LIMITS),
    ]
    return page("who is who in a folder", story.title, folder_result(story), sections, STYLES)


def _further(story: FolderStory, choice: Choice, pictures: Pictures, place: int) -> str:
    pictures = pictures.on(_from(pictures.links, place))
    first = sum(map(len, choice.pages[:place])) + 1
    title = f"Individuals {first:,} to {first + len(choice.pages[place]) - 1:,} by number of images"
    body = _individuals(story, choice, pictures, place)
    links = f'<a href="{page_name(0)}">Back to the overview</a>'
    return page(
        f"page {place + 1} of {len(choice.pages)}",
        story.title,
        folder_result(story),
        [Section("individuals", title, body)],
        STYLES,
        links,
    )


def _overview(story: FolderStory) -> str:
    sizes = story.groups.sizes
    doubtful, noise = int(story.doubtful.sum()), int((story.labels < 0).sum())
    largest = f"the largest has {int(sizes.max(initial=0)):,}"
    cards = [
        card("individuals", f"{len(sizes):,}", f"{int((sizes > 1).sum()):,} of two images or more"),
        card("images", f"{len(story.images):,}", largest if len(sizes) else "none is of an individual"),
        card("seen once", f"{int((sizes == 1).sum()):,}", "individuals of one image"),
        card("doubtful", f"{doubtful:,}", f"images with a confidence below {story.doubtful_below:g}"),
        card("noise", f"{noise:,}", "images given to nobody"),
    ]
    if int((story.cameras >= 0).sum()) > 1:
        cards.insert(
            2, card("in several cameras", f"{several_cameras(story):,}", f"of {number(len(sizes), 'individual')}")
        )
    return f'<dl class="cards">{"".join(cards)}</dl>'


def _changes(story: FolderStory, links: Links) -> str:
    changes = story.changes
    assert changes is not None  # the section is there only with them
    parts = []
    if changes.new:
        parts.append(("New", [individual_link(label, links) for label in changes.new]))
    if changes.merged:
        rows = [
            f"{_numbers(before)} {'are' if len(before) > 1 else 'is'} now {individual_link(now, links)}"
            for before, now in changes.merged
        ]
        parts.append(("Merged", rows))
    if changes.split:
        rows = [
            f"{before} fell into {', '.join(individual_link(label, links, short=True) for label in now)}"
            for before, now in changes.split
        ]
        parts.append(("Split", rows))
    if not parts:
        return missing("Nothing changed: every individual of the previous result is there, with the same number.")
    kept = len(story.groups) - len(set(changes.new) & set(story.groups.labels.tolist()))
    text = f'<p class="note">{number(kept, "individual")} kept a number of the previous result.</p>'
    for title, rows in parts:
        rest = len(rows) - LISTED
        more = f"<li>and {rest:,} more</li>" if rest > 0 else ""
        items = "".join(f"<li>{row}</li>" for row in rows[:LISTED])
        text += f'<h3>{title} <small>{len(rows):,}</small></h3><ul class="list">{items}{more}</ul>'
    return text


def _numbers(labels: Sequence[int]) -> str:
    shown = ", ".join(str(label) for label in labels[:8])
    return shown + (f" and {len(labels) - 8:,} more" if len(labels) > 8 else "")


def _individuals(story: FolderStory, choice: Choice, pictures: Pictures, place: int) -> str:
    shown = choice.pages[place]
    if not shown:
        return missing(
            "Every individual has one image only: see the images alone."
            if len(story.groups)
            else "No individuals were found."
        )
    several, drawn = int((story.groups.sizes > 1).sum()), sum(map(len, choice.pages))
    notes = ["Those of most images first; in each strip the most confident picture first."]
    if story.doubtful.any():
        notes.append(
            f'<b class="ask">?</b> marks images with a confidence below {story.doubtful_below:g}, which stands below them.'
        )
    if drawn < several:
        notes.append(
            f"{drawn:,} of the {several:,} individuals of two images or more are drawn, on "
            f"{number(len(choice.pages), 'page')}; the other {several - drawn:,} are not. identities.csv lists every image."
        )
    turn = _pager(len(choice.pages), place)
    top = turn.format("top") if place else ""
    return f'<p class="note">{" ".join(notes)}</p>{top}{strips(pictures, shown)}{turn.format("bottom")}'


def _pager(pages: int, place: int) -> str:
    """Links to the page before, to every page, and to the next one; `{}` is where it stands."""
    if pages == 1:
        return ""
    before = f'<a rel="prev" href="{page_name(place - 1)}#individuals">← Previous</a>' if place else ""
    after = f'<a rel="next" href="{page_name(place + 1)}#individuals">Next →</a>' if place + 1 < pages else ""
    numbers = "".join(
        f'<b aria-current="page">{other + 1}</b>'
        if other == place
        else f'<a href="{page_name(other)}#individuals">{other + 1}</a>'
        for other in range(pages)
    )
    return f'<nav class="pager" aria-label="Pages of individuals, {{}}">{before}<span>{numbers}</span>{after}</nav>'


def _sizes(story: FolderStory) -> str:
    sizes = story.groups.sizes
    if not len(sizes):
        return missing("No individuals were found.")
    half = np.searchsorted(np.cumsum(np.sort(sizes)[::-1]), sizes.sum() / 2) + 1
    return (
        '<div class="charts"><figure class="chart"><figcaption>Individuals by number of images</figcaption>'
        f"{size_chart(sizes)}</figure><div><p>Half of the individuals have {number(int(np.median(sizes)), 'image')} or "
        f"more, the largest {sizes.max():,}. {number(int(half), 'individual')} of {len(sizes):,} hold half of the images.</p>"
        '<p class="note">Steps double and heights are logarithmic. A group far larger than all others often holds several '
        "individuals; a long tail of single images often means that individuals were split.</p></div></div>"
    )


def _timeline(story: FolderStory, links: Links) -> str:
    clock = clock_of(story)
    places = story.groups.by_size[:TIMELINE_ROWS]
    if clock is None or not len(places):
        return missing("There is no timeline: no individuals were found.")
    notes = ["Each row is an individual, each mark an image or several that touch, from left to right the time."]
    if clock.origin:
        notes.append(f"Zero is the first moment, {clock.origin:,.0f} of the clock.")
    if len(story.cameras) > 1:
        notes.append("Each camera has a lane of its own in every row, from top to bottom as listed here.")
    rest = len(story.groups) - len(places)
    if rest:
        notes.append(f"The {len(places)} individuals of most images are drawn; {rest:,} more are not.")
    unknown = int(np.isnan(story.images.time[story.labels >= 0]).sum())
    if unknown:
        notes.append(f"{number(unknown, 'image')} of unknown time {'is' if unknown == 1 else 'are'} not drawn.")
    legend = camera_legend(story, "Cameras") if (story.cameras >= 0).any() else ""
    drawn = timeline(story, [story.individual(int(place)) for place in places], clock, links)
    return f'<p class="note">{" ".join(notes)}</p>{legend}{drawn}'


def _radius(story: FolderStory) -> str:
    given = ""
    if story.constraints is not None:
        pairs = story.constraints
        wrong = f"{pairs.contradictory:,} of them contradict others, so not all could be kept"
        given = (
            f"<p>{number(pairs.same, 'pair was', 'pairs were')} given as the same and {pairs.different:,} as different; "
            f"{wrong if pairs.contradictory else 'all were kept'}.</p>"
        )
    evidence = story.evidence
    if evidence is None:
        return missing("It was not recorded.") + given
    curves = [("clusters", "Groups at each radius", evidence.clusters.astype(np.float64))]
    curves += [(f"curve-{place}", name, values) for place, (name, values) in enumerate(evidence.curves)]
    return (
        f"<p>{escape(evidence.chosen)}</p>{given}"
        f"{cut_charts(curves, evidence.cuts, evidence.eps, 'radius (mean Jaccard distance)')}"
        '<p class="note">Images are united, the most similar first, until groups are farther apart than the radius. '
        "Further left there are more individuals and some are split; further right there are fewer and some are two in "
        "one. Where the curve of groups is flat, the choice matters little; <code>--eps</code> overrides it.</p>"
        f"{_neighborhoods(evidence)}"
    )


def _neighborhoods(evidence: Evidence) -> str:
    """How the number of neighbors was chosen, where there was a choice."""
    if evidence.k1 is None or len(evidence.neighborhoods) < 2:
        return ""
    widths, supported = (np.array(each, np.float64) for each in zip(*evidence.neighborhoods, strict=True))
    curves = [("neighborhoods", "Support of the best radius by neighbors that count", supported)]
    return (
        f"{cut_charts(curves, widths, evidence.k1, 'neighbors that count (k1)')}"
        '<p class="note">Two images are near if those nearest to one are nearest to the other, of so many neighbors. With few, '
        "individuals of many images fall apart; with many, those of few images are united with others. Where a curve rises "
        "in two places there may be kinds or bursts of images beside individuals; <code>--k1</code> overrides the choice.</p>"
    )


def _quality(story: FolderStory, links: Links) -> str:
    scores = story.scores
    assert scores is not None  # the section is there only with them
    values = (
        ("ARI", scores.ari, "adjusted Rand index"),
        ("NMI", scores.nmi, "normalised mutual information"),
        ("pairwise F", scores.pairwise_f, "over pairs of images"),
        ("B-cubed F", scores.bcubed_f, "over images"),
        ("purity", scores.purity, "share of the majority"),
    )
    cards = "".join(card(name, f"{100 * value:.1f}", note) for name, value, note in values)
    splits, merges = splits_and_merges(story)
    known = number(scores.identities, "known identity", "known identities")
    note = f"In percent, against {known}; noise counts as individuals of one image."
    text = f'<dl class="cards">{cards}</dl><p class="note">{note}</p>'
    for title, rows in (
        (
            f"{number(len(splits), 'known identity', 'known identities')} in several individuals",
            [_split(each, links) for each in splits[:LISTED]],
        ),
        (
            f"{number(len(merges), 'individual')} with several known identities",
            [_merge(each, links) for each in merges[:LISTED]],
        ),
    ):
        listed = f'<ul class="list">{"".join(f"<li>{row}</li>" for row in rows)}</ul>' if rows else ""
        text += f"<h3>{title}</h3>{listed}"
    if max(len(splits), len(merges)) > LISTED:
        text += f'<p class="note">The {LISTED} worst of each are listed.</p>'
    return text


def _split(found: tuple[int, list[tuple[int, int]]], links: Links) -> str:
    name, parts = found
    shown = ", ".join(f"{individual_link(label, links, short=True)} ({images:,})" for label, images in parts[:6])
    return f"identity {name}: {shown}{f' and {len(parts) - 6:,} more' if len(parts) > 6 else ''}"


def _merge(found: tuple[int, list[tuple[int, int]]], links: Links) -> str:
    label, parts = found
    shown = ", ".join(f"{name} ({images:,})" for name, images in parts[:6])
    return f"{individual_link(label, links)}: {shown}{f' and {len(parts) - 6:,} more' if len(parts) > 6 else ''}"


def _calibration(story: FolderStory) -> str:
    drawing = story.calibration
    assert drawing is not None  # the section is there only with it
    caption = f'<p class="note">{escape(drawing.caption)}</p>' if drawing.caption else ""
    title = f"<figcaption>{escape(drawing.title)}</figcaption>"
    return f'<div class="charts"><figure class="chart">{title}{drawing.body}</figure></div>{caption}'
