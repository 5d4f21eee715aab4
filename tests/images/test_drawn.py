"""Transforms in two steps: parts of a batch, and the torch road, against the whole batch on the CPU."""

from __future__ import annotations

import warnings
import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite import recipes
from reunite.errors import InputError
from reunite.images.drawn import OnDevice, Splittable
from reunite.images.transforms import (
    Affine,
    ColorJitter,
    Erase,
    Flip,
    Grayscale,
    PadCrop,
    RandomSizedCrop,
    apply_all,
    apply_all_on,
    augment,
    augment_part,
    draw_all,
    runs_on_device,
    splittable,
)

OURS = (
    Flip(0.5),
    PadCrop(4),
    RandomSizedCrop(area=(0.1, 0.5), aspect=(0.2, 5.0)),
    Erase(0.7),
    Affine(),
    ColorJitter(),
    Grayscale(0.5),
)
# Of each of these: a checksum of what it draws, and the next number of the generator. Taken from the first version of
# the draws, before they were apart from the pixels.
PUBLISHED = (
    (4294940884, 2946438869),
    (296651551, 2946438869),
    (3070468659, 2548020740),
    (3052817317, 1770170917),
    (3214109159, 1314152918),
    (4291236117, 3203073171),
    (4294940884, 2946438869),
)


