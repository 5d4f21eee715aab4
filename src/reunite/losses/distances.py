"""What the metric losses measure with: distances that stay finite, also in their gradient, and means by class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from reunite.errors import InputError

SMALLEST_SQUARE = 1e-12
"""Squared distances are raised to this before their root is taken. Below it the gradient is exactly 0, not 0 * inf."""

_LABELS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def as_points(
    embeddings: Float[Tensor, "b d"], labels: Int[Tensor, " b"], *, normalize: bool = False
) -> Float[Tensor, "b d"]:
    """The rows of a checked batch as points to measure between, in float32 or, where they came so, float64.

    Args:
        embeddings: (b, d), of any floating type.
        labels: (b,) integers, any values in any order.
        normalize: scale every row to length one.

    Raises:
        InputError: shapes that do not fit, an empty batch, wrong types, or two devices.
    """
    if embeddings.ndim != 2 or not embeddings.numel() or not embeddings.is_floating_point():
        raise InputError(
            f"embeddings must be floating point of shape (b, d), b and d >= 1; got {embeddings.dtype} of shape "
            f"{tuple(embeddings.shape)}."
        )
    if labels.shape != embeddings.shape[:1] or labels.dtype not in _LABELS:
        raise InputError(
            f"labels must be integers of shape ({len(embeddings)},), one per embedding; got {labels.dtype} of shape "
            f"{tuple(labels.shape)}."
        )
    if labels.device != embeddings.device:
        raise InputError(
            f"embeddings are on {embeddings.device} and labels on {labels.device}; move the labels to the embeddings."
        )
    points = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
    return unit_rows(points) if normalize else points


def unit_rows(points: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Rows of length one. A row of zeros has no direction: it stays zero and gets no gradient.

    `torch.nn.functional.normalize` would hand that row its gradient times 1e12, which half precision cannot hold.
    """
    lengths = torch.linalg.vector_norm(points, dim=1, keepdim=True)
    return points / lengths.masked_fill(lengths < 1e-12, torch.inf)


def row_distances(
    left: Float[Tensor, "b d"], right: Float[Tensor, "b d"], *, squared: bool = False
) -> Float[Tensor, " b"]:
    """Euclidean distance from each row of `left` to the same row of `right`, from the differences: no cancellation."""
    squares = (left - right).square().sum(dim=1)
    return squares if squared else squares.clamp(min=SMALLEST_SQUARE).sqrt()


def pairwise_distances(points: Float[Tensor, "b d"], *, squared: bool = False) -> Float[Tensor, "b b"]:
    r"""Euclidean distances between all rows as :math:`|x|^2 + |y|^2 - 2\langle x, y\rangle`: memory b * b, not b * b * d.

    The expansion cancels where rows are close compared with their length (D^2 is wrong by about 1e-7 of |x|^2 in
    float32). So it chooses pairs, or measures unit rows; a chosen pair is measured again by `row_distances`.
    Autocast is off in here: in half precision the product would lose what separates similar images.
    """
    with torch.autocast(points.device.type, enabled=False):
        products = points @ points.T
    lengths = points.square().sum(dim=1)
    squares = (lengths[:, None] + lengths[None, :] - 2 * products).fill_diagonal_(0)
    return squares.clamp(min=0) if squared else squares.clamp(min=SMALLEST_SQUARE).sqrt()


def class_means(
    values: Shaped[Tensor, "b ..."], position: Int[Tensor, " b"], sizes: Int[Tensor, " c"]
) -> Shaped[Tensor, "c ..."]:
    """The mean of the values of each class, for classes of any size in any order.

    Args:
        values: (b, ...), one entry per image.
        position: (b,), the class of each image, 0 to c - 1.
        sizes: (c,), images per class, all >= 1. Both are `labels.unique(return_inverse=True, return_counts=True)`.
    """
    sums = values.new_zeros(len(sizes), *values.shape[1:]).index_add(0, position, values)
    return sums / sizes.view(-1, *[1] * (values.ndim - 1))
