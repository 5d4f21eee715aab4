"""The batch-hard triplet loss beside pytorch-metric-learning's: forward and backward on a batch of 2,048-d embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import reunite
from benchmarks.harness import Case, Job, Peer, Setting
from benchmarks.packages import optional

MARGIN, IMAGES = 0.3, 4
PER_RUN = 20
"""Steps in a measured call: one takes milliseconds."""

Step = tuple[float, Tensor]


def _steps(loss: Callable[[Tensor, Tensor], Tensor], embeddings: Tensor, labels: Tensor) -> Step:
    for _ in range(PER_RUN):
        embeddings.grad = None
        value = loss(embeddings, labels)
        value.backward()
    return value.item(), embeddings.grad.clone()


def _same(ours: Step, peer: Step) -> None:
    assert abs(ours[0] - peer[0]) <= 1e-5, f"{ours[0]} and {peer[0]}"
    torch.testing.assert_close(ours[1], peer[1], rtol=1e-3, atol=1e-6)


def _metric_learning() -> Callable[[Tensor, Tensor], Tensor] | None:
    package = optional("pytorch_metric_learning")
    if package is None:
        return None
    from pytorch_metric_learning import losses, miners, reducers

    loss, miner = losses.TripletMarginLoss(MARGIN, reducer=reducers.MeanReducer()), miners.BatchHardMiner()
    return lambda embeddings, labels: loss(embeddings, labels, miner(embeddings, labels))


def batch_hard(setting: Setting) -> Iterator[Case]:
    ours: nn.Module = reunite.BatchHardTripletLoss(MARGIN, normalize=True)
    peer = _metric_learning()
    for batch in (64, 256):
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(batch) // IMAGES
        embeddings = (
            torch.randn(batch, 2048, generator=generator) + torch.randn(batch, 2048, generator=generator)[labels]
        )
        embeddings.requires_grad_()

        def call(loss: Callable, batch: tuple = (embeddings, labels)) -> Callable[[], Step]:
            return lambda: _steps(loss, *batch)

        yield Case(
            f"{batch} x 2,048, {PER_RUN} steps",
            call(ours),
            [Peer("pytorch-metric-learning", call(peer) if peer else None, _same)],
        )


JOBS: dict[str, Job] = {"batch-hard triplet": batch_hard}
