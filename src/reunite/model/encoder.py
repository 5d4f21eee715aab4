"""The encoder: images in, unit vectors out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.images.tracklets import MeanOf
from reunite.images.transforms import normalise
from reunite.model.backbones import Triple, build_backbone, set_bn_eps, set_last_stride
from reunite.model.necks import batch_norm_neck, linear_neck
from reunite.model.pooling import AveragePooling, GeneralizedMeanPooling
from reunite.model.weights import load_into

Pooling = Literal["gem", "avg"]
Neck = Literal["bn", "linear", "none"]
TestFeature = Literal["embedding", "pooled"]


class Features(NamedTuple):
    """What an encoder makes of a batch: one backbone pass, three vectors an image.

    Attributes:
        pooled: the backbone's output after pooling, (b, p).
        embedding: after the neck, (b, d).
        unit: after the L2 norm and, in training, dropout, (b, d).
    """

    pooled: Float[Tensor, "b p"]
    embedding: Float[Tensor, "b d"]
    unit: Float[Tensor, "b d"]


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
    embedding_size: int | None = None
    dropout: float = 0.0
    test_feature: TestFeature = "embedding"
    frozen: tuple[str, ...] = ()
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
        backbone: a timm name (`hf-hub:` too), `resnet50_ibn_a` or `resnet101_ibn_a`, a torchvision name with a `features`
            part, or `conv4`, our small network.
        pretrained: start from the hub's weights. Needs internet; without it, one clear error.
        weights: a local .safetensors or state-dict file for the backbone, used instead of the hub's.
        pooling: "gem" or "avg". Transformers keep their class token, or the mean of their tokens where they have none.
        neck: what comes after pooling. "bn": batch norm without bias (Luo et al. 2019); "linear": a linear layer and batch
            norm (BUC, DBC); "none".
        image_size: height and width every image is resized to, in pixels.
        last_stride: stride of the last downsampling; 2 leaves the backbone as it is.
        embedding_size: outputs of the linear neck; None makes as many as the backbone has channels.
        dropout: share of the training embedding set to zero, after the norm as BUC and DBC do it, so that training vectors are
            not unit.
        test_feature: what clustering, search and tests see: the unit "embedding", or the "pooled" feature before the neck,
            normalised (BUC, DBC, HCT).
        frozen: parts of the backbone that keep their weights and their batch norm statistics, by name ("conv1", "layer1").
        mean, std: pixel normalisation, RGB in [0, 1]; None takes what the backbone was made for.
        bn_eps: overrides the eps of the backbone's batch norms (1e-3 for weights from TensorFlow).

    Attributes:
        spec: these arguments, an `EncoderSpec`.
        dimensions: length of an embedding as tests see it.

    Raises:
        InputError: an unknown backbone, pooling, neck or part to freeze, or a number out of range.
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
        embedding_size: int | None = None,
        dropout: float = 0.0,
        test_feature: TestFeature = "embedding",
        frozen: tuple[str, ...] = (),
        mean: Triple | None = None,
        std: Triple | None = None,
        bn_eps: float | None = None,
    ):
        super().__init__()
        size = _checked_size(image_size)
        _check_choices(pooling=pooling, neck=neck, last_stride=last_stride, test_feature=test_feature)
        if not 0 <= dropout < 1 or (embedding_size is not None and (embedding_size < 1 or neck != "linear")):
            raise InputError(
                f"Expected dropout in [0, 1), and an embedding_size only with neck='linear'; got {dropout}, "
                f"{embedding_size} with {neck!r}."
            )
        weights = None if weights is None else str(weights)
        self.spec = EncoderSpec(
            backbone,
            pretrained,
            weights,
            pooling,
            neck,
            size,
            last_stride,
            embedding_size,
            dropout,
            test_feature,
            tuple(frozen),
            mean,
            std,
            bn_eps,
        )
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
        channels = self._probe(size)
        self.neck = _build_neck(neck, channels, embedding_size)
        self.dimensions = channels if test_feature == "pooled" else embedding_size or channels
        self._frozen = tuple(_part(self.backbone, name) for name in frozen)
        for part in self._frozen:
            part.requires_grad_(False)
        self.train()

    def forward(self, images: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b d"]:
        """The training embedding in training mode, the unit test feature in evaluation mode; float32.

        Args:
            images: uint8 (b, height, width, 3) RGB, normalised here on their device; or float (b, 3, height, width), taken
                as normalised already.
        """
        features = self.features(images)
        return features.unit if self.training else self.tested(features)

    def features(
        self, images: Shaped[Tensor, "b ..."], mean_of: MeanOf = "pooled", dropout: float | None = None
    ) -> Features:
        """All three vectors of each image or tracklet, for methods that train on one and search with another.

        Args:
            images: as `forward` takes them; with one more dimension after the first, (b, t, ...), tracklets of t frames.
            mean_of: what is averaged over the frames of a tracklet, see `reunite.images.tracklets.Frames`.
            dropout: of `unit` in training; None is as the encoder has it.
        """
        count = images.shape[1] if images.ndim == 5 else 1
        pooled = self.pooled(images.flatten(0, 1) if images.ndim == 5 else images)
        if mean_of == "pooled":
            return self.head(_mean(pooled, count), dropout)
        each = self.head(pooled, dropout=0.0)
        unit = each.unit if count == 1 else F.normalize(_mean(each.unit, count), dim=1)
        return Features(_mean(pooled, count), _mean(each.embedding, count), self.dropped(unit, dropout))

    def pooled(self, images: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b p"]:
        """What comes out of backbone and pooling, for images as `forward` takes them."""
        return self._pooled(normalise(images, self.mean, self.std) if images.dtype == torch.uint8 else images)

    def head(self, pooled: Float[Tensor, "b p"], dropout: float | None = None) -> Features:
        """What comes after pooling: neck, norm and, in training, dropout (None: as the encoder has it)."""
        embedding = self.neck(pooled)
        unit = F.normalize(embedding.float(), dim=1)
        return Features(pooled, embedding, self.dropped(unit, dropout))

    def dropped(self, unit: Float[Tensor, "b d"], dropout: float | None = None) -> Float[Tensor, "b d"]:
        """After dropout, in training (None: as the encoder has it)."""
        dropout = self.spec.dropout if dropout is None else dropout
        return F.dropout(unit, dropout, self.training) if dropout else unit

    def tested(self, features: Features) -> Float[Tensor, "b d"]:
        """The vector that clustering, search and tests see."""
        return F.normalize(features.pooled.float(), dim=1) if self.spec.test_feature == "pooled" else features.unit

    def train(self, mode: bool = True) -> Encoder:
        """As of any module, but frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def _pooled(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        features = self.backbone(images)
        if features.ndim == 2:
            return features
        if features.ndim == 3:
            prefix = getattr(self.backbone, "num_prefix_tokens", 0)
            return features[:, 0] if prefix else features.mean(dim=1)
        channels = getattr(self.backbone, "num_features", features.shape[1])
        if features.shape[1] != channels == features.shape[3]:
            features = features.permute(0, 3, 1, 2)  # Swin and its kin put the channels last
        return self.pooling(features)

    def _probe(self, size: tuple[int, int]) -> int:
        was_training = self.training
        with torch.no_grad():
            super().train(False)
            channels = self._pooled(torch.zeros(1, 3, *size)).shape[1]
        super().train(was_training)
        return int(channels)


def _mean(vectors: Float[Tensor, "bt d"], count: int) -> Float[Tensor, "b d"]:
    """Means over `count` frames each; of one frame, that frame."""
    return vectors if count == 1 else vectors.unflatten(0, (-1, count)).mean(dim=1)


def _checked_size(image_size: tuple[int, int]) -> tuple[int, int]:
    size = tuple(image_size) if isinstance(image_size, (tuple, list)) else ()
    if len(size) != 2 or not all(isinstance(side, int) and side >= 8 for side in size):
        raise InputError(f"image_size must be (height, width), each at least 8 pixels; got {image_size!r}.")
    return size


def _check_choices(**chosen: object) -> None:
    for name, value in chosen.items():
        if value not in CHOICES[name]:
            raise InputError(f"{name} must be {' or '.join(map(repr, CHOICES[name]))}; got {value!r}.")


CHOICES: dict[str, tuple[object, ...]] = {
    "pooling": get_args(Pooling),
    "neck": get_args(Neck),
    "last_stride": (1, 2),
    "test_feature": get_args(TestFeature),
}


def _build_neck(neck: Neck, channels: int, embedding_size: int | None) -> nn.Module:
    if neck == "linear":
        return linear_neck(channels, embedding_size or channels)
    return batch_norm_neck(channels) if neck == "bn" else nn.Identity()


def _part(backbone: nn.Module, name: str) -> nn.Module:
    """The part of a backbone of that name, with dots for parts of parts."""
    try:
        return backbone.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(name for name, _ in backbone.named_children())
        raise InputError(f"The backbone has no part {name!r} to freeze; it has {known}.") from error
