"""Cluster Contrast (Dai et al. 2021, arXiv 2103.11568): unsupervised, clusters of all images and a memory of them."""

from __future__ import annotations

from dataclasses import replace

from reunite.cluster import InfomapClustering, JaccardDBSCAN
from reunite.images.tracklets import Frames
from reunite.images.transforms import Affine, Erase, Flip, PadCrop
from reunite.losses import ClusterMemory
from reunite.model import EncoderSpec
from reunite.train import Adam, IdentityBatches, Recipe


def cluster_contrast() -> Recipe:
    """Cluster Contrast as published, DBSCAN variant. docs/methods/cluster_contrast.md

    Published (ResNet-50, ImageNet weights, 4 GPUs; mAP / rank-1, step AP): Market-1501 82.1 / 92.3, MSMT17 27.6 / 56.0,
    VeRi-776 40.3 / 84.6 (there with image_size (224, 224) and 400 iterations).

    Batch norm works on groups of 64 images because the authors' four GPUs did; with 256 on one GPU users of their code got
    63 mAP on Market-1501. The sampler looks at camera numbers where there are any; ``batches.use_camera=False`` does not.

    Measured by us, small: mAP 88.7 on rendered walkers and 61.1 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.7 and 1.1 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    return Recipe(
        encoder=EncoderSpec("resnet50", image_size=(256, 128)),
        clusterer=JaccardDBSCAN(k1=30, k2=6, eps=0.6, min_samples=4),
        batches=IdentityBatches(identities=16, images=16, iterations=200),
        loss=ClusterMemory(temperature=0.05, momentum=0.1),
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, step=20),
        augmentations=(Flip(0.5), PadCrop(10), Erase(0.5)),
        rounds=50,
        bn_group_size=64,
    )


def cluster_contrast_infomap() -> Recipe:
    """Cluster Contrast as published, Infomap variant: the authors' best numbers. docs/methods/cluster_contrast.md

    Published (as above): Market-1501 83.0 / 92.9, MSMT17 31.2 / 61.5, VeRi-776 40.8 / 86.2. Needs ``reunite[infomap]``.

    Measured by us, small: mAP 89.2 on rendered walkers and 61.7 on omniglot, where the untrained network has 22.3 and 20.2,
    means of three seeds | conv4 from random weights, 0.7 and 1.1 CPU minutes | python -m benchmarks.methods. Not at full
    size yet.
    """
    return replace(cluster_contrast(), clusterer=InfomapClustering(k=15, min_similarity=0.5, min_cluster_size=5))


def cluster_contrast_video() -> Recipe:
    """Cluster Contrast on tracklets: a batch is 16 clusters x 4 tracklets x 4 frames. docs/methods/cluster_contrast.md

    Not published: the method is Dai et al.'s, the sizes are ours. Batches have as many images as the published ones, and
    batch norm sees 64 of them at a time, four clusters with all their frames. Frames are averaged before the neck.

    Measured by us, small: mAP 81.4 on tracklets of rendered walkers, where the untrained network has 22.8, means of three seeds
    | conv4 from random weights, 5 CPU minutes | python -m benchmarks.methods OUT --data tracks. Not at full size yet.
    """
    return replace(
        cluster_contrast(),
        batches=IdentityBatches(identities=16, images=4, iterations=200),
        bn_group_size=16,
        tracklets=Frames(train=4, test=900, mean_of="pooled"),
    )


def cluster_contrast_small() -> Recipe:
    """Cluster Contrast for small images, a CPU and no weights to start from: `conv4` at 48 x 48.

    mAP 71.6 (sd 0.2), rank-1 88.4 on the three alphabets of omniglot never trained on, mean of seeds 0 to 2; untrained 20.5
    | 4 to 6 minutes on 2 cores | reunite train cluster-contrast-small omniglot --seed 0
    """
    return replace(
        cluster_contrast(),
        encoder=EncoderSpec("conv4", pretrained=False, image_size=(48, 48), last_stride=2),
        clusterer=JaccardDBSCAN(k1=20, k2=6, eps=0.6, min_samples=4),
        batches=IdentityBatches(identities=16, images=8, iterations=60),
        optimizer=Adam(lr=1e-3, weight_decay=5e-4, step=15),
        augmentations=(Affine(rotation=10, translate=0.08, scale=(0.9, 1.1), shear=8),),
        rounds=20,
        bn_group_size=None,
    )
