from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite.errors import InputError
from reunite.train import IdentityBatches


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