def darker(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A foreign transform that looks at the whole batch and draws as many numbers as it likes."""
    lift = images.mean() / 4 + rng.integers(0, 9, int(images[0, 0, 0, 0]) % 5 + 1).max()
    return images // 2 + np.uint8(lift)


def mirror(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return images[:, :, ::-1]


def noise(seed: int, count: int, height: int = 12, width: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def both_roads(batch: np.ndarray, transforms: tuple, draws: list) -> tuple[np.ndarray, np.ndarray]:
    """What numpy and torch make of a batch; torch must leave its input alone."""
    ours, tensor = batch.copy(), torch.from_numpy(batch.copy())
    apply_all(ours, transforms, draws)
    theirs = apply_all_on(tensor, transforms, draws)
    np.testing.assert_array_equal(tensor.numpy(), batch)
    assert theirs.dtype == torch.uint8 and (theirs is not tensor or not transforms)
    return ours, theirs.numpy()


@pytest.mark.parametrize(("transform", "published"), [*zip(OURS, PUBLISHED, strict=True)], ids=repr)
def test_draws_are_those_of_published_results(transform: Splittable, published: tuple[int, int]):
    rng = np.random.default_rng(7)
    (drawn,) = transform.draw(50, 64, 32, rng)
    assert len(drawn) == 50
    # Rounded, since sines differ in their last bit from one processor to another.
    check = zlib.crc32(np.rint(drawn * 1e6).astype("<i8").tobytes())
    assert (check, int(rng.integers(2**32))) == published


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.lists(st.integers(0, 9), max_size=4), st.permutations(OURS))
@settings(deadline=None, max_examples=60)
def test_parts_make_the_batch(seed: int, count: int, cuts: list[int], chain: list):
    images, rows = noise(seed, 20), np.random.default_rng(seed).permutation(20)[:count]
    whole = augment(images[rows], chain, np.random.default_rng(seed))
    edges = sorted({0, count, *(min(cut, count) for cut in cuts)})
    parts = []
    for start, stop in [(0, 0), *pairwise(edges)]:
        asked: list[int] = []

        def read(wanted: np.ndarray, asked: list[int] = asked) -> np.ndarray:
            asked += wanted.tolist()
            return images[wanted]

        parts.append(augment_part(read, rows, slice(start, stop), chain, np.random.default_rng(seed)))
        assert asked == rows[start:stop].tolist()
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("chain", [(darker,), (Flip(), darker, *OURS), (*OURS, mirror), (mirror, *OURS)])
def test_parts_with_a_foreign_transform_are_the_same_pixels(chain: tuple):
    assert not splittable(chain) and not runs_on_device(chain)
    images, rows = noise(3, 20), np.arange(13, 2, -1)
    whole = augment(images[rows], chain, np.random.default_rng(5))
    for part in (slice(0, 4), slice(4, 11), slice(None), slice(7, 7)):
        mine = augment_part(images.__getitem__, rows, part, chain, np.random.default_rng(5))
        np.testing.assert_array_equal(mine, whole[part])
        assert mine.base is None, "the others' pixels can be forgotten"


def test_a_foreign_transform_may_give_a_view_and_must_keep_the_shape():
    kept = noise(0, 6)
    before = kept.copy()

    def same_array(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return kept

    shown = augment(noise(1, 6), (same_array, mirror, Erase(1.0)), np.random.default_rng(0))
    np.testing.assert_array_equal(shown, Erase(1.0)(kept[:, :, ::-1], np.random.default_rng(0)))
    np.testing.assert_array_equal(kept, before)
    for wrong in (lambda images, rng: images[1:], lambda images, rng: images / 255):
        with pytest.raises(InputError, match=r"of the shape it got, \(6, 12, 9, 3\)"):
            augment(kept, (wrong,), np.random.default_rng(0))


def test_part_reads_are_checked():
    with pytest.raises(InputError, match="uint8 of shape"):
        augment_part(lambda rows: np.zeros((len(rows), 4, 4, 3)), np.arange(3), slice(0, 2), (), None)  # type: ignore


def test_draws_for_other_images_are_refused():
    batch, draws = noise(0, 4), draw_all((Flip(),), 8, 12, 9, np.random.default_rng(0))
    for apply, pixels in [(apply_all, batch), (apply_all_on, torch.from_numpy(batch))]:
        with pytest.raises(InputError, match="drawn for 8 images, and the batch has 4"):
            apply(pixels, (Flip(),), draws)
        with pytest.raises(InputError, match="uint8 of shape"):
            apply(pixels[0], (Flip(),), draws)


def test_which_recipes_run_on_a_device():
    assert runs_on_device(recipes.cluster_contrast().augmentations) and runs_on_device(())
    assert splittable(OURS) and not runs_on_device(OURS)
    assert [type(each).__name__ for each in OURS if isinstance(each, OnDevice)] == [
        "Flip", "PadCrop", "Erase", "Grayscale",
    ]  # fmt: skip


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(0, 5), st.integers(1, 13), st.integers(1, 13)),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.integers(0, 20),
    st.permutations(range(4)),
)
@settings(deadline=None, max_examples=150)
def test_torch_gives_the_same_bytes(
    seed: int, shape: tuple[int, int, int], probability: float, padding: int, order: list[int]
):
    steps = (Flip(probability), PadCrop(padding), Erase(probability, area=(0.02, 0.9)), Grayscale(probability))
    chain = tuple(steps[place] for place in order)
    draws = draw_all(chain, *shape, np.random.default_rng(seed))
    ours, theirs = both_roads(noise(seed, *shape), chain, draws)
    np.testing.assert_array_equal(theirs, ours)
    np.testing.assert_array_equal(ours, augment(noise(seed, *shape), chain, np.random.default_rng(seed)))


def test_torch_erases_at_borders():
    edges = [(0, 0, 12, 9), (11, 8, 1, 1), (0, 0, 1, 1), (0, 0, 0, 0), (5, 0, 7, 9), (0, 4, 12, 5), (3, 3, 0, 4)]
    ours, theirs = both_roads(noise(0, len(edges)), (Erase(value=(255, 0, 7)),), [(np.array(edges),)])
    np.testing.assert_array_equal(theirs, ours)
    assert (theirs[0] == (255, 0, 7)).all() and (theirs[3] == noise(0, len(edges))[3]).all()


def test_torch_shifts_by_more_than_the_image():
    shifts = [(0, 0), (12, 0), (0, 9), (-12, -9), (11, 8), (-11, -8), (40, -40), (-1, 30)]
    ours, theirs = both_roads(noise(0, len(shifts)), (PadCrop(40),), [(np.array(shifts),)])
    np.testing.assert_array_equal(theirs, ours)
    assert not theirs[[1, 2, 3, 6, 7]].any() and theirs[4].any()


def test_every_colour_has_the_same_grey_on_both_roads():
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for red in range(0, 256, 16):  # 16 images of 256 x 256 are a million of the 16.7 million colours
        reds = np.broadcast_to(np.arange(red, red + 16, dtype=np.uint8)[:, None, None], (16, 256, 256))
        colours = np.stack([reds, *(np.broadcast_to(each, reds.shape) for each in (green, blue))], axis=-1)
        ours, theirs = both_roads(colours, (Grayscale(1.0),), [(np.ones(16, bool),)])
        np.testing.assert_array_equal(theirs, ours)


CHAIN = (Grayscale(), Flip(), PadCrop(10), Erase())


def test_nothing_that_was_drawn_or_seen_comes_back_to_the_host():
    # Tensors on "meta" have no values: reading one, or using it to select, raises.
    batch = torch.empty((6, 12, 9, 3), dtype=torch.uint8, device="meta")
    result = apply_all_on(batch, CHAIN, draw_all(CHAIN, 6, 12, 9, np.random.default_rng(0)))
    assert result.shape == batch.shape and result.dtype == torch.uint8 and result.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_bytes_and_is_never_waited_for():
    batch, draws = noise(0, 64, 256, 128), draw_all(CHAIN, 64, 256, 128, np.random.default_rng(0))
    there = torch.from_numpy(batch).cuda()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says that this mode is new
        torch.cuda.set_sync_debug_mode("error")
    try:
        result = apply_all_on(there, CHAIN, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    np.testing.assert_array_equal(result.cpu().numpy(), augment(batch, CHAIN, np.random.default_rng(0)))
