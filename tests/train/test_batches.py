from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite.errors import InputError
from reunite.train import IdentityBatches, ShuffledBatches


def drawn(batches: IdentityBatches, labels, camera=None, seed=0):
    labels = np.asarray(labels, dtype=np.int64)
    camera = np.full(len(labels), -1) if camera is None else np.asarray(camera, dtype=np.int64)
    return list(batches(labels, camera, np.random.default_rng(seed)))


@settings(deadline=None, max_examples=30)
@given(
    labels=st.lists(st.integers(-1, 6), min_size=1, max_size=60),
    identities=st.integers(2, 5),
    images=st.integers(1, 6),
    cameras=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_batch_holds_p_identities_of_k_images(labels, identities, images, cameras, seed):
    labels = np.array(labels)
    batches = IdentityBatches(identities, images, iterations=7)
    camera = np.random.default_rng(seed).integers(0, 3, len(labels)) if cameras else None
    present = set(labels[labels >= 0].tolist())
    if not present:
        with pytest.raises(InputError, match="noise"):
            drawn(batches, labels, camera, seed)
        return
    every = drawn(batches, labels, camera, seed)
    assert len(every) == 7
    for rows in every:
        groups = labels[rows].reshape(-1, images)
        assert (groups >= 0).all()
        assert (groups == groups[:, :1]).all(), "images of an identity stand next to each other"
        assert len(set(groups[:, 0])) == len(groups) == min(identities, len(present)), "each identity once in a batch"
        for group in rows.reshape(-1, images):
            size = int((labels == labels[group[0]]).sum())
            if not cameras and size >= images:
                assert len(set(group.tolist())) == images, "no repetition where there are enough"


def test_each_identity_comes_once_before_any_comes_again():
    labels = np.repeat(np.arange(6), 3)
    every = drawn(IdentityBatches(2, 2, iterations=6), labels)
    for epoch in (every[:3], every[3:]):
        assert sorted(labels[np.concatenate(epoch)[::2]].tolist()) == list(range(6))


def test_other_cameras_are_preferred_and_only_where_they_are_known():
    labels, camera = np.repeat([0, 1], 6), np.tile([1, 1, 1, 2, 2, 2], 2)
    for rows in drawn(IdentityBatches(2, 4, iterations=20), labels, camera):
        for group in rows.reshape(-1, 4):
            assert (camera[group[1:]] != camera[group[0]]).all()
    mixed = drawn(IdentityBatches(2, 4, iterations=20, use_camera=False), labels, camera)
    assert any((camera[rows.reshape(-1, 4)][:, 1:] == camera[rows.reshape(-1, 4)][:, :1]).any() for rows in mixed)
    one_camera = drawn(IdentityBatches(2, 4, iterations=5), labels, np.ones(12))
    assert all(len(set(group.tolist())) == 4 for rows in one_camera for group in rows.reshape(-1, 4))


def test_a_single_image_fills_its_place():
    """The authors' sampler emits it once and shifts every later identity across batches."""
    every = drawn(IdentityBatches(2, 4, iterations=3), [0, 1, 1, 1, 1])
    assert all(len(rows) == 8 for rows in every)


def test_same_seed_same_batches():
    labels = np.repeat(np.arange(5), 4)
    batches = IdentityBatches(3, 2, iterations=4)
    assert np.array_equal(drawn(batches, labels, seed=1), drawn(batches, labels, seed=1))
    assert not np.array_equal(drawn(batches, labels, seed=1), drawn(batches, labels, seed=2))


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="identities >= 2"):
        IdentityBatches(identities=1)


def test_an_epoch_can_visit_each_identity_once_and_leaves_the_rest_out():
    labels = np.repeat(np.arange(11), 3)
    batches = IdentityBatches(4, 2, iterations=None)
    every = drawn(batches, labels)
    assert batches.count(labels) == len(every) == 2
    seen = labels[np.concatenate(every)[::2]].tolist()
    assert len(set(seen)) == len(seen) == 8
    few = drawn(batches, labels[:6])
    assert [len(rows) for rows in few] == [4], "fewer identities than P: one batch of all"


def test_small_identities_can_be_left_out():
    labels = np.array([0, 1, 1, 1, 2, 2, 2, 2])
    for rows in drawn(IdentityBatches(2, 3, iterations=5, min_images=3), labels):
        assert set(labels[rows].tolist()) == {1, 2}
    with pytest.raises(InputError, match="No identity has 5 images"):
        drawn(IdentityBatches(2, 3, min_images=5), labels)


@settings(deadline=None, max_examples=30)
@given(labels=st.lists(st.integers(-1, 6), min_size=1, max_size=60), images=st.integers(1, 9), seed=st.integers(0, 99))
def test_shuffled_batches_visit_every_labelled_image_at_most_once(labels, images, seed):
    labels, batches = np.array(labels), ShuffledBatches(images)
    kept = np.flatnonzero(labels >= 0)
    if not len(kept):
        with pytest.raises(InputError, match="noise"):
            drawn(batches, labels, seed=seed)
        return
    every = drawn(batches, labels, seed=seed)
    assert len(every) == batches.count(labels) == max(1, len(kept) // images)
    rows = np.concatenate(every)
    assert len(set(rows.tolist())) == len(rows)
    assert (labels[rows] >= 0).all()
    assert {len(each) for each in every} == {min(images, len(kept))}


def test_shuffled_batches_are_shuffled_anew_each_epoch():
    rng, labels = np.random.default_rng(0), np.zeros(40, np.int64)
    one, two = (np.concatenate(list(ShuffledBatches(10)(labels, labels, rng))) for _ in range(2))
    assert sorted(one.tolist()) == sorted(two.tolist()) == list(range(40))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: IdentityBatches(iterations=0), "iterations must be at least 1"),
        (lambda: IdentityBatches(min_images=0), "min_images >= 1"),
        (lambda: ShuffledBatches(0), "images must be at least 1"),
    ],
)
def test_more_bad_settings_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
