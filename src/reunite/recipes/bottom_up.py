"""BUC (Lin et al. 2019) and DBC (Ding et al. 2019): unsupervised, clusters merged bottom-up from single images."""

from __future__ import annotations

from dataclasses import replace

from reunite.cluster import BottomUp, Dispersion, MinimumDistance
from reunite.images.tracklets import Frames
from reunite.images.transforms import Flip, RandomSizedCrop
from reunite.losses import RepelledTable
from reunite.model import EncoderSpec
from reunite.train import SGD, Recipe, ShuffledBatches


def buc() -> Recipe:
    """Bottom-up clustering, with the correction its authors published: the table starts from zeros. docs/methods/buc.md

    Every image begins as its own class; after each round 5 % of the number of images are merged, 19 rounds in all.

    Published (ResNet-50, ImageNet weights, corrected code; rank-1 / mAP, trapezoid AP, best round): Market-1501 61.9 / 29.6,
    DukeMTMC-reID 40.4 / 22.1. The numbers first published (66.2 / 38.3 on Market-1501) came from a table that leaked labels.

    Measured by us, small: mAP 83.0 on rendered walkers and 60.0 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.7 and 1.2 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    return Recipe(
        encoder=EncoderSpec(
            "resnet50",
            pooling="avg",
            neck="linear",
            image_size=(256, 128),
            last_stride=2,
            embedding_size=2048,
            dropout=0.5,
            test_feature="pooled",
        ),
        clusterer=BottomUp(MinimumDistance(size_penalty=0.003), merge_percent=0.05),
        batches=ShuffledBatches(16),
        loss=RepelledTable(temperature=0.1, start="zeros"),
        optimizer=SGD(lr=0.01, head_factor=10.0, weight_decay=5e-4, step=(16,)),
        augmentations=(RandomSizedCrop(area=(0.64, 1.0), aspect=(2.0, 3.0)), Flip(0.5)),
        rounds=19,
        epochs=2,
        first_epochs=20,
        start_from_singletons=True,
        fresh_optimizer=True,
    )


def dbc() -> Recipe:
    """Dispersion-based clustering, with its penalty at work and no leak. docs/methods/dbc.md

    BUC with another criterion: the mean distance between two clusters, plus a penalty on how far each is spread.

    Published (ResNet-50, ImageNet weights; rank-1 / mAP, trapezoid AP): Market-1501 69.2 / 41.3, DukeMTMC-reID 51.5 / 30.0.
    The released code leaks labels through a stale table, and ranks pairs without the penalty; numbers without the leak are
    not published.

    Merges chain (merge_rule "union"), because the rule of the authors' code, "skip_absorbed", depends on the order in which
    images are stored; ``clusterer.merge_rule=skip_absorbed`` is theirs; try it where the network is weak (docs/results.md).

    Measured by us, small: mAP 84.5 on rendered walkers and 63.9 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.6 and 1.2 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    return replace(
        buc(),
        clusterer=BottomUp(Dispersion(weight=0.1), merge_percent=0.05, merge_rule="union"),
        loss=RepelledTable(temperature=0.1, start="centroids"),
    )


def buc_video() -> Recipe:
    """BUC on tracklets, as its authors ran it on MARS and DukeMTMC-VideoReID. docs/methods/buc.md

    Each tracklet begins as its own class. Sixteen frames of it, drawn at random and in order, are averaged before the neck;
    clustering and tests average all frames, up to 900. Later rounds have five epochs, and everything up to layer2 is frozen.

    Published (as `buc`, corrected code): MARS 55.1 / 29.4, DukeMTMC-VideoReID 74.8 / 66.7.

    Where we differ: batch norms of the frozen part all keep their statistics. The authors meant that too, but pick them by
    name and miss the two in its downsampling branches.

    Measured by us, small: mAP 80.1 on tracklets of rendered walkers, where the untrained network has 22.8, means of three seeds
    | conv4 from random weights, 4 CPU minutes | python -m benchmarks.methods OUT --data tracks. Not at full size yet.
    """
    return _on_tracklets(buc())


def dbc_video() -> Recipe:
    """DBC on tracklets: `buc_video` with the clusterer and the table of `dbc`. docs/methods/dbc.md

    Published (as `dbc`, with the leak): MARS 64.3 / 43.8, DukeMTMC-VideoReID 75.2 / 66.1. Users of the released code report
    mAP 34.7 and 47.9 to 63.

    Measured by us, small: mAP 78.9 on tracklets of rendered walkers, where the untrained network has 22.8, means of three seeds
    | conv4 from random weights, 5 CPU minutes | python -m benchmarks.methods OUT --data tracks. Not at full size yet.
    """
    return _on_tracklets(dbc())


def _on_tracklets(recipe: Recipe) -> Recipe:
    """A recipe for images with the authors' settings for video."""
    return replace(
        recipe,
        encoder=replace(recipe.encoder, frozen=("conv1", "bn1", "layer1", "layer2")),
        tracklets=Frames(train=16, test=900, mean_of="pooled"),
        epochs=5,
    )
