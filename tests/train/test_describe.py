from __future__ import annotations

import dataclasses

import pytest
import sklearn.cluster

from reunite import recipes
from reunite.cluster import JaccardDBSCAN
from reunite.errors import InputError
from reunite.images.transforms import Erase, Flip
from reunite.losses import ClusterMemory
from reunite.model import EncoderSpec
from reunite.recipes import cluster_contrast
from reunite.train import Adam, IdentityBatches, load_recipe
from reunite.train.describe import describe, set_field
from reunite.train.recipe import Recipe

NAMES = {
    each.__name__: each
    for each in (Recipe, EncoderSpec, JaccardDBSCAN, IdentityBatches, ClusterMemory, Adam, Flip, Erase)
}


def test_the_text_of_a_recipe_builds_it_again():
    from reunite.images import transforms

    recipe = cluster_contrast()
    again = eval(repr(recipe), {**vars(transforms), **NAMES, "__builtins__": {}})
    assert again == recipe
    assert repr(again) == repr(recipe)


def test_an_estimator_from_elsewhere_is_written_with_its_module():
    recipe = dataclasses.replace(cluster_contrast(), clusterer=sklearn.cluster.HDBSCAN(min_cluster_size=4))
    assert "clusterer=sklearn.cluster._hdbscan.hdbscan.HDBSCAN(" in repr(recipe)
    assert "min_cluster_size=4" in repr(recipe)
    assert recipe != cluster_contrast()


def test_recipes_compare_by_their_parts():
    assert cluster_contrast() == cluster_contrast()
    assert hash(cluster_contrast()) == hash(cluster_contrast())
    assert dataclasses.replace(cluster_contrast(), rounds=3) != cluster_contrast()


@pytest.mark.parametrize(
    ("path", "text", "reach"),
    [
        ("rounds", "7", lambda recipe: recipe.rounds == 7),
        ("clusterer.eps", "0.5", lambda recipe: recipe.clusterer.eps == 0.5),
        ("clusterer.eps", "1", lambda recipe: recipe.clusterer.eps == 1.0),
        ("batches.use_camera", "False", lambda recipe: recipe.batches.use_camera is False),
        ("loss.update", "hard", lambda recipe: recipe.loss.update_rule == "hard"),
        ("encoder.image_size", "(64, 32)", lambda recipe: recipe.encoder.image_size == (64, 32)),
        ("encoder.image_size", "64,32", lambda recipe: recipe.encoder.image_size == (64, 32)),
        ("encoder.backbone", "resnet18", lambda recipe: recipe.encoder.backbone == "resnet18"),
        ("encoder.weights", "some/file.pth", lambda recipe: recipe.encoder.weights == "some/file.pth"),
        ("optimizer.step", "None", lambda recipe: recipe.optimizer.step is None),
        ("bn_group_size", "None", lambda recipe: recipe.bn_group_size is None),
        ("augmentations.0.probability", "0.1", lambda recipe: recipe.augmentations[0].probability == 0.1),
        ("augmentations", "()", lambda recipe: recipe.augmentations == ()),
    ],
)
def test_every_field_can_be_set(path, text, reach):
    recipe = cluster_contrast()
    assert reach(set_field(recipe, path, text))
    assert recipe == cluster_contrast(), "the recipe itself is not changed"


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("steps", "7", "has no field 'steps'; it has encoder, clusterer"),
        ("clusterer.epz", "7", "Did you mean 'eps'"),
        ("rounds.more", "7", "no fields of its own"),
        ("rounds", "many", "not of that kind"),
        ("rounds", "0", "at least 1"),
        ("optimizer.lr", "-1", "lr > 0"),
        ("augmentations.9", "1", "has no field '9'"),
        ("optimizer.lr", "(1, 2)", "not of that kind"),
        ("optimizer.lr", "None", "does not take lr=None"),
        ("encoder.image_size", "64", "not of that kind"),
        ("batches.use_camera", "1", "not of that kind"),
    ],
)
def test_a_miss_names_what_there_is(path, text, words):
    with pytest.raises(InputError, match=words):
        set_field(cluster_contrast(), path, text)


@pytest.mark.parametrize(
    ("name", "path", "text", "reach"),
    [
        ("dbc", "clusterer.criterion.weight", "0.2", lambda recipe: recipe.clusterer.criterion.weight == 0.2),
        ("dbc", "clusterer.merge_rule", "skip_absorbed", lambda recipe: recipe.clusterer.merge_rule == "skip_absorbed"),
        ("buc", "loss.start", "stale", lambda recipe: recipe.loss.start == "stale"),
        ("hct", "clusterer.linkage", "single", lambda recipe: recipe.clusterer.linkage == "single"),
        ("hct", "optimizer.step", "(10,20)", lambda recipe: recipe.optimizer.step == (10, 20)),
        ("cluster_contrast", "optimizer.step", "(10,20)", lambda recipe: recipe.optimizer.step == (10, 20)),
        ("triplet", "loss.losses.1.margin", "soft", lambda recipe: recipe.loss.losses[1].margin == "soft"),
        ("triplet", "loss.weights", "0,1", lambda recipe: recipe.loss.weights == (0, 1)),
        (
            "identity",
            "encoder.frozen",
            "('conv1','layer1')",
            lambda recipe: recipe.encoder.frozen == ("conv1", "layer1"),
        ),
        ("identity", "batches.iterations", "None", lambda recipe: recipe.batches.iterations is None),
    ],
)
def test_fields_of_every_method_can_be_set(name, path, text, reach):
    recipe = getattr(recipes, name)()
    changed = set_field(recipe, path, text)
    assert reach(changed)
    assert changed != recipe
    assert load_recipe(repr(changed)) == changed


def test_fields_of_parts_without_annotations_take_what_their_value_suggests():
    recipe = dataclasses.replace(cluster_contrast(), clusterer=sklearn.cluster.KMeans(8))
    assert set_field(recipe, "clusterer.n_clusters", "9").clusterer.n_clusters == 9
    assert set_field(recipe, "clusterer.n_init", "3").clusterer.n_init == 3
    assert set_field(recipe, "clusterer.random_state", "0").clusterer.random_state == 0
    assert set_field(recipe, "clusterer.tol", "1").clusterer.tol == 1.0
    with pytest.raises(InputError, match="n_clusters is 8"):
        set_field(recipe, "clusterer.n_clusters", "many")


def test_describe_keeps_plain_values_as_they_are():
    assert describe((1, "a")) == "(1, 'a')"
    assert describe(Flip(0.25)).replace("\n", "").replace(" ", "") == "Flip(probability=0.25,)"
