"""Rows of a memory: how a batch is compared with them and how they move; shared by all losses that keep some."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from reunite.errors import InputError


def check_settings(temperature: float, momentum: float) -> None:
    """What every memory is made with.

    Raises:
        InputError: a temperature that is not above 0, or a momentum outside [0, 1).
    """
    if not 0 < temperature < math.inf or not 0 <= momentum < 1:
        raise InputError(f"Expected temperature > 0 and momentum in [0, 1); got {temperature} and {momentum}.")


def check_centroids(centroids: Tensor) -> None:
    """There must be a row for at least one cluster.

    Raises:
        InputError: not (c, d) with c >= 1.
    """
    if centroids.ndim != 2 or not len(centroids):
        raise InputError(f"centroids must have shape (c, d) with c >= 1; got {tuple(centroids.shape)}.")


def check_rows(embeddings: Tensor, labels: Tensor, memory: Tensor) -> None:
    """Embeddings must fit the memory and labels must be its rows; labels on a device are not looked at, only shapes.

    Raises:
        InputError: the memory is empty, or shapes or labels do not fit.
    """
    if not len(memory):
        raise InputError("The memory is empty: call begin(centroids) at the start of the round.")
    if embeddings.shape != (len(labels), memory.shape[1]):
        raise InputError(
            f"Expected embeddings of shape ({len(labels)}, {memory.shape[1]}); got {tuple(embeddings.shape)}."
        )
    if labels.device.type == "cpu" and len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(memory):
        raise InputError(
            f"Labels must be rows of the memory, 0 to {len(memory) - 1}; got {int(labels.min())} to "
            f"{int(labels.max())}. Noise (-1) is not trained on."
        )


def softmax_loss(
    embeddings: Float[Tensor, "b d"],
    labels: Int[Tensor, " b"],
    rows: Float[Tensor, "c d"],
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross entropy of the batch's dot products with all rows, in the precision of the rows.

    Autocast is off in here: in half precision the product would lose what separates similar clusters once it is divided by
    the temperature.

    Raises:
        InputError: an empty batch, which has no mean.
    """
    if not len(labels):
        raise InputError("The batch is empty; a loss needs at least one embedding.")
    with torch.autocast(embeddings.device.type, enabled=False):
        logits = embeddings.to(rows.dtype) @ rows.T / temperature
    return F.cross_entropy(logits, labels.long(), label_smoothing=label_smoothing)


def move(memory: Float[Tensor, "c d"], rows: Int[Tensor, " k"], towards: Float[Tensor, "k d"], momentum: float) -> None:
    """Row <- normalise(momentum * row + (1 - momentum) * towards), in place; no row may be named twice."""
    memory[rows] = F.normalize(momentum * memory[rows] + (1 - momentum) * towards, dim=1)


def move_in_turn(
    memory: Float[Tensor, "c d"], rows: Int[Tensor, " b"], towards: Float[Tensor, "b d"], momentum: float
) -> None:
    """`move` for one entry of the batch after the other, in their order, in place.

    Entries of different rows do not meet, so the first entries of all rows move at once, then the second ones, and so on:
    as many steps as the most frequent row has entries, with the result of the loop over entries. With `rows` on the CPU
    nothing waits for the device that holds the memory.
    """
    for turn in turns(rows):
        move(memory, beside(memory, rows[turn]), towards[beside(towards, turn)], momentum)


def beside(tensor: Tensor, index: Int[Tensor, " k"]) -> Int[Tensor, " k"]:
    """An index on the device of the tensor it is for. A plain copy would wait until the device has done all it was given."""
    return index.to(tensor.device, non_blocking=True)


def turns(rows: Int[Tensor, " b"]) -> list[Int[Tensor, " k"]]:
    """Positions of the first entry of each row, then of the second entries, and so on."""
    if not len(rows):
        return []
    order = torch.argsort(rows, stable=True)
    place = torch.arange(len(rows), device=rows.device)
    starts = first_of_run(rows[order])
    earlier = place - torch.where(starts, place, 0).cummax(0).values  # entries of the same row that came before
    by_turn = torch.argsort(earlier, stable=True)
    return list(order[by_turn].split(torch.bincount(earlier).tolist()))


def lowest_of_each(rows: Int[Tensor, " b"], keys: Float[Tensor, " b"]) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """The rows that occur, and the position of the lowest key of each; the first one of equals."""
    present, position = rows.unique(return_inverse=True)
    position = beside(keys, position)
    lowest = keys.new_full((len(present),), torch.inf).scatter_reduce(0, position, keys, "amin")
    place = torch.arange(len(keys), device=keys.device)
    here = torch.where(keys == lowest[position], place, len(keys) - 1)
    last = torch.full((len(present),), len(keys) - 1, device=keys.device)
    return present, last.scatter_reduce(0, position, here, "amin")


def means_of_each(
    rows: Int[Tensor, " b"], towards: Float[Tensor, "b d"]
) -> tuple[Int[Tensor, " k"], Float[Tensor, "k d"]]:
    """The rows that occur, and the mean of the entries of each."""
    present, position, counts = rows.unique(return_inverse=True, return_counts=True)
    sums = towards.new_zeros(len(present), towards.shape[1])
    sums.index_add_(0, beside(towards, position), towards)
    return present, sums / beside(towards, counts)[:, None]


def first_of_run(ordered: Tensor) -> Tensor:
    """Where a sorted vector starts a new value, as a mask."""
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return starts
