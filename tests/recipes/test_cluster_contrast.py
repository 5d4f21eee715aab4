"""The published settings, and the small recipe on rendered walkers against its own start."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from accelerate import Accelerator

from reunite import embed, render_walkers, train
from reunite.evaluate.protocol import retrieval_test, score_test
from reunite.recipes import cluster_contrast, cluster_contrast_small
from reunite.train import Adam, IdentityBatches
from reunite.train.loop import untrained


def test_cluster_contrast_has_the_authors_settings():
    recipe = cluster_contrast()
    clusterer, batches, loss, optimizer = recipe.clusterer, recipe.batches, recipe.loss, recipe.optimizer
    assert (clusterer.k1, clusterer.k2, clusterer.eps, clusterer.min_samples) == (30, 6, 0.6, 4)
    assert (batches.identities, batches.images, batches.iterations, batches.use_camera) == (16, 16, 200, True)
    assert (loss.temperature, loss.momentum, loss.update_rule) == (0.05, 0.1, "momentum")
    assert [optimizer.rate(round_) for round_ in (0, 19, 20, 40)] == pytest.approx([3.5e-4, 3.5e-4, 3.5e-5, 3.5e-6])
    assert optimizer.weight_decay == 5e-4
    assert (recipe.rounds, recipe.bn_group_size, recipe.bn_running) == (50, 64, "first")
    encoder = recipe.encoder
    assert (encoder.backbone, encoder.pooling, encoder.neck, encoder.last_stride) == ("resnet50", "gem", "bn", 1)
    assert encoder.image_size == (256, 128)
    names = [type(each).__name__ for each in recipe.augmentations]
    assert names == ["Flip", "PadCrop", "Erase"]


@pytest.mark.slow
def test_training_without_labels_finds_unseen_walkers_far_better_than_the_start(tmp_path):
    """Less than a minute of `reunite demo`; the margin asked for here is a third of what it reaches."""
    walkers = render_walkers(tmp_path / "walkers", identities=60, cameras=4, images=4, seed=1)
    small = cluster_contrast_small()
    recipe = dataclasses.replace(
        small,
        encoder=dataclasses.replace(small.encoder, image_size=(48, 24)),
        batches=IdentityBatches(identities=10, images=8, iterations=25),
        optimizer=Adam(lr=1e-3, step=None),
        rounds=5,
    )
    test = retrieval_test(walkers)

    def scored(encoder):
        return score_test(test, embed(encoder, test.images, progress=False)).mAP

    before = scored(untrained(recipe, seed=0))
    *_, last = train(recipe, walkers.train, seed=0, accelerator=Accelerator(cpu=True))
    assert np.isfinite(last.loss)
    assert scored(last.encoder) > before + 0.2
