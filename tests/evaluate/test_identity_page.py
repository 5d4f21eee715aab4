"""The page of identities: the right pictures in the right place, what is doubtful, and that it needs nothing but itself."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.test_report import Page, checked, draw
from reunite.errors import InputError
from reunite.evaluate.identity_figures import WIDTH, Clock, _merged, clock_of
from reunite.evaluate.identity_page import IdentityStory, identity_page, identity_result
from reunite.evaluate.identity_pictures import STRIP_BYTES, STRIP_PICTURES, pictures_each
from reunite.evaluate.thumbnails import BYTES, thumbnail
from reunite.identities.evidence import Evidence
from reunite.types import Images

LABELS = np.array([0, 1, 0, 2, 1, -1, 0, 3, 2, 1, -1, 4, 2])
CAMERA = np.array([0, 0, 1, 1, 2, 0, 2, 0, 2, 1, 1, 2, -1])
TRACK = np.array([7, 8, 3, 4, 5, 9, 6, 2, 1, 5, 6, 7, -1])
BEGIN = np.array([50.0, 10, 20, 30, 90, 40, 70, 5, 100, 60, 80, np.nan, 110])
CONFIDENCE = np.array([0.8, 0.05, 0.7, 0.099, 0.6, 0, 0.5, 0.3, 0.4, 0.9, 0, 0.02, 0.2])
SECOND = np.array([1, 2, 1, 0, 0, 0, 2, 0, 1, -1, 0, 1, 0])
HEADINGS = [
    "Overview", "When each was seen", "Individuals", "Doubtful tracks", "Tracks that seem to hold two individuals",
    "Tracks alone", "How the line was drawn", "Map of the tracks", "Facts", "How to read this page",
    "What this may not be used for",
]  # fmt: skip


def evidence(count: int = 6) -> Evidence:
    cuts = np.linspace(0.1, 0.6, count)
    silhouette = np.where(np.arange(count) > 1, 0.1 * np.arange(count), np.nan)
    return Evidence(
        0.3, "0.300 was chosen: a <made-up> reason.", cuts, np.arange(count)[::-1] + 1, (("silhouette", silhouette),)
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> IdentityStory:
    """13 tracks of three cameras and of one unknown: five individuals, two of them of one track, and two mixed tracks."""
    folder, count = tmp_path_factory.mktemp("tracks"), len(LABELS)
    paths = [draw(folder / f"t{row}.png", max(int(LABELS[row]), 0) + 1, int(CAMERA[row])) for row in range(count)]
    parts, part_paths = np.full((count, 2), -1), np.full((count, 2), "", dtype=object)
    parts[5], parts[10] = (0, 2), (-1, 4)
    for row in (5, 10):
        part_paths[row] = [draw(folder / f"t{row}p{part}.png", row + part, 0) for part in (0, 1)]
    mixed = LABELS < 0
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(5, 12))[LABELS] + 0.5 * rng.normal(size=(count, 12))
    return IdentityStory(
        "identities in figures", {"seed": "0", "command": "reunite identities <x>"},
        Images.of(paths, camera=CAMERA, track=TRACK), ("gate", "hall", "yard"), np.arange(count) + 3, BEGIN, BEGIN + 9,
        LABELS, CONFIDENCE, SECOND, mixed, parts, part_paths.astype(str), 12, True, evidence(),
        embeddings.astype(np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def html(story) -> str:
    return identity_page(story)


def section(html: str, name: str) -> str:
    return re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)[0]


def alts(html: str) -> list[str]:
    return [image["alt"] for image in Page(html).all("img")]


def test_the_page_tells_everything(html):
    page = checked(html)
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", html) == HEADINGS
    assert 'class="missing"' not in html
    for words in (
        "page of identities",
        "5 individuals in 13 tracks of 3 cameras; 2 tracks seem to hold two individuals and were set aside.",
        "reunite identities <x>",
        "a <made-up> reason.",
        "12 pairs of tracks were seen by one camera at the same moment and were kept apart.",
        "a margin, not a probability",
        "surveillance",
    ):
        assert words in page.text, words
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", page.text)


def test_the_overview_counts(story, html):
    cards = re.findall(r"<dt>(.*?)</dt><dd>([\d,]+)", section(html, "overview"))
    several = 0
    for label in range(5):
        several += len({int(camera) for camera in CAMERA[label == LABELS] if camera >= 0}) > 1
    doubtful = sum(label >= 0 and c < 0.1 for label, c in zip(LABELS, CONFIDENCE, strict=True))
    expected = {"individuals": 5, "tracks": 13, "in several cameras": several, "doubtful": doubtful, "set aside": 2}
    assert dict(cards) == {name: str(value) for name, value in expected.items()}
    assert "2 of a single track" in html and f"of {int(story.frames.sum())} frames" in html
    rows = re.findall(r"</i> ([\w ]+)</th><td>(\d+)</td><td>(\d+)</td><td>(\d+)</td>", section(html, "overview"))
    for name, *numbers in rows:
        code = {"gate": 0, "hall": 1, "yard": 2, "unknown camera": -1}[name]
        seen = {int(label) for label in LABELS[code == CAMERA] if label >= 0}
        elsewhere = [any(CAMERA[row] not in (code, -1) for row in np.flatnonzero(label == LABELS)) for label in seen]
        assert [int(each) for each in numbers] == [int((code == CAMERA).sum()), len(seen), sum(elsewhere)]
    assert len(rows) == 4


def test_an_unknown_camera_is_not_another_camera(story):
    """An individual of one known and one unknown camera was not seen by several, nor elsewhere by the known one."""
    camera = np.where(CAMERA == 0, 0, -1)
    tracks = Images.of(story.tracks.paths, camera=camera, track=TRACK)
    drawn = section(identity_page(replace(story, tracks=tracks)), "overview")
    assert "<dt>in several cameras</dt><dd>0<" in drawn
    assert re.findall(r"</i> ([\w ]+)</th><td>\d+</td><td>(\d+)</td><td>(\d+)</td>", drawn) == [
        ("gate", "3", "0"),
        ("unknown camera", "4", "2"),
    ]


def test_without_a_second_best_nothing_is_doubtful(story):
    alone = replace(story, second_best=np.full(13, -1), confidence=np.zeros(13))
    assert "<dt>doubtful</dt><dd>0<" in identity_page(alone)


def test_individuals_of_most_tracks_come_first(story):
    labels = np.array([4, 3, 2, 1, 0, -1])[LABELS]
    html = identity_page(replace(story, labels=labels, parts=np.full((13, 2), -1)))
    assert re.findall(r'id="individual-(\d)"', section(html, "individuals")) == ["2", "3", "4"]
    assert re.findall(r'<th scope="row"><a [^>]*>(\d)', section(html, "timeline")) == ["2", "3", "4", "0", "1"]


def test_strips_hold_the_tracks_of_each_individual_in_order_of_time(html):
    figures = re.findall(r'<figure class="cluster" id="individual-(\d+)">(.*?)</figure>', html, re.DOTALL)
    assert [int(label) for label, _ in figures] == [0, 1, 2]
    names = {0: "gate", 1: "hall", 2: "yard", -1: "unknown camera"}
    for label, figure in figures:
        rows = sorted(np.flatnonzero(int(label) == LABELS).tolist(), key=lambda row: BEGIN[row])
        expected = []
        for row in rows:
            track = f"track {TRACK[row]}" if TRACK[row] >= 0 else "no track"
            doubt = ", doubtful" if CONFIDENCE[row] < 0.1 else ""
            expected.append(f"individual {label}, {names[CAMERA[row]]}, {track}{doubt}: t{row}.png")
        assert alts(figure) == expected
        cameras = {int(CAMERA[row]) for row in rows} - {-1}
        assert f"{len(rows)} tracks · {len(cameras)} camera{'s' if len(cameras) > 1 else ''} · " in Page(figure).text
        items = [attributes.get("class", "") for attributes in Page(figure).all("li")]
        assert items == ["doubt" if CONFIDENCE[row] < 0.1 else "" for row in rows]
        shown = re.findall(r"<span>(?:<b class=\"ask\">\?</b> )?(0\.\d\d)</span>", figure)
        assert shown == [f"{int(1000 * CONFIDENCE[row] + 1e-6) // 10 / 100:.2f}" for row in rows]


def test_doubtful_tracks_stand_beside_their_own_and_the_second_best(story, html):
    cases = re.findall(r'<figure class="case">(.*?)</figure>', section(html, "doubtful"), re.DOTALL)
    asked = [row for row in range(13) if LABELS[row] >= 0 and SECOND[row] >= 0]
    order = sorted(asked, key=lambda row: (CONFIDENCE[row], row))
    assert len(cases) == len(order)
    for case, row in zip(cases, order, strict=True):
        files = [alt.split(": ")[-1] for alt in alts(case)]
        own = central(story, LABELS[row], row)
        expected = [f"t{row}.png"] + ([] if own is None else [f"t{own}.png"]) + [f"t{central(story, SECOND[row])}.png"]
        assert files == expected
        assert ("no other track" in case) == (own is None)
        assert ('class="ask"' in case) == (CONFIDENCE[row] < 0.1)
    assert "3 tracks of 10 have a confidence below 0.1." in section(html, "doubtful")


def central(story: IdentityStory, label: int, without: int = -1) -> int | None:
    """Row of the most central track of an individual, in plain loops."""
    unit = [row / np.sqrt(row @ row) for row in story.embeddings.astype(np.float64)]
    members = [row for row in range(len(unit)) if story.labels[row] == label]
    total = sum(unit[row] for row in members)
    others = [row for row in members if row != without]
    return max(others, key=lambda row: unit[row] @ total) if others else None


def test_parts_of_mixed_tracks_stand_beside_whom_they_resemble(story, html):
    cases = re.findall(r'<figure class="case">(.*?)</figure>', section(html, "mixed"), re.DOTALL)
    files = [[alt.split(": ")[-1] for alt in alts(case)] for case in cases]
    assert files == [
        ["t5p0.png", f"t{central(story, 0)}.png", "t5p1.png", f"t{central(story, 2)}.png"],
        ["t10p0.png", "t10p1.png", f"t{central(story, 4)}.png"],
    ]
    assert "like nobody near" not in cases[0] and "like nobody near" in cases[1]
    assert "track 9 · 8 frames" in Page(cases[0]).text


def test_tracks_alone_come_with_the_most_doubtful_first(html):
    assert [alt.split(": ")[-1] for alt in alts(section(html, "alone"))] == ["t11.png", "t7.png"]
    assert 'near <a href="#individual-1">1</a>' in section(html, "alone")


def test_the_timeline_draws_every_known_moment(html):
    drawn = section(html, "timeline")
    rows = re.findall(r'<tr><th scope="row">.*?>(\d+)<.*?</th><td>(.*?)</td><td>(\d+)</td></tr>', drawn)
    assert [int(label) for label, _, _ in rows] == [0, 1, 2, 3, 4]
    for label, drawing, count in rows:
        assert int(count) == (int(label) == LABELS).sum()
        found = set()
        for place, path in re.findall(r'class="cam-(\d)" d="([^"]+)"', drawing):
            for left, width in re.findall(r"M(\d+) [\d.]+h(\d+)", path):
                found.add((int(place), int(left), int(width)))
        expected = set()
        for row in np.flatnonzero((int(label) == LABELS) & ~np.isnan(BEGIN)):
            place = 3 if CAMERA[row] < 0 else int(CAMERA[row])
            expected.add((place, round(1000 * (BEGIN[row] - 5) / 114), round(1000 * 9 / 114)))
        assert len(found) == len(expected)
        assert all(min(max(abs(a - b) for a, b in zip(x, y, strict=True)) for y in found) <= 1 for x in expected)
    assert "1 track of unknown time is not drawn." in drawn
    assert 'aria-label="individual 4: time unknown"' in drawn
    assert "gate, 1 track, 0:50 to 0:59" in drawn


def test_the_chart_marks_the_cut(html):
    line = section(html, "line")
    assert line.count("<svg") == 2 and line.count("drawn at 0.3") == 2
    assert "Groups left at each cut" in line and "Mean silhouette at each cut" in line


def test_links_lead_to_pictures(html):
    ids = set(re.findall(r'id="(individual-\d+)"', html))
    links = re.findall(r'href="#(individual-\d+)"', html)
    assert ids == {f"individual-{label}" for label in range(5)} == set(links)


EMPTY = dict(
    tracks=Images.of([]), frames=np.array([], np.int64), begin=np.array([]), end=np.array([]),
    labels=np.array([], np.int64), confidence=np.array([]), second_best=np.array([], np.int64),
    mixed=np.array([], bool), parts=np.empty((0, 2), np.int64), part_paths=np.empty((0, 2), "U1"), embeddings=None,
)  # fmt: skip
NOBODY = dict(labels=np.full(13, -1), second_best=np.full(13, -1), parts=np.full((13, 2), -1), confidence=np.zeros(13))
MISSING = {
    "no tracks": (EMPTY, "No individuals in 0 tracks."),
    "no individuals": (NOBODY, "No individuals were found."),
    "no mixed": (dict(mixed=np.zeros(13, bool)), "No track seems to hold two individuals."),
    "no times": (dict(begin=np.full(13, np.nan), end=np.full(13, np.nan)), "the times of the tracks are not known"),
    "no embeddings": (dict(embeddings=None), "There is no map: the embeddings of the tracks were not given."),
    "same embeddings": (dict(embeddings=np.ones((13, 3), np.float32)), "There is no map: it needs ten tracks"),
    "no cuts": (dict(evidence=evidence(1)), "fewer than two cuts were looked at"),
    "no rule": (dict(overlap=False), "twice at the same moment was off"),
    "one pair": (dict(apart=1), "1 pair of tracks was seen by one camera at the same moment and was kept apart."),
    "no second": (dict(second_best=np.full(13, -1)), "There is nothing to compare"),
    "none alone": (dict(labels=LABELS % 3), "Every individual has two tracks or more."),
    "all alone": (
        dict(labels=np.arange(13), mixed=np.zeros(13, bool), parts=np.full((13, 2), -1)),
        "Every individual has one track only",
    ),
    "no pictures of parts": (dict(part_paths=np.full((13, 2), "")), "no picture"),
    "no facts": (dict(facts={}), "None were recorded"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), MISSING.values(), ids=MISSING.keys())
def test_what_is_missing_is_said_in_a_sentence(story, changes, sentence):
    if "labels" in changes and len(changes["labels"]) and changes["labels"].max() == 2:
        changes = dict(changes, mixed=np.zeros(13, bool), second_best=np.full(13, 1), parts=np.full((13, 2), -1))
    page = checked(identity_page(replace(story, **changes)))
    assert sentence in page.text
    assert not re.search(r"\bnan\b|\bNone\b(?! were)|\binf\b", page.text)


def test_one_camera_without_names(story):
    tracks = Images.of(story.tracks.paths, camera=np.full(13, 4), track=TRACK)
    html = identity_page(replace(story, tracks=tracks, camera_names=()))
    page = checked(html)
    assert "in 13 tracks of 1 camera;" in page.text and "camera 4" in page.text
    assert "Cameras can be compared" not in page.text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "5 individuals in 13 tracks of 3 cameras; 2 tracks seem to hold two individuals and were set aside."),
        (
            dict(mixed=np.arange(13) == 5),
            "5 individuals in 13 tracks of 3 cameras; 1 track seems to hold two individuals and was set aside; "
            "1 more track was nobody's.",
        ),
        (dict(mixed=np.zeros(13, bool)), "5 individuals in 13 tracks of 3 cameras; 2 tracks were nobody's."),
        (
            dict(mixed=np.zeros(13, bool), labels=np.abs(LABELS)),
            "5 individuals in 13 tracks of 3 cameras.",
        ),
        (NOBODY | dict(mixed=np.ones(13, bool)), "No individuals in 13 tracks of 3 cameras; 13 tracks seem to hold two "
         "individuals and were set aside."),
    ],
)  # fmt: skip
def test_the_result_in_one_sentence(story, changes, sentence):
    assert identity_result(replace(story, **changes)) == sentence


def test_hostile_text_stays_text(story, tmp_path):
    name = '<script>alert(1)<" onerror="alert(2)" x=\'&amp;.png'
    hostile = draw(tmp_path / name, 1, 1)
    text = '</title></style><script>alert("x")</script>&lt;'
    tracks = Images.of([hostile] * 13, camera=CAMERA, track=TRACK)
    reason = replace(story.evidence, chosen=text)
    html = identity_page(
        replace(
            story, title=text, facts={text: text}, tracks=tracks, camera_names=(text, "$x_1$", text), evidence=reason
        )
    )
    page = checked(html)
    assert page.text.count(text) >= 10 and "$x_1$" in page.text
    assert any(image["alt"].startswith(f"individual 0, {text}, track 7") for image in page.all("img"))


def test_the_same_story_gives_the_same_page(story, html):
    assert identity_page(story) == html


@pytest.mark.parametrize(
    "name",
    ["frames", "begin", "end", "labels", "confidence", "second_best", "mixed", "parts", "part_paths", "embeddings"],
)
def test_arrays_of_another_run_are_refused(story, name):
    with pytest.raises(InputError, match=rf"{name} must have .*one row for each of 13 tracks|{name} must have one row"):
        replace(story, **{name: getattr(story, name)[:-1]})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(mixed=np.ones(13, bool)), "must have label -1; 11 have another .the first is track 0, label 0"),
        (dict(second_best=np.full(13, 9)), "second_best must be labels .*the first is 9"),
        (dict(parts=np.full((13, 2), 7)), "parts must be labels .*the first is 7"),
        (dict(camera_names=("gate", "hall")), "got 2 names and camera code 2"),
        (dict(clock="minutes"), "clock must be seconds or frames; got 'minutes'"),
        (dict(embeddings=np.full((13, 2), np.nan, np.float32)), "embeddings must be finite"),
    ],
)
def test_what_contradicts_itself_is_refused(story, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(story, **changes)


def many(story: IdentityStory, count: int, individuals: int, path: str) -> IdentityStory:
    """Tracks without end that all show the picture at `path`; a tenth of them are mixed."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, individuals, count)
    mixed = rng.random(count) < 0.1
    labels[mixed] = -1
    parts = np.where(mixed[:, None], labels.max(), -1) * np.ones((1, 2), np.int64)
    begin = rng.uniform(0, 9_000, count)
    return replace(
        story,
        tracks=Images.of([path] * count, camera=rng.integers(0, 8, count), track=np.arange(count)),
        camera_names=(), frames=np.full(count, 40), begin=begin, end=begin + rng.uniform(1, 60, count),
        labels=labels, confidence=rng.random(count), second_best=np.full(count, labels.max()), mixed=mixed, parts=parts,
        part_paths=np.where(mixed[:, None], path, "") * np.ones((1, 2), object),
        embeddings=rng.normal(size=(count, 16)).astype(np.float32),
    )  # fmt: skip


