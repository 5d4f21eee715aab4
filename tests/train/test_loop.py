"""The loop on rendered walkers, small enough for seconds."""

from __future__ import annotations

import dataclasses
import itertools
import resource
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import sklearn.cluster
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from reunite import Recipe, render_walkers, train
from reunite.cluster import (
    AverageLinkage,
    BottomUp,
    Dispersion,
    InfomapClustering,
    JaccardDBSCAN,
    KnownIdentities,
    MinimumDistance,
)
from reunite.cluster.centroids import centroids
from reunite.errors import ClusteringError, ImageError, InputError, RunError, TrainingError
from reunite.images.transforms import Flip, PadCrop
from reunite.losses import (
    BatchHardTripletLoss,
    ClusterLoss,
    ClusterMemory,
    IdentityLoss,
    InstanceMemory,
    RepelledTable,
    WeightedSum,
)
from reunite.model import EncoderSpec
from reunite.train import SGD, Adam, IdentityBatches, ShuffledBatches
from reunite.train.loop import untrained
from reunite.types import Clusters, Images


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
        assert set(each.seconds) == {"embed", "cluster", "train", "data", "forward", "backward", "update", "keep"}
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


def test_known_identities_are_the_only_way_to_labels(walkers, cpu):
    supervised = tiny(rounds=2, clusterer=KnownIdentities())
    first, second = (each for each, _ in run(supervised, walkers.train, cpu))
    together = walkers.train.identity[:, None] == walkers.train.identity[None, :]
    for each in (first, second):
        assert np.array_equal(each.labels[:, None] == each.labels[None, :], together)
    unknown = dataclasses.replace(walkers.train, identity=np.full(len(walkers.train), -1))
    with pytest.raises(InputError, match="none of the images has one"):
        run(supervised, unknown, cpu)
    (blind,) = run(tiny(rounds=1), unknown, cpu)
    (seeing,) = run(tiny(rounds=1), walkers.train, cpu)
    assert same(blind[1], seeing[1]), "an unsupervised recipe never looks at identities"


def test_singletons_first_then_merges_of_the_round_before(walkers, cpu):
    recipe = tiny(
        clusterer=BottomUp(merge_percent=0.2),
        batches=ShuffledBatches(16),
        loss=RepelledTable(),
        start_from_singletons=True,
    )
    rounds = [each for each, _ in run(recipe, walkers.train, cpu)]
    n = len(walkers.train)
    assert rounds[0].labels.tolist() == list(range(n))
    assert [each.clusters.count for each in rounds] == [n - step * int(0.2 * n) for step in range(3)]
    for before, after in itertools.pairwise(rounds):
        for cluster in range(before.clusters.count):
            assert len(set(after.labels[before.labels == cluster])) == 1, "merges never split"


