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
