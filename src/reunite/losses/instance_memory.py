"""A memory with one entry an image: what Cluster Contrast is measured against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.distances import unit_rows
from reunite.losses.rows import beside, check_centroids, check_rows, check_settings, move_in_turn, softmax_loss


class InstanceMemory(nn.Module):
    r"""Clusters contrasted through all their members, one memory entry an image (SpCL, Ge et al. 2020).

    .. math:: L = -\frac{1}{b}\sum_i \log\frac{\exp(q_i\cdot\bar v_{y_i}/\tau)}{\sum_k \exp(q_i\cdot\bar v_k/\tau)}

    where the mean over the members of cluster k, :math:`\bar v_k`, is not normalised. Means are kept up to date as entries
    move, so a step costs what a cluster memory costs and not a product with every image.

    Where we differ from SpCL's code: entries start each round from the round's embeddings, where theirs live on from the
    first; images that belong to no cluster are left out, where theirs are classes of their own; and its 1e-6 inside the
    logarithm is gone, log-softmax needs none.

    Args:
        temperature: tau, > 0.
        momentum: weight of the OLD entry in an update, in [0, 1).

    Attributes:
        memory: (n, d) unit rows in the order of the round's images, a buffer without gradient; empty before `begin`.
        means: (c, d), the mean entry of each cluster.

    Raises:
        InputError: settings out of range; labels without a cluster, or `update` without `rows`.
    """

    memory: Tensor
    means: Tensor
    owner: Tensor
    sizes: Tensor

    def __init__(self, temperature: float = 0.05, momentum: float = 0.2):
        super().__init__()
        check_settings(temperature, momentum)
        self.temperature = temperature
        self.momentum = momentum
        for name in ("memory", "means"):
            self.register_buffer(name, torch.empty(0, 0))
        for name in ("owner", "sizes"):
            self.register_buffer(name, torch.empty(0, dtype=torch.long))

    def begin(
        self,
        centroids: Float[Tensor, "c d"],
        embeddings: Float[Tensor, "n d"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
    ) -> None:
        """One entry for each image of the round.

        Args:
            centroids: of the clusters; only their number is used.
            embeddings: of all images, normalised here.
            labels: their clusters, 0 to c - 1; -1 is noise.
        """
        check_centroids(centroids)
        if embeddings is None or labels is None:
            raise InputError("InstanceMemory keeps every image: call begin(centroids, embeddings, labels).")
        clusters = int(labels.max()) + 1 if len(labels) else 0
        if embeddings.shape != (len(labels), centroids.shape[1]) or clusters != len(centroids):
            raise InputError(
                f"Expected embeddings of shape ({len(labels)}, {centroids.shape[1]}) in {len(centroids)} clusters; got "
                f"{tuple(embeddings.shape)} in {clusters}."
            )
        self.memory = F.normalize(embeddings.detach(), dim=1)
        self.owner = labels.to(self.memory.device)
        # Noise is added to a row of its own, which is let go of: no copy of what may be gigabytes.
        groups = torch.where(self.owner < 0, len(centroids), self.owner)
        self.sizes = torch.bincount(groups, minlength=len(centroids) + 1)[: len(centroids)]
        sums = self.memory.new_zeros(len(centroids) + 1, self.memory.shape[1]).index_add_(0, groups, self.memory)
        self.means = sums[: len(centroids)] / self.sizes.clamp(min=1)[:, None]

    def forward(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The mean loss of the batch. Embeddings are normalised here; labels are clusters."""
        check_rows(embeddings, labels, self.means)
        unit = unit_rows(embeddings.to(self.memory.dtype))
        return softmax_loss(unit, labels, self.means, self.temperature)

    @torch.no_grad()
    def update(
        self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"], rows: Int[Tensor, " b"] | None = None
    ) -> None:
        """Moves the entries of the batch's images one after the other, in place and so after backward.

        Args:
            embeddings: of the batch, from before the optimizer step.
            labels: their clusters.
            rows: their positions among the round's images, best on the CPU: a device is then never waited for.
        """
        if rows is None:
            raise InputError(
                "InstanceMemory moves the entries of single images: call update(embeddings, labels, rows)."
            )
        check_rows(embeddings, labels, self.means)
        rows = rows.cpu()
        self._check_positions(rows, labels)
        moved = beside(self.memory, rows.unique())
        before = self.memory[moved]
        move_in_turn(self.memory, rows, unit_rows(embeddings.detach().to(self.memory.dtype)), self.momentum)
        owner = self.owner[moved]
        self.means.index_add_(0, owner, (self.memory[moved] - before) / self.sizes[owner, None])

    def _check_positions(self, rows: Tensor, labels: Tensor) -> None:
        """Rows must be images of the round, and of the batch's clusters; what is on a device is not looked at."""
        batch = len(labels)
        if len(rows) != batch or (batch and not 0 <= int(rows.min()) <= int(rows.max()) < len(self.owner)):
            raise InputError(
                f"rows must be the positions of the batch's {batch} images among the round's {len(self.owner)}; got "
                f"{rows.tolist()}."
            )
        if self.owner.device.type == labels.device.type == "cpu" and not torch.equal(self.owner[rows], labels.long()):
            raise InputError(
                "rows name images of other clusters than labels do, or noise (-1), which is not trained on: clusters "
                f"{self.owner[rows].tolist()} for labels {labels.tolist()}."
            )
