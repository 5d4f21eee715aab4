from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reunite.errors import InputError, ReuniteError
from reunite.types import Clusters, Images, check_codes, check_embeddings, evenly_spread, unit_rows


def test_clusters_are_numbered_by_their_first_member():
    clusters = Clusters.of([7, 7, -1, 3, 7, -5])
    assert clusters.labels.tolist() == [0, 0, -1, 1, 0, -1]
    assert (clusters.count, clusters.noise, clusters.sizes.tolist()) == (2, 2, [3, 1])


@given(st.lists(st.integers(-2, 6)))
def test_the_canonical_form_keeps_the_partition_and_is_its_own(labels):
    clusters = Clusters.of(labels)
    seen: dict[int, int] = {}
    for given_label, label in zip(labels, clusters.labels.tolist(), strict=True):
        assert (label == -1) == (given_label < 0)
        if label >= 0:
            assert seen.setdefault(given_label, label) == label
    assert list(seen.values()) == list(range(clusters.count)), "one number each, in order of appearance"
    assert Clusters.of(clusters.labels).labels.tolist() == clusters.labels.tolist()


def test_embeddings_are_checked_and_never_changed():
    rows = np.array([[1.0, 2.0], [np.nan, 0.0], [3.0, np.inf]])
    with pytest.raises(InputError, match=r"2 of 3 rows.*row 1"):
        check_embeddings(rows)
    for shape in ((3,), (2, 0), (1, 2, 3)):
        with pytest.raises(InputError, match="shape"):
            check_embeddings(np.ones(shape))
    given_rows = np.asfortranarray(np.ones((3, 2)))
    checked = check_embeddings(given_rows)
    assert checked.dtype == np.float32
    assert checked.flags.c_contiguous
    assert given_rows.dtype == np.float64


def test_unit_rows_are_a_copy_and_zeros_stay_zeros():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0, 0]], atol=1e-7)
    assert rows[0, 0] == 3.0


def test_codes_are_whole_numbers_of_the_right_length():
    assert check_codes(None, 2, "camera").tolist() == [-1, -1]
    assert check_codes([1.0, 2.0], 2, "camera").dtype == np.int64
    assert check_codes(np.array([3, -1], dtype=object), 2, "camera").tolist() == [3, -1]
    objects = ([1, "2"], [1, None], [1, 1.5], [1, {}], [2**70, 1])
    for wrong in ([1.5, 2.0], [np.nan, 1.0], ["a", "b"], *(np.array(each, dtype=object) for each in objects)):
        with pytest.raises(InputError, match="whole numbers"):
            check_codes(wrong, 2, "camera")
    with pytest.raises(InputError, match=r"shape \(2,\)"):
        check_codes([1], 2, "camera")


def test_images_fill_what_is_unknown_and_can_be_taken_apart():
    images = Images.of(["a", "b", "c"], identity=[1, 2, 3])
    assert images.camera.tolist() == [-1, -1, -1]
    assert np.isnan(images.time).all()
    part = images.take(np.array([2, 0]))
    assert part.paths.tolist() == ["c", "a"]
    assert part.identity.tolist() == [3, 1]
    with pytest.raises(InputError, match="time"):
        Images.of(["a"], time=[1.0, 2.0])


def test_every_error_of_ours_has_one_root():
    assert issubclass(InputError, ReuniteError)
    assert issubclass(InputError, ValueError)


@given(st.integers(0, 300), st.integers(2, 100))
def test_places_are_spread_evenly(count, most):
    places = evenly_spread(count, most)
    assert len(places) == min(count, most) and (places >= 0).all()
    gaps = np.diff(places)
    assert (gaps > 0).all() and np.ptp(gaps, axis=0) <= 1 if len(gaps) else len(places) < 2
    assert not count or (places[0], places[-1]) == (0, count - 1)
