"""The triplet loss with the hardest positive and the hardest negative of every anchor."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.distances import as_points, pairwise_distances, row_distances


class BatchHardTripletLoss(nn.Module):
    r"""Batch-hard triplet loss (Hermans et al. 2017): every image is the anchor of one triplet, the hardest in its batch.

    .. math:: L = \frac{1}{b}\sum_i \max\Big(0,\; \max_{j: y_j = y_i} D_{ij} - \min_{j: y_j \ne y_i} D_{ij} + m\Big)

    D is the Euclidean distance. Batches may hold identities in any order and number. An identity with one image has
    itself as its positive, at distance 1e-6 and without gradient; a batch with one identity has no negatives and
    gives 0.

    Two differences from the widespread code. Which images are the hardest is decided on the distance matrix, how far they
    are is measured from their differences: the same loss, with digits that the matrix loses between close images. And the
    soft margin is a true softplus, which does not overflow, so nothing falls back to the hard margin.

    Args:
        margin: m, >= 0, in units of the distance; or "soft" for softplus(hardest positive - hardest negative).
        normalize: scale embeddings to length one first (then D <= 2).
        detach_gallery: the gradient reaches anchors only, not the positives and negatives they were compared with. With
            "soft" this is the `softmax_triplet` of OpenUnReID at margin 0.

    Raises:
        InputError: settings out of range; a batch that is not (b, d) floating with (b,) integer labels.
    """

    def __init__(self, margin: float | Literal["soft"] = 0.3, normalize: bool = False, detach_gallery: bool = False):
        super().__init__()
        if margin != "soft" and not (isinstance(margin, int | float) and 0 <= margin < math.inf):
            raise InputError(f"margin must be a number >= 0 or 'soft'; got {margin!r}.")
        self.margin = margin
        self.normalize = normalize
        self.detach_gallery = detach_gallery

    def forward(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The mean loss of the batch, float32 (float64 for float64 embeddings)."""
        points = as_points(embeddings, labels, normalize=self.normalize)
        gallery = points.detach() if self.detach_gallery else points
        same = labels[:, None] == labels[None, :]
        with torch.no_grad():
            squares = pairwise_distances(points, squared=True)
            positive = squares.masked_fill(~same, -1).argmax(dim=1)
            negative = squares.masked_fill(same, torch.inf).argmin(dim=1)
        gap = row_distances(points, gallery[positive]) - row_distances(points, gallery[negative])
        gap = gap.masked_fill(same.all(), -torch.inf)  # no negative: as if it were infinitely far
        losses = F.softplus(gap) if self.margin == "soft" else F.relu(gap + self.margin)
        return losses.mean()
