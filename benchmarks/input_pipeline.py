"""The input pipeline beside Pillow and torchvision.transforms, as re-identification code uses them: one core each.

Files are 128 x 64 JPEGs of about 4 kB, as in Market-1501. Both sides start at the file and end at pixels before
normalisation (bytes for us, the PIL image or its bytes for the peer): ours normalises on the network's device. The peer
erases floats after ToTensor, because torchvision's RandomErasing takes nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import transforms as tv

from benchmarks.harness import Case, Job, Peer, Setting
from reunite.images.decoding import decode
from reunite.images.loading import open_images
from reunite.images.transforms import Erase, Flip, PadCrop, augment

BATCH = 64


def write_images(folder: Path, count: int, height: int = 128, width: int = 64) -> list[str]:
    """Smooth colours with some texture, quality 90."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
        pixels = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
        paths.append(str(folder / f"{number}.jpg"))
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


def by_pillow(path: str) -> Image.Image:
    """The image as every torchvision data set reads it."""
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


def _augmentation(size: tuple[int, int], padding: int) -> tv.Compose:
    return tv.Compose(
        [
            tv.Resize(size, interpolation=tv.InterpolationMode.BICUBIC),
            tv.RandomHorizontalFlip(),
            tv.Pad(padding),
            tv.RandomCrop(size),
            tv.ToTensor(),
            tv.RandomErasing(p=0.5, value=(0.485, 0.456, 0.406)),
        ]
    )


def _same(ours: np.ndarray, peer: np.ndarray) -> None:
    """Both libraries decode to the same bytes where nothing is resized."""
    np.testing.assert_array_equal(ours, peer)


def _alike(ours: np.ndarray, peer: np.ndarray) -> None:
    """Interpolated by different cubics or filters: the same picture, not the same bytes."""
    assert ours.shape == peer.shape
    assert np.abs(ours.astype(int) - peer).mean() < 4


def _same_geometry(ours: np.ndarray, peer: np.ndarray) -> None:
    """Random on both sides: the same shapes here; a given flip and crop are compared in `check_geometry`."""
    assert ours.shape == peer.shape


def check_geometry(path: str, padding: int = 10) -> None:
    """A given flip and crop leave the same pixels as torchvision's."""
    image = by_pillow(path)
    height, width = image.height, image.width
    flipped = Flip(1.0)(np.asarray(image)[None], np.random.default_rng(0))
    shift = np.random.default_rng(1).integers(-padding, padding, (1, 2), endpoint=True)[0]
    ours = PadCrop(padding)(flipped, np.random.default_rng(1))[0]
    turned = tv.functional.pad(tv.functional.hflip(image), [padding])
    peer = tv.functional.crop(turned, int(shift[0]) + padding, int(shift[1]) + padding, height, width)
    np.testing.assert_array_equal(ours, np.asarray(peer))


def _stages(paths: list[str], size: tuple[int, int]) -> Iterator[tuple[str, Callable, Callable, Callable]]:
    """(what, ours, peer, check) for all paths, on one thread."""
    padding = 10 if size[0] >= 128 else 4
    chain = (Flip(), PadCrop(padding), Erase())
    torchvision = _augmentation(size, padding)
    stored = open_images(paths, size, workers=1)
    again = open_images(paths, size, workers=1, memory=0)
    batches = [np.arange(at, min(at + BATCH, len(paths))) for at in range(0, len(paths), BATCH)]

    def augmented(pixels) -> np.ndarray:
        return np.stack([augment(pixels.read(rows), chain, np.random.default_rng(0))[-1] for rows in batches])

    def augmented_by_torchvision() -> np.ndarray:
        made = [torch.stack([torchvision(by_pillow(paths[row])) for row in rows])[-1] for rows in batches]
        return torch.stack(made).permute(0, 2, 3, 1).numpy()

    def resized_by_pillow() -> np.ndarray:
        return np.stack([np.asarray(by_pillow(path).resize(size[::-1], Image.Resampling.BICUBIC)) for path in paths])

    yield "decode, resize", lambda: open_images(paths, size, workers=1).store, resized_by_pillow, _alike
    yield "decode, resize, augment", lambda: augmented(again), augmented_by_torchvision, _same_geometry
    yield "cached, augment", lambda: augmented(stored), augmented_by_torchvision, _same_geometry


def pipeline(setting: Setting) -> Iterator[Case]:
    """Files in, batches out, at the size of persons; with --full at the small sizes of the CPU recipes too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_images(Path(folder), 2_048 if setting.full else 512)
            check_geometry(paths[0])
            yield Case(
                f"decode, {len(paths):,} JPEGs",
                lambda: [decode(path) for path in paths][-1],
                [Peer("Pillow", lambda: np.asarray([by_pillow(path) for path in paths][-1]), _same)],
            )
            for size in ((256, 128), (64, 32), (48, 48)) if setting.full else ((256, 128),):
                for what, ours, peer, check in _stages(paths, size):
                    yield Case(
                        f"{what}, {size[0]} x {size[1]}",
                        ours,
                        [Peer("Pillow + torchvision.transforms", peer, check)],
                    )
    finally:
        torch.set_num_threads(threads)


JOBS: dict[str, Job] = {"input on one core": pipeline}
