"""From a feature map to one vector per image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class AveragePooling(nn.Module):
    """Mean over positions: (b, c, h, w) -> (b, c)."""

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """The mean of each channel."""
        return features.mean(dim=(2, 3))


class GeneralizedMeanPooling(nn.Module):
    """GeM (Radenović et al. 2018): ``mean(max(x, eps) ** p) ** (1 / p)``, one trainable exponent for all channels.

    p = 1 is the mean, a large p comes close to the maximum. The power is taken in float32 even under mixed precision.

    Args:
        p: the exponent at the start.
        eps: smallest activation, so that the power has a gradient.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6):
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))
        self.eps = eps

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """The generalized mean of each channel."""
        powers = features.float().clamp(min=self.eps).pow(self.p)
        return powers.mean(dim=(2, 3)).pow(1 / self.p)
