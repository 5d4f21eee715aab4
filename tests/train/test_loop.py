"""The loop on rendered walkers, small enough for seconds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import sklearn.cluster
import torch
from accelerate import Accelerator
from torch import nn

from reunite import Recipe, render_walkers, train
from reunite.cluster import JaccardDBSCAN
from reunite.errors import ClusteringError, ImageError, InputError, TrainingError
from reunite.images.transforms import Flip, PadCrop
from reunite.losses import ClusterMemory
from reunite.model import EncoderSpec
from reunite.train import Adam, IdentityBatches
from reunite.types import Images


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    return render_walkers(tmp_path_factory.mktemp("walkers") / "data", identities=16, cameras=2, images=4, seed=0)


@pytest.fixture
def cpu():
    return Accelerator(cpu=True)


def tiny(**changes) -> Recipe:
    recipe = Recipe(
        encoder=EncoderSpec("conv4", pretrained=False, image_size=(32, 16), last_stride=2),
        clusterer=JaccardDBSCAN(k1=8, k2=3, eps=0.7, min_samples=3),
        batches=IdentityBatches(identities=4, images=4, iterations=4),
        loss=ClusterMemory(),
        optimizer=Adam(lr=1e-3, step=2),
        augmentations=(Flip(), PadCrop(2)),
        rounds=3,
        bn_group_size=8,
    )
    return dataclasses.replace(recipe, **changes)


def weights_of(encoder: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def run(recipe, images, cpu, seed=0, **options):
    return [(each, weights_of(each.encoder)) for each in train(recipe, images, seed=seed, accelerator=cpu, **options)]


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_rounds_tell_what_happened(walkers, cpu):
    rounds = [each for each, _ in run(tiny(), walkers.train, cpu)]
    assert [each.number for each in rounds] == [0, 1, 2]
    for each in rounds:
        assert each.labels.shape == (len(walkers.train),)
        assert each.clusters.count >= 2
        assert np.isfinite(each.loss)
        assert set(each.seconds) == {"embed", "cluster", "train"}
        np.testing.assert_allclose(np.linalg.norm(each.embeddings, axis=1), 1, atol=1e-5)
    assert [each.learning_rate for each in rounds] == [1e-3, 1e-3, pytest.approx(1e-4)]


def test_same_seed_same_weights_and_labels_other_seed_others(walkers, cpu):
    first, second, other = (
        run(tiny(), walkers.train, cpu),
        run(tiny(), walkers.train, cpu),
        run(tiny(), walkers.train, cpu, 1),
    )
    for (one, weights), (two, again) in zip(first, second, strict=True):
        assert np.array_equal(one.labels, two.labels)
        assert same(weights, again)
        assert one.loss == two.loss
    assert not same(first[-1][1], other[-1][1])


def test_the_callers_random_numbers_are_left_alone(walkers, cpu):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for _ in train(tiny(rounds=1), walkers.train, seed=0, accelerator=cpu):
        pass
    assert torch.equal(torch.rand(3), expected)


def test_resuming_after_any_round_ends_in_the_same_place(walkers, cpu):
    whole = run(tiny(), walkers.train, cpu)
    for stop in (0, 1):
        for each in train(tiny(), walkers.train, seed=0, accelerator=cpu):
            if each.number == stop:
                checkpoint = each.checkpoint()
                break
        rest = run(tiny(), walkers.train, cpu, resume=checkpoint)
        assert [each.number for each, _ in rest] == list(range(stop + 1, 3))
        assert same(rest[-1][1], whole[-1][1])
        assert np.array_equal(rest[-1][0].labels, whole[-1][0].labels)


def test_the_recipe_is_not_changed(walkers, cpu):
    recipe = tiny(rounds=1)
    run(recipe, walkers.train, cpu)
    assert len(recipe.loss.memory) == 0
    assert recipe == tiny(rounds=1)


def test_the_memory_moves_in_the_open_once_a_step(walkers, cpu):
    calls = []

    class Watched(ClusterMemory):
        def begin(self, centroids):
            calls.append("begin")
            super().begin(centroids)

        def forward(self, embeddings, labels):
            calls.append("loss")
            return super().forward(embeddings, labels)

        def update(self, embeddings, labels):
            assert not embeddings.requires_grad
            calls.append("update")
            super().update(embeddings, labels)

    run(tiny(rounds=2, loss=Watched()), walkers.train, cpu)
    assert calls == (["begin"] + ["loss", "update"] * 4) * 2


def test_clusterers_and_losses_from_elsewhere_run_unchanged(walkers, cpu):
    class PairLoss(nn.Module):
        def forward(self, embeddings, labels):
            same_label = (labels[:, None] == labels[None, :]).float()
            return ((embeddings @ embeddings.T - same_label) ** 2).mean()

    recipe = tiny(rounds=1, clusterer=sklearn.cluster.KMeans(6, n_init=1, random_state=0), loss=PairLoss())
    (only, _) = run(recipe, walkers.train, cpu)[0]
    assert only.clusters.count == 6


class Fixed:
    """A clusterer that answers what it was told to."""

    def __init__(self, labels):
        self.labels = labels

    def fit_predict(self, X, y=None):
        return np.resize(self.labels, len(X))


@pytest.mark.parametrize(("labels", "words"), [([-1], "every image is noise"), ([0], "one cluster")])
def test_nothing_to_learn_from_is_a_sentence(walkers, cpu, labels, words):
    with pytest.raises(ClusteringError, match=words):
        run(tiny(clusterer=Fixed(labels)), walkers.train, cpu)


def test_fewer_clusters_than_identities_in_a_batch_train_anyway(walkers, cpu):
    (only, _) = run(tiny(rounds=1, clusterer=Fixed([0, 1, -1])), walkers.train, cpu)[0]
    assert only.clusters.count == 2
    assert only.clusters.noise > 0


def test_a_learning_rate_that_explodes_is_a_sentence(walkers, cpu):
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        run(tiny(optimizer=Adam(lr=1e30), loss=ClusterMemory()), walkers.train, cpu)


def test_duplicates_of_one_image_and_a_single_image_are_a_sentence(walkers, cpu):
    one = walkers.train.take(np.array([0]))
    with pytest.raises(ClusteringError, match="noise"):
        run(tiny(), one, cpu)
    with pytest.raises(ClusteringError, match="one cluster"):
        run(tiny(), walkers.train.take(np.zeros(30, dtype=int)), cpu)


def test_broken_images_are_named_or_left_out(walkers, cpu, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"")
    paths = [*walkers.train.paths.tolist(), str(tmp_path / "broken.jpg")]
    images = Images.of(paths)
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        run(tiny(rounds=1), images, cpu)
    (only, _) = run(tiny(rounds=1), images, cpu, on_error="skip")[0]
    assert [each.path for each in only.broken] == [paths[-1]]
    assert len(only.labels) == len(only.images) == len(paths) - 1


def test_an_image_alone_in_its_batch_norm_group_is_a_sentence(walkers, cpu):
    batches = IdentityBatches(identities=3, images=3, iterations=1)
    with pytest.raises(InputError, match="alone"):
        run(tiny(rounds=1, batches=batches, bn_group_size=4), walkers.train, cpu)


def test_progress_is_told_to_the_end(walkers, cpu):
    told = {}
    run(tiny(rounds=1), walkers.train, cpu, progress=lambda stage, done, total: told.__setitem__(stage, (done, total)))
    assert told["train"] == (4, 4)
    assert told["decode"] == told["embed"] == (len(walkers.train),) * 2
