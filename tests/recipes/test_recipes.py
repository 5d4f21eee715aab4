"""Every recipe has the settings of its source, and runs: small, but with all its parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from accelerate import Accelerator

from reunite import recipes, render_walkers, train
from reunite.cluster import InfomapClustering
from reunite.train import Adam, IdentityBatches, ShuffledBatches
from reunite.train.describe import set_field
from reunite.train.loop import untrained


def names(parts) -> list[str]:
    return [type(each).__name__ for each in parts]


def test_buc_and_dbc_have_the_settings_of_their_program():
    for recipe in (recipes.buc(), recipes.dbc()):
        encoder, optimizer = recipe.encoder, recipe.optimizer
        assert (encoder.backbone, encoder.pooling, encoder.neck, encoder.last_stride) == (
            "resnet50",
            "avg",
            "linear",
            2,
        )
        assert (encoder.embedding_size, encoder.dropout, encoder.test_feature) == (2048, 0.5, "pooled")
        assert names(recipe.augmentations) == ["RandomSizedCrop", "Flip"]
        assert (recipe.batches.images, recipe.loss.temperature, recipe.loss.momentum) == (16, 0.1, 0.5)
        assert recipe.clusterer.merge_percent == 0.05
        assert (recipe.rounds, recipe.first_epochs, recipe.epochs) == (19, 20, 2)
        assert recipe.start_from_singletons and recipe.fresh_optimizer
        assert (optimizer.momentum, optimizer.nesterov, optimizer.weight_decay) == (0.9, True, 5e-4)
        # 0.1 for new layers and 0.01 for the backbone, a tenth from epoch 16 on and in all later rounds
        first, later = recipe.epochs_of(0), recipe.epochs_of(18)
        assert (len(first), len(later), later.stop) == (20, 2, 20 + 18 * 2)
        assert [optimizer.rate(epoch) for epoch in (0, 15, 16, later[0])] == pytest.approx([0.01, 0.01, 1e-3, 1e-3])
        assert optimizer.head_factor == 10
    assert recipes.buc().clusterer.criterion.size_penalty == 0.003
    assert recipes.buc().loss.start == "zeros"
    assert recipes.dbc().clusterer.criterion.weight == 0.1
    assert recipes.dbc().loss.start == "centroids"


def test_hct_has_the_settings_of_its_witnesses():
    recipe = recipes.hct()
    clusterer, batches = recipe.clusterer, recipe.batches
    assert (clusterer.merge_percent, clusterer.steps, clusterer.linkage, clusterer.metric) == (
        0.07,
        13,
        "average",
        "euclidean",
    )
    assert (batches.identities, batches.images, batches.iterations, batches.use_camera) == (16, 4, None, False)
    assert (recipe.loss.margin, recipe.epochs) == (0.5, 20)
    assert (recipe.encoder.neck, recipe.encoder.dropout, recipe.encoder.test_feature) == ("linear", 0.5, "pooled")
    assert not recipe.start_from_singletons


def test_the_supervised_recipes_stand_on_the_strong_baseline():
    for name in ("identity", "triplet", "cluster_loss"):
        recipe = getattr(recipes, name)()
        assert (recipe.encoder.pooling, recipe.encoder.neck, recipe.encoder.last_stride) == ("avg", "bn", 1)
        assert (recipe.batches.identities, recipe.batches.images) == (16, 4)
        assert names(recipe.augmentations) == ["Flip", "PadCrop", "Erase"]
        assert [recipe.optimizer.rate(epoch) for epoch in (0, 10, 40, 70)] == pytest.approx(
            [3.5e-6, 3.5e-4, 3.5e-5, 3.5e-6]
        )
        assert recipe.epochs_of(recipe.rounds - 1).stop == 120
        assert recipe.loss.features[0] == "embedding" and set(recipe.loss.features[1:]) <= {"pooled"}
        assert recipe.loss.losses[0].label_smoothing == 0.1
    assert recipes.triplet().loss.losses[1].margin == 0.3
    assert names(recipes.cluster_loss().loss.losses) == ["IdentityLoss", "ClusterLoss"]
    assert set_field(recipes.cluster_loss(), "loss.weights", "0,1").loss.weights == (0, 1)
    assert set_field(recipes.cluster_loss(), "loss.losses.1.margin", "1").loss.losses[1].margin == 1.0


def test_support_neighbor_has_the_settings_of_its_program():
    recipe = recipes.support_neighbor()
    loss, batches, optimizer = recipe.loss, recipe.batches, recipe.optimizer
    assert (loss.neighbors, loss.alpha, loss.weight, loss.squeeze) == (10, 50.0, 0.1, "range_all")
    assert (batches.identities, batches.images, batches.iterations) == (25, 4, None)
    assert (recipe.encoder.pooling, recipe.encoder.neck, recipe.encoder.mean) == ("avg", "none", (0.486, 0.459, 0.408))
    assert names(recipe.augmentations) == ["Flip"]
    assert recipe.epochs_of(recipe.rounds - 1).stop == 800
    assert [optimizer.rate(epoch) for epoch in (0, 74, 799)] == pytest.approx([5e-5, 5e-5, 5e-8])


def test_the_infomap_variant_changes_the_clusterer_alone():
    recipe = recipes.cluster_contrast_infomap()
    assert isinstance(recipe.clusterer, InfomapClustering)
    assert (recipe.clusterer.k, recipe.clusterer.min_similarity, recipe.clusterer.min_cluster_size) == (15, 0.5, 5)
    assert dataclasses.replace(recipe, clusterer=recipes.cluster_contrast().clusterer) == recipes.cluster_contrast()


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    return render_walkers(tmp_path_factory.mktemp("walkers") / "data", identities=24, cameras=2, images=4, seed=0)


def tiny(name: str):
    """The recipe with everything but its size."""
    recipe = getattr(recipes, name)()
    settings = {
        "encoder.backbone": "conv4",
        "encoder.pretrained": "False",
        "encoder.image_size": "(32, 16)",
        "encoder.last_stride": "2",
        "rounds": "2",
        "epochs": "1",
        "bn_group_size": "None",
        "encoder.frozen": "()",
    }
    if recipe.encoder.embedding_size is not None:
        settings["encoder.embedding_size"] = "32"
    if recipe.first_epochs is not None:
        settings["first_epochs"] = "2"
    if isinstance(recipe.batches, IdentityBatches):
        settings |= {"batches.identities": "4", "batches.images": "4"}
        if recipe.batches.iterations is not None:
            settings["batches.iterations"] = "4"
    if name in ("cluster_contrast", "cluster_contrast_small", "cluster_contrast_video"):
        settings |= {"clusterer.k1": "8", "clusterer.k2": "3", "clusterer.eps": "0.7", "clusterer.min_samples": "3"}
    if name == "cluster_contrast_infomap":
        settings |= {"clusterer.k": "5", "clusterer.min_similarity": "0.9", "clusterer.min_cluster_size": "2"}
    for path, text in settings.items():
        recipe = set_field(recipe, path, text)
    return recipe


@pytest.mark.parametrize("name", recipes.__all__)
def test_every_recipe_runs_repeats_and_moves_its_network(name, walkers):
    if name == "cluster_contrast_infomap":
        pytest.importorskip("infomap", reason="needs the optional extra reunite[infomap]")
    recipe = tiny(name)
    start = untrained(recipe).state_dict()
    finished = []
    for _ in range(2):
        *_, last = train(recipe, walkers.train, seed=0, accelerator=Accelerator(cpu=True))
        assert last.number == 1
        assert np.isfinite(last.loss)
        finished.append({key: value.clone() for key, value in last.encoder.state_dict().items()})
    assert all((finished[0][key] == finished[1][key]).all() for key in start)
    moved = [key for key in start if key.endswith("weight") and not (start[key] == finished[0][key]).all()]
    assert moved
    if isinstance(recipe.batches, ShuffledBatches):
        n = len(walkers.train)
        assert last.clusters.count == n - int(0.05 * n)
    assert isinstance(recipe.optimizer, Adam) or recipe.optimizer.momentum == 0.9