def largest(folder: Path, rng: np.random.Generator) -> str:
    """A picture whose thumbnail takes nearly all of the bytes that one may have."""
    noise = rng.normal(size=(280, 160, 3))
    sizes = {}
    for sigma in (3, 3.5, 4, 4.5, 5, 6, 7, 8):
        path = str(folder / f"blurred{sigma}.png")
        blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
        assert cv2.imwrite(path, np.clip(128 + 60 * blurred / blurred.std(), 0, 255).astype(np.uint8))
        sizes[path] = len(thumbnail(path).source)
    found = max(sizes, key=sizes.get)
    assert sizes[found] > 1.2 * BYTES
    return found


def test_many_tracks_make_a_small_page(story, tmp_path, rng):
    path = largest(tmp_path, rng)
    large = many(story, 2_000, 400, path)
    html = identity_page(large)
    page = checked(html)
    assert 250 < len(page.all("img")) < 400
    assert len(html.encode()) < 2e6
    strips = re.findall(r'<figure class="cluster".*?</figure>', html, re.DOTALL)
    assert len(strips) == 60 and STRIP_BYTES / 2 < sum(map(len, strips)) < STRIP_BYTES + 60 * 400
    sizes = np.unique(large.labels[large.labels >= 0], return_counts=True)[1]
    assert f"The 40 individuals with most tracks are drawn; {len(sizes) - 40} more are not." in page.text
    assert f"The 60 individuals with most tracks; {(sizes > 1).sum() - 60} more are in the table." in page.text
    assert "12 of " in section(html, "mixed") and "1,000 of 2,000 tracks" in page.text
    assert "shown, evenly spread over time" in page.text


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(2, 200), min_size=1, max_size=60))
def test_strips_share_what_pictures_there_may_be(sizes):
    each = pictures_each(sizes, STRIP_PICTURES)
    shown = sum(min(size, each) for size in sizes)
    assert shown <= STRIP_PICTURES
    assert shown == sum(sizes) or sum(min(size, each + 1) for size in sizes) > STRIP_PICTURES


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, WIDTH), st.integers(0, 40)), min_size=1, max_size=30))
def test_bars_cover_every_moment_and_never_touch(spans):
    bars = sorted((float(left), float(min(left + length, WIDTH))) for left, length in spans)
    merged = _merged(bars)
    for left, right in bars:
        assert any(a <= left + 1e-9 or a == WIDTH - 5 for a, _ in merged)
        assert any(a - 1e-9 <= min(left, WIDTH - 5) and right <= a + width + 1e-9 for a, width in merged)
    assert all(a + width < b for (a, width), (b, _) in pairwise(merged))
    assert all(width >= 5 and a >= 0 and a + width <= WIDTH + 1e-9 for a, width in merged)


