"""All images to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32
from rich.progress import Progress
from torch import Tensor

from reunite.images.loading import Pixels, open_images, prefetch
from reunite.model.encoder import Encoder, Features
from reunite.types import Images


def embed(
    encoder: Encoder,
    images: Images,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    progress: bool | Callable[[int, int], None] = True,
    *,
    on_error: Literal["raise", "skip"] = "raise",
    workers: int | None = None,
) -> Float32[np.ndarray, "n d"]:
    """The embedding of every image, in evaluation mode: resized and normalised, nothing else.

    Args:
        encoder: left in the mode it was in.
        images: n images.
        batch_size: images at once on the device.
        device: where to compute; None leaves the encoder where it is.
        progress: True draws a progress bar; a function is called with the steps done and the steps there are.
        on_error: "raise" stops at images that cannot be read and names them; "skip" gives them a row of NaN.
        workers: threads that decode; None uses every core.

    Returns:
        Unit rows, in the order of the images.

    Raises:
        ImageError: images cannot be read and on_error is "raise", or none can be read at all.
    """
    result = np.full((len(images), encoder.dimensions), np.nan, np.float32)
    if not len(images):
        return result
    if device is not None:
        encoder.to(device)
    with Progress(transient=True, disable=progress is not True) as bar:
        task = bar.add_task("embedding", total=2 * len(images))
        tell = progress if callable(progress) else lambda done, total: bar.update(task, completed=done)
        steps = 2 * len(images)  # each image is decoded, then encoded
        pixels = open_images(
            images.paths,
            encoder.spec.image_size,
            on_error=on_error,
            workers=workers,
            progress=lambda done, _: tell(done, steps),
        )
        rows = np.flatnonzero(pixels.readable)
        result[rows] = embed_pixels(encoder, pixels, rows, batch_size, lambda done, _: tell(len(images) + done, steps))
    return result


def embed_pixels(
    encoder: Encoder,
    pixels: Pixels,
    rows: np.ndarray,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> Float32[np.ndarray, "m d"]:
    """The embeddings of these rows of opened images, in evaluation mode; the encoder is left in the mode it was in."""
    return _pass(encoder, pixels, rows, batch_size, progress, (encoder.tested,))[0]


def embed_twice(
    encoder: Encoder,
    pixels: Pixels,
    rows: np.ndarray,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Float32[np.ndarray, "m d"], Float32[np.ndarray, "m e"]]:
    """What tests see, as `embed_pixels` gives it, and the unit embedding that losses see, from one pass.

    Both are the same array unless the encoder tests with another feature than it trains with.
    """
    if encoder.spec.test_feature == "embedding":
        tested = embed_pixels(encoder, pixels, rows, batch_size, progress)
        return tested, tested
    tested, unit = _pass(encoder, pixels, rows, batch_size, progress, (encoder.tested, lambda features: features.unit))
    return tested, unit


def _pass(
    encoder: Encoder,
    pixels: Pixels,
    rows: np.ndarray,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
    heads: Sequence[Callable[[Features], Tensor]],
) -> list[np.ndarray]:
    """One array for each head, a row for each image."""
    results: list[list[np.ndarray]] = [[] for _ in heads]
    where = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    done = 0
    with torch.inference_mode():
        for batch in prefetch(pixels.read(rows[at : at + batch_size]) for at in range(0, len(rows), batch_size)):
            features = encoder.features(torch.from_numpy(batch).to(where, non_blocking=True))
            for head, result in zip(heads, results, strict=True):
                result.append(head(features).cpu().numpy())
            done += len(batch)
            if progress is not None:
                progress(done, len(rows))
    encoder.train(was_training)
    return [np.concatenate(result) for result in results]
