"""The classification loss of supervised re-identification."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.rows import check_centroids, softmax_loss


class IdentityLoss(nn.Module):
    r"""Cross entropy over identities with smoothed labels (Szegedy et al. 2016), with the classifier it needs.

    .. math:: L = -\frac{1}{b}\sum_i\sum_c q_{ic}\log\mathrm{softmax}(W x_i)_c, \qquad
              q_{ic} = (1-\epsilon)[c=y_i] + \epsilon/C

    The classifier is one matrix without bias, drawn from N(0, 0.001^2) as the strong baseline (Luo et al. 2019) draws it. It
    is made by `begin`, which knows how many identities there are, and made anew only when the labels have changed.
    Like any parameter it is trained by the optimizer.

    Args:
        label_smoothing: epsilon, in [0, 1).

    Attributes:
        weight: (c, d) trainable; empty before `begin`.

    Raises:
        InputError: a smoothing out of range; embeddings or labels that do not fit the classifier.
    """

    weight: nn.Parameter

    def __init__(self, label_smoothing: float = 0.1):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing must be in [0, 1); got {label_smoothing}.")
        self.label_smoothing = label_smoothing
        self.weight = nn.Parameter(torch.empty(0, 0))

    def begin(
        self,
        centroids: Float[Tensor, "c d"],
        labels: Int[Tensor, " n"] | None = None,
        previous: Int[Tensor, " n"] | None = None,
    ) -> None:
        """Makes the classifier for these clusters, unless it has been trained on just the same labels.

        Args:
            centroids: one row per identity; only their shape is used.
            labels: of all images.
            previous: likewise in the round before; without it, or without labels, the shapes decide.
        """
        check_centroids(centroids)
        same = labels is None or previous is None or torch.equal(labels, previous)
        if self.weight.shape == centroids.shape and same:
            return
        self.weight = nn.Parameter(torch.empty_like(centroids).normal_(std=0.001))

    def forward(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The mean loss of the batch. Embeddings are not normalised; labels are 0 to c - 1."""
        if not len(self.weight):
            raise InputError("The classifier is not made yet: call begin(centroids) with one row per identity.")
        if embeddings.shape != (len(labels), self.weight.shape[1]):
            raise InputError(
                f"Expected embeddings of shape ({len(labels)}, {self.weight.shape[1]}); got {tuple(embeddings.shape)}."
            )
        on_host = labels.device.type == "cpu" and len(labels)
        if on_host and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.weight):
            raise InputError(
                f"Labels must be 0 to {len(self.weight) - 1}; got {int(labels.min())} to {int(labels.max())}."
            )
        return softmax_loss(embeddings, labels, self.weight, label_smoothing=self.label_smoothing)