class Counting(nn.Module):
    """A loss that notes what the loop hands it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    seen: ClassVar[list] = []

    def begin(self, centroids, embeddings, labels, previous):
        self.seen.append(("begin", centroids.shape, embeddings.shape, labels.clone(), previous.clone()))

    def forward(self, embeddings, labels, rows, pooled, embedding):
        self.seen.append(("forward", embeddings.detach().clone(), labels, rows, pooled.detach(), embedding.detach()))
        return (embeddings**2 * self.scale).sum() + pooled.sum() * 0

    def update(self, embeddings, labels, host_labels, rows):
        self.seen.append(("update", embeddings, labels, host_labels, rows))


def test_a_loss_is_given_what_it_names(walkers, cpu):
    Counting.seen.clear()
    encoder = EncoderSpec(
        "conv4", False, image_size=(32, 16), last_stride=2, neck="linear", embedding_size=24, dropout=0.5,
        test_feature="pooled",
    )  # fmt: skip
    (only, _) = run(tiny(rounds=1, encoder=encoder, loss=Counting()), walkers.train, cpu)[0]
    begin, *steps = Counting.seen
    clusters, n = only.clusters.count, len(walkers.train)
    assert begin[1] == (clusters, 24), "memories live where the loss does, after the neck"
    assert begin[2] == (n, 24)
    assert only.embeddings.shape == (n, 256), "clusters are of the test feature, before the neck"
    assert np.array_equal(begin[3].numpy(), only.labels)
    assert begin[4].tolist() == list(range(n))
    assert [each[0] for each in steps] == ["forward", "update"] * 4
    for forward, update in zip(steps[::2], steps[1::2], strict=True):
        _, unit, labels, rows, pooled, embedding = forward
        assert np.array_equal(only.labels[rows.numpy()], labels.numpy())
        assert pooled.shape == (16, 256) and embedding.shape == unit.shape == (16, 24)
        dropped = unit == 0
        assert 0.3 < dropped.float().mean() < 0.7, "dropout is on, after the norm"
        expected = torch.nn.functional.normalize(embedding, dim=1) * 2
        torch.testing.assert_close(unit[~dropped], expected[~dropped])
        assert torch.equal(update[1], unit) and torch.equal(update[2], update[3]) and torch.equal(update[4], rows)


def test_epochs_of_a_round_and_their_learning_rates(walkers, cpu):
    given = []

    class Watched(Adam):
        def rate(self, epoch):
            given.append(epoch)
            return super().rate(epoch)

    recipe = tiny(rounds=2, epochs=2, first_epochs=3, optimizer=Watched(lr=1e-3, step=(3,)))
    assert [list(recipe.epochs_of(number)) for number in range(3)] == [[0, 1, 2], [3, 4], [5, 6]]
    rounds = [each for each, _ in run(recipe, walkers.train, cpu)]
    assert [each.learning_rate for each in rounds] == pytest.approx([1e-3, 1e-4])
    assert sorted(set(given)) == [0, 1, 2, 3, 4]


def test_a_fresh_optimizer_forgets(walkers, cpu):
    for fresh in (False, True):
        steps = [
            max(int(state["step"]) for state in each.optimizer.state.values())
            for each in train(tiny(rounds=2, fresh_optimizer=fresh), walkers.train, seed=0, accelerator=cpu)
        ]
        assert steps == ([4, 4] if fresh else [4, 8])


def test_a_classifier_is_made_when_the_identities_are_known_and_lives_as_long_as_they_do(walkers, cpu):
    recipe = tiny(
        rounds=2,
        clusterer=KnownIdentities(),
        loss=WeightedSum((IdentityLoss(), BatchHardTripletLoss()), None, ("embedding", "pooled")),
    )
    identities = len(np.unique(walkers.train.identity))
    weights = []
    for each in train(recipe, walkers.train, seed=0, accelerator=cpu):
        weight = each.loss_module.losses[0].weight
        assert weight.shape == (identities, 256)
        assert any(weight is one for group in each.optimizer.param_groups for one in group["params"])
        assert int(each.optimizer.state[weight]["step"]) == 4 * (each.number + 1)
        weights.append(weight)
    assert weights[0] is weights[1]


def test_a_classifier_over_changing_clusters_is_made_anew_and_the_network_keeps_its_momentum(walkers, cpu):
    recipe = tiny(
        rounds=2, loss=IdentityLoss(), clusterer=BottomUp(merge_percent=0.3), batches=IdentityBatches(4, 4, 4)
    )
    rounds = []
    for each in train(recipe, walkers.train, seed=0, accelerator=cpu):
        trained = [one for group in each.optimizer.param_groups for one in group["params"]]
        assert any(each.loss_module.weight is one for one in trained)
        rounds.append((each.loss_module.weight.shape[0], {int(each.optimizer.state[one]["step"]) for one in trained}))
    assert rounds == [(len(walkers.train) - int(0.3 * len(walkers.train)), {4}), (rounds[1][0], {4, 8})]


@pytest.mark.parametrize(
    "changes",
    [
        {"clusterer": KnownIdentities(), "loss": WeightedSum((IdentityLoss(), ClusterLoss()), None, ("embedding", "pooled"))},
        {"clusterer": BottomUp(merge_percent=0.2), "loss": RepelledTable(), "batches": ShuffledBatches(16),
         "start_from_singletons": True, "fresh_optimizer": True, "optimizer": SGD(lr=0.01, head_factor=10.0)},
        {"clusterer": AverageLinkage(0.1, 6), "loss": BatchHardTripletLoss("soft"), "epochs": 2,
         "batches": IdentityBatches(4, 4, None)},
        {"loss": InstanceMemory()},
    ],
    ids=["supervised", "bottom-up", "hierarchy", "instances"],
)  # fmt: skip
def test_every_kind_of_method_resumes_where_it_would_have_been(walkers, cpu, changes):
    recipe = tiny(**changes)
    whole = run(recipe, walkers.train, cpu)
    for each in train(recipe, walkers.train, seed=0, accelerator=cpu):
        if each.number == 1:
            checkpoint = each.checkpoint()
            break
    ((last, weights),) = run(recipe, walkers.train, cpu, resume=checkpoint)
    assert np.array_equal(last.labels, whole[-1][0].labels)
    assert same(weights, whole[-1][1])
    assert last.loss == whole[-1][0].loss


def test_frozen_parts_stay_as_they_are(walkers, cpu):
    encoder = EncoderSpec("conv4", False, image_size=(32, 16), last_stride=2, frozen=("blocks.0", "blocks.2"))
    recipe = tiny(rounds=1, encoder=encoder)
    start = weights_of(untrained(recipe))
    ((_, after),) = run(recipe, walkers.train, cpu)
    frozen = [name for name in start if name.startswith(("backbone.blocks.0.", "backbone.blocks.2."))]
    assert len(frozen) == 6, "a convolution, and a norm with its statistics"
    assert all(torch.equal(start[name], after[name]) for name in frozen)
    assert not torch.equal(start["backbone.blocks.4.weight"], after["backbone.blocks.4.weight"])


def test_losses_of_pytorch_metric_learning_train_in_this_loop(walkers, cpu):
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="pytorch-metric-learning is not installed")
    for loss in (
        losses.TripletMarginLoss(),
        losses.NTXentLoss(),
        losses.CircleLoss(),
        losses.ProxyAnchorLoss(num_classes=len(np.unique(walkers.train.identity)), embedding_size=256),
    ):
        recipe = tiny(rounds=1, clusterer=KnownIdentities(), loss=loss)
        start = weights_of(untrained(recipe))
        ((only, after),) = run(recipe, walkers.train, cpu)
        assert np.isfinite(only.loss)
        assert not same(start, after)
        proxies = list(only.loss_module.parameters())
        trained = {each for group in only.optimizer.param_groups for each in group["params"]}
        assert set(proxies) <= trained, "parameters of a loss are trained with the head"


@pytest.mark.parametrize(
    "clusterer",
    [
        sklearn.cluster.HDBSCAN(min_cluster_size=3, copy=True),
        sklearn.cluster.KMeans(6, n_init=1, random_state=0),
        sklearn.cluster.AgglomerativeClustering(6),
    ],
    ids=lambda part: type(part).__name__,
)
def test_clusterers_of_scikit_learn_train_in_this_loop(walkers, cpu, clusterer):
    (only, _) = run(tiny(rounds=1, clusterer=clusterer), walkers.train, cpu)[0]
    assert only.clusters.count >= 2
    assert np.isfinite(only.loss)


@pytest.mark.parametrize("rule", ["buc", "dbc", "dbc as published", "stale"])
def test_the_order_of_the_images_does_not_matter_or_labels_leak(rule):
    """The leak detector: what a class's row of the table is at the start of a round, seen from its images.

    Images are stored by identity. A shuffle of the storage may not change which images are together, nor what row an image
    meets. It does change the rows of the published "stale" table, which is how true labels leak into it.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((30, 16)).repeat(6, axis=0) + 0.6 * rng.standard_normal((180, 16))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    clusterer = BottomUp(
        MinimumDistance() if rule == "buc" else Dispersion(), merge_rule=None if rule == "dbc as published" else "union"
    )
    start = "stale" if rule == "stale" else "centroids"

    def outcome(order):
        stored, labels = rows[order], np.arange(180)
        back = np.argsort(order)
        for _ in range(6):
            previous, labels = labels, Clusters.of(clusterer.fit_predict(stored, labels)).labels
        table = RepelledTable(start=start)
        table.begin(
            torch.from_numpy(centroids(stored, labels)), torch.from_numpy(stored), previous=torch.from_numpy(previous)
        )
        together = labels[:, None] == labels[None, :]
        return together[back][:, back], table.memory.numpy()[labels][back]

    plain, shuffled = outcome(np.arange(180)), outcome(rng.permutation(180))
    same_clusters = np.array_equal(plain[0], shuffled[0])
    same_rows = np.allclose(plain[1], shuffled[1], atol=1e-6)
    assert same_clusters == (rule != "dbc as published")
    assert same_rows == (rule in ("buc", "dbc"))


