"""All images, or tracklets, to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from rich.progress import Progress
from torch import Tensor

from reunite.images.loading import Pixels, prefetch, read_once
from reunite.images.tracklets import Frames, MeanOf, Tracklets, each_alone
from reunite.model.encoder import Encoder, Features
from reunite.model.inference import Precision, bfloat16_pooled, use_bfloat16
from reunite.types import Images

Head = Callable[[Features], Tensor]
Count = Callable[[int, int], None]
"""A function to call with what is done and what there is to do."""


class _Given(NamedTuple):
    """Frames on their way to the network, tracklet after tracklet."""

    pixels: UInt8[np.ndarray, "f height width 3"]
    owners: Int64[np.ndarray, " f"]  # the tracklet of each frame, ascending
    finished: int  # tracklets below this number get no more frames
    done: int  # frames handed over so far, those that cannot be read included


def embed(
    encoder: Encoder,
    images: Images | Tracklets,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    progress: bool | Count = True,
    *,
    frames: Frames = Frames(),  # noqa: B008 - a frozen value
    on_error: Literal["raise", "skip"] = "raise",
    workers: int | None = None,
    precision: Precision = "float32",
) -> Float32[np.ndarray, "n d"]:
    """The embedding of every image or tracklet, in evaluation mode: resized and normalised, nothing else.

    Each file is decoded once and forgotten, so memory does not grow with the number of images beyond the result.

    Args:
        encoder: left in the mode it was in.
        images: n images, or n tracklets (`reunite.images.group_tracklets`).
        batch_size: images, or frames, at once on the device.
        device: where to compute; None leaves the encoder where it is.
        progress: True draws a progress bar; a function is called with the images done and the images there are.
        frames: how a tracklet becomes one embedding; nothing to images.
        on_error: "raise" stops at images that cannot be read and names them; "skip" gives them a row of NaN. A tracklet is
            embedded from the frames that can be read, if there are any.
        workers: threads that decode; None uses every core.
        precision: "float32" gives what training sees, to the last bit. "bfloat16" computes the backbone in bfloat16, faster
            where there are instructions for it: embeddings differ in the third digit, those of networks with depthwise
            convolutions more, so do not mix both in one gallery. "auto" takes bfloat16 where processor or device has it, so
            that results depend on the machine. What is returned is float32 in any case.

    Returns:
        Unit rows, in the order of the images or tracklets.

    Raises:
        ImageError: images cannot be read and on_error is "raise", or none can be read at all.
        InputError: precision is "bfloat16" and there are no instructions for it.
    """
    units = (each_alone(images) if isinstance(images, Images) else images).at_most(frames.test)
    result = np.full((len(units), encoder.dimensions), np.nan, np.float32)
    if device is not None:
        encoder.to(device)
    fast = use_bfloat16(precision, next(encoder.parameters()).device)
    if not len(units):
        return result
    pooled = bfloat16_pooled(encoder) if fast else encoder.pooled
    owners = units.owners

    def given() -> Iterator[_Given]:
        paths, done = units.images.paths[units.rows], 0
        for pixels, kept in read_once(paths, encoder.spec.image_size, batch_size, on_error=on_error, workers=workers):
            done = min(done + batch_size, len(paths))
            yield _Given(pixels, owners[kept], int(np.searchsorted(units.starts[1:], done, "right")), done)

    with Progress(transient=True, disable=progress is not True) as bar:
        task = bar.add_task("embedding", total=len(owners))
        tell = progress if callable(progress) else lambda done, total: bar.update(task, completed=done)
        numbers, (found,) = _pass(
            encoder, given(), frames.mean_of, (encoder.tested,), lambda done: tell(done, len(owners)), pooled
        )
    result[numbers] = found
    return result


def embed_pixels(
    encoder: Encoder,
    pixels: Pixels,
    rows: Int64[np.ndarray, " k"],
    batch_size: int = 64,
    progress: Count | None = None,
    *,
    starts: Int64[np.ndarray, " m1"] | None = None,
    mean_of: MeanOf = "pooled",
) -> Float32[np.ndarray, "m d"]:
    """The embeddings of these rows of opened images, in evaluation mode; the encoder is left in the mode it was in.

    `starts` says where in `rows` each tracklet begins, as in `Tracklets`; None takes every row by itself.
    """
    given = _opened(pixels, rows, starts, batch_size)
    return _pass(encoder, given, mean_of, (encoder.tested,), _counting(progress, len(rows)), encoder.pooled)[1][0]


def embed_twice(
    encoder: Encoder,
    pixels: Pixels,
    rows: Int64[np.ndarray, " k"],
    batch_size: int = 64,
    progress: Count | None = None,
    *,
    starts: Int64[np.ndarray, " m1"] | None = None,
    mean_of: MeanOf = "pooled",
    on_error: Literal["raise", "skip"] = "raise",
) -> tuple[Float32[np.ndarray, "m d"], Float32[np.ndarray, "m e"]]:
    """What tests see, as `embed_pixels` gives it, and the unit embedding that losses see, from one pass.

    Both are the same array unless the encoder tests with another feature than it trains with. With on_error="skip", rows of
    images, or of tracklets all of whose frames, have become unreadable are NaN.
    """
    heads: tuple[Head, ...] = (encoder.tested, lambda features: features.unit)
    if encoder.spec.test_feature == "embedding":
        heads = heads[:1]
    given = _opened(pixels, rows, starts, batch_size, on_error)
    numbers, found = _pass(encoder, given, mean_of, heads, _counting(progress, len(rows)), encoder.pooled)
    count = len(rows) if starts is None else len(starts) - 1
    if len(numbers) < count:
        found = [_spread(each, numbers, count) for each in found]
    return found[0], found[-1]


def _spread(found: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
    result = np.full((count, found.shape[1]), np.nan, found.dtype)
    result[numbers] = found
    return result


def _opened(
    pixels: Pixels,
    rows: np.ndarray,
    starts: np.ndarray | None,
    batch_size: int,
    on_error: Literal["raise", "skip"] = "raise",
) -> Iterator[_Given]:
    ends = np.arange(1, len(rows) + 1) if starts is None else starts[1:]
    owners = np.searchsorted(ends, np.arange(len(rows)), "right")
    for at in range(0, len(rows), batch_size):
        done = min(at + batch_size, len(rows))
        finished = int(np.searchsorted(ends, done, "right"))
        if on_error == "raise":
            yield _Given(pixels.read(rows[at:done]), owners[at:done], finished, done)
            continue
        images, there = pixels.read_some(rows[at:done])
        yield _Given(images if there.all() else images[there], owners[at:done][there], finished, done)


def _counting(progress: Count | None, total: int) -> Callable[[int], None]:
    return (lambda done: None) if progress is None else (lambda done: progress(done, total))


def _pass(
    encoder: Encoder,
    given: Iterable[_Given],
    mean_of: MeanOf,
    heads: Sequence[Head],
    tell: Callable[[int], None],
    pooled_of: Callable[[Tensor], Tensor],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Numbers of the tracklets that had a frame, and for each head an array with a row for each of these."""
    numbers: list[np.ndarray] = []
    results: list[list[np.ndarray]] = [[] for _ in heads]
    where = next(encoder.parameters()).device
    means = [_Means() for _ in range(1 if mean_of == "pooled" else len(heads))]
    with _evaluating(encoder), torch.inference_mode():
        for batch in prefetch(given):
            if len(batch.pixels):
                pooled = pooled_of(torch.from_numpy(batch.pixels).to(where, non_blocking=True))
                vectors = [pooled] if mean_of == "pooled" else [head(encoder.head(pooled)) for head in heads]
            else:
                vectors = [mean.nothing() for mean in means]
            done = [mean.add(each, batch.owners, batch.finished) for mean, each in zip(means, vectors, strict=True)]
            tell(batch.done)
            if not len(done[0].numbers):
                continue
            numbers.append(done[0].numbers)
            features = encoder.head(done[0].vectors) if mean_of == "pooled" else None
            for place, (head, result) in enumerate(zip(heads, results, strict=True)):
                output = done[place].of_unit_vectors() if features is None else head(features)
                result.append(output.cpu().numpy())
    return np.concatenate(numbers), [np.concatenate(result) for result in results]


