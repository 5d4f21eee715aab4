"""Supervised recipes on the platform of the strong baseline (Luo et al. 2019): identity, triplet and Cluster Loss."""

from __future__ import annotations

from dataclasses import replace

from reunite.cluster import KnownIdentities
from reunite.images.transforms import Erase, Flip, PadCrop
from reunite.losses import BatchHardTripletLoss, ClusterLoss, IdentityLoss, WeightedSum
from reunite.model import EncoderSpec
from reunite.train import Adam, IdentityBatches, Recipe


def identity() -> Recipe:
    """Label-smoothed classification of identities after a batch norm neck. docs/methods/baselines.md

    ResNet-50 from ImageNet weights, 120 epochs of 200 batches of 16 identities x 4 images, Adam with warm-up. A round is ten
    epochs: images are embedded once a round.

    Measured by us, small: mAP 95.1 on rendered walkers and 69.8 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.7 and 1.1 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    return Recipe(
        encoder=EncoderSpec("resnet50", pooling="avg", neck="bn", image_size=(256, 128)),
        clusterer=KnownIdentities(),
        batches=IdentityBatches(identities=16, images=4, iterations=200, use_camera=False),
        loss=WeightedSum((IdentityLoss(label_smoothing=0.1),), (1.0,), ("embedding",)),
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, step=(40, 70), warmup=10),
        augmentations=(Flip(0.5), PadCrop(10), Erase(0.5)),
        rounds=12,
        epochs=10,
    )


def triplet() -> Recipe:
    """Batch-hard triplet loss before the neck and the identity loss after it. docs/methods/baselines.md

    The baseline that Cluster Loss is measured against. ``loss.weights=0,1`` leaves the triplet loss alone.

    Measured by us, small: mAP 93.1 on rendered walkers and 70.8 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.7 and 1.1 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    losses = (IdentityLoss(label_smoothing=0.1), BatchHardTripletLoss(margin=0.3))
    return replace(identity(), loss=WeightedSum(losses, (1.0, 1.0), ("embedding", "pooled")))


def cluster_loss() -> Recipe:
    """Cluster Loss (Alex et al. 2018) before the neck and the identity loss after it. docs/methods/cluster_loss.md

    The setting of the strong baseline's "cluster" mode; the paper's own recipe and numbers are not available to us.
    ``loss.weights=0,1`` leaves the Cluster Loss alone.

    Measured by us, small: mAP 92.5 on rendered walkers and 69.1 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.6 and 1.0 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    losses = (IdentityLoss(label_smoothing=0.1), ClusterLoss(margin=0.3))
    return replace(identity(), loss=WeightedSum(losses, (1.0, 1.0), ("embedding", "pooled")))
