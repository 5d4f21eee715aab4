"""Every loss trains a network in the loop that PyTorch's tutorials show, with nothing else of Reunite."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reunite.losses import (
    BatchHardTripletLoss,
    ClusterLoss,
    ClusterMemory,
    IdentityLoss,
    InstanceMemory,
    RepelledTable,
    SupportNeighborLoss,
)

CLASSES, IMAGES, SIZE = 6, 12, 20


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Classes that differ in two of twenty columns, which the others drown out."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat_interleave(IMAGES)
    rows = 2 * torch.randn(len(labels), SIZE, generator=draws)
    angle = 2 * torch.pi * labels / CLASSES
    rows[:, :2] = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.1 * torch.randn(len(labels), 2, generator=draws)
    return rows, labels


def nearest_is_of_the_same_class(embeddings: torch.Tensor, labels: torch.Tensor) -> float:
    similarity = F.normalize(embeddings, dim=1) @ F.normalize(embeddings, dim=1).T
    nearest = similarity.fill_diagonal_(-2).argmax(dim=1)
    return float((labels[nearest] == labels).float().mean())


def plain(loss: nn.Module) -> tuple[list[float], float, float]:
    torch.manual_seed(0)
    rows, labels = data()
    model = nn.Linear(SIZE, 8)
    before = nearest_is_of_the_same_class(model(rows).detach(), labels)
    if hasattr(loss, "begin"):
        embeddings = model(rows).detach()
        means = torch.stack([embeddings[labels == label].mean(dim=0) for label in range(CLASSES)])
        loss.begin(means, embeddings, labels) if isinstance(loss, InstanceMemory) else loss.begin(means)
    optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=0.02)
    values = []
    for _ in range(120):
        batch = torch.cat([torch.randperm(IMAGES)[:4] + IMAGES * label for label in range(CLASSES)])
        embeddings = model(rows[batch])
        value = loss(embeddings, labels[batch])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if isinstance(loss, InstanceMemory):
            loss.update(embeddings.detach(), labels[batch], rows=batch)
        elif hasattr(loss, "update"):
            loss.update(embeddings.detach(), labels[batch])
        values.append(value.item())
    return values, before, nearest_is_of_the_same_class(model(rows).detach(), labels)


@pytest.mark.parametrize(
    "loss",
    [
        BatchHardTripletLoss(0.3),
        BatchHardTripletLoss("soft"),
        ClusterLoss(margin=1.0),
        SupportNeighborLoss(neighbors=6, alpha=10.0),
        ClusterMemory(temperature=0.1),
        InstanceMemory(temperature=0.1),
        RepelledTable(),
        RepelledTable(start="zeros"),
        IdentityLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_a_plain_loop_learns(loss):
    values, before, after = plain(loss)
    assert sum(values[-10:]) < 0.8 * sum(values[:10])
    assert before < 0.5
    assert after > before + 0.3
