"""The encoder asked for: what its name may be, what it sees, how it is told from others, and advice where it cannot be had."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import timm
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn

from reunite import render_walkers
from reunite.cli.encoders import GENERAL, SIZES, crop_shape, encoder_of, licence_of, mark_of
from reunite.cli.options import recipe_of
from reunite.cli.train import run_training
from reunite.errors import InputError, RunError, WeightsError
from reunite.images import read
from reunite.model import Encoder, EncoderSpec
from reunite.model.weights import load_into
from reunite.types import Images

TINY_VIT = {"embed_dim": 24, "depth": 1, "num_heads": 2, "patch_size": 14, "init_values": 1e-5, "num_classes": 0}


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    """A file with the names and shapes of DINOv2 small, at its size of 518, with random values."""
    torch.manual_seed(0)
    network = timm.create_model(GENERAL, pretrained=False, num_classes=0)
    assert network.pos_embed.shape == (1, 1 + 37 * 37, 384)
    path = tmp_path_factory.mktemp("weights") / "dinov2.safetensors"
    save_file({**network.state_dict(), "mask_token": torch.zeros(1, 384)}, path)
    return path


@pytest.fixture
def conv4(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "conv4.safetensors"
    save_file(Encoder("conv4", pretrained=False, image_size=(16, 8)).backbone.state_dict(), path)
    return path


@pytest.fixture
def offline(monkeypatch):
    """Nothing is downloaded, and nothing that was is found."""

    def refused(*_, **__):
        raise OSError("no way out")

    monkeypatch.setattr("timm.create_model", refused)
    monkeypatch.setattr("torchvision.models.get_model", refused)


def test_dinov2_from_a_local_file_made_for_another_size(dinov2, tmp_path):
    found = encoder_of(weights=dinov2, shape="tall")
    encoder = found.encoder
    assert encoder.spec.image_size == (252, 126)
    assert encoder.dimensions == 384
    assert not encoder.training
    assert (encoder.mean, encoder.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert found.name == "vit_small_patch14_dinov2.lvd142m with dinov2.safetensors"
    assert found.licence.startswith("licence of dinov2.safetensors unknown: look where it came from")
    images = torch.randint(0, 256, (2, 252, 126, 3), dtype=torch.uint8)
    with torch.inference_mode():
        units = encoder(images)
        mean, std = torch.tensor(encoder.mean), torch.tensor(encoder.std)
        tokens = encoder.backbone.forward_features(((images / 255 - mean) / std).permute(0, 3, 1, 2))
    torch.testing.assert_close(units.norm(dim=1), torch.ones(2))
    expected = torch.nn.functional.normalize(tokens[:, 0], dim=1)  # the class token after the last norm
    torch.testing.assert_close(units, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(28, 28), (56, 28), (28, 42)])
@pytest.mark.parametrize("more", [{}, {"reg_tokens": 4, "no_embed_class": True}])
def test_position_embeddings_of_another_size_are_resampled_as_timm_does(tmp_path, size, more):
    torch.manual_seed(0)
    made = timm.models.VisionTransformer(img_size=(70, 70), **TINY_VIT, **more)
    wanted = timm.models.VisionTransformer(img_size=size, **TINY_VIT, **more)
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    expected = checkpoint_filter_fn(made.state_dict(), wanted)["pos_embed"]
    load_into(wanted, tmp_path / "w.safetensors", "tiny")
    torch.testing.assert_close(wanted.pos_embed.data, expected)
    torch.testing.assert_close(wanted.blocks[0].attn.qkv.weight, made.blocks[0].attn.qkv.weight)


def test_position_embeddings_that_cannot_be_resampled_are_told(tmp_path):
    wanted = timm.models.VisionTransformer(img_size=(28, 28), **TINY_VIT)
    for shape in ((1, 1 + 6, 24), (1, 1, 24), (1, 1 + 9, 12)):
        save_file({**wanted.state_dict(), "pos_embed": torch.zeros(shape)}, tmp_path / "w.safetensors")
        with pytest.raises(WeightsError, match="1 have another shape \\(pos_embed"):
            load_into(wanted, tmp_path / "w.safetensors", "tiny")


@pytest.mark.parametrize(
    ("backbone", "tall", "wide"),
    [
        ("vit_small_patch14_dinov2.lvd142m", (252, 126), (126, 252)),
        ("vit_base_patch16_224", (256, 128), (128, 256)),
        ("swin_tiny_patch4_window7_224", (224, 224), (224, 224)),
        ("resnet18", (256, 128), (128, 256)),
        ("squeezenet1_1", (256, 128), (128, 256)),
    ],
)
def test_sizes_follow_the_shape_and_the_patches(monkeypatch, backbone, tall, wide):
    specs = []

    def noted(spec):
        specs.append(spec)
        raise WeightsError("stop")

    monkeypatch.setattr(EncoderSpec, "build", noted)
    for shape in ("tall", "square", "wide"):
        with pytest.raises(WeightsError):
            encoder_of(backbone, shape=shape)
    assert [spec.image_size for spec in specs] == [tall, (224, 224), wide]
    assert all((spec.pretrained, spec.neck, spec.last_stride) == (True, "none", 2) for spec in specs)
    with pytest.raises(WeightsError):
        encoder_of(backbone, image_size=(64, 64), shape="tall")
    assert specs[-1].image_size == (64, 64)


@pytest.mark.parametrize("pixels", [(20, 10), (20, 14), (10, 10), (10, 14), (10, 20)])
def test_the_shape_of_most_crops(tmp_path, pixels):
    height, width = pixels
    for number in range(9):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((height, width, 3), np.uint8))
    for number in range(9, 12):  # a few of another shape, and one that cannot be read
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((3, 9, 3) if height > width else (9, 3, 3), np.uint8))
    (tmp_path / "zero.png").write_bytes(b"")
    expected = "tall" if height > 1.5 * width else "wide" if width > 1.5 * height else "square"
    assert crop_shape(read(tmp_path).train) == expected
    assert crop_shape(Images.of([str(tmp_path / "zero.png")])) == "square"
    assert crop_shape(Images.of([])) == "square"


def test_a_run_brings_its_own_weights_and_size(tmp_path):
    walkers = tmp_path / "walkers"
    render_walkers(walkers, identities=8, cameras=2, images=2, size=(64, 32), seed=0)
    settings = [
        "encoder.image_size=16,8",
        "rounds=1",
        "batches.iterations=1",
        "clusterer.k1=4",
        "clusterer.min_samples=2",
    ]
    recipe = recipe_of("cluster-contrast-small", settings)
    run = run_training(
        recipe, read(walkers), tmp_path / "run", seed=0, accelerator=Accelerator(cpu=True), evaluate_every=0, facts={}
    )
    found = encoder_of(str(tmp_path / "run"))
    assert found.name == f"the encoder of {tmp_path / 'run'}"
    assert found.encoder.spec.image_size == (16, 8)
    assert found.mark == mark_of(run.encoder())
    assert found.licence == "trained from random weights: the licence is yours to choose"
    (tmp_path / "run").rename(tmp_path / "moved")
    assert encoder_of(str(tmp_path / "moved")).mark == found.mark
    for options in ({"weights": tmp_path / "w.pth"}, {"image_size": (8, 8)}):
        with pytest.raises(InputError, match="is a run folder, which brings its weights and its image size"):
            encoder_of(str(tmp_path / "moved"), **options)


def test_what_is_neither_run_nor_backbone(tmp_path, conv4):
    with pytest.raises(RunError, match="is not a run folder"):
        encoder_of(str(tmp_path))
    with pytest.raises(InputError, match=r"is a file\. Pass it as --weights"):
        encoder_of(str(conv4))
    with pytest.raises(InputError, match=r"Did you mean .*resnet50"):
        encoder_of("resnett50")
    with pytest.raises(InputError, match=r"timm has no weights 'none' of resnet18; it has .*a1_in1k"):
        encoder_of("resnet18.none")
    with pytest.raises(WeightsError, match="does not exist"):
        encoder_of("conv4", weights=tmp_path / "none.pth")


def test_marks_tell_encoders_apart_and_know_them_again(conv4):
    def mark(**changes):
        return mark_of(replace(spec, **changes).build())

    spec = EncoderSpec("conv4", pretrained=False, weights=str(conv4), pooling="avg", neck="none", image_size=(16, 8))
    first = mark()
    assert encoder_of("conv4", weights=conv4, image_size=(16, 8)).mark != first  # with another last stride
    renamed = conv4.rename(conv4.with_name("renamed.safetensors"))
    spec = replace(spec, weights=str(renamed))
    assert mark() == first
    assert mark(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)) == first  # what it has anyway
    others = [mark(image_size=(8, 16)), mark(pooling="gem"), mark(mean=(0.5, 0.5, 0.5)), mark(last_stride=2)]
    changed = spec.build()
    with torch.no_grad():
        next(changed.parameters()).view(-1)[0] += 1e-6
    assert len({first, mark_of(changed), *others}) == 6


@pytest.mark.parametrize(
    ("backbone", "licence"),
    [
        ("vit_small_patch14_dinov2.lvd142m", "apache-2.0"),
        ("vit_base_patch16_224.mae", "cc-by-nc-4.0"),
        ("vit_small_patch16_dinov3.lvd1689m", "dinov3-license"),
        ("resnet18.tv_in1k", "bsd-3-clause"),
        ("swin_tiny_patch4_window7_224.ms_in1k", "mit"),
    ],
)
def test_licences_are_those_their_authors_gave(backbone, licence):
    assert licence_of(backbone) == f"licence of the weights, as timm states it: {licence}"


@pytest.mark.parametrize("backbone", ["hf-hub:somebody/something", "squeezenet1_1", "conv4"])
def test_a_licence_nobody_states_is_unknown(backbone):
    assert licence_of(backbone) == "licence of the weights unknown: look at the model card"


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        (
            GENERAL,
            f"`curl -L -o {GENERAL}.safetensors https://huggingface.co/timm/{GENERAL}/resolve/main/model.safetensors`",
        ),
        (GENERAL, f"--encoder {GENERAL} --weights {GENERAL}.safetensors here"),
        ("resnet18", "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"),
        ("squeezenet1_1", "`curl -L -o squeezenet1_1.pth https://download.pytorch.org/models/squeezenet1_1-"),
        ("hf-hub:somebody/something", "could not be had"),
        ("conv4", "conv4 has no pretrained weights"),
        ("resnet50_ibn_a", "No model hub has pretrained weights"),
    ],
)
def test_without_the_hub_the_error_says_what_to_do(offline, backbone, words):
    with pytest.raises(WeightsError) as error:
        encoder_of(backbone)
    assert words in str(error.value)
    assert "--encoder NAME --weights FILE" in str(error.value)
    assert "--encoder RUN" in str(error.value)


def test_every_default_size_fits_its_network():
    for backbone in ("vit_tiny_patch16_224", "mobilenetv3_small_050"):
        spec = EncoderSpec(backbone, False, None, "avg", "none", SIZES["tall"], 2)
        encoder = spec.build().eval()
        with torch.inference_mode():
            found = encoder(torch.zeros(1, *SIZES["tall"], 3, dtype=torch.uint8))
        assert found.shape == (1, encoder.dimensions)
        assert encoder.dimensions >= 192