@pytest.mark.parametrize(
    "clusterer",
    [JaccardDBSCAN(eps=2.0), BottomUp(merge_percent=5), AverageLinkage(steps=0), InfomapClustering(k=0)],
    ids=lambda part: type(part).__name__,
)
def test_options_out_of_range_are_found_before_an_image_is_read(cpu, clusterer):
    nowhere = Images.of(["missing-1.jpg", "missing-2.jpg"])
    with pytest.raises(InputError, match=r"got (2\.0|5|0)\."):
        run(tiny(clusterer=clusterer), nowhere, cpu)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bn_running": "mean"},
        {"loss": WeightedSum((IdentityLoss(), BatchHardTripletLoss()), None, ("embedding", "pooled"))},
        {
            "loss": ClusterLoss(),
            "encoder": EncoderSpec("conv4", False, neck="none", image_size=(32, 16), last_stride=2),
        },
        {"encoder": EncoderSpec("conv4", False, dropout=0.5, image_size=(32, 16), last_stride=2)},
    ],
)
def test_a_batch_in_parts_is_the_whole_batch(walkers, cpu, changes):
    """For any loss, batch norm and dropout; steps are small, because rounding differs."""
    recipe = tiny(rounds=2, optimizer=SGD(lr=1e-5), clusterer=KnownIdentities(), **changes)
    whole = run(recipe, walkers.train, cpu)
    parts = run(recipe, walkers.train, cpu, accumulate=2)
    for (one, weights), (two, others) in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.losses, two.losses, atol=1e-5)
        for name in weights:
            torch.testing.assert_close(weights[name], others[name], atol=1e-5, rtol=1e-5, msg=name)
    start = untrained(recipe).state_dict()
    moved = max(
        float((weights[name].float() - start[name].float()).abs().max()) for name in weights if "blocks" in name
    )
    assert moved > 1e-4, "the weights have moved by more than they may differ"


