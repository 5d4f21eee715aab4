"""The pages of a folder: the right pictures in the right place, every link leads somewhere, and 100,000 images stay usable."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.test_identity_page import alts, largest, section
from evaluate.test_report import Page, checked, draw
from reunite.errors import InputError
from reunite.evaluate.clustering import clustering_scores
from reunite.evaluate.folder_choice import FIRST_GROUPS, PAGE_GROUPS, PAGES, choose, page_count
from reunite.evaluate.folder_figures import size_bins, splits_and_merges
from reunite.evaluate.folder_page import folder_pages, write_folder_pages
from reunite.evaluate.folder_pictures import whole_lines
from reunite.evaluate.folder_story import (
    Changes,
    ConstraintCounts,
    Drawing,
    FolderStory,
    Groups,
    folder_result,
)
from reunite.identities.evidence import Evidence
from reunite.types import Images

LABELS = np.array([7, 3, 7, 3, 7, 9, -1, 7, 12, 3, 20, -1, 20, 3])
CAMERA = np.array([0, 0, 1, 1, 1, 0, 1, -1, 1, 0, 0, 0, 0, 0])
IDENTITY = np.array([0, 1, 0, 1, 0, 0, 1, 2, 3, 1, 4, -1, 4, 0])
CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.2, 0.95, 0.3, 0.0, 0.45, 0.6, 0.85, 0.5, 0.0, 0.99, 0.7])
SECOND = np.array([3, 7, 20, 9, 3, 7, -1, 3, -1, 7, 3, -1, 7, 7])
TIME = np.array([0.0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, np.nan, 130])
TRUST = np.array([0.4, 0.8, 0.99, 0.97, 0.2])  # of 3, 7, 9, 12 and 20
HEADINGS = [
    "Overview", "Changes", "Look here first", "Same or not?", "Individuals", "Images alone", "Sizes", "Map of the images",
    "When each was seen", "Cameras", "How the radius was chosen", "Against known identities", "How far to trust it", "Facts",
    "How to read this page", "What this may not be used for",
]  # fmt: skip


def evidence(count: int = 6) -> Evidence:
    cuts = np.linspace(0.3, 0.8, count)
    curve = np.where(np.arange(count) > 1, 0.1 * np.arange(count), np.nan)
    return Evidence(
        0.5,
        "0.5 was chosen: a <made-up> reason.",
        cuts,
        np.arange(count)[::-1] + 1,
        (("Stability", curve),),
        8,
        ((2, 0.02), (8, 0.3), (25, 0.2)),
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> FolderStory:
    """14 images of two cameras and of one unknown: three individuals of several images, two of one, and two noise images."""
    folder, count = tmp_path_factory.mktemp("images"), len(LABELS)
    (folder / "a").mkdir()
    paths = [draw(folder / ("a" if row % 2 else ".") / f"t_{row}.png", int(LABELS[row]) + 1, 1) for row in range(count)]
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(22, 12))[LABELS] + 0.5 * rng.normal(size=(count, 12))
    return FolderStory(
        "identities in figures", {"seed": "0", "command": "reunite identify <x>"},
        Images.of(paths, identity=IDENTITY, camera=CAMERA, time=TIME), ("gate", "yard"), LABELS, CONFIDENCE, SECOND,
        CONFIDENCE / 2, evidence(), embeddings.astype(np.float32), TRUST,
        (np.array([[0, 1], [2, 4], [6, 3]]), np.array([0.1, 0.55, 0.497])), clustering_scores(LABELS, IDENTITY),
        Changes((20,), (((3, 4), 3),), ((7, (7, 9)),)), ConstraintCounts(3, 1, 2),
        Drawing("Reliability <1>", '<svg viewBox="0 0 1 1" role="img" aria-label="reliability"></svg>', "a caption"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def html(story) -> str:
    return folder_pages(story)["report.html"]


def sound(pages: dict[str, str], sheets: tuple[int, ...] = ()) -> list[Page]:
    """The parsed pages, each checked by itself, after every link from one to another was found to lead somewhere."""
    ids = {name: set(re.findall(r' id="([^"]+)"', text)) for name, text in pages.items()}
    files = {f"groups/{label:06d}.jpg" for label in sheets}
    for text in pages.values():
        for target in re.findall(r'href="([^#"]+)(?:#([^"]*))?"', text):
            assert target[0] in files or (target[0] in pages and (not target[1] or target[1] in ids[target[0]])), target
        levels = [int(level) for level in re.findall(r"<h(\d)", text)]
        assert levels[0] == 1 and all(later - level <= 1 for level, later in pairwise(levels))
        assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', text))
    return [checked(re.sub(r'href="(?:groups/|report)[^"]*"', "", text)) for text in pages.values()]


def files(html: str) -> list[str]:
    return [alt.split(": ")[-1] for alt in alts(html)]


def test_the_page_tells_everything(story):
    pages = folder_pages(story)
    (page,) = sound(pages)
    html = pages["report.html"]
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", html) == HEADINGS
    assert 'class="missing"' not in html
    for words in (
        "who is who in a folder",
        "5 individuals in 14 images of 2 cameras; 2 individuals were seen once; 2 images were left as noise.",
        "reunite identify <x>",
        "a <made-up> reason.",
        "3 pairs were given as the same and 1 as different; 2 of them contradict others, so not all could be kept.",
        "Reliability <1>",
        "a caption",
        "Nobody on this page is identified: a number says that some images look alike.",
        "surveillance",
    ):
        assert words in page.text, words
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", page.text)


def test_the_overview_counts(html):
    cards = dict(re.findall(r"<dt>(.*?)</dt><dd>([\d,]+)", section(html, "overview")))
    several = sum(len({int(c) for c in CAMERA[label == LABELS] if c >= 0}) > 1 for label in set(LABELS.tolist()) - {-1})
    doubtful = sum(label >= 0 and c < 0.5 for label, c in zip(LABELS, CONFIDENCE, strict=True))
    expected = {
        "individuals": 5,
        "images": 14,
        "in several cameras": several,
        "seen once": 2,
        "doubtful": doubtful,
        "noise": 2,
    }
    assert cards == {name: str(value) for name, value in expected.items()}


def central(story: FolderStory, label: int) -> list[int]:
    """Rows of an individual from the most to the least central, in plain loops."""
    unit = [row / np.sqrt(row @ row) for row in story.embeddings.astype(np.float64)]
    members = [row for row in range(len(unit)) if story.labels[row] == label]
    total = sum(unit[row] for row in members)
    return sorted(members, key=lambda row: -(unit[row] @ total))


def test_each_individual_of_several_images_has_a_face(story, html):
    drawn = re.search(r'<ul class="faces">.*?</ul>', html)[0]
    assert re.findall(r'href="#individual-(\d+)".*?<small> × (\d+)', drawn) == [("3", "4"), ("7", "4"), ("20", "2")]
    assert files(drawn) == [f"t_{central(story, label)[0]}.png" for label in (3, 7, 20)]


def test_the_least_trusted_come_first_with_their_core_their_edge_and_the_nearest(story, html):
    looks = re.findall(r'<figure class="look">(.*?)</figure>', section(html, "first"), re.DOTALL)
    assert [re.search(r">individual (\d+)<", look)[1] for look in looks] == ["20", "3", "7"]
    assert [re.search(r"(\d+)\xa0%", look)[1] for look in looks] == ["20", "40", "80"]
    for look, label, nearest in zip(looks, (20, 3, 7), (3, 7, 3), strict=True):
        order = central(story, label)
        inner = order[: len(order) // 2]
        outer = sorted(set(order) - set(inner), key=lambda row: CONFIDENCE[row])
        others = central(story, nearest)[:2]
        assert files(look) == [f"t_{row}.png" for row in (*inner, *outer, *others)]
        assert f'nearest: <a href="#individual-{nearest}">' in look


def test_without_an_estimate_the_mean_confidence_stands_for_the_trust(story):
    without = replace(story, trust=None)
    expected = [
        np.mean([c for c, each in zip(CONFIDENCE, LABELS, strict=True) if each == label]) for label in (3, 7, 9, 12, 20)
    ]
    assert np.allclose(without.trusted, expected)
    html = section(folder_pages(without)["report.html"], "first")
    assert "with the lowest mean confidence" in html
    assert re.findall(r'class="tag"><a[^>]*>individual (\d+)', html) == ["3", "20", "7"]


def test_pairs_come_with_the_most_undecided_first(html):
    cases = re.findall(r'<figure class="case">(.*?)</figure>', section(html, "pairs"), re.DOTALL)
    assert [files(case) for case in cases] == [["t_6.png", "t_3.png"], ["t_2.png", "t_4.png"], ["t_0.png", "t_1.png"]]
    texts = [Page(case).text for case in cases]
    assert "50\xa0% the same · kept apart" in texts[0] and "noise" in texts[0]
    assert "55\xa0% the same · put together" in texts[1]
    assert "a/t_3.png" in texts[0] and "a/t_1.png" in texts[2] and "at_" not in "".join(texts)


def test_strips_go_from_the_most_to_the_least_confident(story, html):
    figures = re.findall(r'<figure class="cluster" id="individual-(\d+)">(.*?)</figure>', html, re.DOTALL)
    assert [int(label) for label, _ in figures] == [3, 7, 20]
    for label, figure in figures:
        rows = sorted(np.flatnonzero(int(label) == LABELS).tolist(), key=lambda row: -CONFIDENCE[row])
        assert files(figure) == [f"t_{row}.png" for row in rows]
        assert [attributes.get("class", "") for attributes in Page(figure).all("li")] == [
            "doubt" if CONFIDENCE[row] < 0.5 else "" for row in rows
        ]
        doubtful = sum(CONFIDENCE[row] < 0.5 for row in rows)
        assert (f"{doubtful} doubtful" in Page(figure).text) == (doubtful > 0)
        assert f"{len(rows)} images" in Page(figure).text
    assert "individual 7, doubtful: t_7.png" in alts(html)  # of an unknown camera
    assert "individual 3, yard, doubtful: t_3.png" in alts(html)


def test_images_alone_come_with_the_most_doubtful_first(html):
    alone = section(html, "alone")
    assert files(alone) == ["t_5.png", "t_8.png", "t_6.png", "t_11.png"]
    assert re.findall(r' id="individual-(\d+)"', alone) == ["9", "12"]
    assert alone.count("near ") == 1 and 'near <a href="#individual-7">7</a>' in alone


def test_cameras_are_counted(html):
    rows = re.findall(r"</i> ([\w ]+)</th><td>(\d+)</td><td>(\d+)</td><td>(\d+)</td>", section(html, "cameras"))
    for name, *numbers in rows:
        code = {"gate": 0, "yard": 1, "unknown camera": -1}[name]
        seen = {int(label) for label in LABELS[code == CAMERA] if label >= 0}
        elsewhere = [any(CAMERA[row] not in (code, -1) for row in np.flatnonzero(label == LABELS)) for label in seen]
        assert [int(each) for each in numbers] == [int((code == CAMERA).sum()), len(seen), sum(elsewhere)]
    assert len(rows) == 3


def test_an_unknown_camera_is_not_another_camera(story):
    """What one known camera saw was not seen elsewhere by it; what only an unknown one saw was seen by no other."""
    images = replace(story.images, camera=np.where(CAMERA == 0, 0, -1))
    drawn = section(folder_pages(replace(story, images=images))["report.html"], "cameras")
    assert re.findall(r"</i> ([\w ]+)</th><td>\d+</td><td>(\d+)</td><td>(\d+)</td>", drawn) == [
        ("gate", "4", "0"),
        ("unknown camera", "3", "2"),
    ]


def test_two_noise_images_are_not_together(story):
    html = folder_pages(replace(story, pairs=(np.array([[6, 11]]), np.array([0.5]))))["report.html"]
    assert "kept apart" in section(html, "pairs") and "put together" not in section(html, "pairs")


def test_the_timeline_has_a_row_for_each_individual(html):
    drawn = section(html, "timeline")
    assert re.findall(r'<tr><th scope="row">.*?>(\d+)<', drawn) == ["3", "7", "20", "9", "12"]
    assert "1 image of unknown time is not drawn." in drawn
    assert "individual 9: gate, 1 image, 0:50 to 0:50" in drawn


def test_known_identities_that_were_split_and_united(story, html):
    splits, merges = splits_and_merges(story)
    assert splits == [(0, [(7, 3), (3, 1), (9, 1)])]
    assert merges == [(3, [(1, 3), (0, 1)]), (7, [(0, 3), (2, 1)])]
    drawn = Page(section(html, "quality")).text
    assert "identity 0: 7 (3), 3 (1), 9 (1)" in drawn and "individual 7: 0 (3), 2 (1)" in drawn
    assert f"{100 * story.scores.ari:.1f}" in drawn


def test_changes_lead_to_the_pictures(html):
    drawn = section(html, "changes")
    assert "3, 4 are now individual 3" in Page(drawn).text and "7 fell into 7, 9" in Page(drawn).text
    assert "4 individuals kept a number" in drawn and '<a href="#individual-20">individual 20</a>' in drawn


def test_contact_sheets_are_linked_where_there_are_some(story):
    pages = folder_pages(story, sheets=(3, 20))
    sound(pages, (3, 20))
    assert set(re.findall(r'href="(groups/[^"]+)"', pages["report.html"])) == {"groups/000003.jpg", "groups/000020.jpg"}


NONE = np.array([], np.int64)
EMPTY = dict(
    images=Images.of([]), labels=NONE, confidence=NONE / 1, second_best=NONE, margin=NONE / 1, embeddings=None, trust=None,
    pairs=None, scores=None, changes=None,
)  # fmt: skip
NOBODY = dict(labels=np.full(14, -1), second_best=np.full(14, -1), trust=None)
ALL_ALONE = dict(labels=np.arange(14) + 1, second_best=np.full(14, -1), trust=None)
TOGETHER = dict(labels=np.full(14, 5), second_best=np.full(14, -1), trust=None)
MISSING = {
    "no images": (EMPTY, "No individuals in 0 images."),
    "no individuals": (NOBODY, "No individuals were found."),
    "all alone": (ALL_ALONE, "Every individual has one image only"),
    "nothing to look at": (ALL_ALONE, "no individual has two images or more"),
    "one individual": (TOGETHER, "Every image is of an individual of two images or more."),
    "no pairs": (dict(pairs=None), "There are no borderline pairs"),
    "no embeddings": (dict(embeddings=None), "by its most confident picture"),
    "no map": (dict(embeddings=None), "the embeddings of the images were not given"),
    "same embeddings": (dict(embeddings=np.ones((14, 3), np.float32)), "There is no map: it needs ten images"),
    "no evidence": (dict(evidence=None), "It was not recorded."),
    "no cuts": (dict(evidence=evidence(1)), "fewer than two cuts were looked at"),
    "no changes": (dict(changes=Changes()), "Nothing changed"),
    "no facts": (dict(facts={}), "None were recorded"),
}


@pytest.mark.parametrize(("changes", "sentence"), MISSING.values(), ids=MISSING.keys())
def test_what_is_missing_is_said_in_a_sentence(story, changes, sentence):
    (page,) = sound(folder_pages(replace(story, **changes)))
    assert sentence in page.text
    assert not re.search(r"\bnan\b|\bNone\b(?! were)|\binf\b", page.text)


@pytest.mark.parametrize(
    ("changes", "drawn"),
    [({}, True), (dict(neighborhoods=((8, 0.3),)), False), (dict(k1=None, neighborhoods=()), False)],
    ids=["chosen", "given", "none"],
)
def test_how_many_neighbors_count_is_drawn_where_it_was_chosen(story, changes, drawn):
    (page,) = sound(folder_pages(replace(story, evidence=replace(evidence(), **changes))))
    assert ("Support of the best radius by neighbors that count" in page.text) == drawn
    assert ("--k1" in page.text) == drawn


def test_without_cameras_times_or_labels_their_sections_are_left_out(story):
    bare = replace(
        story,
        images=Images.of(story.images.paths),
        camera_names=(),
        scores=None,
        changes=None,
        calibration=None,
        trust=None,
    )
    (page,) = sound(folder_pages(bare))
    left = [each for each in HEADINGS if each in page.text]
    assert set(HEADINGS) - set(left) == {
        "Changes", "When each was seen", "Cameras", "Against known identities", "How far to trust it",
    }  # fmt: skip
    style = re.search(r"<style>(.*?)</style>", folder_pages(bare)["report.html"], re.DOTALL)[1]
    assert page.text.replace(style, "").count("camera") == 1  # in how to read the page


def test_hostile_text_stays_text(story, tmp_path):
    name = '<script>alert(1)<" onerror="alert(2)" x=\'&amp;.png'
    hostile = draw(tmp_path / name, 1, 1)
    text = '</title></style><script>alert("x")</script>&lt;'
    images = Images.of([hostile] * 14, identity=IDENTITY, camera=CAMERA, time=TIME)
    told = replace(
        story, title=text, facts={text: text}, images=images, camera_names=(text, "$x_1$"),
        evidence=replace(story.evidence, chosen=text, curves=((text, np.arange(6.0)),)),
        calibration=Drawing(text, "<p>ready</p>", text),
    )  # fmt: skip
    (page,) = sound(folder_pages(told))
    assert page.text.count(text) >= 10 and name in page.text


def test_unreadable_pictures_are_grey_boxes(story, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    paths = [str(tmp_path / name) for name in ("gone.png", "text.jpg")] * 7
    images = Images.of(paths, camera=CAMERA)
    (page,) = sound(folder_pages(replace(story, images=images)))
    assert all(image["alt"].endswith("cannot be read") for image in page.all("img"))


def test_the_same_story_gives_the_same_pages(story, html):
    assert folder_pages(story) == {"report.html": html}


@pytest.mark.parametrize("name", ["labels", "confidence", "second_best", "margin", "embeddings", "trust"])
def test_arrays_of_another_run_are_refused(story, name):
    with pytest.raises(InputError, match=rf"{name} must have .*one (row|value) for each of"):
        replace(story, **{name: getattr(story, name)[:-1]})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(second_best=np.full(14, 8)), "14 are not .the first is 8, of image 0"),
        (dict(camera_names=("gate",)), "got 1 names and camera code 1"),
        (dict(confidence=np.where(np.arange(14) == 3, 1.5, 0.5)), "confidence must lie .* 1 of 14 .*1.5, in row 3"),
        (dict(trust=np.full(5, np.nan)), "trust must lie between 0 and 1; 5 of 5"),
        (
            dict(pairs=(np.array([[0, 14]]), np.array([0.5]))),
            r"pairs must be rows of the 14 images; 1 of 1 .*\[0, 14\]",
        ),
        (dict(pairs=(np.array([[0, 1]]), np.array([1.5]))), "the probabilities of pairs must lie"),
        (dict(pairs=(np.array([0, 1]), np.array([0.5]))), r"pairs must be rows of shape \(p, 2\)"),
    ],
)
def test_what_contradicts_itself_is_refused(story, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(story, **changes)


def many(story: FolderStory, count: int, individuals: int, paths: list[str]) -> FolderStory:
    """Images without end, of few files; a tenth is noise."""
    rng = np.random.default_rng(1)
    labels = rng.geometric(3 / individuals, count) - 1
    labels[rng.random(count) < 0.1] = -1
    present = np.unique(labels[labels >= 0])
    return replace(
        story,
        images=Images.of(np.array(paths)[rng.integers(0, len(paths), count)], camera=rng.integers(0, 60, count),
                         time=rng.uniform(0, 9e6, count)),
        camera_names=(), labels=labels, confidence=rng.random(count), second_best=rng.choice(present, count),
        margin=rng.random(count), embeddings=rng.normal(size=(count, 16)).astype(np.float32), trust=rng.random(len(present)),
        pairs=(rng.integers(0, count, (500, 2)), rng.random(500)), scores=None, changes=None,
    )  # fmt: skip


@pytest.mark.parametrize(("count", "individuals"), [(10, 4), (1_000, 200), (100_000, 15_000)])
def test_pages_stay_small_however_many_images_there_are(story, tmp_path, rng, count, individuals, monkeypatch):
    monkeypatch.setattr("reunite.evaluate.folder_figures.MAP_POINTS", 100)  # its time is t-SNE's
    large = many(story, count, individuals, [largest(tmp_path, rng), *story.images.paths[:3]])
    started = time.perf_counter()
    pages = folder_pages(large)
    assert time.perf_counter() - started < 20
    parsed = sound(pages)
    assert all(len(text.encode()) < 3e6 for text in pages.values())
    several = int((large.groups.sizes > 1).sum())
    assert list(pages) == ["report.html", *(f"report-{page}.html" for page in range(2, page_count(several) + 1))]
    shown = [
        label for text in pages.values() for label in re.findall(r'<figure class="cluster" id="individual-(\d+)"', text)
    ]
    assert len(shown) == len(set(shown)) == min(several, FIRST_GROUPS + (PAGES - 1) * PAGE_GROUPS)
    sizes = [int((large.labels == int(label)).sum()) for label in shown]
    assert sizes == sorted(sizes, reverse=True)
    for text in pages.values():
        for figure in re.findall(r'<figure class="cluster".*?</figure>', text, re.DOTALL):
            told = re.search(r"(?:(\d+) of )?([\d,]+) images", Page(figure).text)
            assert figure.count("<img") == int(told[1] or told[2])
    rest = several - len(shown)
    assert (f"the other {rest:,} are not. identities.csv lists every image." in parsed[0].text) == (rest > 0)


def test_the_largest_pictures_make_no_page_above_its_bound(story, tmp_path, rng):
    """Every picture takes all bytes that it may, and every page all pictures."""
    path = largest(tmp_path, rng)
    distinct = []
    for copy in range(3):
        shutil.copy(path, tmp_path / f"copy{copy}.png")
        distinct.append(str(tmp_path / f"copy{copy}.png"))
    large = replace(many(story, 20_000, 200, distinct), embeddings=None)
    pages = folder_pages(large)
    sizes = [len(text.encode()) for text in pages.values()]
    assert len(sizes) > 3 and max(sizes) < 3e6 and max(sizes) > 5e5


def test_an_embedding_file_is_read_in_part_only(story, tmp_path):
    """A memory map of rows that would fail every check, but for those of the images that are shown."""

    class Watched(np.ndarray):
        read = 0

        def __getitem__(self, rows):
            found = np.asarray(self.view(np.ndarray)[rows])
            Watched.read += len(found)
            return found

    large = many(story, 50_000, 10_000, list(story.images.paths[:2]))
    watched = large.embeddings.view(Watched)
    choose(replace(large, embeddings=watched))
    assert 0 < Watched.read < 25_000


def test_pages_turn_both_ways(story):
    labels = np.repeat(np.arange(FIRST_GROUPS + PAGE_GROUPS + 1), 2)
    count = len(labels)
    large = replace(
        many(story, count, 10, list(story.images.paths[:2])), labels=labels, second_best=np.full(count, -1), trust=None,
        embeddings=None,
    )  # fmt: skip
    pages = folder_pages(large)
    sound(pages)
    assert list(pages) == ["report.html", "report-2.html", "report-3.html"]
    turns = {name: re.findall(r'rel="(prev|next)" href="([^#]+)#', text) for name, text in pages.items()}
    assert turns["report.html"] == [("next", "report-2.html")]
    assert turns["report-2.html"] == [("prev", "report.html"), ("next", "report-3.html")] * 2
    assert turns["report-3.html"] == [("prev", "report-2.html")] * 2
    assert "Individuals 21 to 80 by number of images" in pages["report-2.html"]
    assert "Individuals 81 to 81 by number of images" in pages["report-3.html"]


def test_further_pages_of_an_earlier_result_are_removed(story, tmp_path):
    for name in ("report-2.html", "report-9.html", "report-old.html"):
        (tmp_path / name).write_text("old")
    assert write_folder_pages(story, tmp_path) == (tmp_path / "report.html",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report-old.html", "report.html"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-1, 30), max_size=60))
def test_groups_are_what_loops_find(labels):
    groups = Groups.of(np.array(labels, np.int64))
    names = sorted(set(labels) - {-1})
    assert groups.labels.tolist() == names
    for place, name in enumerate(names):
        assert groups.rows(place).tolist() == [row for row, label in enumerate(labels) if label == name]
    assert groups.of_image.tolist() == [names.index(label) if label >= 0 else -1 for label in labels]
    assert groups.by_size.tolist() == sorted(range(len(names)), key=lambda place: (-labels.count(names[place]), place))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=30))
def test_bins_of_sizes_double(sizes):
    names, counts = size_bins(np.array(sizes))
    assert counts.sum() == len(sizes) and len(names) == len(counts)
    for name, count in zip(names, counts, strict=True):
        low, high = (int(each.replace(",", "")) for each in (name.split("–") * 2)[:2])
        assert count == sum(low <= size <= high for size in sizes)


@pytest.mark.parametrize(
    ("count", "line", "left"), [(10, 8, 8), (8, 8, 8), (7, 8, 7), (20, 8, 16), (5, 0, 5), (24, 12, 24)]
)
def test_the_last_line_of_a_strip_is_full(count, line, left):
    rows = list(range(count))
    kept = whole_lines(rows, line)
    assert len(kept) == left and kept[0] == 0 and kept[-1] == count - 1 and sorted(kept) == kept


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "5 individuals in 14 images of 2 cameras; 2 individuals were seen once; 2 images were left as noise."),
        (TOGETHER, "1 individual in 14 images of 2 cameras."),
        (NOBODY, "No individuals in 14 images of 2 cameras; 14 images were left as noise."),
        (ALL_ALONE, "14 individuals in 14 images of 2 cameras; 14 individuals were seen once."),
    ],
)
def test_the_result_in_one_sentence(story, changes, sentence):
    assert folder_result(replace(story, **changes)) == sentence


def test_a_browser_shows_them_without_errors_requests_or_sideways_scrolling(story, tmp_path):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs Chromium, which is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    long = "gate_with_a_very_long_name_that_nobody_broke_into_words_" * 2
    file = Path(draw(tmp_path / ("x" * 90 + ".png"), 1, 1, (30, 200)))
    labels = np.repeat(np.arange(FIRST_GROUPS + 8), 3)
    large = replace(
        many(story, len(labels), 10, [*story.images.paths, str(file)]), labels=labels, trust=None,
        second_best=np.full(len(labels), 1), scores=clustering_scores(labels, labels // 2),
    )  # fmt: skip
    images = replace(large.images, camera=large.images.camera % 2)
    write_folder_pages(replace(large, images=images, camera_names=(long, "hall")), tmp_path)
    complaints: list[str] = []
    requests: set[str] = set()
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (360, 390, 1280):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda message: complaints.append(message.text))
            page.on("request", lambda request: requests.add(request.url.split(":")[0]))
            page.goto((tmp_path / "report.html").as_uri())
            for turn in ("next", "prev"):
                assert page.evaluate("document.documentElement.scrollWidth") == width
                assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
                page.click(f"a[rel={turn}]")
            assert page.url.endswith("report.html#individuals")
        browser.close()
    assert complaints == []
    assert requests <= {"file", "data"}
