"""Adapting to a folder: a run that resumes, starts from the encoder asked for, and never sees an identity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from reunite import recipes, render_walkers
from reunite.cli.adapt import adapt, adapting_recipe
from reunite.cli.embed import every_image
from reunite.cli.encoders import encoder_of
from reunite.cli.options import recipe_of
from reunite.errors import ClusteringError, InputError, RunError
from reunite.images import read
from reunite.model import Encoder, EncoderSpec, embed
from reunite.train import IdentityBatches
from reunite.train.loop import untrained
from reunite.train.run import Run
from reunite.types import UNKNOWN

RECIPE = """
from dataclasses import replace
from reunite import recipes
from reunite.cluster import JaccardDBSCAN
from reunite.train import Adam, IdentityBatches


def small():
    return replace(
        recipes.cluster_contrast(),
        clusterer=JaccardDBSCAN(k1=8, k2=3, eps=0.6, min_samples=2),
        batches=IdentityBatches(4, 4, 200),
        optimizer=Adam(lr=1e-3),
        augmentations=(),
    )
"""


@pytest.fixture(scope="module")
def walkers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "walkers"
    render_walkers(folder, identities=8, cameras=2, images=3, size=(64, 32), seed=0)
    return every_image(read(folder))[0]


@pytest.fixture
def start(tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / "conv4.safetensors"
    save_file(Encoder("conv4", pretrained=False, image_size=(16, 8)).backbone.state_dict(), weights)
    return encoder_of("conv4", weights=weights, image_size=(16, 8))


@pytest.fixture
def adapted(tmp_path, start):
    """Adapts in `tmp_path/out`, by a small recipe unless told otherwise."""
    (tmp_path / "small.py").write_text(RECIPE)

    def run(images, rounds=2, **options):
        options = {"recipe": f"{tmp_path / 'small.py'}:small", "encoder": start, **options}
        return adapt(images=images, out=tmp_path / "out", rounds=rounds, accelerator=Accelerator(cpu=True), **options)

    return run


def test_adapts_resumes_and_is_found_again(walkers, adapted, start, tmp_path):
    found = adapted(walkers)
    run = Run.open(tmp_path / "out" / "adapted")
    assert len(run.history()) == 2
    assert found.mark != start.mark
    assert found.name == f"{start.name}, adapted in 2 rounds of {tmp_path / 'small.py'}:small"
    assert found.licence == start.licence
    assert not found.encoder.training
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["adapted"]
    newest = run.newest.stat().st_mtime_ns
    assert adapted(walkers).mark == found.mark
    assert run.newest.stat().st_mtime_ns == newest


def test_identities_are_never_seen(walkers, adapted, tmp_path):
    with_identities = adapted(walkers).mark
    assert "ari" not in Run.open(tmp_path / "out" / "adapted").history()[0]
    (tmp_path / "out").rename(tmp_path / "first")
    without = replace(walkers, identity=np.full(len(walkers), UNKNOWN))
    assert adapted(without).mark == with_identities


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not(walkers, adapted, tmp_path, monkeypatch):
    whole = adapted(walkers).mark
    (tmp_path / "out").rename(tmp_path / "first")
    save = Run.save

    def stops(run, round_, scores):
        save(run, round_, scores)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stops)
    with pytest.raises(KeyboardInterrupt):
        adapted(walkers)
    monkeypatch.setattr(Run, "save", save)
    assert len(Run.open(tmp_path / "out" / "adapted").history()) == 1
    assert adapted(walkers).mark == whole


def test_a_finished_run_serves_a_folder_that_grew(walkers, adapted, capsys):
    before = adapted(walkers.take(np.arange(40))).mark
    assert adapted(walkers).mark == before
    assert "adapted to the images there were then" in capsys.readouterr().out


def test_a_run_of_something_else_is_not_taken(walkers, adapted, start):
    adapted(walkers, rounds=1)
    with pytest.raises(RunError, match="adapted"):
        adapted(walkers, rounds=2)
    other = replace(start, encoder=start.encoder, mark="0" * 16)
    with pytest.raises(RunError, match="adapted"):
        adapted(walkers, rounds=1, encoder=other)


def test_unreadable_and_missing_images_do_not_stop_it(walkers, adapted, tmp_path):
    (tmp_path / "zero.jpg").write_bytes(b"")
    paths = np.append(walkers.paths, [str(tmp_path / "zero.jpg"), str(tmp_path / "gone.jpg")])
    columns = {name: np.append(getattr(walkers, name), [0, 0]) for name in ("identity", "camera", "track", "time")}
    adapted(replace(walkers, paths=paths, **columns), rounds=1)
    line = Run.open(tmp_path / "out" / "adapted").history()[0]
    assert (line["images"], line["broken"]) == (len(walkers), 1)


def test_training_starts_from_the_directions_of_the_encoder(walkers, start, tmp_path):
    for name in ("cluster-contrast", "dbc"):
        weights = tmp_path / f"{name}.safetensors"
        save_file(start.encoder.backbone.state_dict(), weights)
        recipe = adapting_recipe(recipe_of(name, []), start.encoder.spec, weights, 3, len(walkers))
        first = embed(untrained(recipe), walkers, progress=False)
        np.testing.assert_allclose(first, embed(start.encoder, walkers, progress=False), atol=1e-4)
        assert (recipe.rounds, recipe.encoder.image_size, recipe.encoder.pooling) == (3, (16, 8), "avg")
        assert recipe.encoder.neck == recipe_of(name, []).encoder.neck


@pytest.mark.parametrize(("images", "iterations"), [(1, 1), (64, 1), (65, 2), (960, 15), (12_936, 200), (10**6, 200)])
def test_a_round_sees_each_image_of_a_small_folder_four_times(tmp_path, images, iterations):
    spec = EncoderSpec("conv4", pretrained=False)
    recipe = adapting_recipe(recipes.cluster_contrast(), spec, tmp_path / "w", 1, images)
    assert recipe.batches == IdentityBatches(16, 16, iterations)
    assert adapting_recipe(recipes.hct(), spec, tmp_path / "w", 1, images).batches == recipes.hct().batches
    assert adapting_recipe(recipes.dbc(), spec, tmp_path / "w", 1, images).batches == recipes.dbc().batches


def test_recipes_that_do_not_fit_are_refused(walkers, adapted, tmp_path):
    for recipe, words in (
        ("triplet", "without labels"),
        ("dbc-video", "for images"),
        ("nothing", "No recipe is called"),
    ):
        with pytest.raises(InputError, match=words):
            adapted(walkers, recipe=recipe)
    with pytest.raises(InputError, match="at least 1; got 0"):
        adapted(walkers, rounds=0)
    assert not (tmp_path / "out").exists()


def test_too_few_images_end_in_a_sentence(walkers, adapted):
    with pytest.raises(ClusteringError, match="Or leave out --adapt"):
        adapted(walkers.take(np.arange(1)))