def test_parts_need_batch_norm_groups(walkers, cpu):
    with pytest.raises(InputError, match="Set bn_group_size"):
        run(tiny(bn_group_size=None), walkers.train, cpu, accumulate=2)


class Drawing(ClusterMemory):
    """A loss that draws from PyTorch's own generator, and one of its own."""

    def forward(self, embeddings, labels):
        return super().forward(embeddings, labels) * (1 + 0.1 * torch.rand(()))


@pytest.mark.parametrize("loss", [Drawing(update="random"), WeightedSum((IdentityLoss(),), None, ("embedding",))])
def test_resuming_in_the_middle_of_a_round_ends_in_the_same_place(walkers, cpu, loss):
    dropout = EncoderSpec("conv4", pretrained=False, image_size=(32, 16), last_stride=2, dropout=0.3)
    recipe = tiny(loss=loss, encoder=dropout, clusterer=BottomUp(merge_percent=0.3), start_from_singletons=True)
    kept = []
    whole = run(recipe, walkers.train, cpu, keep=kept.append, keep_every=0)
    assert [(each.number, each.step) for each in kept] == [(number, step) for number in range(3) for step in range(5)]
    for checkpoint in kept:
        rest = run(recipe, walkers.train, cpu, resume=checkpoint)
        for (one, weights), (two, others) in zip(whole[checkpoint.number :], rest, strict=True):
            assert same(weights, others)
            assert np.array_equal(one.labels, two.labels) and np.array_equal(one.losses, two.losses)
            assert np.array_equal(one.embeddings, two.embeddings)
            assert same(weights_of(one.loss_module), weights_of(two.loss_module))


