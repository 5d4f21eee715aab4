"""ClusterNCE: a loss against a memory of clusters."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.distances import unit_rows
from reunite.losses.rows import (
    beside,
    check_centroids,
    check_rows,
    check_settings,
    first_of_run,
    lowest_of_each,
    means_of_each,
    move,
    move_in_turn,
    softmax_loss,
)

Update = Literal["momentum", "hard", "mean", "random"]
Start = Literal["mean", "random"]


class ClusterMemory(nn.Module):
    r"""ClusterNCE with a memory of one unit vector per cluster (Cluster Contrast, Dai et al. 2021).

    .. math:: L = -\frac{1}{b}\sum_i \log\frac{\exp(q_i\cdot\phi_{y_i}/\tau)}{\sum_k \exp(q_i\cdot\phi_k/\tau)}

    Three verbs, all visible in the training loop: `begin` builds the memory, calling the module computes the loss and
    changes nothing, `update` moves the memory after the optimizer step. The authors move it inside backward, with the
    same embeddings, so the values are the same; but theirs also moves under gradient checking or a second loss.

    Args:
        temperature: tau, > 0. The authors use 0.05.
        momentum: weight of the OLD memory in an update, in [0, 1). The authors use 0.1, which leaves little but the last
            image of the batch.
        update: how the images of one cluster in a batch move its row. "momentum": one after the other, in the order of the
            batch (the published method); "hard": only the least similar one; "mean": their mean, once; "random": one of
            them.
        start: what a row is at the start of a round. "mean": the mean of the cluster (the authors' code); "random": one
            image of it (their first version; they report no difference).
        seed: of the draws of "random", which start over at each `begin`.

    Attributes:
        memory: (c, d) unit rows, a buffer without gradient; empty before `begin`.

    Raises:
        InputError: settings out of range; labels without a row in the memory.
    """

    memory: Tensor

    def __init__(
        self,
        temperature: float = 0.05,
        momentum: float = 0.1,
        update: Update = "momentum",
        start: Start = "mean",
        seed: int = 0,
    ):
        super().__init__()
        check_settings(temperature, momentum)
        if update not in ("momentum", "hard", "mean", "random"):
            raise InputError(f"update must be 'momentum', 'hard', 'mean' or 'random'; got {update!r}.")
        if start not in ("mean", "random"):
            raise InputError(f"start must be 'mean' or 'random'; got {start!r}.")
        self.temperature = temperature
        self.momentum = momentum
        self.update_rule = update
        self.start = start
        self.seed = seed
        self.register_buffer("memory", torch.empty(0, 0))
        self._draws = torch.Generator()

    def get_params(self) -> dict[str, object]:
        """The constructor arguments (`update` is also a verb here, so the attribute has another name)."""
        return {
            "temperature": self.temperature,
            "momentum": self.momentum,
            "update": self.update_rule,
            "start": self.start,
            "seed": self.seed,
        }

    def begin(
        self,
        centroids: Float[Tensor, "c d"],
        embeddings: Float[Tensor, "n d"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
    ) -> None:
        """Replaces the memory by one normalised row per cluster of the round.

        Args:
            centroids: the mean embedding of each cluster.
            embeddings: what they were made of; only start="random" needs them.
            labels: clusters of the embeddings; -1 is noise.
        """
        check_centroids(centroids)
        self._draws.manual_seed(self.seed)
        rows = centroids if self.start == "mean" else self._members(len(centroids), embeddings, labels)
        self.memory = F.normalize(rows.detach(), dim=1)

    def forward(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The mean loss of the batch. Embeddings are normalised here; labels are rows of the memory."""
        check_rows(embeddings, labels, self.memory)
        unit = unit_rows(embeddings.to(self.memory.dtype))
        return softmax_loss(unit, labels, self.memory, self.temperature)

    @torch.no_grad()
    def update(
        self,
        embeddings: Float[Tensor, "b d"],
        labels: Int[Tensor, " b"],
        host_labels: Int[Tensor, " b"] | None = None,
    ) -> None:
        """Moves the rows of the clusters in the batch, in place and so after backward; other rows stay as they are.

        Args:
            embeddings: of the batch, from before the optimizer step.
            labels: rows of the memory.
            host_labels: the same labels on the CPU, if they are at hand; a device is then never waited for.
        """
        rows = labels.cpu() if host_labels is None else host_labels
        check_rows(embeddings, rows, self.memory)
        unit = unit_rows(embeddings.detach().to(self.memory.dtype))
        if self.update_rule == "momentum":
            move_in_turn(self.memory, rows, unit, self.momentum)
        elif self.update_rule == "mean":
            present, means = means_of_each(rows, unit)
            move(self.memory, beside(self.memory, present), means, self.momentum)
        else:
            present, chosen = lowest_of_each(rows, self._keys(unit, labels))
            move(self.memory, beside(self.memory, present), unit[chosen], self.momentum)

    def _keys(self, unit: Tensor, labels: Tensor) -> Tensor:
        """What decides which image stands for its cluster: its similarity to the memory, or chance."""
        if self.update_rule == "hard":
            return (unit * self.memory[labels]).sum(dim=1)
        return torch.rand(len(labels), generator=self._draws).to(unit.device, non_blocking=True)

    def _members(self, clusters: int, embeddings: Tensor | None, labels: Tensor | None) -> Tensor:
        """One image of each cluster, drawn."""
        if embeddings is None or labels is None:
            raise InputError("start='random' draws an image of each cluster: begin(centroids, embeddings, labels).")
        owner = labels.cpu()
        order = torch.randperm(len(owner), generator=self._draws)
        order = order[owner[order] >= 0]
        order = order[torch.argsort(owner[order], stable=True)]
        chosen = order[first_of_run(owner[order])]
        if len(chosen) != clusters:
            raise InputError(f"labels name {len(chosen)} clusters, centroids are {clusters}.")
        return embeddings[chosen.to(embeddings.device)]
