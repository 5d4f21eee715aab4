"""IBN-a: instance norm beside batch norm in the first three stages of a ResNet (IBN-Net)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reunite.errors import InputError

STAGES = ("layer1", "layer2", "layer3")
"""Where IBN-a is applied; the last stage keeps batch norm."""


class InstanceBatchNorm2d(nn.Module):
    """Instance norm of the first half of the channels, batch norm of the rest.

    Instance norm takes contrast and colour cast out of each image for itself, batch norm keeps them.

    Args:
        channels: of the maps. With an odd number batch norm has one more.

    Attributes:
        IN: affine, without running statistics: the same in training and evaluation.
        BN: an ordinary batch norm. Both are named as in the state dicts of IBN-Net's release.

    Raises:
        InputError: fewer than two channels.
    """

    def __init__(self, channels: int):
        super().__init__()
        if channels < 2:
            raise InputError(f"channels must be at least 2, one for each kind of norm; got {channels}.")
        self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The normalised maps, channels in the same order."""
        first, rest = maps.split((self.IN.num_features, self.BN.num_features), dim=1)
        return torch.cat([self.IN(first), self.BN(rest)], dim=1)


def to_ibn_a(resnet: nn.Module) -> nn.Module:
    """Gives the first norm of every bottleneck in `layer1` to `layer3` of a ResNet an instance norm half, in place.

    The batch norm half keeps the settings, affine parameters and running statistics that its channels had; the instance
    norm half starts as the identity after normalisation. Stem, downsampling, the other norms and `layer4` stay as they are.

    Args:
        resnet: timm's or torchvision's, with bottlenecks (ResNet-50 and deeper).

    Returns:
        The same network.

    Raises:
        InputError: no such ResNet, or one that has IBN-a already.
    """
    blocks = [block for stage in STAGES for block in getattr(resnet, stage, ())]
    if not blocks or not all(hasattr(block, "conv3") and isinstance(block.bn1, nn.BatchNorm2d) for block in blocks):
        raise InputError(
            "IBN-a needs a ResNet of timm or torchvision with bottlenecks and batch norm in layer1 to layer3, such as "
            f"resnet50; got {type(resnet).__name__} without, or with IBN-a already."
        )
    for block in blocks:
        block.bn1 = _with_instance_norm(block.bn1)
    return resnet


def _with_instance_norm(norm: nn.BatchNorm2d) -> InstanceBatchNorm2d:
    both = InstanceBatchNorm2d(norm.num_features)
    both.BN.eps, both.BN.momentum = norm.eps, norm.momentum
    kept: dict[str, Any] = norm.state_dict()
    both.BN.load_state_dict(
        {name: value[both.IN.num_features :] if value.ndim else value for name, value in kept.items()}
    )
    return both.to(norm.weight).train(norm.training)
