"""Support Neighbor loss (Li et al. 2018, arXiv 1808.06030): supervised."""

from __future__ import annotations

from reunite.cluster import KnownIdentities
from reunite.images.transforms import Flip
from reunite.losses import SupportNeighborLoss
from reunite.model import EncoderSpec
from reunite.train import Adam, IdentityBatches, Recipe


def support_neighbor() -> Recipe:
    """Support Neighbor loss as published. docs/methods/support_neighbor.md

    800 epochs that visit each identity once, 25 identities x 4 images a batch; a round is ten epochs. No neck, flips only.

    Published (ResNet-50, ImageNet weights; mAP / rank-1, trapezoid AP, single query): Market-1501 73.43 / 88.27. The released
    code optimises another squeeze term than its paper (``loss.squeeze=nearest``).

    Measured by us, small: mAP 90.8 on rendered walkers and 71.3 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.7 and 1.0 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    return Recipe(
        encoder=EncoderSpec(
            "resnet50",
            pooling="avg",
            neck="none",
            image_size=(256, 128),
            mean=(0.486, 0.459, 0.408),
            std=(0.229, 0.224, 0.225),
        ),
        clusterer=KnownIdentities(),
        batches=IdentityBatches(identities=25, images=4, iterations=None, use_camera=False),
        loss=SupportNeighborLoss(neighbors=10, alpha=50.0, weight=0.1, squeeze="range_all"),
        optimizer=Adam(lr=5e-5, weight_decay=5e-4, step=None, decay=(76, 800)),
        augmentations=(Flip(0.5),),
        rounds=80,
        epochs=10,
    )
