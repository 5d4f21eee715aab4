"""The loss that looks at the nearest images of every anchor only."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.distances import as_points, pairwise_distances, row_distances

Squeeze = Literal["range_all", "range_knn", "nearest", "pair", "none"]
Support = Literal["strict", "topk"]


class SupportNeighborLoss(nn.Module):
    r"""Support Neighbor loss (ACM MM 2018, arXiv 1808.06030): separate an anchor's neighbors, squeeze its positives.

    Embeddings are scaled to length one here; D is the Euclidean distance. The support of anchor i are its nearest images
    in the batch, of which S+ have its label and S- have not. Where no positive is among them, S+ is the nearest one.

    .. math:: L = \frac{1}{|A|}\sum_{i \in A} -\log\frac{\sum_{S^+} e^{-\alpha D_{ij}}}{\sum_{S^+ \cup S^-} e^{-\alpha D_{ij}}}
              + w\, Q_i

    The anchors A are the images with a positive in the batch; without any, the loss is 0. The gradient flows through
    the distances, not through who belongs to the support. Memory: b * b.

    The abstract says that Q shrinks the gap between the closest positive and the farthest positive; no formula was
    available. "range_all" is that reading. **The released code optimises "nearest"**: it computes "range_knn", and a
    later assignment overwrites it with the distance to the nearest positive. Further differences: the released code needs
    the same number of images of every identity, loops over anchors, and exponentiates alpha * (1 - D) without subtracting
    the maximum (overflows in half precision, same value otherwise), and adds 1e-12 to the length it divides by (here a
    row of zeros stays zero, without gradient). Its defaults are alpha 20 and w 1; ours are what its scripts for
    Market-1501 point to, the weight being the least certain.

    Args:
        neighbors: K, size of the support, >= 1. A batch with no more than K other images is all support.
        alpha: sharpness of the separation, > 0.
        weight: w, >= 0.
        squeeze: Q. "range_all": farthest positive in the batch minus nearest positive; "range_knn": farthest minus
            nearest in S+, or the nearest distance where S+ is one image; "nearest": the distance to the nearest positive;
            "pair": the distance between the nearest and the farthest positive in the batch; "none": 0.
        support: "strict": images nearer than the (K+1)-th nearest, so fewer than K where distances tie (published);
            "topk": exactly K, of equals the first in the batch.

    Raises:
        InputError: settings out of range; a batch that is not (b, d) floating with (b,) integer labels.
    """

    def __init__(
        self,
        neighbors: int = 10,
        alpha: float = 50.0,
        weight: float = 0.1,
        squeeze: Squeeze = "range_all",
        support: Support = "strict",
    ):
        super().__init__()
        if neighbors < 1 or not 0 < alpha < math.inf or not 0 <= weight < math.inf:
            raise InputError(
                f"Expected neighbors >= 1, alpha > 0 and weight >= 0; got {neighbors}, {alpha} and {weight}."
            )
        for name, value, choices in (("squeeze", squeeze, Squeeze), ("support", support, Support)):
            if value not in get_args(choices):
                raise InputError(f"{name} must be one of {', '.join(get_args(choices))}; got {value!r}.")
        self.neighbors = neighbors
        self.alpha = alpha
        self.weight = weight
        self.squeeze = squeeze
        self.support = support

    def forward(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The mean loss of the anchors, float32 (float64 for float64 embeddings)."""
        points = as_points(embeddings, labels, normalize=True)
        distances = pairwise_distances(points)
        itself = torch.eye(len(points), dtype=torch.bool, device=points.device)
        same = labels[:, None] == labels[None, :]
        positive = same & ~itself
        nearest = distances.masked_fill(~positive, torch.inf).argmin(dim=1, keepdim=True)
        support = self._support(distances.detach(), itself)
        # Where the support has positives the nearest is one of them, so adding it changes only an S+ without any.
        near = positive & support.scatter(1, nearest, True)
        logits = -self.alpha * distances
        losses = _log_sum_exp(logits, near | (support & ~same)) - _log_sum_exp(logits, near)
        if self.squeeze != "none":
            losses = losses + self.weight * self._squeeze(points, distances, positive, near, nearest)
        anchor = positive.any(dim=1)
        return losses.masked_fill(~anchor, 0).sum() / anchor.sum().clamp(min=1)

    def _support(self, distances: Tensor, itself: Tensor) -> Bool[Tensor, "b b"]:
        """Which images are support neighbors of each anchor."""
        if self.neighbors >= len(distances) - 1:
            return ~itself
        others = distances.masked_fill(itself, torch.inf)
        if self.support == "topk":
            order = others.argsort(dim=1, stable=True)  # torch.topk may choose any of equals
            return torch.zeros_like(itself).scatter(1, order[:, : self.neighbors], True)
        threshold = others.topk(self.neighbors + 1, dim=1, largest=False).values[:, -1:]
        return (distances < threshold) & ~itself

    def _squeeze(
        self, points: Tensor, distances: Tensor, positive: Tensor, near: Tensor, nearest: Tensor
    ) -> Float[Tensor, " b"]:
        """Q of each anchor; any finite number where an anchor has no positives."""
        shortest = distances.gather(1, nearest).squeeze(1)
        if self.squeeze == "nearest":
            return shortest
        farthest = _farthest(distances, near if self.squeeze == "range_knn" else positive)
        if self.squeeze == "pair":
            return row_distances(points[nearest.squeeze(1)], points[farthest.squeeze(1)])
        span = distances.gather(1, farthest).squeeze(1) - shortest
        if self.squeeze == "range_knn":
            return torch.where(near.sum(dim=1) == 1, shortest, span)
        return span


def _farthest(distances: Float[Tensor, "b b"], among: Bool[Tensor, "b b"]) -> Int[Tensor, "b 1"]:
    """The column with the largest distance of those marked; the first one of equals."""
    return distances.masked_fill(~among, -1).argmax(dim=1, keepdim=True)


def _log_sum_exp(logits: Float[Tensor, "b b"], among: Bool[Tensor, "b b"]) -> Float[Tensor, " b"]:
    """Over those marked. Others weigh nothing, but finitely: -inf in a row without marks would make its gradient NaN."""
    return logits.masked_fill(~among, torch.finfo(logits.dtype).min).logsumexp(dim=1)
