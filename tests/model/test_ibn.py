"""IBN-a against its definition in loops, the names of IBN-Net's files, and what must stay as it was."""

from __future__ import annotations

import copy
import re

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from reunite.errors import InputError, WeightsError
from reunite.model import Encoder
from reunite.model.backbones import build_backbone
from reunite.model.batch_norm import group_batch_norm
from reunite.model.ibn import InstanceBatchNorm2d, to_ibn_a

SIZE = (64, 32)


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and running statistic has a value of its own, so that none can be taken for another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in [*network.parameters(), *network.buffers()]:
            if value.is_floating_point():
                shake = 0.1 * torch.rand(value.shape, generator=generator)
                value.add_(
                    shake * value if value.ndim > 1 else shake
                )  # a shift of all weights would add up to infinity
    return network


def by_loops(layer: InstanceBatchNorm2d, maps: torch.Tensor, training: bool) -> torch.Tensor:
    """Instance norm of each image and channel of the first half, batch norm of each channel of the second."""
    result, half = torch.empty_like(maps), maps.shape[1] // 2
    for channel in range(maps.shape[1]):
        instance = channel < half
        norm, place = (layer.IN, channel) if instance else (layer.BN, channel - half)
        for image in range(len(maps)):
            seen = maps[image, channel] if instance else maps[:, channel]
            mean, variance = seen.mean(), seen.var(correction=0)
            if not instance and not training:
                mean, variance = layer.BN.running_mean[place], layer.BN.running_var[place]
            unit = (maps[image, channel] - mean) / torch.sqrt(variance + norm.eps)
            result[image, channel] = unit * norm.weight[place] + norm.bias[place]
    return result


@pytest.mark.parametrize("channels", [2, 6, 7])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layer_is_its_definition(channels: int, layout: torch.memory_format) -> None:
    layer = shaken(InstanceBatchNorm2d(channels)).double()
    maps = torch.randn(3, channels, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for training in (False, True):
        expected = by_loops(layer, maps, training)
        torch.testing.assert_close(layer.train(training)(maps.contiguous(memory_format=layout)), expected)


def test_the_instance_half_keeps_no_statistics() -> None:
    state = InstanceBatchNorm2d(8).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "IN.weight": (4,),
        "IN.bias": (4,),
        "BN.weight": (4,),
        "BN.bias": (4,),
        "BN.running_mean": (4,),
        "BN.running_var": (4,),
        "BN.num_batches_tracked": (),
    }


