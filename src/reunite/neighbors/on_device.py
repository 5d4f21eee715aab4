"""The same search with the products on a device that torch knows, such as a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64

from reunite.neighbors.candidate_kernels import decide_given
from reunite.neighbors.filter import Filter
from reunite.neighbors.operands import Float32Operands
from reunite.threads import in_blocks

SPARE = 16
"""Columns taken along beside those that are wanted, which nearly always are all that can be among these."""

VALUES = 2**28
"""Values that are held on the device at a time, 1 GB."""


def search_on(
    device: str | torch.device,
    asked: Float32[np.ndarray, "m d"],
    rows: Float32[np.ndarray, "n d"],
    wanted: int,
    indices: Int64[np.ndarray, "m k"],
    similarity: Float32[np.ndarray, "m k"],
) -> None:
    """Write the `wanted` nearest of unit `rows` to the last columns of the results, without the row itself if asked is rows.

    The device multiplies in float32 and selects; the products that decide are computed on the CPU, so that the answer is the
    same as without the device.
    """
    itself = asked is rows
    filter = Filter(rows, precision="float32")
    queries = filter if itself else Filter(asked, beside=filter)
    right = torch.from_numpy(_right(filter)).to(device).T
    taken = min(wanted + SPARE, len(rows) - itself)
    size = max(1, VALUES // len(rows))
    for start in range(0, len(asked), size):
        part = slice(start, min(start + size, len(asked)))
        with _all_of_float32():
            values = torch.from_numpy(queries.operands.left(part)).to(device) @ right
        if itself:
            values.diagonal(start).fill_(torch.inf)
        nearest, columns = values.topk(taken, largest=False)
        limit = nearest[:, wanted - 1] + torch.from_numpy(queries.slack[part]).to(device)
        out = indices[part], similarity[part]
        _decide(columns.to(torch.int32).cpu().numpy(), wanted, asked[part], rows, *out)
        if taken == len(rows) - itself:
            continue
        for i in torch.nonzero(nearest[:, -1] <= limit)[:, 0].tolist():  # there may be more that can be among them
            more = torch.nonzero(values[i] <= limit[i]).T.to(torch.int32).cpu().numpy()
            _decide(more, wanted, asked[part][i : i + 1], rows, *(each[i : i + 1] for each in out))


def _right(filter: Filter) -> Float32[np.ndarray, "n d2"]:
    assert isinstance(filter.operands, Float32Operands)
    return filter.operands.right(slice(0, len(filter.rows)))


def _decide(
    given: Int32[np.ndarray, "p c"],
    wanted: int,
    asked: Float32[np.ndarray, "p d"],
    rows: Float32[np.ndarray, "n d"],
    indices: Int64[np.ndarray, "p k"],
    similarity: Float32[np.ndarray, "p k"],
) -> None:
    in_blocks(len(given), 256, lambda a, b: decide_given(a, b, wanted, given, asked, rows, indices, similarity))


@contextmanager
def _all_of_float32() -> Iterator[None]:
    """Products of float32 with all their bits, also where the user allows fewer: the bounds are those of float32."""
    allowed = torch.get_float32_matmul_precision()
    if allowed == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)
