"""The house rules run on all our parts and on parts from elsewhere, and each rule catches what it is for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.cluster
import torch
from torch import nn

import reunite
from reunite.testing import check_clusterer, check_loss

LOSSES = [
    reunite.BatchHardTripletLoss(0.3),
    reunite.BatchHardTripletLoss("soft"),
    reunite.ClusterLoss(),
    reunite.ClusterLoss(squared=True, reduction="sum", intra="mean", inter="mean"),
    reunite.SupportNeighborLoss(),
    reunite.SupportNeighborLoss(neighbors=3, alpha=5.0, squeeze="pair", support="topk"),
    *(reunite.ClusterMemory(update=update) for update in ("momentum", "hard", "mean", "random")),
    reunite.ClusterMemory(start="random"),
    reunite.InstanceMemory(),
    *(reunite.RepelledTable(start=start) for start in ("centroids", "zeros", "stale")),
    reunite.IdentityLoss(),
    reunite.WeightedSum((reunite.IdentityLoss(), reunite.ClusterLoss()), (1.0, 0.5), ("embedding", "pooled")),
    reunite.WeightedSum((reunite.ClusterMemory(), reunite.SupportNeighborLoss())),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_our_losses_keep_the_rules(loss):
    check_loss(loss)


@pytest.mark.parametrize(
    ("clusterer", "options"),
    [
        (reunite.JaccardDBSCAN(k1=8, k2=3, eps=0.6, min_samples=3), {}),
        (reunite.BottomUp(), {"merges": True}),
        (reunite.BottomUp(reunite.Dispersion(), merge_rule="union"), {"merges": True}),
        # Of two clusters the one with the lower label survives: the order of the rows matters by construction.
        (reunite.BottomUp(reunite.Dispersion()), {"merges": True, "order_free": False}),
        (reunite.AverageLinkage(), {}),
        (reunite.AverageLinkage(merge_mode="batch"), {}),
        (reunite.KnownIdentities(), {"merges": True}),
        (sklearn.cluster.HDBSCAN(min_cluster_size=4, copy=True), {}),
        (sklearn.cluster.KMeans(5, random_state=0, n_init=3), {"order_free": False}),
    ],
    ids=lambda part: type(part).__name__,
)
def test_clusterers_keep_the_rules(clusterer, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)  # KMeans on equal rows
        check_clusterer(clusterer, **options)


def test_infomap_keeps_the_rules():
    pytest.importorskip("infomap", reason="needs the optional extra reunite[infomap]")
    check_clusterer(reunite.InfomapClustering(k=8, min_similarity=0.3, min_cluster_size=3))


class Broken(nn.Module):
    """A loss that keeps all rules but the one a test takes away."""

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault = fault
        self.calls = 0
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, embeddings, labels):
        points = embeddings.double() if embeddings.dtype == torch.float64 else embeddings.float()
        value = (points.sin() * (1 + labels[:, None].double())).mean()
        self.calls += 1
        match self.fault:
            case "vector":
                return points.sin().mean(dim=1)
            case "cut":
                return value.detach()
            case "infinite":
                return value / (points.norm() if len(points) > 1 else 0.0)
            case "counts":
                return value + self.calls
            case "state":
                self.seen += 1
            case "order":
                return value + points[0, 0]
            case "gradient":
                return value.detach() + points.mean() - points.mean().detach()
            case "inputs":
                with torch.no_grad():
                    embeddings.data += 1
        return value


def test_a_loss_without_fault_passes():
    check_loss(Broken())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("vector", "expected a floating scalar"),
        ("cut", "cut off from the embeddings"),
        ("infinite", "a single image: the loss is"),
        ("counts", "forward must be pure"),
        ("state", "changed seen"),
        ("order", "order of the batch matters"),
        ("gradient", "not that of the value"),
        ("inputs", "(changed its inputs|must be pure)"),
    ],
)
def test_each_fault_of_a_loss_is_named(fault, words):
    with pytest.raises(AssertionError, match=words):
        check_loss(Broken(fault))


def test_settings_that_cannot_be_read_back_are_named():
    class Forgets(Broken):
        def __init__(self, margin):
            super().__init__()

    with pytest.raises(AssertionError, match="under its own name"):
        check_loss(Forgets(0.1))


class Drifting(reunite.ClusterMemory):
    """A memory whose rows grow, or move where they should not."""

    fault = "longer"

    def update(self, embeddings, labels):
        super().update(embeddings, labels)
        self.memory = self.memory * 2 if self.fault == "longer" else -self.memory


@pytest.mark.parametrize(
    ("fault", "words"), [("longer", "class is not in the batch|stay unit"), ("others", "not in the batch")]
)
def test_a_memory_that_drifts_is_named(fault, words):
    loss = Drifting()
    loss.fault = fault
    with pytest.raises(AssertionError, match=words):
        check_loss(loss)


class Odd:
    """A clusterer by sign of the first column, with the fault a test asks for."""

    def __init__(self, fault: str = ""):
        self.fault = fault

    def fit_predict(self, X, y=None):
        labels = (np.asarray(X)[:, 0] > 0).astype(int)
        match self.fault:
            case "short":
                return labels[1:]
            case "floats":
                return labels.astype(float)
            case "random":
                return np.random.default_rng().integers(0, 2, len(X))
            case "inputs":
                X += 1
            case "order":
                return np.arange(len(X)) // 2
            case "crash" if len(X) == 1:
                return [][0]
        return labels


def test_a_clusterer_without_fault_passes():
    check_clusterer(Odd())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("short", "one label per row"),
        ("floats", "whole numbers"),
        ("random", "two fits"),
        ("inputs", "changed its inputs"),
        ("order", "permuting the rows"),
        ("crash", "one row: IndexError"),
    ],
)
def test_each_fault_of_a_clusterer_is_named(fault, words):
    with pytest.raises(AssertionError, match=words):
        check_clusterer(Odd(fault))


def test_a_clusterer_that_splits_is_named():
    with pytest.raises(AssertionError, match="was split"):
        check_clusterer(Odd(), merges=True)


def test_losses_of_pytorch_metric_learning_keep_the_rules():
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="pytorch-metric-learning is not installed")
    check_loss(losses.ContrastiveLoss(), half=False)
