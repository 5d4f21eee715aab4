"""The repelled loss of BUC and DBC: every sample is drawn to its own class and repelled by all others."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.rows import check_centroids, check_rows, check_settings, means_of_each, move_in_turn, softmax_loss

Start = Literal["centroids", "zeros", "stale"]


class RepelledTable(nn.Module):
    r"""Softmax over a lookup table of classes (BUC, Lin et al. 2019; DBC, Ding et al. 2019).

    .. math:: L = -\frac{1}{b}\sum_i \log\frac{\exp(V_{y_i}\cdot v_i/\tau)}{\sum_c \exp(V_c\cdot v_i/\tau)}, \qquad
              V_{y_i} \leftarrow \frac{V_{y_i} + v_i}{\lVert V_{y_i} + v_i\rVert}

    Embeddings are taken as they come: the authors' network applies dropout after its norm, so training vectors are not
    unit, neither in the product nor in the table's update. The verbs are those of `ClusterMemory`; the authors move the
    table inside backward, with the same vectors.

    **The leak.** The released code of DBC, and BUC's first release, start the table after a merge with the means of the
    clusters of *before* the merge: more rows than there are classes, row c the old cluster c. Images are stored by
    identity, so that row mostly belongs to the right person or to a neighbour in the list: true labels leak. BUC's authors
    found this, start from zeros since, and published lower numbers; DBC's published numbers carry it.

    Args:
        temperature: tau, > 0. The authors multiply by 10.
        momentum: weight of the old row in an update, in [0, 1); 0.5 is the published mean of old and new.
        start: rows at the start of a round. "centroids": the normalised mean embedding of each class (DBC's poster);
            "zeros": a class has no direction until its first image comes by (BUC since its correction); "stale": the leak
            above, for the forensic study of published numbers only, and never with an honest result (rows have length
            one here; DBC's code leaves them shorter until their first update).

    Attributes:
        memory: (c, d) rows, unit where ever visited, a buffer without gradient; empty before `begin`.

    Raises:
        InputError: settings out of range; labels without a row in the table.
    """

    memory: Tensor

    def __init__(self, temperature: float = 0.1, momentum: float = 0.5, start: Start = "centroids"):
        super().__init__()
        check_settings(temperature, momentum)
        if start not in ("centroids", "zeros", "stale"):
            raise InputError(f"start must be 'centroids', 'zeros' or 'stale'; got {start!r}.")
        self.temperature = temperature
        self.momentum = momentum
        self.start = start
        self.register_buffer("memory", torch.empty(0, 0))

    def begin(
        self,
        centroids: Float[Tensor, "c d"],
        embeddings: Float[Tensor, "n d"] | None = None,
        previous: Int[Tensor, " n"] | None = None,
    ) -> None:
        """A new table: the mean embedding of each class, or what `start` says.

        Args:
            centroids: the mean embedding of each class.
            embeddings: what they were made of; only start="stale" needs them.
            previous: the classes of the embeddings in the round before; -1 is noise.
        """
        check_centroids(centroids)
        rows = centroids.detach()
        if self.start == "zeros":
            self.memory = torch.zeros_like(rows)
            return
        if self.start == "stale":
            if embeddings is None or previous is None:
                raise InputError("start='stale' takes the old classes: begin(centroids, embeddings, previous=labels).")
            rows = _means_of_old_classes(embeddings.detach(), previous, len(centroids))
        self.memory = F.normalize(rows, dim=1)

    def forward(self, embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """The mean loss of the batch; labels are rows of the table."""
        check_rows(embeddings, labels, self.memory)
        return softmax_loss(embeddings, labels, self.memory, self.temperature)

    @torch.no_grad()
    def update(
        self,
        embeddings: Float[Tensor, "b d"],
        labels: Int[Tensor, " b"],
        host_labels: Int[Tensor, " b"] | None = None,
    ) -> None:
        """Moves the rows of the batch's classes, one image after the other, in place and so after backward.

        Args:
            embeddings: of the batch, from before the optimizer step.
            labels: rows of the table.
            host_labels: the same labels on the CPU, if they are at hand; a device is then never waited for.
        """
        rows = labels.cpu() if host_labels is None else host_labels
        check_rows(embeddings, rows, self.memory)
        move_in_turn(self.memory, rows, embeddings.detach().to(self.memory.dtype), self.momentum)


def _means_of_old_classes(embeddings: Tensor, previous: Tensor, classes: int) -> Tensor:
    """One row per class of the round before, of which a merge leaves fewer."""
    if len(previous) != len(embeddings):
        raise InputError(
            f"previous must name the old class of {len(embeddings)} embeddings; got {len(previous)} labels."
        )
    inside = previous >= 0
    rows = means_of_each(previous[inside].cpu(), embeddings[inside])[1]
    if len(rows) < classes:
        raise InputError(
            f"start='stale' needs as many old classes as new ones, as merging leaves them; got {len(rows)} and {classes}."
        )
    return rows