def test_a_checkpoint_of_something_else_is_refused_with_the_difference(walkers, cpu):
    kept = next(iter(train(tiny(), walkers.train, seed=0, accelerator=cpu))).checkpoint()
    fewer = walkers.train.take(np.arange(50))
    older = dataclasses.replace(kept, about={**kept.about, "version": "0.0.1"})
    for options, words in (
        ({"recipe": tiny(rounds=4)}, r"another recipe: it was 'rounds=3,', now it is 'rounds=4,'"),
        ({"images": fewer}, "another data"),
        ({"seed": 1}, "another seed: it was '0', now it is '1'"),
        ({"resume": older}, r"another version: it was '0\.0\.1'"),
    ):
        given = {"recipe": tiny(), "images": walkers.train, "seed": 0, "resume": kept, "accelerator": cpu, **options}
        with pytest.raises(RunError, match=words):
            next(iter(train(**given)))


def test_a_loss_that_is_no_number_stops_at_its_step(walkers, cpu):
    class Failing(ClusterMemory):
        calls = 0

        def forward(self, embeddings, labels):
            Failing.calls += 1
            return super().forward(embeddings, labels) * (torch.nan if Failing.calls == 7 else 1)

    kept = []
    with pytest.raises(TrainingError, match=r"Round 1, step 2: the loss is nan"):
        run(tiny(loss=Failing()), walkers.train, cpu, keep=kept.append, keep_every=0)
    assert (kept[-1].number, kept[-1].step) == (1, 2), "nothing is kept of the step that failed"


def test_an_image_that_is_lost_in_the_middle_of_a_run_is_left_out_and_named(walkers, cpu, tmp_path):
    paths = []
    for path in walkers.train.paths:
        paths.append(tmp_path / path.rsplit("/")[-1])
        paths[-1].write_bytes(Path(path).read_bytes())
    images = dataclasses.replace(walkers.train, paths=np.array(list(map(str, paths))))
    for on_error in ("skip", "raise"):
        rounds = train(tiny(), images, seed=0, accelerator=cpu, memory=0, on_error=on_error)
        first = next(rounds)
        assert not first.broken
        whole = paths[3].read_bytes()
        paths[3].write_bytes(b"")
        try:
            if on_error == "raise":
                with pytest.raises(ImageError, match="could be read before"):
                    list(rounds)
                continue
            for each in rounds:
                assert [broken.path for broken in each.broken] == [str(paths[3])]
                assert each.labels[3] == -1 and np.isnan(each.embeddings[3]).all()
                assert np.isfinite(np.delete(each.embeddings, 3, axis=0)).all() and np.isfinite(each.losses).all()
        finally:
            paths[3].write_bytes(whole)


def test_the_network_may_compute_in_bfloat16(walkers):
    AcceleratorState._reset_state(True)
    try:
        (only,) = train(
            tiny(rounds=1), walkers.train, seed=0, accelerator=Accelerator(cpu=True, mixed_precision="bf16")
        )
    finally:
        AcceleratorState._reset_state(True)
    assert only.embeddings.dtype == np.float32 and np.isfinite(only.losses).all()
    assert all(value.dtype != torch.bfloat16 for value in only.encoder.state_dict().values())


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc, which only Linux has")
def test_two_hundred_rounds_take_no_more_memory_than_twenty(walkers, cpu):
    """Resident memory at the end of rounds, in which nothing but the recipe's own parts is alive."""
    recipe = tiny(rounds=200, batches=IdentityBatches(identities=4, images=4, iterations=1))
    resident = []
    for _ in train(recipe, walkers.train, seed=0, accelerator=cpu):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * resource.getpagesize())
    assert max(resident[100:]) - max(resident[20:40]) < 20e6
