"""The encoder that `reunite identify` embeds images with: a run's, or a general one that was trained on other images."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import timm
import torch
import torchvision
from timm.models import PretrainedCfg

from reunite.errors import ImageError, InputError, WeightsError
from reunite.images.decoding import decode
from reunite.model import Encoder, EncoderSpec
from reunite.train.run import Run
from reunite.types import Images, evenly_spread

GENERAL = "vit_small_patch14_dinov2.lvd142m"
"""What embeds images when nothing else is asked for: DINOv2, 22 million parameters (Oquab et al. 2023, arXiv 2304.07193)."""

Shape = Literal["tall", "square", "wide"]

SIZES: dict[Shape, tuple[int, int]] = {"tall": (256, 128), "square": (224, 224), "wide": (128, 256)}
"""(height, width) that a general encoder sees: what re-identification of people is used to, and what classifiers are."""

UNKNOWN_LICENCE = "licence of the weights unknown: look at the model card"


@dataclass(frozen=True, eq=False)
class NamedEncoder:
    """An encoder, and what to say about it.

    Attributes:
        encoder: in evaluation mode, on the processor.
        name: what to call it.
        licence: a line on the licence of its weights, to be shown whenever it is loaded.
        mark: sixteen hexadecimal digits that change with any weight and any option that embeddings depend on.
    """

    encoder: Encoder
    name: str
    licence: str
    mark: str

    @classmethod
    def of(cls, encoder: Encoder, name: str, licence: str) -> NamedEncoder:
        """With the mark of the encoder as it is now."""
        return cls(encoder.eval(), name, licence, mark_of(encoder))


def encoder_of(
    text: str = GENERAL,
    *,
    weights: Path | None = None,
    image_size: tuple[int, int] | None = None,
    shape: Shape = "square",
) -> NamedEncoder:
    """The encoder asked for.

    A general encoder is a backbone without a neck: the unit vector of its class token after the last norm, which is what the
    authors of DINOv2 take for search, or of the mean over its map or tokens where it has no such token. No layer of ours with
    untrained statistics is in between.

    Args:
        text: a run folder; or a backbone as `Encoder` names them.
        weights: a local file for the backbone instead of the hub's weights.
        image_size: (height, width) that images are resized to; None takes `SIZES` of `shape`, rounded down to whole patches.
            Transformers made of windows keep the one size they were made for.
        shape: of most of the images, see `crop_shape`; a run has its own size.

    Raises:
        InputError: neither a run nor a backbone, or an option that a run does not take.
        RunError: the run has no finished round.
        WeightsError: the weights cannot be had, with what to do about it, or do not fit.
    """
    if (Path(text) / "run.json").is_file():
        if weights is not None or image_size is not None:
            raise InputError(
                f"{text} is a run folder, which brings its weights and its image size. Leave these options out."
            )
        run = Run.open(text)
        return NamedEncoder.of(run.encoder(), f"the encoder of {text}", _licence_of_run(run.spec))
    if not _is_backbone(text) and Path(text).exists():
        if Path(text).is_dir():
            Run.open(text)  # says why it is none
        raise InputError(f"--encoder names a run folder or a backbone; {text} is a file. Pass it as --weights {text}.")
    spec = EncoderSpec(
        text,
        pretrained=weights is None,
        weights=None if weights is None else str(weights),
        pooling="avg",
        neck="none",
        image_size=image_size or _size_of(text, shape),
        last_stride=2,
    )
    if weights is not None:
        return NamedEncoder.of(spec.build(), f"{text} with {weights.name}", _licence_of_file(text, weights))
    try:
        return NamedEncoder.of(spec.build(), text, licence_of(text))
    except WeightsError as error:
        raise _how_to_get(text, error) from error


def licence_of(backbone: str) -> str:
    """A line on the licence of the hub's weights of that name, as timm's list of weights states it."""
    config = _config(backbone)
    if config is None or not config.license:
        return UNKNOWN_LICENCE
    return f"licence of the weights, as timm states it: {config.license}"


def crop_shape(images: Images, sample: int = 32) -> Shape:
    """What most of the images are: more than 1.5 times as tall as wide, or as wide as tall, or neither.

    The median of `sample` images, evenly spread, decides, so that a folder that grows keeps its shape unless it is a close
    call. Three shapes are enough: a crop squeezed by less than 1.5 is recognised, and every other size would make the
    embeddings of two folders incomparable.
    """
    rows = evenly_spread(len(images), sample)
    ratios = []
    for path in images.paths[rows].tolist():
        try:
            height, width = decode(path).shape[:2]
        except ImageError:
            continue  # named when it is embedded
        ratios.append(height / width)
    middle = float(np.median(ratios)) if ratios else 1.0
    return "tall" if middle > 1.5 else "wide" if middle < 1 / 1.5 else "square"


def mark_of(encoder: Encoder) -> str:
    """Sixteen hexadecimal digits that change with any weight and any option that embeddings depend on; the origin is none."""
    options = asdict(replace(encoder.spec, pretrained=False, weights=None, mean=encoder.mean, std=encoder.std))
    digest = hashlib.sha256(repr(options).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _is_backbone(text: str) -> bool:
    known = text == "conv4" or text.endswith("_ibn_a") or text.startswith("hf-hub:")
    return known or timm.is_model(text) or text in torchvision.models.list_models(torchvision.models)


def _config(backbone: str) -> PretrainedCfg | None:
    """What timm knows of the weights of that name; None for weights of another hub.

    Raises:
        InputError: timm has the network, but no weights of that name.
    """
    if backbone.startswith("hf-hub:") or not timm.is_model(backbone):
        return None
    network, _, tag = backbone.partition(".")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{network}.*")]
    if tag and tag not in tags:
        raise InputError(f"timm has no weights {tag!r} of {network}; it has {', '.join(tags) or 'none'}.")
    return timm.get_pretrained_cfg(backbone)


def _size_of(backbone: str, shape: Shape) -> tuple[int, int]:
    config = _config(backbone)
    if config is None or not config.fixed_input_size:
        return SIZES[shape]
    patch = re.search(r"patch(\d+)", backbone)
    if patch is None or "window" in backbone:
        return config.input_size[1], config.input_size[2]
    height, width = (side // int(patch[1]) * int(patch[1]) for side in SIZES[shape])
    return height, width


def _licence_of_run(spec: EncoderSpec) -> str:
    if spec.weights is not None:
        return f"trained from {spec.weights}: its licence is that of this file"
    if not spec.pretrained:
        return "trained from random weights: the licence is yours to choose"
    return f"trained from the weights of {spec.backbone}; {licence_of(spec.backbone)}"


def _licence_of_file(backbone: str, weights: Path) -> str:
    config = _config(backbone)
    stated = "" if config is None or not config.license else f" (timm's own weights of that name: {config.license})"
    return f"licence of {weights.name} unknown: look where it came from{stated}"


def _how_to_get(backbone: str, error: WeightsError) -> WeightsError:
    """The error of a hub that cannot be reached, as advice on what to do."""
    run = "or --encoder RUN, a run folder of `reunite train`"
    address = _address(backbone)
    if address is None:
        return WeightsError(f"{error} On the command line: pass --encoder NAME --weights FILE, {run}.")
    file = f"{backbone}{Path(address).suffix}"
    return WeightsError(
        f"The weights of {backbone} could not be had: the model hub does not answer from here. On a machine that reaches it: "
        f"`curl -L -o {file} {address}`; then pass --encoder {backbone} --weights {file} here. Or pass --encoder NAME "
        f"--weights FILE with other weights you have, {run}."
    )


def _address(backbone: str) -> str | None:
    """Where the hub's weights of that name lie; None where a name does not tell, or there are none."""
    config = _config(backbone)
    if config is not None and config.hf_hub_id:
        return f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{config.hf_hub_filename or 'model.safetensors'}"
    if config is not None and config.url:
        return str(config.url)
    if not timm.is_model(backbone) and backbone in torchvision.models.list_models(torchvision.models):
        return str(torchvision.models.get_model_weights(backbone).DEFAULT.url)
    return None
