"""bfloat16 against float32, on networks of every kind and one made to be folded wrongly."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from reunite import Encoder, embed, render_walkers
from reunite.errors import InputError
from reunite.images.tracklets import Frames, each_alone, group_tracklets
from reunite.model import inference
from reunite.model.batch_norm import group_batch_norm
from reunite.types import Images

CPU = torch.device("cpu")


def trained(backbone: str, size: tuple[int, int] = (64, 32), **options) -> Encoder:
    """Random weights, and batch norms that are far from the identity."""
    torch.manual_seed(0)
    encoder = Encoder(backbone, pretrained=False, image_size=size, last_stride=2, **options)
    for layer in encoder.modules():
        if isinstance(layer, _BatchNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.2)
    with torch.no_grad():
        for _ in range(8):
            encoder(pixels(8, size))
    return encoder.eval()


def pixels(count: int, size: tuple[int, int] = (64, 32)) -> torch.Tensor:
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def norms(network: nn.Module) -> int:
    return sum(isinstance(layer, _BatchNorm) for layer in network.modules())


def folded(network: nn.Module, size: tuple[int, int] = (64, 32)) -> nn.Module:
    with torch.no_grad():
        return inference._folded(network, size)


KINDS = [
    ("conv4", (48, 48), {}),
    ("resnet18", (64, 32), {}),
    ("resnet18", (64, 32), {"neck": "linear", "dropout": 0.5, "test_feature": "pooled", "frozen": ("layer1",)}),
    ("vit_tiny_patch16_224", (64, 32), {}),
    ("swin_tiny_patch4_window7_224", (64, 64), {"pooling": "avg"}),
    ("convnext_atto", (64, 32), {}),
]


@pytest.mark.parametrize(("backbone", "size", "options"), KINDS)
def test_as_close_to_float32_as_autocast_of_the_network_as_it_is(backbone, size, options):
    """A bfloat16 has 8 bits: 1/512 a layer, after twenty layers a hundredth, a cosine of 0.9999; the neck takes off what
    all images have in common and leaves a few times that."""
    encoder, batch = trained(backbone, size, **options), pixels(5, size)
    with torch.inference_mode():
        exact, found = encoder.pooled(batch), inference.bfloat16_pooled(encoder)(batch)
        with torch.autocast("cpu", torch.bfloat16):
            plain = encoder.pooled(batch).float()
        rows = [encoder.tested(encoder.head(each)).double() for each in (exact, found, plain)]
    assert found.dtype == torch.float32 and found.shape == exact.shape
    ours, autocast = (1 - (rows[0] * each).sum(dim=1).min().item() for each in rows[1:])
    assert 1e-7 < ours < min(2 * autocast, 1e-3)


@pytest.mark.parametrize(
    ("backbone", "left"),
    [("resnet18", 0), ("mobilenetv2_050", 17), ("tf_efficientnet_b0", 16), ("mobilenet_v2", 17), ("conv4", 3)],
)
def test_folding_changes_nothing_but_the_number_of_norms(backbone, left):
    """Conv4 has max pooling between convolutions and norms, but for the last; depthwise convolutions keep
    theirs; tf_ networks pad by themselves."""
    encoder = trained(backbone)
    network = folded(encoder.backbone)
    assert norms(encoder.backbone) > left == norms(network)
    image = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(image), encoder.backbone(image), rtol=1e-4, atol=1e-4)


def test_norms_in_groups_are_folded_and_instance_norms_are_kept():
    encoder = trained("resnet18")
    group_batch_norm(encoder, 4)
    assert norms(folded(encoder.backbone)) == 0
    both = trained("resnet50_ibn_a").backbone
    network = folded(both)
    assert norms(network) == sum(isinstance(layer, nn.InstanceNorm2d) for layer in both.modules()) > 0


class Awkward(nn.Module):
    """Convolution and norm, and one reason why they cannot become one."""

    def __init__(self, reason: str):
        super().__init__()
        self.reason, self.num_features = reason, 4
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, track_running_stats=reason != "no statistics")
        nn.init.constant_(self.norm.weight, 2.0)
        self.same = nn.Conv2d(4, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images)
        if self.reason == "read twice":
            return self.norm(maps) + maps
        if self.reason == "convolution run twice":
            return self.norm(maps) + self.conv(images.flip(3))
        if self.reason == "norm run twice":
            return self.norm(maps) + self.norm(self.same(maps * 1))
        if self.reason == "asks its norm":
            return self.norm(maps) * self.norm.num_features
        if self.reason == "looks at weights":
            return self.norm(maps) * self.conv.weight.norm()
        return self.norm(maps)


@pytest.mark.parametrize(
    "reason",
    ["read twice", "convolution run twice", "norm run twice", "asks its norm", "looks at weights", "no statistics"],
)
def test_what_cannot_be_folded_is_left_as_it_is(reason):
    network = Awkward(reason).eval()
    assert folded(network) is network
    plain = Awkward("none").eval()
    assert folded(plain) is not plain


@pytest.mark.parametrize("reason", ["read twice", "convolution run twice", "norm run twice", "no statistics"])
def test_pairs_are_refused_before_anything_is_computed_with_them(reason):
    with torch.no_grad():
        assert inference._pairs(Awkward(reason).eval(), torch.ones(1, 3, 8, 8)) == []
        assert inference._pairs(Awkward("none").eval(), torch.ones(1, 3, 8, 8)) == [("conv", "norm")]


@pytest.fixture(scope="module")
def walkers(tmp_path_factory) -> Images:
    folder = tmp_path_factory.mktemp("walkers") / "data"
    train = render_walkers(folder, identities=4, cameras=2, images=4, seed=0).train
    return Images.of(train.paths[:16], track=[0] * 7 + [1] + [2] * 5 + [-1] * 3)


@pytest.fixture
def with_bfloat16(monkeypatch):
    """torch emulates what the processor lacks, slowly and with the same results."""
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: True)


@pytest.fixture
def without_bfloat16(monkeypatch):
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: False)


@pytest.mark.parametrize("mean_of", ["pooled", "unit"])
def test_images_and_tracklets_and_nothing_changed(walkers, with_bfloat16, mean_of):
    encoder = trained("resnet18", dropout=0.5, neck="linear").train()
    before, random = copy.deepcopy(encoder.state_dict()), torch.get_rng_state()
    for units in (walkers, group_tracklets(walkers)):
        exact, found = (
            embed(encoder, units, 5, progress=False, frames=Frames(mean_of=mean_of), precision=precision)
            for precision in ("float32", "bfloat16")
        )
        assert found.dtype == np.float32 and not np.array_equal(exact, found)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        assert (exact * found).sum(axis=1).min() > 0.9995
    assert encoder.training and not torch.is_autocast_enabled("cpu") and torch.equal(random, torch.get_rng_state())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_auto_takes_what_is_there(walkers, monkeypatch):
    encoder = trained("conv4")
    for there, same in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(inference, "has_bfloat16", lambda device, there=there: there)
        found = embed(encoder, walkers, progress=False, precision="auto")
        if same == "float32":
            np.testing.assert_array_equal(found, embed(encoder, walkers, progress=False))
        else:
            np.testing.assert_array_equal(found, embed(encoder, walkers, progress=False, precision=same))


def test_bfloat16_that_is_not_there_is_an_error_even_for_no_images(without_bfloat16):
    with pytest.raises(
        InputError, match=r"AVX512-BF16.*device 'cpu' of this machine has none. Take 'float32', or 'auto'"
    ):
        embed(trained("conv4"), each_alone(Images.of([])), precision="bfloat16")
    with pytest.raises(InputError, match="'float32' or 'bfloat16' or 'auto'; got 'float16'"):
        embed(trained("conv4"), each_alone(Images.of([])), precision="float16")


def test_other_devices_and_torch_without_onednn_have_none(monkeypatch):
    assert not inference.has_bfloat16(torch.device("meta"))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(inference.platform, "machine", lambda: "AMD64")
    assert inference.has_bfloat16(CPU) == torch.backends.mkldnn.is_available()
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert not inference.has_bfloat16(CPU), "AVX512 without BF16 is emulated"
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert not inference.has_bfloat16(CPU)


def test_parts_of_a_batch_that_fit_the_cache(monkeypatch):
    encoder, batch, seen = trained("conv4", (32, 32)), pixels(7, (32, 32)), []
    monkeypatch.setattr(inference, "CACHED_PIXELS", 3 * 32 * 32 + 1)
    pooled = inference.bfloat16_pooled(encoder)
    whole = inference._InBfloat16.forward
    monkeypatch.setattr(
        inference._InBfloat16, "forward", lambda self, images: (seen.append(len(images)), whole(self, images))[1]
    )
    with torch.inference_mode():
        found = pooled(batch)
        alone = torch.cat([pooled(image[None]) for image in batch])
    assert sorted(seen[:3]) == [1, 3, 3] and seen[3:] == [1] * 7
    torch.testing.assert_close(found, alone, rtol=0.02, atol=0.02)


def test_threads_do_not_disturb_each_other():
    encoder, batch = trained("resnet18"), pixels(4)
    with torch.inference_mode():
        expected = inference.bfloat16_pooled(encoder)(batch)
        exact = encoder.pooled(batch)
    wrong = []

    def work(fast: bool) -> None:
        with torch.inference_mode():
            for _ in range(3):
                found = inference.bfloat16_pooled(encoder)(batch) if fast else encoder.pooled(batch)
                if not torch.allclose(found, expected if fast else exact, rtol=1e-5, atol=1e-5):
                    wrong.append(fast)

    threads = [threading.Thread(target=work, args=(fast,)) for fast in (True, False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
