"""What comes between pooling and the embedding."""

from __future__ import annotations

from torch import nn


def batch_norm_neck(channels: int) -> nn.BatchNorm1d:
    """Batch norm whose bias stays zero (Luo et al. 2019), so that the classes are not shifted off the origin."""
    neck = nn.BatchNorm1d(channels)
    neck.bias.requires_grad_(False)
    return neck


def linear_neck(channels: int, outputs: int) -> nn.Sequential:
    """A linear layer and batch norm, the embedding of BUC and DBC, with the weights their code starts from."""
    linear = nn.Linear(channels, outputs)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, nn.BatchNorm1d(outputs))
