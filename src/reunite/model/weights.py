"""Weights from a local file, without ever running code that the file brings along."""

from __future__ import annotations

import math
import pickle
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from reunite.errors import WeightsError

HEADS = ("fc.", "classifier.", "head.", "head_dist.", "last_linear.", "bottleneck.")
"""Where public networks keep their classifier, which an encoder has no use for."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a PyTorch state dict (loaded with ``weights_only=True``).

    Wrappers that training scripts add are taken off: a `state_dict` or `model` entry around the tensors, and the
    `module.` prefix of DataParallel.

    Raises:
        WeightsError: no such file, damaged, or a pickle that holds more than tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise WeightsError(f"Weights file {str(file)!r} does not exist.")
    try:
        with (
            warnings.catch_warnings()
        ):  # torch warns of pickle protocols before it refuses the file, which is what we tell
            warnings.simplefilter("ignore")
            content = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"Weights file {str(file)!r} cannot be read as tensors ({reason}). Expected a .safetensors file or a "
            "PyTorch state dict; files that hold other objects are refused because opening them runs their code."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"Weights file {str(file)!r} holds no named tensors.")
    return {name.removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}


def load_into(network: nn.Module, path: str | Path, name: str) -> None:
    """Copies the weights in `path` into `network`; all of the network's tensors must be there with the right shape.

    Position embeddings made for square images of another size are resampled as timm does it for the weights of its hub.

    Raises:
        WeightsError: tensors are missing or of another shape, or not finite.
    """
    wanted = network.state_dict()
    found = _at_this_size(network, read_weights(path), wanted)
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key not in found and key not in counters]
    wrong = [key for key in wanted if key in found and found[key].shape != wanted[key].shape]
    if missing or wrong:
        examples = ", ".join((missing or wrong)[:3])
        extra = [key for key in found if key not in wanted and not key.startswith(HEADS)]
        hint = f" The file has {', '.join(extra[:3])}, ... instead: is it another backbone?" if extra else ""
        raise WeightsError(
            f"{Path(path).name} does not fit backbone {name!r}: {len(missing)} of its {len(wanted)} tensors are missing and "
            f"{len(wrong)} have another shape ({examples}, ...).{hint}"
        )
    bad = [key for key in wanted if key in found and not torch.isfinite(found[key]).all()]
    if bad:
        raise WeightsError(f"{Path(path).name} holds NaN or infinity in {len(bad)} tensors ({bad[0]}, ...).")
    network.load_state_dict({key: found[key] for key in wanted if key in found}, strict=False)


def _at_this_size(network: nn.Module, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """`found` with the position embeddings of a transformer at the size of the network."""
    given, there = found.get("pos_embed"), wanted.get("pos_embed")
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if (
        given is None
        or there is None
        or grid is None
        or not given.ndim == there.ndim == 3
        or given.shape == there.shape
    ):
        return found
    prefix = there.shape[1] - grid[0] * grid[1]
    tokens = given.shape[1] - prefix
    if tokens < 1 or math.isqrt(tokens) ** 2 != tokens or given.shape[2] != there.shape[2]:
        return found  # which is then told as another shape
    return {**found, "pos_embed": resample_abs_pos_embed(given, list(grid), num_prefix_tokens=prefix)}
