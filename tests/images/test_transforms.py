"""Each transform against its definition in loops, and its statistics."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from oracles import transforms as oracle
from reunite.errors import InputError
from reunite.images.transforms import (
    Affine,
    ColorJitter,
    Erase,
    Flip,
    Grayscale,
    PadCrop,
    RandomSizedCrop,
    augment,
    normalise,
)

ALL = (
    Flip(0.5),
    PadCrop(4),
    RandomSizedCrop(),
    RandomSizedCrop(area=(0.1, 0.5), aspect=(0.2, 5.0)),
    Erase(0.7),
    Affine(),
    Affine(fill=(9, 8, 7)),
    ColorJitter(),
    Grayscale(0.5),
)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(rng: np.random.Generator, count: int, height: int = 12, width: int = 9) -> np.ndarray:
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_a_transform_is_a_pure_function_of_batch_and_generator(transform, rng: np.random.Generator):
    for height, width in [(12, 9), (1, 1), (5, 40)]:
        batch = noise(rng, 6, height, width)
        before = batch.copy()
        first = transform(batch, np.random.default_rng(7))
        assert first.shape == batch.shape and first.dtype == np.uint8 and not np.shares_memory(first, batch)
        np.testing.assert_array_equal(batch, before)
        np.testing.assert_array_equal(transform(batch, np.random.default_rng(7)), first)
        # A view that is not contiguous, and read-only memory, are as good.
        view = np.asfortranarray(batch)
        view.flags.writeable = False
        np.testing.assert_array_equal(transform(view, np.random.default_rng(7)), first)
    assert transform(batch[:0], rng).shape == (0, 5, 40, 3)


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_batches_are_checked(transform, rng: np.random.Generator):
    for wrong in (np.zeros((2, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8), np.zeros((2, 3, 4, 4), np.uint8)):
        with pytest.raises(InputError, match="uint8 of shape"):
            transform(wrong, rng)
        with pytest.raises(InputError, match="uint8 of shape"):
            augment(wrong, (), rng)


def test_augment_applies_in_order_and_takes_any_callable(rng: np.random.Generator):
    batch = noise(rng, 8)
    before = batch.copy()

    def darker(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return images // 2

    chain = (Flip(), darker, *ALL, darker)
    result = augment(batch, chain, np.random.default_rng(3))
    expected, generator = batch, np.random.default_rng(3)
    for transform in chain:
        expected = transform(expected, generator)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(batch, before)
    untouched = augment(batch, (), rng)
    np.testing.assert_array_equal(untouched, batch)
    assert not np.shares_memory(untouched, batch)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_flip(probability: float, rng: np.random.Generator):
    batch = noise(rng, 2000, 2, 3)
    result = Flip(probability)(batch, rng)
    flipped = (result != batch).any(axis=(1, 2, 3))
    assert abs(flipped.mean() - probability) < 4 * math.sqrt(0.25 / 2000) * (0 < probability < 1) + 1e-9
    for before, after, changed in zip(batch[:50], result[:50], flipped[:50], strict=True):
        np.testing.assert_array_equal(after, oracle.flip(before) if changed else before)


@pytest.mark.parametrize(("padding", "height", "width"), [(2, 7, 5), (3, 2, 4), (0, 3, 3), (2, 1, 1)])
def test_pad_crop_is_one_of_all_crops_each_equally_likely(
    padding: int, height: int, width: int, rng: np.random.Generator
):
    image = rng.integers(1, 256, (height, width, 3), dtype=np.uint8)
    places = 2 * padding + 1
    crops = [oracle.pad_crop(image, padding, top, left) for top, left in product(range(places), repeat=2)]
    keys: dict[bytes, int] = {}
    for crop in crops:  # crops that miss the image altogether are all black, and count together
        keys[crop.tobytes()] = keys.get(crop.tobytes(), 0) + 1
    count = 200 * places**2
    result = PadCrop(padding)(np.repeat(image[None], count, axis=0), rng)
    seen = dict.fromkeys(keys, 0)
    for cropped in result:
        seen[cropped.tobytes()] += 1  # a KeyError here is a crop that the oracle does not know
    expected = np.array([keys[key] for key in keys]) * 200
    assert len(keys) == 1 or stats.chisquare([seen[key] for key in keys], expected).pvalue > 1e-3


def test_erase_paints_its_rectangles(rng: np.random.Generator):
    batch = noise(rng, 40, 16, 10)
    transform = Erase(0.8, value=(1, 2, 3))
    result = transform(batch, np.random.default_rng(5))
    rectangles = transform.rectangles(40, 16, 10, np.random.default_rng(5))
    for before, after, rectangle in zip(batch, result, rectangles.tolist(), strict=True):
        np.testing.assert_array_equal(after, oracle.erase(before, *rectangle, value=(1, 2, 3)))
    assert 0 < (rectangles[:, 2] == 0).sum() < 20


@pytest.mark.parametrize(("height", "width"), [(256, 128), (48, 48)])
def test_erase_has_the_statistics_of_the_algorithm(height: int, width: int, rng: np.random.Generator):
    transform, count = Erase(0.6), 4000
    ours = transform.rectangles(count, height, width, rng)
    drawn = [oracle.erasing_rectangle(height, width, 0.6, transform.area, transform.aspect, rng) for _ in range(count)]
    theirs = np.array([rectangle for rectangle in drawn if rectangle is not None])
    ours = ours[ours[:, 2] > 0]
    assert abs(len(ours) - len(theirs)) < 4 * math.sqrt(2 * count * 0.24)
    for column in range(4):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3
    # Bounds, as far as rounding to pixels lets them be seen.
    top, left, tall, wide = ours.T
    assert (top >= 0).all() and (left >= 0).all() and (top + tall <= height).all() and (left + wide <= width).all()
    assert (tall < height).all() and (wide < width).all()
    least, most = ((tall - 0.5) * (wide - 0.5)).min(), ((tall + 0.5) * (wide + 0.5)).max()
    assert ((tall + 0.5) * (wide + 0.5) >= 0.02 * height * width).all() and least > 0
    assert ((tall - 0.5) * (wide - 0.5) <= 0.4 * height * width).all() and most > 0.3 * height * width
    assert ((tall + 0.5) / (wide - 0.5) >= 0.3).all() and ((tall - 0.5) / (wide + 0.5) <= 1 / 0.3).all()


def test_erase_gives_up_where_nothing_fits(rng: np.random.Generator):
    batch = noise(rng, 5, 8, 8)
    np.testing.assert_array_equal(Erase(1.0, area=(1.0, 1.0), aspect=(1.0, 1.0))(batch, rng), batch)


def test_erase_paints_what_the_authors_write_after_normalisation():
    mean, std = np.array(IMAGENET)
    assert Erase().value == tuple(np.rint(255 * (mean + std * mean)).astype(int))
    written = normalise(torch.tensor(Erase().value, dtype=torch.uint8).reshape(1, 1, 1, 3), *IMAGENET)
    np.testing.assert_allclose(written.flatten(), mean, atol=0.5 / 255 / std.min())


@pytest.mark.parametrize("fill", [None, (200, 100, 0)])
def test_affine_is_bilinear_about_the_centre(fill, rng: np.random.Generator):
    ramp = np.linspace(40, 180, 15)
    smooth = np.stack([ramp[:, None] + ramp[None, :11] / 8, ramp[:, None] / 2 + ramp[None, :11] / 3], axis=-1)
    batch = np.repeat(np.concatenate([smooth, smooth[..., :1]], axis=-1).astype(np.uint8)[None], 6, axis=0)
    transform = Affine(rotation=30, translate=0.2, scale=(0.7, 1.4), shear=15, fill=fill)
    result = transform(batch, np.random.default_rng(2)).astype(float)
    for before, after, matrix in zip(
        batch, result, transform.matrices(6, 15, 11, np.random.default_rng(2)), strict=True
    ):
        # OpenCV may round coordinates to 1/32 pixel: 1/64 of the step between neighbours, which a fill makes large.
        step = 200 if fill else 12
        np.testing.assert_allclose(after, oracle.affine(before, matrix, fill), atol=0.5 + 2 * step / 64 + 0.1)


def test_affine_matrices_have_the_parts_they_were_drawn_from(rng: np.random.Generator):
    transform = Affine(rotation=20, translate=0.1, scale=(0.8, 1.3), shear=10)
    matrices = transform.matrices(3000, 100, 50, rng)
    linear = matrices[:, :, :2]
    scale = np.sqrt(np.linalg.det(linear))  # shear and rotation keep areas
    angle = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    turn = np.stack([linear[:, 0, 0], -linear[:, 1, 0], linear[:, 1, 0], linear[:, 0, 0]], axis=1).reshape(-1, 2, 2)
    sheared = np.linalg.inv(turn) @ linear
    np.testing.assert_allclose(sheared[:, 1], np.tile([0, 1], (3000, 1)), atol=1e-12)  # along x only
    slant = np.rad2deg(np.arctan(sheared[:, 0, 1]))
    centre = np.array([24.5, 49.5])
    shift = linear @ centre + matrices[:, :, 2] - centre
    for values, low, high in [
        (angle, -20, 20),
        (slant, -10, 10),
        (scale, 0.8, 1.3),
        (shift[:, 0], -5, 5),
        (shift[:, 1], -10, 10),
    ]:
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_affine_by_nothing_changes_nothing(rng: np.random.Generator):
    batch = noise(rng, 3, 8, 8)
    same = Affine(rotation=0, translate=0, scale=(1, 1), shear=0)
    np.testing.assert_array_equal(same(batch, rng), batch)


@pytest.mark.parametrize("transform", [ColorJitter(0.2, 0.2, 0.2), ColorJitter(0.9, 1.5, 3.0), ColorJitter(0, 0, 0)])
def test_color_jitter(transform: ColorJitter, rng: np.random.Generator):
    batch = noise(rng, 30)
    result = transform(batch, np.random.default_rng(4))
    strength = np.array([transform.brightness, transform.contrast, transform.saturation])
    factors = np.random.default_rng(4).uniform(np.maximum(0, 1 - strength), 1 + strength, (30, 3))
    for before, after, factor in zip(batch, result, factors, strict=True):
        np.testing.assert_allclose(after, oracle.color_jitter(before, *factor), atol=1)
    if not strength.any():
        np.testing.assert_array_equal(result, batch)


def test_grayscale(rng: np.random.Generator):
    batch = noise(rng, 2000, 3, 2)
    result = Grayscale(0.25)(batch, rng)
    grey = (result != batch).any(axis=(1, 2, 3))
    assert abs(grey.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)
    luma = batch[grey] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(result[grey], np.repeat(luma[..., None], 3, axis=-1), atol=0.51)


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([IMAGENET, ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), ((0, 0, 0), (1, 1, 1))])
)
@settings(deadline=None, max_examples=20)
def test_normalise(seed: int, statistics: tuple):
    batch = noise(np.random.default_rng(seed), 3, 5, 4)
    result = normalise(torch.from_numpy(batch), *statistics)
    assert result.shape == (3, 3, 5, 4) and result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    expected = np.stack([oracle.normalise(image, *statistics) for image in batch])
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Flip(1.1),
        lambda: Flip(math.nan),
        lambda: Grayscale(-0.1),
        lambda: PadCrop(-1),
        lambda: PadCrop(2.5),
        lambda: RandomSizedCrop(area=(0.0, 1.0)),
        lambda: RandomSizedCrop(area=(0.5, 1.1)),
        lambda: RandomSizedCrop(aspect=(3.0, 2.0)),
        lambda: RandomSizedCrop(attempts=0),
        lambda: RandomSizedCrop(attempts=2.5),
        lambda: Erase(2),
        lambda: Erase(area=(0.0, 0.4)),
        lambda: Erase(area=(0.5, 0.4)),
        lambda: Erase(area=(0.2, 1.4)),
        lambda: Erase(aspect=(0.3,)),
        lambda: Erase(aspect=(0.3, math.inf)),
        lambda: Erase(value=(0, 0, 256)),
        lambda: Erase(value=(0.5, 0.5, 0.5)),
        lambda: Affine(rotation=-1),
        lambda: Affine(translate=1.5),
        lambda: Affine(scale=(0, 1)),
        lambda: Affine(shear=90),
        lambda: Affine(fill=(1, 2)),
        lambda: ColorJitter(brightness=-0.1),
        lambda: ColorJitter(saturation=math.inf),
    ],
)
def test_arguments_are_checked(make):
    with pytest.raises(InputError, match=r"must be .*; got"):
        make()


@pytest.mark.parametrize(("height", "width"), [(24, 12), (9, 31), (1, 5)])
def test_random_sized_crop_stretches_its_rectangles(height: int, width: int, rng: np.random.Generator):
    transform = RandomSizedCrop(area=(0.1, 0.9), aspect=(0.5, 3.0))
    batch = noise(rng, 30, height, width)
    result = transform(batch, np.random.default_rng(6)).astype(float)
    rectangles = transform.rectangles(30, height, width, np.random.default_rng(6))
    for before, after, rectangle in zip(batch, result, rectangles.tolist(), strict=True):
        # OpenCV cuts each of two rows down to quarters of a level before it rounds their sum: half and half a level.
        np.testing.assert_allclose(after, oracle.crop_and_stretch(before, *rectangle), atol=1)
        if rectangle == [0, 0, height, width]:
            np.testing.assert_array_equal(after, before)
    assert (rectangles[:, 2:].min(axis=1) > 0).all() and len(np.unique(rectangles, axis=0)) > (height > 1) * 20


@pytest.mark.parametrize(("height", "width", "attempts"), [(256, 128, 10), (256, 128, 1), (150, 100, 3)])
def test_random_sized_crop_has_the_statistics_of_the_algorithm(
    height: int, width: int, attempts: int, rng: np.random.Generator
):
    transform, count = RandomSizedCrop(attempts=attempts), 4000
    ours = transform.rectangles(count, height, width, rng)
    theirs = np.array(
        [
            oracle.crop_rectangle(height, width, transform.area, transform.aspect, attempts, rng)
            or (0, 0, height, width)
            for _ in range(count)
        ]
    )
    whole = [(each[:, 2:] == (height, width)).all(axis=1).mean() for each in (ours, theirs)]
    assert abs(whole[0] - whole[1]) < 4 * math.sqrt(2 * 0.25 / count)
    for column in range(4):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3
    top, left, tall, wide = ours[(ours[:, 2:] != (height, width)).any(axis=1)].T
    assert (top >= 0).all() and (left >= 0).all() and (top + tall <= height).all() and (left + wide <= width).all()
    assert ((tall + 0.5) * (wide + 0.5) >= 0.64 * height * width).all()
    assert ((tall + 0.5) / (wide - 0.5) >= 2).all() and ((tall - 0.5) / (wide + 0.5) <= 3).all()


def test_random_sized_crop_keeps_images_that_no_rectangle_fits(rng: np.random.Generator):
    batch = noise(rng, 50, 16, 16)  # area 0.64 of a square and twice as high as wide is higher than the square
    np.testing.assert_array_equal(RandomSizedCrop()(batch, rng), batch)
