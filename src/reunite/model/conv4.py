"""A small network for small images, a CPU and no weights to start from."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, batch norm, ReLU; 2x2 max pooling within the first three.

    The usual network of few-shot learning (Vinyals et al. 2016), wider towards the end. At 48x48 its map is 6x6.

    Args:
        widths: channels of the four blocks.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 128, 256)):
        super().__init__()
        self.num_features = widths[-1]
        blocks: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(zip((3, *widths[:-1]), widths, strict=True)):
            blocks.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            # Before norm and ReLU, which then have a quarter of the work and the same maximum to work on.
            blocks += [nn.MaxPool2d(2)] if place < 3 else []
            blocks += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks)
        for layer in self.blocks:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The last feature map."""
        return self.blocks(images)
