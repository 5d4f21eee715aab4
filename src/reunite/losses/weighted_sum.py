"""Sums of losses, each on the feature it was made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from jaxtyping import Float, Int
from torch import Tensor, nn

from reunite.errors import InputError
from reunite.losses.protocol import Begins, Updates, ask

Feature = Literal["unit", "embedding", "pooled"]


class WeightedSum(nn.Module):
    """A sum of losses with weights; each sees one of the three features of an encoder.

    The strong baseline (Luo et al. 2019) is ``WeightedSum((IdentityLoss(), BatchHardTripletLoss(0.3)), (1.0, 1.0),
    ("embedding", "pooled"))``: the classifier works after the batch norm neck, the metric loss before it. A loss with
    weight 0 is left out: neither begun, nor computed, nor updated.

    Args:
        losses: modules called as ``loss(embeddings, labels) -> scalar``, of Reunite or from elsewhere.
        weights: one number each; None is 1 for all.
        features: what each loss gets: "unit" (the training embedding), "embedding" (after the neck, before the norm) or
            "pooled" (before the neck); None is "unit" for all.

    Raises:
        InputError: no losses, weights or features that do not fit them, or a loss with a memory before the neck.
    """

    def __init__(
        self,
        losses: Sequence[nn.Module],
        weights: Sequence[float] | None = None,
        features: Sequence[Feature] | None = None,
    ):
        super().__init__()
        if isinstance(losses, nn.Module):
            raise InputError(f"losses must be a tuple of torch modules; got one {type(losses).__name__}.")
        count = len(losses)
        self.weights: tuple[float, ...] = (1.0,) * count if weights is None else tuple(weights)
        self.features: tuple[Feature, ...] = tuple(features or ["unit"] * count)
        if not losses or not all(isinstance(each, nn.Module) for each in losses):
            raise InputError(f"losses must be one or more torch modules; got {losses!r}.")
        if len(self.weights) != count or len(self.features) != count:
            raise InputError(
                f"{count} losses need as many weights and features; got {len(self.weights)} and {len(self.features)}."
            )
        if not all(weight >= 0 for weight in self.weights) or not any(self.weights):
            raise InputError(f"weights must be 0 or more, and not all 0; got {self.weights}.")
        if not set(self.features) <= set(get_args(Feature)):
            raise InputError(f"features must be {' or '.join(map(repr, get_args(Feature)))}; got {self.features}.")
        for loss, weight, feature in zip(losses, self.weights, self.features, strict=True):
            if weight and isinstance(loss, Begins) and feature == "pooled":
                raise InputError(
                    f"{type(loss).__name__} starts from clusters as they are after the neck, so it works on 'unit' or "
                    "'embedding', not on 'pooled'."
                )
        self.terms = nn.ModuleList(losses)

    @property
    def losses(self) -> tuple[nn.Module, ...]:
        """The losses, in order."""
        return tuple(self.terms)

    def begin(
        self,
        centroids: Float[Tensor, "c d"],
        embeddings: Float[Tensor, "n d"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
        previous: Int[Tensor, " n"] | None = None,
    ) -> None:
        """Begins every loss that has something to begin."""
        for loss, weight in zip(self.terms, self.weights, strict=True):
            if weight and isinstance(loss, Begins):
                ask(loss.begin, centroids, embeddings=embeddings, labels=labels, previous=previous)

    def forward(
        self,
        embeddings: Float[Tensor, "b d"],
        labels: Int[Tensor, " b"],
        rows: Int[Tensor, " b"] | None = None,
        embedding: Float[Tensor, "b d"] | None = None,
        pooled: Float[Tensor, "b p"] | None = None,
    ) -> Float[Tensor, ""]:
        """The weighted sum; a feature that is not given is asked for by name."""
        total = embeddings.new_zeros(())
        for loss, weight, name in zip(self.terms, self.weights, self.features, strict=True):
            if weight:
                own = _feature(name, embeddings, embedding, pooled)
                total = total + weight * ask(loss, own, labels, rows=rows, embedding=embedding, pooled=pooled)
        return total

    def update(
        self,
        embeddings: Float[Tensor, "b d"],
        labels: Int[Tensor, " b"],
        rows: Int[Tensor, " b"] | None = None,
        host_labels: Int[Tensor, " b"] | None = None,
        embedding: Float[Tensor, "b d"] | None = None,
        pooled: Float[Tensor, "b p"] | None = None,
    ) -> None:
        """Updates every loss that has something to move."""
        offered = {"rows": rows, "host_labels": host_labels, "embedding": embedding, "pooled": pooled}
        for loss, weight, name in zip(self.terms, self.weights, self.features, strict=True):
            if weight and isinstance(loss, Updates):
                ask(loss.update, _feature(name, embeddings, embedding, pooled), labels, **offered)


def _feature(name: str, unit: Tensor, embedding: Tensor | None, pooled: Tensor | None) -> Tensor:
    chosen = {"unit": unit, "embedding": embedding, "pooled": pooled}[name]
    if chosen is None:
        raise InputError(f"A loss of this sum works on {name!r}: pass {name}= beside the unit embeddings.")
    return chosen
