"""A faster network for embedding only: bfloat16 where the processor or the device has it.

Nearly all of the gain is convolutions and linear layers in bfloat16, channels last. Folding the batch norms that follow
convolutions into them adds a little. A processor takes few images at once, whose feature maps are still in the cache when
the next layer reads them, and each thread takes its own, so that none waits for another at every layer.
`python -m benchmarks --only ResNet` measures it beside plain float32.

Pooling, neck and norm stay in float32. Nothing is taken from, or left in, torch's global state.
"""

from __future__ import annotations

import copy
import platform
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Shaped
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from reunite.errors import InputError
from reunite.model.batch_norm import _Grouped
from reunite.model.encoder import Encoder
from reunite.threads import in_blocks

Precision = Literal["float32", "bfloat16", "auto"]

CACHED_PIXELS = 8 * 256 * 128
"""Pixels that a thread takes through the network at once: eight person images."""

_CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv2d, Conv2dSame)
"""Exact types: a subclass may compute its weights, as those with weight standardisation do."""


def use_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bfloat16 on this device.

    Args:
        precision: "float32" never, "bfloat16" always, "auto" where it is fast.
        device: where the network is.

    Raises:
        InputError: "bfloat16" on a processor or device that has no instructions for it, or an unknown precision.
    """
    if precision not in get_args(Precision):
        raise InputError(f"precision must be {' or '.join(map(repr, get_args(Precision)))}; got {precision!r}.")
    if precision == "float32":
        return False
    fast = has_bfloat16(device)
    if precision == "bfloat16" and not fast:
        raise InputError(
            "precision 'bfloat16' needs a processor with AVX512-BF16 (Zen 4, Sapphire Rapids or newer; on ARM BF16), or an "
            f"NVIDIA GPU of the Ampere generation or newer; device {str(device)!r} of this machine has none. Take "
            "'float32', or 'auto' to use bfloat16 only where it is there."
        )
    return fast


def has_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 in hardware. torch emulates it elsewhere, slower than float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        # Of torch's public functions none before 2.11 tells; every processor with AMX has this too.
        return torch.cpu._is_avx512_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bfloat16_pooled(encoder: Encoder) -> Callable[[Shaped[Tensor, "b ..."]], Float[Tensor, "b p"]]:
    """What `encoder.pooled` gives in evaluation mode, computed in bfloat16 by a copy; the encoder is not touched.

    The copy has the weights of this moment. Its vectors are float32; how far they are from those of `encoder.pooled`
    depends on the network, see `embed`.
    """
    with torch.no_grad():
        twin = copy.deepcopy(encoder).eval()
        twin.backbone = _InBfloat16(_folded(twin.backbone, twin.spec.image_size))
    height, width = encoder.spec.image_size
    on_processor = next(twin.parameters()).device.type == "cpu"
    at_once = max(1, CACHED_PIXELS // (height * width))

    def pooled(images: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b p"]:
        if not on_processor:
            return twin.pooled(images)
        caller = torch.is_inference_mode_enabled()

        def part(start: int, stop: int) -> Float[Tensor, "p c"]:
            with torch.inference_mode(caller), torch.no_grad():  # modes are a thread's own
                return twin.pooled(images[start:stop])

        return torch.cat(in_blocks(len(images), at_once, part))

    return pooled


class _InBfloat16(nn.Module):
    """A network whose convolutions and linear layers compute in bfloat16; float32 comes out.

    Their weights are kept in bfloat16, because autocast would convert them at every call. Autocast converts what meets
    them, so that networks which make float32 in between (position embeddings, unfolded norms) work as they are.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        for layer in network.modules():
            if type(layer) in (*_CONVOLUTIONS, nn.Linear):
                layer.to(torch.bfloat16)
        for name in ("num_prefix_tokens", "num_features"):  # what the encoder asks its backbone
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b ..."]:
        """What the network makes of normalised images."""
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.network(images.contiguous(memory_format=torch.channels_last)).float()


def _folded(network: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """A copy with batch norms folded into convolutions; the network itself where nothing can be folded safely.

    The network is run, not traced symbolically: torch.fx changes torch's modules for every thread while it traces.
    Code that looks at its norms by itself is not seen by that, so the copy has to give what the network gives.
    """
    where = next(network.parameters()).device
    image = torch.linspace(-2, 2, 3 * image_size[0] * image_size[1], device=where).view(1, 3, *image_size)
    folded = copy.deepcopy(network)
    pairs = _pairs(folded, image)
    if not pairs:
        return network
    for name_of_convolution, name_of_norm in pairs:
        convolution, norm = folded.get_submodule(name_of_convolution), folded.get_submodule(name_of_norm)
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        folded.set_submodule(name_of_convolution, fuse_conv_bn_eval(convolution, norm))
        after = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        folded.set_submodule(name_of_norm, after)
    try:
        expected, found = network(image), folded(image)
    except (AttributeError, TypeError):  # it asks its norms for what an identity does not have
        return network
    return folded if (found - expected).norm() <= 1e-3 * expected.norm() else network


def _pairs(network: nn.Module, image: Float[Tensor, "1 3 h w"]) -> list[tuple[str, str]]:
    """Names of convolutions and the batch norms that alone read what they give, each run once an image."""
    reads, calls = _Reads(), Counter[str]()
    made: dict[int, tuple[str, Tensor]] = {}  # with the tensor, so that its id is not given to another
    found: list[tuple[str, str, int]] = []

    def watch(name: str, layer: nn.Module) -> RemovableHandle:
        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] += 1
            if isinstance(layer, nn.Conv2d):
                made[id(output)] = name, output
                reads.counts[id(output)] = 0
            elif id(inputs[0]) in made:
                found.append((made[id(inputs[0])][0], name, id(inputs[0])))

        return layer.register_forward_hook(note)

    layers = list(network.named_modules())
    handles = [watch(name, layer) for name, layer in layers if _takes_norm(layer) or _foldable(layer)]
    with reads:
        network(image)
    for handle in handles:
        handle.remove()
    return [(one, two) for one, two, output in found if calls[one] == calls[two] == reads.counts[output] == 1]


class _Reads(TorchDispatchMode):
    """Counts, in this thread, how many operations read each tensor, by its id."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for given in (*args, *(kwargs or {}).values()):
            self.counts.update(id(each) for each in (given if isinstance(given, (list, tuple)) else (given,)))
        return func(*args, **(kwargs or {}))


def _takes_norm(layer: nn.Module) -> bool:
    """Whether it is a convolution that a norm may be folded into.

    Not one with groups: scaled weights of MobileNetV2's depthwise convolutions, rounded to bfloat16, double the distance to
    float32 (mean cosine 0.994, unfolded 0.997); all its other norms cost nothing.
    """
    return type(layer) in _CONVOLUTIONS and bool(layer.groups == 1)


def _foldable(layer: nn.Module) -> bool:
    """Whether it is a batch norm that is a linear map in evaluation mode, and at most an activation after it."""
    kind = next(kind for kind in type(layer).__mro__ if not issubclass(kind, _Grouped))
    return kind in (nn.BatchNorm2d, BatchNormAct2d) and layer.running_mean is not None