@pytest.mark.parametrize(
    ("clock", "moment", "text"),
    [
        (Clock("seconds", 0, 10, 0), 3.25, "3.2 s"),
        (Clock("seconds", 0, 300, 0), 125.4, "2:05"),
        (Clock("seconds", 0, 300, 0), 59.7, "1:00"),
        (Clock("seconds", 0, 8000, 0), 3725, "1:02:05"),
        (Clock("seconds", 0, 300_000, 0), 93_780, "1 d 02:03"),
        (Clock("frames", 0, 9000, 0), 1234, "1,234"),
        (Clock("seconds", 1e9, 1e9 + 300, 1e9), 1e9 + 61, "1:01"),
    ],
)
def test_moments_are_written_as_people_read_them(clock, moment, text):
    assert clock.text(moment) == text


@settings(deadline=None, max_examples=100)
@given(st.floats(-1e6, 2e9), st.floats(1, 1e7), st.sampled_from(["seconds", "frames"]))
def test_ticks_lie_on_the_axis_and_are_few(low, span, unit):
    origin = 0.0 if 0 <= low <= 10 * span else low
    clock = Clock(unit, low, low + span, origin)
    ticks = clock.ticks()
    assert 1 <= len(ticks) <= 6
    assert all(0 <= clock.place(tick) <= WIDTH for tick in ticks)
    assert len({clock.text(tick) for tick in ticks}) == len(ticks)


