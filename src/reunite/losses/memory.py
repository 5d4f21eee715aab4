"""Losses against a memory of clusters."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from reunite.errors import InputError

Update = Literal["momentum", "hard", "mean", "random"]


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
        seed: of the draws of "random", which start over at each `begin`.

    Attributes:
        memory: (c, d) unit rows, a buffer without gradient; empty before `begin`.

    Raises:
        InputError: settings out of range; labels without a row in the memory.
    """

    memory: Tensor

    def __init__(self, temperature: float = 0.05, momentum: float = 0.1, update: Update = "momentum", seed: int = 0):
        super().__init__()
        if temperature <= 0 or not 0 <= momentum < 1:
            raise InputError(f"Expected temperature > 0 and momentum in [0, 1); got {temperature} and {momentum}.")
        if update not in ("momentum", "hard", "mean", "random"):
            raise InputError(f"update must be 'momentum', 'hard', 'mean' or 'random'; got {update!r}.")
        self.temperature = temperature
        self.momentum = momentum
        self.update_rule = update
        self.seed = seed
        self.register_buffer("memory", torch.empty(0, 0))
        self._draws = torch.Generator()

    def get_params(self) -> dict[str, object]:
        """The constructor arguments (`update` is also a verb here, so the attribute has another name)."""
        return {
            "temperature": self.temperature,
            "momentum": self.momentum,
            "update": self.update_rule,
            "seed": self.seed,
        }

    def begin(self, centroids: Float[Tensor, "c d"]) -> None:
        """Replaces the memory by these centroids, normalised: the mean embedding of each cluster of the round."""
        if centroids.ndim != 2 or not len(centroids):
            raise InputError(f"centroids must have shape (c, d) with c >= 1; got {tuple(centroids.shape)}.")
        self.memory = F.normalize(centroids.detach(), dim=1)
        self._draws.manual_seed(self.seed)

    def forward(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The mean loss of the batch. Embeddings are normalised here; labels are rows of the memory."""
        self._check(embeddings, labels)
        # Half precision would lose what separates similar clusters once it is divided by the temperature.
        unit = F.normalize(embeddings.to(self.memory.dtype), dim=1)
        return F.cross_entropy(unit @ self.memory.T / self.temperature, labels)

    @torch.no_grad()
    def update(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> None:
        """Moves the rows of the clusters in the batch; rows of other clusters stay as they are."""
        self._check(embeddings, labels)
        unit = F.normalize(embeddings.detach().to(self.memory.dtype), dim=1)
        memory = self.memory.clone()  # never in place: a graph that still waits for backward holds the old one
        if self.update_rule == "mean":
            present, position = labels.unique(return_inverse=True)
            means = torch.zeros(len(present), unit.shape[1], dtype=unit.dtype, device=unit.device)
            means.index_add_(0, position, unit)
            counts = torch.bincount(position, minlength=len(present))
            self._move(memory, present, means / counts[:, None])
        elif self.update_rule == "momentum":
            turn = _occurrence(labels)
            for number in range(int(turn.max()) + 1):
                rows = torch.nonzero(turn == number).squeeze(1)
                self._move(memory, labels[rows], unit[rows])
        else:
            rows = _lowest_per_label(self._keys(unit, labels), labels)
            self._move(memory, labels[rows], unit[rows])
        self.memory = memory

    def _keys(self, unit: Tensor, labels: Tensor) -> Tensor:
        """What decides which image stands for its cluster: its similarity to the memory, or chance."""
        if self.update_rule == "hard":
            return (unit * self.memory[labels]).sum(dim=1)
        return torch.rand(len(labels), generator=self._draws).to(unit.device)

    def _move(self, memory: Tensor, rows: Tensor, towards: Tensor) -> None:
        memory[rows] = F.normalize(self.momentum * memory[rows] + (1 - self.momentum) * towards, dim=1)

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        if not len(self.memory):
            raise InputError("The memory is empty: call begin(centroids) at the start of the round.")
        if embeddings.shape != (len(labels), self.memory.shape[1]):
            raise InputError(
                f"Expected embeddings of shape ({len(labels)}, {self.memory.shape[1]}); got {tuple(embeddings.shape)}."
            )
        if (
            labels.device.type == "cpu"
            and len(labels)
            and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.memory)
        ):
            raise InputError(
                f"Labels must be rows of the memory, 0 to {len(self.memory) - 1}; got {int(labels.min())} to "
                f"{int(labels.max())}. Noise (-1) is not trained on."
            )


def _occurrence(labels: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """How often each label occurred earlier in the batch: 0 for the first image of a cluster, then 1, 2, ..."""
    return torch.tril(labels[:, None] == labels[None, :], diagonal=-1).sum(dim=1)


def _lowest_per_label(keys: Float[Tensor, " b"], labels: Int[Tensor, " b"]) -> Int[Tensor, " c"]:
    """The row with the lowest key of each label; the first one of equals."""
    order = torch.argsort(keys, stable=True)
    order = order[torch.argsort(labels[order], stable=True)]
    grouped = labels[order]
    first = torch.ones_like(grouped, dtype=torch.bool)
    first[1:] = grouped[1:] != grouped[:-1]
    return order[first]
