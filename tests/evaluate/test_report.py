"""The run report: what the page says, what it leaves out, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite.errors import InputError
from reunite.evaluate.figures import group_colors, map_rows, project
from reunite.evaluate.report import RunStory, report, result
from reunite.evaluate.thumbnails import BYTES, choose_queries, cluster_examples, nearest_gallery, thumbnail
from reunite.types import Images, Scores

VOID = {"meta", "img", "br", "hr", "link", "input", "wbr"}
EMPTY = Images.of([])


class Page(HTMLParser):
    """The page as a browser's parser would meet it: every tag, what is open, and all text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def checked(html: str) -> Page:
    """The parsed page, after what must hold for every page."""
    page = Page(html)
    assert not page.open, f"never closed: {page.open}"
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert max(ids.values()) == 1, ids.most_common(3)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], attributes
        for name in ("href", "src", "xlink:href", "srcset", "poster", "action", "data"):
            target = attributes.get(name)
            assert (
                target is None
                or target.startswith("data:image/webp;base64,")
                or (target[0] == "#" and target[1:] in ids)
            )
        for target in re.findall(r"url\(([^)]*)\)", " ".join(attributes.values())):
            assert target.startswith("#") and target[1:] in ids, target
    for image in page.all("img"):
        assert image["alt"] and int(image["width"]) > 0 and int(image["height"]) > 0
    assert all(drawing["aria-label"] for drawing in page.all("svg"))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    assert set(re.findall(r"var\((--[\w-]+)\)", html)) <= set(re.findall(r"(--[\w-]+):", style))
    assert len(html) < 4e6
    return page