def test_a_clock_that_starts_far_from_zero_starts_at_its_first_moment(story):
    clock = clock_of(replace(story, begin=BEGIN + 1.7e9, end=BEGIN + 1.7e9 + 9))
    assert clock.text(clock.low) == "0:00" and clock.text(clock.high) == "1:54"
    assert clock_of(story).text(5) == "0:05"


def test_one_known_end_stands_for_both(story):
    """A track of which only the end is known is drawn at its end."""
    begin = np.where(LABELS == 3, np.nan, BEGIN)
    drawn = section(identity_page(replace(story, begin=begin)), "timeline")
    assert "individual 3: gate, 1 track, 0:14 to 0:14" in drawn


def test_a_browser_shows_it_without_errors_requests_or_sideways_scrolling(story, html, tmp_path):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs Chromium, which is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    path = tmp_path / "identities.html"
    long = "gate_with_a_very_long_name_that_nobody_broke_into_words_" * 2
    path.write_text(identity_page(replace(story, camera_names=(long, "hall", "yard"))), encoding="utf-8")
    complaints: list[str] = []
    requests: set[str] = set()
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (360, 375, 1280):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda message: complaints.append(message.text))
            page.on("request", lambda request: requests.add(request.url.split(":")[0]))
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        browser.close()
    assert complaints == []
    assert requests <= {"file", "data"}
