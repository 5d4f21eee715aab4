"""The run report: one HTML page that holds everything it shows, asks no server for anything and runs no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from reunite.errors import InputError
from reunite.evaluate.figures import ROUND_COLUMNS, map_rows, project, round_charts, scatter_map
from reunite.evaluate.page import Section, card, fact_list, missing, number, page
from reunite.evaluate.report_words import LIMITS, READING
from reunite.evaluate.thumbnails import (
    ClusterExample,
    RankedList,
    cluster_examples,
    image_tag,
    marked_item,
    noise_examples,
    plain_item,
    ranked_lists,
)
from reunite.types import Images, Scores, check_embeddings, evenly_spread

MAP_POINTS = 1_500
TABLE_ROUNDS = 60


@dataclass(frozen=True, eq=False)
class RunStory:
    """Everything a report tells about a run.

    Attributes:
        title: such as "cluster_contrast on walkers".
        recipe: the Python text that builds the recipe again.
        facts: seed, data, command, versions, device, ... in the order to print.
        rounds: what was measured in each round: round, loss, clusters, noise (images without a cluster), images; where
            known mAP, rank1, mINP, ari, nmi, pairwise_f, purity (fractions), learning_rate, and seconds_embed,
            seconds_cluster, seconds_train. A value missing in a round is a gap in its curve.
        train: the images trained on. labels: their clusters in the last round, (n,), -1 is noise.
        train_embeddings: (n, d) float32, or None.
        query, gallery: the images searched for and searched in; empty without identities.
        query_embeddings, gallery_embeddings: (q, d) and (g, d) float32, or None.
        before, after: retrieval scores of the untrained and of the trained model, or None.
        unit: what a row of all these is, an "image" or a "tracklet", of which the middle frame is shown.

    Raises:
        InputError: labels, embeddings or scores do not have one row per image, or embeddings are not finite.
    """

    title: str
    recipe: str
    facts: dict[str, str]
    rounds: Sequence[Mapping[str, int | float]]
    train: Images
    labels: NDArray[np.int64]
    train_embeddings: NDArray[np.float32] | None
    query: Images
    gallery: Images
    query_embeddings: NDArray[np.float32] | None
    gallery_embeddings: NDArray[np.float32] | None
    before: Scores | None
    after: Scores | None
    unit: str = "image"

    def __post_init__(self) -> None:
        precision = None if self.after is None else self.after.average_precision
        for name, rows, images in (
            ("labels", self.labels, self.train),
            ("train_embeddings", self.train_embeddings, self.train),
            ("query_embeddings", self.query_embeddings, self.query),
            ("gallery_embeddings", self.gallery_embeddings, self.gallery),
            ("after.average_precision", precision, self.query),
        ):
            if rows is not None and name.endswith("embeddings"):
                check_embeddings(rows, name)
            if rows is not None and len(rows) != len(images):
                raise InputError(
                    f"{name} must have one row for each of its {len(images):,} images; got {len(rows):,} rows. "
                    "Pass the arrays of one run, in the order of its images."
                )


def report(story: RunStory, *, seed: int = 0) -> str:
    """The page, as HTML text. The same story and seed give the same page on the same machine.

    Only samples are decoded and drawn, so 100,000 images make a page as small as 1,000 do. What a run does not have is
    left out with a sentence that says so, and a picture that cannot be read is a grey box.
    """
    return page(
        "run report",
        story.title,
        result(story),
        [
            Section("scores", "Scores", _scores(story)),
            Section("rounds", "Round by round", _rounds(story)),
            Section("ranked", "What a search finds", _ranked(story, np.random.default_rng(seed))),
            Section("map", "Map of the embeddings", _map(story, seed)),
            Section("clusters", "Example clusters", _clusters(story, np.random.default_rng(seed))),
            Section("noise", "Images without a cluster", _noise(story, np.random.default_rng(seed))),
            Section("time", "Where the time went", _time(story)),
            Section("recipe", "Recipe", f'<pre tabindex="0" aria-label="recipe">{escape(story.recipe)}</pre>'),
            Section("facts", "Facts", fact_list(story.facts)),
            Section("reading", "How to read this page", READING),
            Section("limits", "What this may not be used for", LIMITS),
        ],
    )


def result(story: RunStory) -> str:
    """The run in one sentence."""
    after, before = _measured(story.after), _measured(story.before)
    if after is None:
        count, noise = _counts(story)
        share = f"{100 * noise / max(1, len(story.train)):.0f} % noise"
        return f"Found {number(count, 'cluster')} among {number(len(story.train), story.unit)}, {share}."
    known = story.query.identity[story.query.identity >= 0]
    trained = story.train.identity[story.train.identity >= 0]
    apart = len(known) and len(trained) and not np.isin(known, trained).any()
    on = "on individuals never trained on" if apart else f"on {number(after.queries, 'query', 'queries')}"
    if before is None:
        return f"mAP is {100 * after.mAP:.1f} {on}."
    start, end = f"{100 * before.mAP:.1f}", f"{100 * after.mAP:.1f}"
    if start == end:
        return f"mAP stayed at {end} {on}."
    return f"mAP {'rose' if after.mAP > before.mAP else 'fell'} from {start} to {end} {on}."


def _measured(scores: Scores | None) -> Scores | None:
    return scores if scores is not None and scores.queries else None


def _counts(story: RunStory) -> tuple[int, int]:
    """Clusters and noise images of the last round."""
    return len(np.unique(story.labels[story.labels >= 0])), int((story.labels < 0).sum())


def _individuals(images: Images) -> int:
    """How many individuals are known among the images."""
    return len(np.unique(images.identity[images.identity >= 0]))


def _scores(story: RunStory) -> str:
    after, before = _measured(story.after), _measured(story.before)
    cards = []
    for name, attribute in (("mAP", "mAP"), ("rank-1", "rank1"), ("mINP", "mINP")):
        if after:
            cards.append(_score_card(name, getattr(after, attribute), getattr(before, attribute) if before else None))
    count, noise = _counts(story)
    known = _individuals(story.train)
    images, share = number(len(story.train), story.unit), 100 * noise / max(1, len(story.train))
    true = f"for {number(known, 'known individual')}" if known else f"among {images}"
    cards += [card("clusters", f"{count:,}", true), card("noise", f"{share:.1f} %", f"{noise:,} of {images}")]
    text = f'<dl class="cards">{"".join(cards)}</dl>'
    if after is None:
        return text + missing("Retrieval was not measured: there are no scored queries with a match in the gallery.")
    skipped = f"; {after.skipped:,} more have no match there" if after.skipped else ""
    compared = "" if before else " The untrained model was not measured."
    note = f"Retrieval over {number(after.queries, 'query', 'queries')} in {len(story.gallery):,} gallery {story.unit}s"
    return f'{text}<p class="note">{note}{skipped}, in percent.{compared}</p>'


def _score_card(name: str, after: float, before: float | None) -> str:
    mark, change = "", ""
    if before is not None:
        change = f"from {100 * before:.1f} <b>{100 * (after - before):+.1f}</b>"
        mark = f'<b style="left:{100 * before:.1f}%"></b>'
    meter = f'<span class="meter" aria-hidden="true"><i style="width:{100 * after:.1f}%"></i>{mark}</span>'
    return card(name, f"{100 * after:.1f}", change, meter)


def _rounds(story: RunStory) -> str:
    if len(story.rounds) < 2:
        return missing(f"Curves need two rounds; this run has {number(len(story.rounds), 'round')}.")
    charts = "".join(
        f'<figure class="chart"><figcaption>{title}</figcaption>{drawing}</figure>'
        for title, drawing in round_charts(story.rounds, _individuals(story.train))
    )
    return f'<div class="charts">{charts}</div>{_round_table(story.rounds)}'


def _round_table(rounds: Sequence[Mapping[str, int | float]]) -> str:
    """The numbers behind the curves; at most `TABLE_ROUNDS` rounds, evenly spread."""
    names = {"round": "round", **{name: title for name, title, _ in ROUND_COLUMNS}}
    columns = [name for name in names if any(name in row for row in rounds)]
    places = evenly_spread(len(rounds), TABLE_ROUNDS)
    form = {"round": ".0f", **{name: number_format for name, _, number_format in ROUND_COLUMNS}}
    head = "".join(f'<th scope="col">{names[name]}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(rounds[place].get(name), form[name])}</td>" for name in columns) + "</tr>"
        for place in places
    )
    return (
        f"<details><summary>The numbers behind the curves</summary>"
        f'<div class="scroll" tabindex="0" role="group" aria-label="numbers of each round"><table class="numbers">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _cell(value: int | float | None, number_format: str) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:{number_format}}"


def _ranked(story: RunStory, rng: np.random.Generator) -> str:
    if story.query_embeddings is None or story.gallery_embeddings is None:
        return missing("There are no ranked lists: the run has no embeddings of a query and a gallery.")
    if not (story.query.identity >= 0).any() or not (story.gallery.identity >= 0).any():
        return missing("There are no ranked lists: without known individuals nothing tells right from wrong.")
    precision = story.after.average_precision if story.after else None
    lists = ranked_lists(story.query, story.gallery, story.query_embeddings, story.gallery_embeddings, precision, rng)
    if not lists:
        return missing("There are no ranked lists: no query has a match in the gallery.")
    choice = "drawn at random" if precision is None else "the best, the middle and the worst by average precision (AP)"
    return (
        f'<p class="note">{number(len(lists), "search", "searches")}: {choice}. Each row is a query and the gallery '
        "images most similar to it, with their cosine similarity. ✓ is the same individual, ✗ another one. Images of "
        "the same individual by the same camera are ignored, as in the scores.</p>"
    ) + "".join(_ranked_list(story, found) for found in lists)


def _ranked_list(story: RunStory, found: RankedList) -> str:
    precision = "" if math.isnan(found.average_precision) else f"AP {100 * found.average_precision:.1f} · "
    name = escape(PurePath(str(story.query.paths[found.query])).name)
    query = f'<li class="query">{image_tag(story.query, found.query, "query")}<span>query</span></li>'
    hits = f"{int(found.right.sum())} of {found.matches} matches among the first {len(found.right)}"
    ranks = enumerate(zip(found.gallery, found.similarity, found.right, strict=True), start=1)
    items = "".join(
        marked_item(story.gallery, int(row), f"rank {place}", bool(match), f"{similarity:.2f}")
        for place, (row, similarity, match) in ranks
    )
    return (
        f'<figure class="ranked"><figcaption><b class="tag">{found.choice}</b> {precision}'
        f'{hits} · <span class="file">{name}</span></figcaption>'
        f'<div class="scroll" tabindex="0" role="group" aria-label="ranked list of {name}">'
        f'<ol class="strip">{query}{items}</ol></div></figure>'
    )


def _map(story: RunStory, seed: int) -> str:
    if story.train_embeddings is None:
        return missing("There is no map: the run has no embeddings of its training images.")
    rows = map_rows(story.labels, MAP_POINTS, np.random.default_rng(seed))
    points = project(story.train_embeddings[rows], seed)
    if points is None:
        return missing("There is no map: it needs ten images or more with embeddings that differ.")
    labels, identity = story.labels[rows], story.train.identity[rows]
    clusters, noise = len(np.unique(labels[labels >= 0])), int((labels < 0).sum())
    caption = f"By cluster: {number(clusters, 'cluster')}, {number(noise, f'noise {story.unit}')} (grey crosses)"
    panels = [("cluster", caption, labels)]
    individuals = len(np.unique(identity[identity >= 0]))
    if individuals:
        panels.append(("identity", f"By identity: {number(individuals, 'known individual')}", identity))
    drawn = ""
    for name, title, groups in panels:
        drawing = scatter_map(points, groups, name=f"map-{name}", description=f"Map of the embeddings by {name}")
        drawn += f'<figure class="chart"><figcaption>{title}</figcaption>{drawing}</figure>'
    sampled = len(rows) < len(story.labels)
    part = f"All {len(rows):,} training {story.unit}s"
    if sampled:
        part = f"{len(rows):,} of {len(story.labels):,} training {story.unit}s: whole clusters drawn at random, and some noise"
    return (
        f'<div class="charts maps">{drawn}</div><p class="note">{part}. Near points are similar images (PCA, then '
        "t-SNE); the axes and the distances between far groups mean nothing. Colors repeat: they only tell neighboring "
        "groups apart.</p>"
    )


def _clusters(story: RunStory, rng: np.random.Generator) -> str:
    examples = cluster_examples(story.labels, story.train.identity, story.train_embeddings, rng)
    if not examples:
        return missing("There are no clusters to show: the last round found none.")
    order = "from the most to the least central" if story.train_embeddings is not None else "drawn at random"
    known = " ✗ marks individuals other than the cluster's most frequent one." if _individuals(story.train) else ""
    shown = (
        "images of each cluster" if story.unit == "image" else f"{story.unit}s of each cluster by their middle frame"
    )
    return f'<p class="note">Up to ten {shown}, {order}.{known}</p>' + "".join(
        _cluster(story, example) for example in examples
    )


def _cluster(story: RunStory, example: ClusterExample) -> str:
    images, facts = story.train, [number(example.size, story.unit)]
    if not math.isnan(example.purity):
        facts.append(f"purity {100 * example.purity:.0f}\u00a0%")
    if not math.isnan(example.cohesion):
        facts.append(f"cohesion {example.cohesion:.2f}")
    items = "".join(
        marked_item(images, int(row), f"cluster {example.label}", False, "other")
        if stranger
        else plain_item(images, int(row), f"cluster {example.label}")
        for row, stranger in zip(example.rows, example.stranger, strict=True)
    )
    return (
        f'<figure class="cluster"><figcaption><b class="tag">{example.choice}</b> cluster {example.label} · '
        f'{" · ".join(facts)}</figcaption><ul class="strip wrap">{items}</ul></figure>'
    )


def _noise(story: RunStory, rng: np.random.Generator) -> str:
    rows = noise_examples(story.labels, rng)
    if not len(rows):
        return missing("There is no noise: every training image belongs to a cluster.")
    count = int((story.labels < 0).sum())
    text = f"{len(rows)} of {number(count, 'image')} without a cluster, drawn at random. " if len(rows) < count else ""
    items = "".join(plain_item(story.train, int(row), "noise") for row in rows)
    return (
        f'<p class="note">{text}The clusterer put them into no group, so the last round was not trained on them.</p>'
        f'<ul class="strip wrap">{items}</ul>'
    )


def _time(story: RunStory) -> str:
    stages = {"embed": "embed everything", "cluster": "cluster", "train": "train"}
    seconds = {
        title: [row[f"seconds_{name}"] for row in story.rounds if math.isfinite(row.get(f"seconds_{name}", math.nan))]
        for name, title in stages.items()
    }
    total = sum(sum(values) for values in seconds.values())
    if not total:
        return missing("Times were not recorded.")
    rows = ""
    for title, values in seconds.items():
        share = 100 * sum(values) / total
        cells = (_duration(sum(values)), _duration(sum(values) / max(1, len(values))), f"{share:.0f} %")
        bar = f'<td class="bar" aria-hidden="true"><i style="width:{share:.1f}%"></i></td>'
        rows += f'<tr><th scope="row">{title}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}{bar}</tr>'
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("stage", "in all", "each round", "share"))
    return (
        f'<table class="times"><thead><tr>{heads}<td class="bar"></td></tr></thead><tbody>{rows}</tbody>'
        f'<tfoot><tr><th scope="row">together</th><td>{_duration(total)}</td><td></td><td></td>'
        '<td class="bar"></td></tr></tfoot></table>'
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
