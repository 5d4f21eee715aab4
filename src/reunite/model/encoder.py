"""The encoder: images in, unit vectors out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.images.transforms import normalise
from reunite.model.backbones import Triple, build_backbone, set_bn_eps, set_last_stride
from reunite.model.pooling import AveragePooling, GeneralizedMeanPooling
from reunite.model.weights import load_into

Pooling = Literal["gem", "avg"]
Neck = Literal["bn", "none"]


@dataclass(frozen=True)
class EncoderSpec:
    """The arguments of `Encoder` as a value: printable, comparable, kept with every checkpoint."""

    backbone: str = "resnet50"
    pretrained: bool = True
    weights: str | None = None
    pooling: Pooling = "gem"
    neck: Neck = "bn"
    image_size: tuple[int, int] = (256, 128)
    last_stride: int = 1
    mean: Triple | None = None
    std: Triple | None = None
    bn_eps: float | None = None

    def build(self) -> Encoder:
        """The network, with its first weights."""
        return Encoder(**asdict(self))


class Encoder(nn.Module):
    """A backbone, pooling and a neck: images become unit vectors.

    The embedding of Cluster Contrast (Dai et al. 2021) by default: ResNet-50 with last stride 1, GeM pooling, a batch norm
    neck without bias (Luo et al. 2019), L2 norm; the same vector serves training, clustering and search.

    Args:
        backbone: a timm name (`hf-hub:` too), a torchvision name with a `features` part, or `conv4`, our small network.
        pretrained: start from the hub's weights. Needs internet; without it, one clear error.
        weights: a local .safetensors or state-dict file for the backbone, used instead of the hub's.
        pooling: "gem" or "avg". Transformers keep their class token, or the mean of their tokens where they have none.
        neck: "bn" or "none".
        image_size: height and width every image is resized to, in pixels.
        last_stride: stride of the last downsampling; 2 leaves the backbone as it is.
        mean, std: pixel normalisation, RGB in [0, 1]; None takes what the backbone was made for.
        bn_eps: overrides the eps of the backbone's batch norms (1e-3 for weights from TensorFlow).

    Attributes:
        spec: these arguments, an `EncoderSpec`.
        dimensions: length of an embedding.

    Raises:
        InputError: an unknown backbone, pooling or neck, or an image size that is not two positive numbers.
        WeightsError: weights that cannot be had or do not fit.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        pretrained: bool = True,
        weights: str | None = None,
        pooling: Pooling = "gem",
        neck: Neck = "bn",
        image_size: tuple[int, int] = (256, 128),
        last_stride: int = 1,
        mean: Triple | None = None,
        std: Triple | None = None,
        bn_eps: float | None = None,
    ):
        super().__init__()
        size = _checked_size(image_size)
        if pooling not in ("gem", "avg") or neck not in ("bn", "none") or last_stride not in (1, 2):
            raise InputError(
                f"Expected pooling 'gem' or 'avg', neck 'bn' or 'none', last_stride 1 or 2; got {pooling!r}, {neck!r}, "
                f"{last_stride!r}."
            )
        weights = None if weights is None else str(weights)
        self.spec = EncoderSpec(backbone, pretrained, weights, pooling, neck, size, last_stride, mean, std, bn_eps)
        parts = build_backbone(backbone, pretrained and weights is None, size)
        self.backbone = parts.network
        if weights is not None:
            load_into(self.backbone, weights, backbone)
        if bn_eps is not None:
            set_bn_eps(self.backbone, bn_eps)
        if last_stride == 1:
            set_last_stride(self.backbone, 1, size)
        self.mean, self.std = mean or parts.mean, std or parts.std
        self.pooling = GeneralizedMeanPooling() if pooling == "gem" else AveragePooling()
        self.dimensions = self._probe(size)
        self.neck = _bn_neck(self.dimensions) if neck == "bn" else nn.Identity()

    def forward(self, images: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b d"]:
        """Unit embeddings, float32.

        Args:
            images: uint8 (b, height, width, 3) RGB, normalised here on their device; or float (b, 3, height, width), taken
                as normalised already.
        """
        pixels = normalise(images, self.mean, self.std) if images.dtype == torch.uint8 else images
        return F.normalize(self.neck(self._pooled(pixels)).float(), dim=1)

    def _pooled(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        features = self.backbone(images)
        if features.ndim == 2:
            return features
        if features.ndim == 3:
            prefix = getattr(self.backbone, "num_prefix_tokens", 0)
            return features[:, 0] if prefix else features.mean(dim=1)
        if features.shape[1] != getattr(self.backbone, "num_features", features.shape[1]):
            features = features.permute(0, 3, 1, 2)  # Swin and its kin put the channels last
        return self.pooling(features)

    def _probe(self, size: tuple[int, int]) -> int:
        was_training = self.training
        with torch.no_grad():
            channels = self.eval()._pooled(torch.zeros(1, 3, *size)).shape[1]
        self.train(was_training)
        return int(channels)


def _checked_size(image_size: tuple[int, int]) -> tuple[int, int]:
    size = tuple(image_size) if isinstance(image_size, (tuple, list)) else ()
    if len(size) != 2 or not all(isinstance(side, int) and side >= 8 for side in size):
        raise InputError(f"image_size must be (height, width), each at least 8 pixels; got {image_size!r}.")
    return size


def _bn_neck(dimensions: int) -> nn.BatchNorm1d:
    """Batch norm whose bias stays zero (Luo et al. 2019), so that the classes are not shifted off the origin."""
    neck = nn.BatchNorm1d(dimensions)
    neck.bias.requires_grad_(False)
    return neck
