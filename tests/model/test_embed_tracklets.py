"""Embeddings of tracklets: by definition, of one frame, broken, and in batches that cut them anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oracles import tracklets as oracle
from reunite import Encoder, embed, render_walkers
from reunite.errors import ImageError
from reunite.images.decoding import decode
from reunite.images.loading import open_images
from reunite.images.tracklets import Frames, each_alone, group_tracklets
from reunite.model.embed import embed_pixels, embed_twice
from reunite.types import Images

SIZE = (32, 16)


@pytest.fixture(scope="module")
def walkers(tmp_path_factory) -> Images:
    folder = tmp_path_factory.mktemp("walkers") / "data"
    train = render_walkers(folder, identities=6, cameras=2, images=5, seed=0).train
    tracks = [0] * 11 + [1] + [2] * 5 + [3] * 2 + [-1] * 3 + [4] * 8
    return Images.of(train.paths, track=tracks)


def encoder(**changes) -> Encoder:
    torch.manual_seed(0)
    options = {"neck": "linear", "embedding_size": 8, "dropout": 0.5, "test_feature": "pooled"} | changes
    network = Encoder("conv4", pretrained=False, image_size=SIZE, last_stride=2, **options)
    network(torch.randint(0, 256, (16, *SIZE, 3), dtype=torch.uint8))  # statistics that are not those of the start
    return network


NECKS = ({}, {"neck": "bn", "embedding_size": None, "test_feature": "embedding"})


@pytest.mark.parametrize("mean_of", ["pooled", "unit"])
@pytest.mark.parametrize("changes", NECKS)
@pytest.mark.parametrize("batch_size", [1, 3, 7, 64])
def test_a_tracklet_is_the_mean_of_its_frames(walkers, mean_of, changes, batch_size):
    network, units = encoder(**changes), group_tracklets(walkers)
    found = embed(network, units, batch_size, progress=False, frames=Frames(mean_of=mean_of))
    for number in range(len(units)):
        pixels = np.stack([decode(path, SIZE) for path in walkers.paths[units.frames_of(number)]])
        np.testing.assert_allclose(found[number], oracle.tracklet_embedding(network, pixels, mean_of), atol=2e-6)


@pytest.mark.parametrize("mean_of", ["pooled", "unit"])
def test_the_two_means_differ_and_only_where_there_is_something_to_average(walkers, mean_of):
    units, network = group_tracklets(walkers), encoder(**NECKS[1])
    other = {"pooled": "unit", "unit": "pooled"}[mean_of]
    one, two = (embed(network, units, progress=False, frames=Frames(mean_of=each)) for each in (mean_of, other))
    alone = units.lengths == 1
    np.testing.assert_array_equal(one[alone], two[alone])
    assert (np.abs(one - two).max(axis=1)[~alone] > 1e-5).all()


@pytest.mark.parametrize("mean_of", ["pooled", "unit"])
def test_tracklets_of_one_frame_are_exactly_the_images(walkers, mean_of):
    tracked = group_tracklets(Images.of(walkers.paths, track=np.arange(len(walkers))[::-1]))
    for changes in NECKS:
        network = encoder(**changes)
        rows = embed(network, walkers, progress=False)
        np.testing.assert_array_equal(rows, embed(network, tracked, progress=False, frames=Frames(mean_of=mean_of)))
        pixels = open_images(walkers.paths, SIZE)
        np.testing.assert_array_equal(rows, embed_pixels(network, pixels, np.arange(len(walkers))))
        np.testing.assert_array_equal(
            rows, embed_pixels(network, pixels, tracked.rows, starts=tracked.starts, mean_of=mean_of)
        )


def test_both_features_of_tracklets_from_one_pass(walkers):
    units, pixels = group_tracklets(walkers), open_images(walkers.paths, SIZE)
    network = encoder()
    for mean_of in ("pooled", "unit"):
        tested, unit = embed_twice(network, pixels, units.rows, 4, starts=units.starts, mean_of=mean_of)
        np.testing.assert_allclose(
            tested, embed(network, units, 4, progress=False, frames=Frames(mean_of=mean_of)), atol=1e-7
        )
        assert unit.shape == (len(units), 8)
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)


def test_long_tracklets_are_embedded_from_frames_evenly_spread(walkers):
    units, network = group_tracklets(walkers), encoder()
    few = embed(network, units, progress=False, frames=Frames(test=3))
    by_hand = group_tracklets(walkers.take(np.array([0, 5, 10])))
    np.testing.assert_allclose(few[0], embed(network, by_hand, progress=False)[0], atol=1e-7)
    np.testing.assert_allclose(few[1], embed(network, units, progress=False)[1], atol=1e-7)


def test_broken_frames_are_left_out_and_broken_tracklets_are_nan(walkers, tmp_path):
    paths = walkers.paths.astype(object)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    for row in (0, 4, 10, 11, 17, 18):  # of tracklet 0, all of tracklets 1 and 3
        paths[row] = str(tmp_path / "broken.jpg")
    some = Images.of(paths.astype(str), track=walkers.track)
    network = encoder()
    with pytest.raises(ImageError, match=r"of 4 images cannot be read.*--on-error skip"):
        embed(network, group_tracklets(some), 4, progress=False)
    for batch_size in (1, 3, 64):
        found = embed(network, group_tracklets(some), batch_size, progress=False, on_error="skip")
        assert np.isnan(found).all(axis=1).tolist() == [False, True, False, True, False, False, False, False]
        kept = group_tracklets(walkers.take(np.array([1, 2, 3, 5, 6, 7, 8, 9])))
        np.testing.assert_allclose(found[0], embed(network, kept, progress=False)[0], atol=1e-6)
    every = Images.of([str(tmp_path / "broken.jpg")], track=[1])
    with pytest.raises(ImageError, match="None can be read"):
        embed(network, group_tracklets(every), progress=False, on_error="skip")


def test_progress_counts_frames(walkers):
    told = []
    embed(encoder(), group_tracklets(walkers), 4, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (30, 30) and [done for done, _ in told] == [4, 8, 12, 16, 20, 24, 28, 30]


def test_tracklets_in_training_mode_average_before_the_neck(walkers):
    network = encoder(dropout=0.0)
    pixels = torch.from_numpy(np.stack([decode(path, SIZE) for path in walkers.paths[:12]]))
    pooled = network.train().pooled(pixels).unflatten(0, (4, 3))
    expected = network.head(torch.stack([frames.mean(0) for frames in pooled]))
    found = network.features(pixels.unflatten(0, (4, 3)))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    units = network.features(pixels.unflatten(0, (4, 3)), mean_of="unit")
    each = network.head(network.pooled(pixels)).unit.unflatten(0, (4, 3))
    torch.testing.assert_close(units.unit, torch.nn.functional.normalize(each.mean(1), dim=1))


def test_no_images_no_rows():
    assert embed(encoder(), each_alone(Images.of([])), progress=False).shape == (0, 256)