@pytest.mark.parametrize("make", [timm.create_model, torchvision.models.get_model])
def test_only_the_first_norms_of_three_stages_change(make) -> None:
    plain = shaken(make("resnet50"))
    plain.layer2[0].bn1.eps, plain.layer2[0].bn1.momentum = 1e-3, 0.3
    changed = to_ibn_a(copy.deepcopy(plain).eval())
    before, after = plain.state_dict(), changed.state_dict()
    swapped = re.compile(r"layer[123]\.\d+\.bn1\.")
    assert {name for name, _ in changed.named_modules() if name.endswith(".IN")} == {
        f"layer{stage}.{block}.bn1.IN" for stage, blocks in ((1, 3), (2, 4), (3, 6)) for block in range(blocks)
    }
    for name, value in before.items():
        if not swapped.match(name):
            assert torch.equal(after.pop(name), value), name
    for name, value in after.items():
        layer, kind, field = name.rsplit(".", 2)
        old = before[f"{layer}.{field}"]
        if kind == "BN":
            assert torch.equal(value, old[len(old) // 2 :] if old.ndim else old), name
        else:
            assert torch.equal(value, torch.full((len(old) // 2,), float(field == "weight"))), name
    assert [norm.num_features for norm in (changed.layer1[0].bn1.IN, changed.layer3[5].bn1.BN)] == [32, 128]
    assert changed.layer2[0].bn1.BN.eps == 1e-3 and changed.layer2[0].bn1.BN.momentum == 0.3
    assert not any(layer.training for layer in changed.modules())


def test_the_weights_of_the_release_load(tmp_path) -> None:
    """A file of the names that IBN-Net's release has, its classifier included."""
    source = shaken(to_ibn_a(torchvision.models.resnet50(weights=None)))
    state = {name: value for name, value in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert {"layer1.0.bn1.IN.weight", "layer3.5.bn1.BN.running_var", "layer4.0.bn1.weight", "fc.weight"} <= set(state)
    file = tmp_path / "resnet50_ibn_a.safetensors"
    save_file(state, file)
    encoder = Encoder(backbone="resnet50_ibn_a", weights=str(file), image_size=SIZE, last_stride=2).eval()
    assert encoder.dimensions == 2048
    for name, value in encoder.backbone.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(value, state[name]), name
    maps = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    source.avgpool, source.fc = nn.Identity(), nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(encoder.backbone(maps).flatten(1), source.eval()(maps), rtol=1e-4, atol=1e-5)
        assert torch.equal(encoder(maps), encoder(maps))
        assert torch.allclose(encoder(maps)[:1], encoder(maps[:1]), atol=1e-5), "an image does not see its batch"
    plain = tmp_path / "resnet50.safetensors"
    save_file(torchvision.models.resnet50(weights=None).state_dict(), plain)
    with pytest.raises(WeightsError, match=r"bn1\.IN\.weight"):
        Encoder(backbone="resnet50_ibn_a", weights=str(plain), image_size=SIZE)


def test_batch_norm_is_grouped_beside_instance_norm() -> None:
    maps = torch.randn(6, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    layer = shaken(InstanceBatchNorm2d(8))
    alone = torch.cat([copy.deepcopy(layer)(chunk) for chunk in maps.split(2)])
    grouped = group_batch_norm(copy.deepcopy(layer), 2)
    torch.testing.assert_close(grouped(maps), alone)
    assert not torch.allclose(alone, layer(maps), atol=1e-3), "one group of six is something else"
    assert grouped.state_dict().keys() == layer.state_dict().keys()


def test_the_deeper_network_has_it_too() -> None:
    network = build_backbone("resnet101_ibn_a", False, SIZE).network
    assert [sum(isinstance(block.bn1, InstanceBatchNorm2d) for block in stage) for stage in stages(network)] == [
        3,
        4,
        23,
        0,
    ]


def stages(network: nn.Module) -> list[nn.Module]:
    return [network.layer1, network.layer2, network.layer3, network.layer4]


@pytest.mark.parametrize("name", ["resnet50_ibn_a", "resnet101_ibn_a"])
def test_pretrained_names_the_way_out(name: str) -> None:
    with pytest.raises(WeightsError, match=f"{name}.*weights=FILE.*IBN-Net.*pretrained=False"):
        Encoder(name, pretrained=True)


def test_close_names_are_suggested() -> None:
    with pytest.raises(InputError, match=r"Did you mean.*resnet50_ibn_a"):
        build_backbone("resnet50_ibn", False, SIZE)


def test_images_too_small_for_instance_norm_are_refused() -> None:
    with pytest.raises(InputError, match=r"more than one position.*\(16, 16\)"):
        Encoder("resnet50_ibn_a", pretrained=False, image_size=(16, 16))
    assert Encoder("resnet50_ibn_a", pretrained=False, image_size=(17, 8)).dimensions == 2048


@pytest.mark.parametrize(
    "network", [nn.Conv2d(3, 4, 3), timm.create_model("resnet18"), to_ibn_a(timm.create_model("resnet26"))]
)
def test_other_networks_are_refused(network: nn.Module) -> None:
    with pytest.raises(InputError, match="needs a ResNet of timm or torchvision with bottlenecks"):
        to_ibn_a(network)


def test_a_layer_needs_two_channels() -> None:
    with pytest.raises(InputError, match="at least 2, one for each kind of norm; got 1"):
        InstanceBatchNorm2d(1)
