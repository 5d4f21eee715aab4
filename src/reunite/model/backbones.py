"""Backbones by name: timm's, those with IBN-a, torchvision's with a `features` part (SqueezeNet), and our small one."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torchvision
from jaxtyping import Float
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reunite.errors import InputError, WeightsError
from reunite.model.conv4 import Conv4
from reunite.model.hub import at_once_when_offline
from reunite.model.ibn import to_ibn_a

Triple = tuple[float, float, float]

IBN_A = {"resnet50_ibn_a": "resnet50", "resnet101_ibn_a": "resnet101"}
"""Names under which IBN-Net published its weights, and the timm networks that become these."""


@dataclass(frozen=True)
class Backbone:
    """A network that turns normalised images into a feature map or tokens, and the normalisation it was made for."""

    network: nn.Module
    mean: Triple
    std: Triple


class TorchvisionFeatures(nn.Module):
    """The convolutional part of a torchvision network, under the names its weight files use."""

    def __init__(self, features: nn.Module):
        super().__init__()
        self.features = features

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """The last feature map."""
        return self.features(images)


def build_backbone(name: str, pretrained: bool, image_size: tuple[int, int]) -> Backbone:
    """The backbone of that name: any of timm's (`hf-hub:` too), `resnet50_ibn_a`, torchvision's with features, or `conv4`.

    Raises:
        InputError: no backbone has that name (close ones are suggested), or the image size is too small for it.
        WeightsError: pretrained weights were asked for and cannot be had.
    """
    if name == "conv4":
        if pretrained:
            raise WeightsError("conv4 has no pretrained weights. Pass pretrained=False, or weights=FILE of your own.")
        return Backbone(Conv4(), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    if name in IBN_A:
        return _ibn_a(name, pretrained, image_size)
    if name.startswith("hf-hub:") or timm.is_model(name):
        return _timm(name, pretrained, image_size)
    if name in torchvision.models.list_models(torchvision.models):
        return _torchvision(name, pretrained)
    known = ["conv4", *IBN_A, *timm.list_models(), *torchvision.models.list_models(torchvision.models)]
    close = difflib.get_close_matches(name, known, 3)
    raise InputError(f"No backbone is called {name!r}.{' Did you mean ' + ', '.join(close) + '?' if close else ''}")


def _ibn_a(name: str, pretrained: bool, image_size: tuple[int, int]) -> Backbone:
    if pretrained:
        raise WeightsError(
            f"No model hub has pretrained weights for {name!r}. Pass weights=FILE, a local copy of the file of that name "
            "from the release of IBN-Net, or pretrained=False to start from random weights."
        )
    if max(image_size) <= 16:
        raise InputError(
            f"{name} shrinks images by 16 before its last instance norm, which needs more than one position; got "
            f"image_size {image_size}. Take a height or width above 16."
        )
    plain = _timm(IBN_A[name], False, image_size)
    return Backbone(to_ibn_a(plain.network), plain.mean, plain.std)


def _timm(name: str, pretrained: bool, image_size: tuple[int, int]) -> Backbone:
    options: dict[str, Any] = {} if name.startswith("hf-hub:") else _size_option(name, image_size)
    try:
        with at_once_when_offline():
            network = timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="", **options)
    except Exception as error:  # timm, the hub client and its transport each raise their own kinds
        if not pretrained and not name.startswith("hf-hub:"):
            raise
        raise WeightsError(_unreachable(name)) from error
    config: dict[str, Any] = vars(network).get("pretrained_cfg", {})
    return Backbone(network, config.get("mean", IMAGENET_DEFAULT_MEAN), config.get("std", IMAGENET_DEFAULT_STD))


def _size_option(name: str, image_size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Transformers with position embeddings are built for one image size; timm resamples theirs."""
    config = timm.get_pretrained_cfg(name)
    return {"img_size": image_size} if config is not None and config.fixed_input_size else {}


def _torchvision(name: str, pretrained: bool) -> Backbone:
    try:
        whole = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None)
    except Exception as error:  # urllib's errors, a wrong hash, a full disk
        if not pretrained:
            raise
        raise WeightsError(_unreachable(name)) from error
    if not isinstance(getattr(whole, "features", None), nn.Module):
        raise InputError(f"torchvision's {name!r} has no `features` part to use; take timm's network of that family.")
    return Backbone(TorchvisionFeatures(whole.features), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


def _unreachable(name: str) -> str:
    return (
        f"The pretrained weights of {name!r} could not be had (is the model hub reachable?). Offline: pass weights=FILE, a "
        "local .safetensors or state-dict file, or pretrained=False to start from random weights."
    )


def set_last_stride(network: nn.Module, stride: int, image_size: tuple[int, int]) -> None:
    """Gives the layers of the last downsampling this stride: 1 doubles the map (Luo et al. 2019).

    The layers are found by running the network once: of all strided convolutions and poolings they are those with the
    smallest input. Networks that only cut the image into patches have none and stay as they are.
    """
    seen: list[tuple[int, nn.Module]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        seen.append((inputs[0].shape[-2] * inputs[0].shape[-1], layer))

    strided = [layer for layer in network.modules() if getattr(layer, "stride", None) in (2, (2, 2))]
    handles = [layer.register_forward_hook(note) for layer in strided]
    was_training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, *image_size))
    network.train(was_training)
    for handle in handles:
        handle.remove()
    smallest = min((area for area, _ in seen), default=0)
    for area, layer in seen:
        if area == smallest:
            layer.stride = stride if isinstance(layer.stride, int) else (stride, stride)  # type: ignore[assignment]


def set_bn_eps(network: nn.Module, eps: float) -> None:
    """Sets the `eps` of every batch norm layer: weights ported from TensorFlow were trained with 1e-3."""
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            layer.eps = eps
