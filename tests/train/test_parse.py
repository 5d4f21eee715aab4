"""What a recipe prints can be read back, and nothing else is ever done with the text."""

from __future__ import annotations

import dataclasses

import pytest
import sklearn.cluster
import torch
from torch import nn

from reunite import recipes
from reunite.errors import InputError
from reunite.losses import ClusterMemory, WeightedSum
from reunite.train import IdentityBatches, load_recipe


@pytest.mark.parametrize("name", recipes.__all__)
def test_every_recipe_prints_and_loads_back(name):
    recipe = getattr(recipes, name)()
    again = load_recipe(repr(recipe))
    assert again == recipe
    assert repr(again) == repr(recipe)
    assert max(map(len, repr(recipe).splitlines())) <= 120


@pytest.mark.parametrize(
    "clusterer",
    [sklearn.cluster.HDBSCAN(min_cluster_size=4), sklearn.cluster.KMeans(7, tol=1e-5), sklearn.cluster.DBSCAN(eps=0.3)],
)
def test_estimators_of_scikit_learn_load_back(clusterer):
    recipe = dataclasses.replace(recipes.cluster_contrast(), clusterer=clusterer)
    again = load_recipe(repr(recipe))
    assert again == recipe
    assert type(again.clusterer) is type(clusterer)


def test_losses_of_torch_and_of_pytorch_metric_learning_load_back():
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="pytorch-metric-learning is not installed")
    both = WeightedSum((losses.TripletMarginLoss(margin=0.3, swap=True), ClusterMemory()), (0.5, 1.0))
    recipe = dataclasses.replace(recipes.cluster_contrast(), loss=both)
    again = load_recipe(repr(recipe))
    assert again == recipe
    assert (again.loss.losses[0].margin, again.loss.losses[0].swap) == (0.3, True)
    recipe = dataclasses.replace(recipe, loss=nn.CosineEmbeddingLoss(margin=0.25))
    assert load_recipe(repr(recipe)).loss.margin == 0.25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Recipe(", "not the text of a recipe"),
        ("Flip(probability=0.5)", "starts with Recipe"),
        ("Recipe(rounds=__import__('os').getpid())", "Line 1"),
        ("Recipe(loss=os.system(command='true'))", "not trusted"),
        (
            "Recipe(loss=torch.hub.load(repo_or_dir='x', model='y'))",
            "neither a torch module nor a scikit-learn estimator",
        ),
        ("Recipe(loss=sklearn.cluster.Missing())", "there is no"),
        ("Recipe(rounds=[x for x in (1,)])", "neither a part nor a plain value"),
        ("Recipe(rounds=1 + 1)", "neither a part nor a plain value"),
        ("Recipe(*(1, 2))", "with their names"),
        ("Recipe(**{'rounds': 1})", "with their names"),
        ("Recipe(turns=3)", "cannot be built"),
        ("Recipe(loss=TripletLoss())", "has no part 'TripletLoss'; it has Adam"),
        ("Recipe(loss=(lambda: 1)())", "Reunite has no part"),
    ],
)
def test_anything_else_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        load_recipe(text)


def test_a_package_of_your_own_must_be_trusted_by_name():
    kind = type(
        "Mine", (nn.Module,), {"__module__": "reunite_test_package.parts", "forward": lambda self, x, y: x.sum()}
    )
    recipe = dataclasses.replace(recipes.cluster_contrast(), loss=kind())
    assert "loss=reunite_test_package.parts.Mine()" in repr(recipe)
    with pytest.raises(InputError, match=r"trust=\('reunite_test_package',\)"):
        load_recipe(repr(recipe))
    with pytest.raises(InputError, match="there is no"):
        load_recipe(repr(recipe), trust=("reunite_test_package",))


def test_infinities_are_values():
    recipe = dataclasses.replace(recipes.cluster_contrast(), loss=nn.MarginRankingLoss(margin=float("inf")))
    assert load_recipe(repr(recipe)).loss.margin == float("inf")


def test_a_loaded_recipe_shares_nothing_with_the_first():
    recipe = recipes.cluster_contrast()
    again = load_recipe(repr(recipe))
    again.loss.begin(torch.eye(3))
    assert len(recipe.loss.memory) == 0
    assert dataclasses.replace(again, batches=IdentityBatches(2, 2)) != recipe
