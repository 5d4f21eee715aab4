"""What a loss is, and how it asks for more than embeddings and labels.

A loss is an nn.Module called as ``loss(embeddings, labels) -> scalar``. One that keeps something of its own, a memory or a
classifier, has ``begin``, ``update`` or both. Any of the three may name further arguments among those below, and whoever
calls it, the training loop or a sum of losses, passes what is named:

``forward`` and ``update``
    ``pooled``, ``embedding``  features of the batch before the neck and before the norm, (b, p) and (b, d)
    ``rows``                   positions of the batch's images among all images of the round, (b,)
``update`` alone
    ``host_labels``            the labels as they were on the CPU, so that nothing waits for the device
``begin``
    ``embeddings``, ``labels`` what the centroids were made of, (n, d) and (n,); -1 is noise
    ``previous``               the labels of the round before, (n,)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

T = TypeVar("T")


@runtime_checkable
class Begins(Protocol):
    """A loss that is told when a round starts."""

    def begin(self, centroids: Tensor) -> None:
        """Start of a round: the mean embedding of each cluster, (c, d)."""
        ...


@runtime_checkable
class Updates(Protocol):
    """A loss that moves something of its own after the optimizer step."""

    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """After the optimizer step: the batch as the loss saw it, without gradient."""
        ...


def asked(function: Callable[..., Any], offered: Mapping[str, T]) -> dict[str, T]:
    """Those of the offered arguments that a loss, or one of its verbs, names."""
    named = inspect.signature(function.forward if isinstance(function, nn.Module) else function).parameters
    return {name: value for name, value in offered.items() if name in named}


def ask(function: Callable[..., Any], *arguments: Tensor, **offered: Tensor | None) -> Any:
    """Calls a loss or one of its verbs with these arguments, and with those of the offered ones that it names."""
    return function(*arguments, **asked(function, offered))