@contextmanager
def _evaluating(encoder: Encoder) -> Iterator[None]:
    """Evaluation mode, and at the end, however it comes, the mode there was."""
    was_training = encoder.training
    encoder.eval()
    try:
        yield
    finally:
        encoder.train(was_training)


class _Mean(NamedTuple):
    """Means of tracklets that are complete."""

    numbers: Int64[np.ndarray, " u"]
    vectors: Float[Tensor, "u d"]
    counts: Float[Tensor, "u 1"]

    def of_unit_vectors(self) -> Float[Tensor, "u d"]:
        """The means as unit vectors; the mean of one is that one, to the last bit."""
        return torch.where(self.counts > 1, F.normalize(self.vectors, dim=1), self.vectors)


class _Means:
    """Means over tracklets whose frames come in batches: only the sum of the one that goes on is kept."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._owner, self._count = -1, 0

    def nothing(self) -> Tensor:
        """No vectors, for a batch without a readable frame."""
        return torch.empty(0, 0) if self._sum is None else self._sum[None, :][:0]

    def add(self, vectors: Float[Tensor, "f d"], owners: Int64[np.ndarray, " f"], finished: int) -> _Mean:
        """Takes the next frames, and gives the means of tracklets below `finished`; of one frame, that frame."""
        weights = np.ones(len(owners))
        if self._sum is not None:
            vectors = torch.cat([self._sum[None, :], vectors])
            owners, weights = np.append(self._owner, owners), np.append(self._count, weights)
            self._sum = None
        numbers, first = np.unique(owners, return_index=True)
        if not len(numbers):
            return _Mean(numbers, vectors, torch.empty(0, 1))
        lengths = torch.from_numpy(np.diff(np.append(first, len(owners)))).to(vectors.device)
        sums = torch.segment_reduce(vectors.float(), "sum", lengths=lengths, axis=0)
        counts = np.add.reduceat(weights, first)
        if numbers[-1] >= finished:
            self._sum, self._owner, self._count = sums[-1], int(numbers[-1]), int(counts[-1])
        complete = numbers < finished
        per_row = torch.from_numpy(counts[complete, None]).to(sums)
        return _Mean(numbers[complete], sums[: len(per_row)] / per_row, per_row)