def draw(path: Path, identity: int, camera: int, size: tuple[int, int] = (64, 32)) -> str:
    """A simple colored figure before a camera's background."""
    color = np.random.default_rng(identity).integers(30, 230, (2, 3)).tolist()
    height, width = size
    canvas = np.full((height, width, 3), 60 + 40 * camera, np.uint8)
    cv2.rectangle(canvas, (width // 4, height // 4), (3 * width // 4, height // 2), color[0], -1)
    cv2.rectangle(canvas, (width // 3, height // 2), (2 * width // 3, height - 4), color[1], -1)
    cv2.circle(canvas, (width // 2, height // 6), height // 12, (150, 180, 220), -1)
    assert cv2.imwrite(str(path), canvas)
    return str(path)


def drawn(folder: Path, identities: range, cameras: int, per_camera: int) -> Images:
    rows = [(i, c, k) for i in identities for c in range(cameras) for k in range(per_camera)]
    paths = [draw(folder / f"{i:04d}_c{c}_{k}.png", i, c) for i, c, k in rows]
    return Images.of(paths, [i for i, _, _ in rows], [c for _, c, _ in rows])


def embedded(images: Images, rng: np.random.Generator, noise: float = 1.2) -> np.ndarray:
    centers = np.random.default_rng(3).normal(size=(200, 16))
    return (centers[images.identity] + noise * rng.normal(size=(len(images), 16))).astype(np.float32)


def scores(average_precision: np.ndarray, mAP: float, rank1: float = 0.5) -> Scores:
    scored = np.isfinite(average_precision)
    return Scores(mAP, mAP / 2, np.array([rank1, 1.0]), int(scored.sum()), int((~scored).sum()), average_precision)


def slow_ranking(query: Images, gallery: Images, vectors: np.ndarray, others: np.ndarray, row: int) -> list[int]:
    """Gallery rows by falling cosine similarity as the Market-1501 protocol reads them, one by one."""
    ranked = []
    for other in range(len(gallery)):
        same = gallery.identity[other] == query.identity[row]
        same_camera = gallery.camera[other] == query.camera[row] and query.camera[row] != -1
        if gallery.identity[other] == -1 or (same and same_camera) or gallery.paths[other] == query.paths[row]:
            continue
        one, two = vectors[row].astype(np.float64), others[other].astype(np.float64)
        ranked.append((-(one @ two) / (np.sqrt(one @ one) * np.sqrt(two @ two)), other))
    return [other for _, other in sorted(ranked)]


def slow_precision(query: Images, gallery: Images, vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    values = []
    for row in range(len(query)):
        ranked = slow_ranking(query, gallery, vectors, others, row)
        places = [place for place, other in enumerate(ranked, 1) if gallery.identity[other] == query.identity[row]]
        values.append(np.mean([hit / place for hit, place in enumerate(places, 1)]) if places else np.nan)
    return np.array(values)


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> RunStory:
    """Twelve individuals to train on, six others to test with; the gallery holds junk, distractors and the queries."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    train, test = drawn(folder, range(1, 13), 2, 3), drawn(folder, range(101, 107), 3, 3)
    query = test.take(np.arange(len(test)) % 3 == 0)
    junk = drawn(folder, range(150, 152), 2, 3)
    strangers = Images.of(junk.paths, [-1] * 6 + [0] * 6, junk.camera)
    gallery = Images.of(*(np.concatenate(pair) for pair in zip(_columns(test), _columns(strangers), strict=True)))
    vectors = embedded(train, rng)
    query_vectors, gallery_vectors = embedded(query, rng, 2.0), embedded(gallery, rng, 2.0)
    labels = train.identity.copy()
    labels[labels == 3] = 2
    labels[::17] = -1
    precision = slow_precision(query, gallery, query_vectors, gallery_vectors)
    rounds = [
        {"round": k, "loss": 3.0 / (k + 1), "clusters": 20 - k, "noise": 9 - k, "images": 72, "ari": 0.1 * k,
         "pairwise_f": 0.1 * k + 0.1, "seconds_embed": 2.0, "seconds_cluster": 0.5, "seconds_train": 100.0}
        | ({"mAP": 0.1 * k, "rank1": 0.15 * k} if k % 2 == 0 else {})
        for k in range(6)
    ]  # fmt: skip
    return RunStory(
        "cluster_contrast on figures", "Recipe(\n    rounds=6,\n)\n", {"seed": "0", "device": "CPU"}, rounds,
        train, labels, vectors, query, gallery, query_vectors, gallery_vectors,
        scores(precision, 0.213), scores(precision, 0.648),
    )  # fmt: skip


def _columns(images: Images) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return images.paths, images.identity, images.camera


@pytest.fixture(scope="module")
def lean(story) -> RunStory:
    """The same with a third of the images and one query of each kind: enough for what is said, and quicker to draw."""
    rows, queries = np.arange(0, 72, 3), np.arange(0, 18, 6)
    precision = story.after.average_precision[queries]
    return replace(
        story,
        train=story.train.take(rows), labels=story.labels[rows], train_embeddings=story.train_embeddings[rows],
        query=story.query.take(queries), query_embeddings=story.query_embeddings[queries],
        before=scores(precision, 0.213), after=scores(precision, 0.648),
    )  # fmt: skip


@pytest.fixture(scope="module")
def html(story) -> str:
    return report(story, seed=0)


def test_the_page_tells_everything(html):
    page = checked(html)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert headings == [
        "Scores", "Round by round", "What a search finds", "Map of the embeddings", "Example clusters",
        "Images without a cluster", "Where the time went", "Recipe", "Facts", "How to read this page",
        "What this may not be used for",
    ]  # fmt: skip
    assert "mAP rose from 21.3 to 64.8 on individuals never trained on." in page.text
    assert 'class="missing"' not in html
    assert len(page.all("svg")) == 8
    for words in ("+43.5", "10 min 00 s", "rounds=6", "surveillance", "known 12", "6.9 %", "grey crosses", "seed"):
        assert words in page.text, words


def test_the_same_seed_gives_the_same_page(story, html):
    assert report(story, seed=0) == html


def test_another_seed_draws_other_queries(lean):
    unscored = replace(lean, before=None, after=None, train_embeddings=None, rounds=[])
    assert report(unscored, seed=0) != report(unscored, seed=1)


def test_marks_agree_with_a_slow_ranking(story, html):
    figures = re.findall(r'<figure class="ranked">.*?</figure>', html, re.DOTALL)
    assert len(figures) == 8
    names = [Path(path).name for path in story.query.paths]
    gallery_names = [Path(path).name for path in story.gallery.paths]
    for figure in figures:
        page = Page(figure)
        row = names.index(re.search(r'alt="query: ([^"]+)"', figure)[1])
        ranking = slow_ranking(story.query, story.gallery, story.query_embeddings, story.gallery_embeddings, row)
        expected, matches = (
            ranking[:10],
            sum(story.gallery.identity[other] == story.query.identity[row] for other in ranking),
        )
        right = [story.gallery.identity[other] == story.query.identity[row] for other in expected]
        alts = [f"rank {k}, {'right' if ok else 'wrong'}: {gallery_names[other]}"
                for k, (ok, other) in enumerate(zip(right, expected, strict=True), 1)]  # fmt: skip
        assert [image["alt"] for image in page.all("img")][1:] == alts
        assert [item["class"] for item in page.all("li")[1:]] == ["right" if ok else "wrong" for ok in right]
        assert re.findall("[✓✗]", page.text) == ["✓" if ok else "✗" for ok in right]
        assert f"{sum(right)} of {matches} matches among the first {len(right)}" in page.text
        assert f"AP {100 * story.after.average_precision[row]:.1f}" in page.text


def test_ranked_lists_show_best_median_and_worst(story, html):
    shown = [(choice, float(value)) for choice, value in re.findall(r'class="tag">(\w+)</b> AP ([\d.]+)', html)]
    precision = np.round(100 * np.sort(story.after.average_precision), 1)
    assert [choice for choice, _ in shown] == ["best"] * 2 + ["median"] * 3 + ["worst"] * 3
    assert [value for _, value in shown[:2]] == list(precision[::-1][:2])
    assert [value for _, value in shown[5:]] == list(precision[:3][::-1])
    assert min(abs(value - np.median(precision)) for _, value in shown[2:5]) < 5


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([np.nan, 0.0, 0.1, 0.5, 0.9, 1.0]), max_size=30), st.integers(0, 12))
def test_chosen_queries_are_scored_ordered_and_different(values, count):
    precision = np.array(values, np.float64)
    chosen = choose_queries(precision, count, np.random.default_rng(0))
    rows = [row for row, _ in chosen]
    assert len(set(rows)) == len(rows) == min(count, int(np.isfinite(precision).sum()))
    assert list(precision[rows]) == sorted(precision[rows], reverse=True)
    if rows:
        assert precision[rows[0]] == np.nanmax(precision)
    if len(rows) > 1:
        assert precision[rows[-1]] == np.nanmin(precision)


def test_an_unknown_camera_is_not_ones_own():
    query, gallery = Images.of(["q"], [1]), Images.of(["a", "b", "q"], [1, 2, 1])
    rows, _ = nearest_gallery(query, gallery, np.ones(2, np.float32), np.ones((3, 2), np.float32), 0)
    assert rows.tolist() == [0, 1]


MISSING = {
    "no scores": (dict(before=None, after=None), "Retrieval was not measured"),
    "not compared": (dict(before=None), "The untrained model was not measured"),
    "no query": (
        dict(query=EMPTY, gallery=EMPTY, query_embeddings=None, gallery_embeddings=None, before=None, after=None),
        "no embeddings of a query and a gallery",
    ),
    "no matches": (dict(after=scores(np.full(3, np.nan), float("nan"))), "no query has a match in the gallery"),
    "no training embeddings": (dict(train_embeddings=None), "There is no map"),
    "same embeddings": (dict(train_embeddings=np.ones((24, 4), np.float32)), "There is no map"),
    "no rounds": (dict(rounds=[]), "Curves need two rounds; this run has 0 rounds."),
    "one round": (dict(rounds=[{"round": 0, "loss": 1.0, "clusters": 3, "noise": 1, "images": 24}]), "has 1 round."),
    "no times": (dict(rounds=[{"round": k, "loss": 1.0} for k in range(3)]), "Times were not recorded"),
    "nothing measured": (dict(rounds=[{"round": k, "loss": float("nan")} for k in range(3)]), "Times were not"),
    "all noise": (dict(labels=np.full(24, -1)), "There are no clusters to show"),
    "no noise": (dict(labels=np.arange(24) % 5), "There is no noise"),
    "one cluster": (dict(labels=np.zeros(24, np.int64)), "There is no noise"),
    "only singletons": (dict(labels=np.arange(24)), "There is no noise"),
    "no facts": (dict(facts={}), "None were recorded"),
    "no training images": (
        dict(train=EMPTY, labels=np.array([], np.int64), train_embeddings=np.empty((0, 4), np.float32)),
        "There are no clusters to show",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), MISSING.values(), ids=MISSING.keys())
def test_what_is_missing_is_said_in_a_sentence(lean, changes, sentence):
    page = checked(report(replace(lean, **changes)))
    assert sentence in page.text
    assert not re.search(r"\bnan\b|\bNone\b(?! were)|\binf\b", page.text)


def test_without_identities_nothing_is_called_right_or_wrong(story):
    train, query, gallery = (Images.of(images.paths) for images in (story.train, story.query, story.gallery))
    unlabelled = replace(story, train=train, query=query, gallery=gallery, before=None, after=None)
    html = report(unlabelled)
    page = checked(html)
    assert "without known individuals" in page.text
    assert "By identity" not in page.text and "purity 1" not in page.text and 'class="wrong"' not in html
    assert "Found 11 clusters among 72 images, 7 % noise." in page.text


def test_ranked_lists_without_scores_are_drawn_at_random(story):
    html = report(replace(story, before=None, after=None))
    assert html.count('<b class="tag">random</b>') == 8
    assert "drawn at random" in html and "AP nan" not in html


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "mAP rose from 21.3 to 64.8 on individuals never trained on."),
        ({"before": None}, "mAP is 64.8 on individuals never trained on."),
        ({"before": scores(np.ones(18), 0.7)}, "mAP fell from 70.0 to 64.8 on individuals never trained on."),
        ({"before": scores(np.ones(18), 0.6481)}, "mAP stayed at 64.8 on individuals never trained on."),
        ({"train": "unlabelled"}, "mAP rose from 21.3 to 64.8 on 18 queries."),
        ({"train": "shared"}, "mAP rose from 21.3 to 64.8 on 18 queries."),
        ({"after": None}, "Found 11 clusters among 72 images, 7 % noise."),
    ],
)
def test_the_result_in_one_sentence(story, changes, sentence):
    paths, identity = story.train.paths, story.train.identity + 100
    trains = {"unlabelled": Images.of(paths), "shared": Images.of(paths, identity)}
    changes = {name: trains[value] if isinstance(value, str) else value for name, value in changes.items()}
    assert result(replace(story, **changes)) == sentence


def test_hostile_text_stays_text(story, tmp_path):
    name = '<script>alert(1)<" onerror="alert(2)" x=\'&amp;.png'
    hostile = draw(tmp_path / name, 1, 1)
    paths = np.array([hostile] * 72)
    text = '</pre></style><script>alert("x")</script>&lt;'
    story = replace(
        story,
        title=text, recipe=text, facts={text: text},
        train=Images.of(paths, story.train.identity),
        query=Images.of([hostile] * 18, story.query.identity, story.query.camera),
    )  # fmt: skip
    page = checked(report(story))
    assert page.text.count(text) >= 5
    assert any(image["alt"] == f"query: {name}" for image in page.all("img"))
    assert any(image["title"] == name for image in page.all("img"))


def test_broken_files_are_grey_boxes(story, tmp_path):
    broken, text = tmp_path / "broken.jpg", tmp_path / "text.jpg"
    broken.write_bytes(Path(story.train.paths[0]).read_bytes()[:60])
    text.write_text("not an image")
    files = [str(broken), str(text), str(tmp_path / "absent.jpg"), str(tmp_path)]
    page = checked(report(replace(story, train=Images.of([files[k % 4] for k in range(72)], story.train.identity))))
    assert sum("cannot be read" in image["alt"] for image in page.all("img")) > 50
    assert all(not thumbnail(file).readable for file in files)


@pytest.mark.parametrize("size", [(512, 256), (256, 512), (300, 300), (3000, 10), (10, 3000), (1, 1)])
def test_thumbnails_are_small_and_keep_their_shape(tmp_path, rng, size):
    path = tmp_path / "noise.png"
    cv2.imwrite(str(path), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    small = thumbnail(str(path))
    assert small.readable and len(base64.b64decode(small.source.split(",")[1])) <= BYTES
    assert 8 <= small.width <= 160 and 8 <= small.height <= 160
    if max(size) < 1000:
        assert small.width / small.height == pytest.approx(size[1] / size[0], rel=0.03)


def test_many_images_make_a_small_page(story, rng):
    count = 20_000
    train = story.train.take(np.arange(count) % len(story.train))
    labels = rng.integers(-1, 900, count)
    embeddings = rng.normal(size=(count, 16)).astype(np.float32)
    gallery = story.gallery.take(np.arange(count) % len(story.gallery))
    rows = dict(gallery=gallery, gallery_embeddings=rng.normal(size=(count, 16)).astype(np.float32))
    rounds = [{**story.rounds[k % 6], "round": k} for k in range(1000)]
    html = report(replace(story, train=train, labels=labels, train_embeddings=embeddings, rounds=rounds, **rows))
    page = checked(html)
    pictures = page.all("img")
    assert 150 < len(pictures) < 220
    assert all(len(picture["src"]) < 1.4 * BYTES for picture in pictures)
    assert "1,500 of 20,000 training images" in page.text
    assert len(html) < 1.5e6


def test_cluster_examples_against_plain_loops(story, rng):
    examples = cluster_examples(story.labels, story.train.identity, story.train_embeddings, rng)
    cohesion, sizes = {}, {}
    for label in set(story.labels.tolist()) - {-1}:
        members = [row for row in range(72) if story.labels[row] == label]
        unit = [story.train_embeddings[row] / np.linalg.norm(story.train_embeddings[row]) for row in members]
        center = sum(unit) / np.linalg.norm(sum(unit))
        cohesion[label], sizes[label] = float(np.mean([row @ center for row in unit])), len(members)
    for example in examples:
        identities = [int(story.train.identity[row]) for row in range(72) if story.labels[row] == example.label]
        assert example.size == len(identities)
        assert example.cohesion == pytest.approx(cohesion[example.label], abs=1e-5)
        assert example.purity == max(Counter(identities).values()) / len(identities)
        assert len(set(example.rows.tolist())) == min(10, example.size)
        assert (story.labels[example.rows] == example.label).all()
        assert (
            set(story.train.identity[example.rows[~example.stranger]].tolist())
            <= {Counter(identities).most_common(1)[0][0]}
            or example.purity == 0.5
        )
    assert {e.size for e in examples if "largest" in e.choice} == set(sorted(sizes.values())[-3:])
    least = {example.label for example in examples if "least cohesive" in example.choice}
    assert least == set(sorted(cohesion, key=cohesion.get)[:3])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-1, 6), min_size=0, max_size=80), st.integers(20, 40))
def test_map_rows_are_a_fair_sample(values, limit):
    labels = np.array(values, np.int64)
    rows = map_rows(labels, limit, np.random.default_rng(0))
    assert len(rows) <= limit and len(np.unique(rows)) == len(rows)
    if len(labels) <= limit:
        assert len(rows) == len(labels)
    else:
        assert (labels[rows] < 0).sum() == round(limit * (labels < 0).sum() / len(labels))


@pytest.mark.parametrize(
    "embeddings",
    [np.zeros((20, 4)), np.ones((20, 4)), np.arange(20.0)[:, None], np.eye(9), np.empty((0, 4))],
    ids=["zero", "same", "one dimension", "nine rows", "no rows"],
)
def test_what_cannot_be_laid_out_has_no_map(embeddings):
    assert project(embeddings.astype(np.float32), seed=0) is None


def test_the_map_keeps_neighbors_together(rng):
    groups = np.repeat(np.arange(4), 15)
    rows = (np.eye(4)[groups] + 0.05 * rng.normal(size=(60, 4))).astype(np.float32)
    points = project(rows, seed=0)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(60, np.inf))
    assert (groups[distance.argmin(axis=1)] == groups).all()


def test_map_shows_whole_clusters():
    labels = np.repeat(np.arange(1000), 10)
    shown = np.bincount(labels[map_rows(labels, 500, np.random.default_rng(0))])
    assert (shown == 10).sum() == 50


def test_neighboring_groups_have_different_colors(rng):
    groups = np.repeat(np.arange(-1, 40), 5)
    points = np.stack([groups + 0.01 * rng.normal(size=len(groups)), np.zeros(len(groups))], axis=1)
    color = group_colors(points, groups)
    assert (color[groups < 0] == -1).all() and (color[groups >= 0] >= 0).all()
    of_group = color[::5][1:]
    assert all((color[groups == group] == of_group[group]).all() for group in range(40))
    assert (of_group[1:] != of_group[:-1]).all()


@pytest.mark.parametrize("name", ["labels", "train_embeddings", "query_embeddings", "gallery_embeddings"])
def test_arrays_of_another_run_are_refused(story, name):
    with pytest.raises(InputError, match=f"{name} must have one row"):
        replace(story, **{name: getattr(story, name)[:-1]})


def test_embeddings_that_are_not_finite_are_refused(story):
    bad = story.train_embeddings.copy()
    bad[7, 2] = np.nan
    with pytest.raises(InputError, match="train_embeddings must be finite"):
        replace(story, train_embeddings=bad)


def test_a_browser_shows_it_without_errors_requests_or_sideways_scrolling(html, tmp_path):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs Chromium, which is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    complaints: list[str] = []
    requests: set[str] = set()
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (360, 1280):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda message: complaints.append(message.text))
            page.on("request", lambda request: requests.add(request.url.split(":")[0]))
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        browser.close()
    assert complaints == []
    assert requests <= {"file", "data"}
