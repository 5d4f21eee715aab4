from __future__ import annotations

import numpy as np
import pytest

from reunite.errors import InputError
from reunite.evaluate.protocol import retrieval_test, score_test
from reunite.types import Dataset, Images

ROWS = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)


def dataset(query: Images, gallery: Images) -> Dataset:
    return Dataset("made up", Images.of([]), query, gallery)


def test_a_query_never_meets_itself():
    images = Images.of(["a", "b", "c", "d"], identity=[1, 1, 2, 2])
    test = retrieval_test(dataset(images, images))
    assert len(test.images) == 4, "each image is embedded once"
    assert test.exclude.tolist() == [0, 1, 2, 3]
    scores = score_test(test, ROWS)
    assert scores.mAP == 1.0
    assert scores.queries == 4
    turned = score_test(test, ROWS[[0, 2, 1, 3]])
    assert turned.mAP < 1.0, "meeting itself first would have made this perfect too"


def test_images_of_the_same_identity_and_camera_are_ignored_where_cameras_are_known():
    images = Images.of(["a", "b", "c", "d"], identity=[1, 1, 2, 2], camera=[1, 2, 1, 1])
    scores = score_test(retrieval_test(dataset(images, images)), ROWS)
    assert scores.queries == 2
    assert scores.skipped == 2


def test_query_and_gallery_apart_and_unreadable_images_left_out():
    query, gallery = Images.of(["q1", "q2"], identity=[1, 2]), Images.of(["g2", "g1"], identity=[2, 1])
    test = retrieval_test(dataset(query, gallery))
    assert test.images.paths[test.query].tolist() == ["q1", "q2"]
    assert test.images.paths[test.gallery].tolist() == ["g2", "g1"]
    assert test.exclude.tolist() == [-1, -1]
    less = retrieval_test(dataset(query, gallery), frozenset({"q1", "g1", "g2"}))
    assert less.images.paths[less.query].tolist() == ["q1"]


def test_nothing_to_test_with_is_a_sentence():
    with pytest.raises(InputError, match="identity folders"):
        retrieval_test(dataset(Images.of([]), Images.of([])))


def tracks(names: str, identity, camera, track) -> Images:
    return Images.of(list(names), identity, camera, track)


def test_a_tracklet_is_one_query_and_one_gallery_entry():
    query = tracks("abcd", [1, 1, 2, 2], [1, 1, 1, 1], [5, 5, 6, 6])
    gallery = tracks("efghi", [1, 1, 2, 1, 1], [2, 2, 2, 1, 1], [5, 5, 6, 7, 7])
    test = retrieval_test(dataset(query, gallery), tracklets=True)
    assert [test.units.lengths[each] for each in (*test.query, *test.gallery)] == [2, 2, 2, 1, 2]
    assert test.images.identity[test.query].tolist() == [1, 2]
    assert test.images.camera[test.gallery].tolist() == [2, 2, 1]
    # query 1: gallery tracks 5 of camera 2 (same individual) and 6 (other); track 7 is its own camera and is ignored
    embeddings = np.array([[1, 0], [0, 1], [0.9, 0.1], [0.1, 0.9], [1, 0]], np.float32)
    order = np.concatenate([test.query, test.gallery])
    scores = score_test(test, embeddings[np.argsort(order)])
    assert (scores.mAP, scores.queries, scores.skipped) == (1.0, 2, 0)


def test_queries_without_a_match_are_skipped_and_counted():
    """As in MARS, where 28 queries of 14 identities have none."""
    query = tracks("abc", [1, 1, 3], [1, 1, 1], [1, 1, 2])
    gallery = tracks("defg", [1, 2, 3, -1], [2, 2, 1, 2], [1, 2, 3, 4])  # 3 is seen by its own camera alone, -1 is junk
    test = retrieval_test(dataset(query, gallery), tracklets=True)
    embeddings = np.eye(len(test.units), 3, dtype=np.float32) + 0.1
    scores = score_test(test, embeddings)
    assert (scores.queries, scores.skipped) == (1, 1)
    assert np.isnan(scores.average_precision).tolist() == [False, True]


def test_a_tracklet_in_query_and_gallery_never_meets_itself_and_one_that_is_split_is_two():
    both = tracks("abcd", [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 2, 2])
    test = retrieval_test(
        dataset(both, tracks("abcdefgh", [1, 1, 2, 2] * 2, [1] * 4 + [2] * 4, [1, 1, 2, 2] * 2)), tracklets=True
    )
    assert len(test.units) == 4 and test.exclude.tolist() == [0, 1]
    split = retrieval_test(dataset(tracks("a", [1], [1], [1]), tracks("b", [1], [1], [1])), tracklets=True)
    assert split.units.lengths.tolist() == [1, 1] and split.exclude.tolist() == [-1]


def test_tracklets_of_one_frame_are_the_image_protocol():
    rng = np.random.default_rng(0)
    names = [f"{row:02d}" for row in range(24)]
    images = Images.of(names, rng.integers(0, 4, 24), rng.integers(1, 4, 24), np.arange(24))
    query, gallery = images.take(np.arange(10)), images.take(np.arange(6, 24))
    rows = rng.standard_normal((24, 5)).astype(np.float32)
    one = retrieval_test(dataset(query, gallery))
    other = retrieval_test(dataset(query, gallery), tracklets=True)
    for name in ("query", "gallery", "exclude"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    found, expected = (score_test(each, rows).average_precision for each in (other, one))
    np.testing.assert_array_equal(found, expected)
