"""All images to embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32
from rich.progress import Progress

from reunite.images.loading import Pixels, open_images, prefetch
from reunite.model.encoder import Encoder
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
    result = np.empty((len(rows), encoder.dimensions), np.float32)
    where = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    starts = range(0, len(rows), batch_size)
    with torch.inference_mode():
        for start, batch in zip(
            starts, prefetch(pixels.read(rows[at : at + batch_size]) for at in starts), strict=True
        ):
            output = encoder(torch.from_numpy(batch).to(where, non_blocking=True))
            result[start : start + len(batch)] = output.cpu().numpy()
            if progress is not None:
                progress(start + len(batch), len(rows))
    encoder.train(was_training)
    return result
