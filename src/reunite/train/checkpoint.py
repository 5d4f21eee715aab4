"""The state between two rounds, as named tensors: nothing to unpickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reunite.errors import RunError
from reunite.files import replacing

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything a round depends on that the recipe, the seed and the data do not say.

    Random numbers are not part of it: every draw of round r comes from (seed, r), so a resumed run repeats them.

    Attributes:
        number: the round that was finished.
        labels: its clusters, (n,); -1 is noise.
        tensors: weights, loss and optimizer, under "encoder.", "loss." and "optimizer.".
    """

    number: int
    labels: Int64[np.ndarray, " n"]
    tensors: dict[str, Tensor]

    @classmethod
    def of(
        cls,
        number: int,
        labels: Int64[np.ndarray, " n"],
        encoder: nn.Module,
        loss: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> Checkpoint:
        """The present state. Tensors are copied to the CPU."""
        tensors = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        tensors |= {f"loss.{name}": value for name, value in loss.state_dict().items()}
        for place, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": value for name, value in state.items() if value is not None}
        return cls(number, labels, {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})

    def restore_encoder(self, encoder: nn.Module) -> None:
        """Copies the weights into a network of the same kind."""
        encoder.load_state_dict(self._under("encoder."))

    def restore(self, encoder: nn.Module, loss: nn.Module) -> None:
        """Brings network and loss back to this state.

        Parameters of the loss take the saved shape: a classifier is made when the number of identities is known. A memory of
        another shape is left out: `begin` builds it anew from the next round's clusters.
        """
        self.restore_encoder(encoder)
        own, saved = dict(loss.named_parameters()), self._under("loss.")
        for name, value in saved.items():
            if name in own:
                own[name].data = value.to(own[name])
        fitting = {name: each.shape for name, each in loss.state_dict().items()}
        loss.load_state_dict({name: v for name, v in saved.items() if fitting.get(name) == v.shape}, strict=False)

    def restore_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Brings an optimizer over the restored parameters back to this state."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in self._under("optimizer.").items():
            place, _, key = name.partition(".")
            state.setdefault(int(place), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

    def save(self, path: Path) -> None:
        """Writes one safetensors file, under a temporary name first."""
        tensors = {**self.tensors, "labels": torch.from_numpy(self.labels)}
        with replacing(path) as temporary:
            # One entry: safetensors writes several in an order of chance, and equal states would differ in bytes.
            save_file(tensors, temporary, {"reunite": json.dumps({"format": FORMAT, "number": self.number})})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Reads what `save` wrote.

        Raises:
            RunError: damaged, or written by another version.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get("reunite", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dictionary)
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"Checkpoint {str(path)!r} cannot be read ({error}).") from error
        if about.get("format") != FORMAT or "labels" not in tensors:
            raise RunError(f"Checkpoint {str(path)!r} has format {about.get('format')}; this version reads {FORMAT}.")
        labels = tensors.pop("labels").numpy()
        return cls(about["number"], labels, tensors)

    def _under(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}
