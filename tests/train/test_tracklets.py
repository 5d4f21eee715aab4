"""Image recipes and video recipes are the same code with other parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from reunite import Recipe, load_recipe, recipes, render_walkers, train
from reunite.cluster import BottomUp, KnownIdentities, MinimumDistance
from reunite.errors import InputError
from reunite.images.loading import open_images
from reunite.images.tracklets import Frames, group_tracklets
from reunite.images.transforms import Flip, PadCrop
from reunite.losses import ClusterMemory, RepelledTable
from reunite.model import EncoderSpec
from reunite.model.batch_norm import _Grouped
from reunite.train import SGD, IdentityBatches, ShuffledBatches
from reunite.train.describe import set_field
from reunite.train.inputs import Source, inputs
from reunite.train.run import Run, training_units
from reunite.train.shares import share_of
from reunite.types import Images


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    return render_walkers(tmp_path_factory.mktemp("walkers") / "data", identities=16, cameras=2, images=4, seed=0).train


@pytest.fixture
def cpu():
    return Accelerator(cpu=True)


def bottom_up(**changes) -> Recipe:
    recipe = Recipe(
        encoder=EncoderSpec(
            "conv4",
            pretrained=False,
            pooling="avg",
            neck="linear",
            image_size=(32, 16),
            last_stride=2,
            embedding_size=16,
            dropout=0.5,
            test_feature="pooled",
        ),
        clusterer=BottomUp(MinimumDistance(), merge_percent=0.2),
        batches=ShuffledBatches(8),
        loss=RepelledTable(),
        optimizer=SGD(lr=0.01),
        augmentations=(Flip(), PadCrop(2)),
        rounds=3,
        start_from_singletons=True,
    )
    return dataclasses.replace(recipe, **changes)


def finished(recipe, images, cpu, **options):
    *_, last = train(recipe, images, seed=0, accelerator=cpu, **options)
    return last


def tracked(images: Images, per_camera: int) -> Images:
    """The same images in tracklets of at most so many frames, of one identity and camera each."""
    keys = np.stack([images.identity, images.camera], axis=1)
    code = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    seen = np.array([np.sum(code[:row] == code[row]) for row in range(len(code))])
    return dataclasses.replace(images, track=code * 10 + seen // per_camera)


@pytest.mark.parametrize("mean_of", ["pooled", "unit"])
@pytest.mark.parametrize("loss", [RepelledTable(), ClusterMemory()])
def test_tracklets_of_one_frame_train_exactly_as_images_do(walkers, cpu, mean_of, loss):
    images = dataclasses.replace(walkers, track=np.arange(len(walkers)))
    recipe = bottom_up(loss=loss, bn_group_size=4)
    one = finished(recipe, images, cpu)
    other = finished(dataclasses.replace(recipe, tracklets=Frames(train=16, mean_of=mean_of)), images, cpu)
    assert one.loss == other.loss
    assert one.labels.tolist() == other.labels.tolist()
    np.testing.assert_array_equal(one.embeddings, other.embeddings)
    for name, value in one.encoder.state_dict().items():
        assert torch.equal(value, other.encoder.state_dict()[name]), name


def test_what_is_clustered_and_trained_on_are_tracklets(walkers, cpu):
    images = tracked(walkers, 3)
    last = finished(bottom_up(tracklets=Frames(train=2)), images, cpu)
    units = group_tracklets(images)
    assert len(last.labels) == len(last.embeddings) == len(units) < len(images)
    assert last.images.paths.tolist() == units.heads.paths.tolist()
    assert last.clusters.count == len(units) - 2 * int(0.2 * len(units))
    again = finished(bottom_up(tracklets=Frames(train=2)), images, cpu)
    assert again.loss == last.loss and again.labels.tolist() == last.labels.tolist()


def test_batches_hold_ordered_frames_of_the_right_tracklets(walkers, cpu):
    images = tracked(walkers, 3)
    recipe = bottom_up(tracklets=Frames(train=2), augmentations=())
    pixels = open_images(images.paths, (32, 16))
    source = Source.of(recipe, images, pixels)
    assert source.frames == 2
    labels = np.arange(len(source.units))
    for batch in inputs(recipe, source, labels, 0, 0, lambda size: share_of(size, None), cpu.device):
        pictures = batch.on(cpu.device)
        assert pictures.shape == (8, 2, 32, 16, 3)
        for frames, number in zip(pictures.numpy(), batch.rows.tolist(), strict=True):
            own = pixels.read(source.units.frames_of(number))
            places = [next(i for i, each in enumerate(own) if (each == frame).all()) for frame in frames]
            assert places == sorted(places)
            assert len(own) < 2 or len(set(places)) == 2


def test_batch_norm_groups_count_tracklets_and_see_all_their_frames(walkers, cpu):
    images = tracked(walkers, 4)
    recipe = bottom_up(tracklets=Frames(train=3), bn_group_size=4)
    encoder = finished(dataclasses.replace(recipe, rounds=1), images, cpu).encoder
    sizes = {name: each.bn_group_size for name, each in encoder.named_modules() if isinstance(each, _Grouped)}
    assert {size for name, size in sizes.items() if name.startswith("backbone")} == {12}
    assert {size for name, size in sizes.items() if name.startswith("neck")} == {4}
    after = dataclasses.replace(recipe, rounds=1, tracklets=Frames(train=3, mean_of="unit"))
    encoder = finished(after, images, cpu).encoder
    assert {each.bn_group_size for each in encoder.modules() if isinstance(each, _Grouped)} == {12}


def test_known_identities_are_those_of_the_tracklets(walkers, cpu):
    images = tracked(walkers, 2)
    recipe = bottom_up(
        clusterer=KnownIdentities(),
        start_from_singletons=False,
        batches=IdentityBatches(4, 2, None, use_camera=True),
        tracklets=Frames(train=2),
    )
    last = finished(recipe, images, cpu)
    heads = group_tracklets(images).heads
    for label in range(last.clusters.count):
        assert len(np.unique(heads.identity[last.labels == label])) == 1
    assert last.clusters.count == len(np.unique(images.identity))


def test_a_broken_frame_leaves_its_tracklet_and_a_broken_tracklet_leaves_the_run(walkers, cpu, tmp_path):
    images = tracked(walkers, 3)
    (tmp_path / "broken.jpg").write_bytes(b"")
    units = group_tracklets(images)
    paths = images.paths.astype(object)
    paths[units.frames_of(0)[0]] = str(tmp_path / "broken.jpg")
    paths[units.frames_of(2)] = str(tmp_path / "broken.jpg")
    some = dataclasses.replace(images, paths=paths.astype(str))
    last = finished(bottom_up(tracklets=Frames(train=2)), some, cpu, on_error="skip")
    assert len(last.labels) == len(units) - 1
    assert last.tracklets.lengths[0] == units.lengths[0] - 1


def test_tracks_with_two_identities_end_in_a_sentence_before_anything_is_decoded(walkers, cpu):
    images = dataclasses.replace(walkers, track=np.zeros(len(walkers), np.int64))
    with pytest.raises(InputError, match="one track have different identities"):
        finished(bottom_up(tracklets=Frames()), images, cpu)
    finished(bottom_up(rounds=1), images, cpu)  # a recipe for images does not look at tracks


def test_a_run_folder_remembers_its_tracklets(walkers, cpu, tmp_path):
    images = tracked(walkers, 3)
    recipe = bottom_up(tracklets=Frames(train=2, test=50, mean_of="unit"), rounds=1)
    assert load_recipe(repr(recipe)) == recipe
    run = Run.create(tmp_path / "run", recipe, seed=0, data="x", facts={"path": "", "name": "bottom_up"})
    run.save(finished(recipe, images, cpu), {})
    assert Run.open(tmp_path / "run").tracklets == recipe.tracklets
    units = training_units(run, images.take(np.arange(len(images))[::-1]))
    expected = group_tracklets(images)
    assert units.heads.identity.tolist() == expected.heads.identity.tolist()
    assert units.lengths.tolist() == expected.lengths.tolist()
    assert set_field(recipe, "tracklets.train", "5").tracklets == Frames(5, 50, "unit")


def test_video_recipes_are_the_image_recipes_with_the_settings_for_video():
    for video, image in ((recipes.buc_video(), recipes.buc()), (recipes.dbc_video(), recipes.dbc())):
        assert video.tracklets == Frames(train=16, test=900, mean_of="pooled")
        assert video.encoder.frozen == ("conv1", "bn1", "layer1", "layer2")
        assert (video.first_epochs, video.epochs, video.rounds) == (20, 5, 19)
        assert [video.optimizer.rate(epoch) for epoch in (0, 15, 16, 20 + 18 * 5 - 1)] == pytest.approx(
            [0.01, 0.01, 0.001, 0.001]
        )
        plain = dataclasses.replace(video, encoder=image.encoder, tracklets=None, epochs=2)
        assert plain == image
    video, image = recipes.cluster_contrast_video(), recipes.cluster_contrast()
    assert video.batches.identities * video.batches.images * video.tracklets.train == 256
    assert video.bn_group_size * video.tracklets.train == image.bn_group_size
    changed = dataclasses.replace(video, tracklets=None, batches=image.batches, bn_group_size=64)
    assert changed == image
