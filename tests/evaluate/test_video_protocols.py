"""From the folder of each public video data set to its scores, against the protocol tracklet by tracklet."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from images.video.test_video import FRAMES, SPLIT_FILE, SPLITS, put_duke, put_ilids, put_mars, put_matrix, put_prid
from oracles.retrieval import score_by_sorting
from reunite.evaluate.protocol import retrieval_test, score_test
from reunite.images import read
from reunite.types import Dataset, Images

Entry = tuple[str, int, int]
"""What tells a tracklet of one part from all others, its identity and its camera."""


def mars(path: str) -> Entry:
    name = Path(path).name
    return name[: name.index("F")], int(name[:4].replace("00-1", "-1")), int(name[5])


def duke(path: str) -> Entry:
    *_, identity, tracklet, name = Path(path).parts
    return f"{identity}/{tracklet}", int(identity), int(re.search(r"C(\d)", name)[1])


def pairs(path: str) -> Entry:
    *_, camera, person, _ = Path(path).parts
    return f"{camera}/{person}", int(re.sub(r"\D", "", person)), camera in ("cam2", "cam_b")


def entries(part: Images, told: callable) -> list[Entry]:
    """The tracklets of a part, each once, in the order of their first frame."""
    return list(dict.fromkeys(told(path) for path in part.paths.tolist()))


def put_many_prid(home: Path) -> None:
    put_prid(home, FRAMES | {f"person_{number:04d}": (23, 24) for number in range(20, 40)})


def put_split_ilids(home: Path) -> None:
    put_ilids(home)
    put_matrix(home / SPLIT_FILE, "ls_set", SPLITS)


@pytest.mark.parametrize(
    ("put", "told", "queries", "skipped"),
    [(put_mars, mars, 1, 1), (put_duke, duke, 1, 0), (put_split_ilids, pairs, 3, 0), (put_many_prid, pairs, 12, 0)],
)
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_the_protocol(tmp_path, put, told, queries, skipped, seed):
    put(tmp_path)
    dataset: Dataset = read(tmp_path)
    query, gallery = entries(dataset.query, told), entries(dataset.gallery, told)
    rng = np.random.default_rng(seed)
    vectors = {("query", *each): rng.standard_normal(3) for each in query}
    vectors |= {("gallery", *each): rng.standard_normal(3) for each in gallery}
    vectors = {key: (each / np.linalg.norm(each)).astype(np.float32) for key, each in vectors.items()}

    test = retrieval_test(dataset, tracklets=True)
    assert (len(test.query), len(test.gallery)) == (len(query), len(gallery))
    embeddings = np.empty((len(test.units), 3), np.float32)
    for side, numbers, part in (("query", test.query, query), ("gallery", test.gallery, gallery)):
        for number in numbers:
            told_by = {told(path) for path in test.units.images.paths[test.units.frames_of(number)].tolist()}
            assert len(told_by) == 1 and told_by <= set(part), "a tracklet is frames of one name"
            embeddings[number] = vectors[side, *told_by.pop()]
    scores = score_test(test, embeddings)

    similarity = np.array([[vectors["query", *q] @ vectors["gallery", *g] for g in gallery] for q in query])
    identity = np.array([each[1] for each in query]), np.array([each[1] for each in gallery])
    camera = np.array([each[2] for each in query]), np.array([each[2] for each in gallery])
    expected = score_by_sorting(similarity, *identity, *camera)
    assert (scores.queries, scores.skipped) == (queries, skipped)
    assert scores.mAP == pytest.approx(expected["mAP"])
    np.testing.assert_allclose(scores.cmc, expected["cmc"])
    np.testing.assert_allclose(np.sort(scores.average_precision), np.sort(expected["average_precision"]))
