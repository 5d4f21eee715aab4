"""The state of training, as named tensors: nothing to unpickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reunite.errors import RunError, TrainingError
from reunite.files import replacing

FORMAT = 2


@dataclass(frozen=True, eq=False)
class Unfinished:
    """How far a round has come that is not finished.

    Attributes:
        losses: of the steps done, (k,).
        embeddings: (n, d) that the round's clusters were made of.
        seconds: spent so far, by stage.
    """

    losses: Float32[np.ndarray, " k"]
    embeddings: Float32[np.ndarray, "n d"]
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that training depends on and that the recipe, the seed and the data do not say.

    The draws of round r, step s come from (seed, r, s), so a resumed run repeats them; but for what network and loss draw
    from PyTorch's own generator or from generators of their own, whose states are among the tensors.

    Attributes:
        number: of the round.
        labels: its clusters, (n,); -1 is noise.
        tensors: weights, loss, optimizer and generators, under "encoder.", "loss.", "optimizer." and "generator.".
        about: what it is a state of, names to text: recipe, seed, data, version.
        unfinished: how far the round has come; None where it is finished.
    """

    number: int
    labels: Int64[np.ndarray, " n"]
    tensors: dict[str, Tensor]
    about: Mapping[str, str] = field(default_factory=dict)
    unfinished: Unfinished | None = None

    @classmethod
    def of(
        cls,
        number: int,
        labels: Int64[np.ndarray, " n"],
        encoder: nn.Module,
        loss: nn.Module,
        optimizer: torch.optim.Optimizer,
        about: Mapping[str, str],
        unfinished: Unfinished | None = None,
    ) -> Checkpoint:
        """The present state. Tensors are copied to the CPU.

        Raises:
            TrainingError: weights are no longer numbers: nothing could go on from there.
        """
        tensors = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        tensors |= {f"loss.{name}": value for name, value in loss.state_dict().items()}
        for place, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": value for name, value in state.items() if value is not None}
        tensors |= {f"generator.loss.{name}": each.get_state() for name, each in _generators(loss)}
        if unfinished is not None:
            tensors["generator.cpu"] = torch.get_rng_state()
            if torch.cuda.is_available():
                tensors["generator.cuda"] = torch.cuda.get_rng_state()
        copied = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        lost = _not_finite(copied)
        if lost is not None:
            step = "" if unfinished is None else f", step {len(unfinished.losses) - 1}"
            raise TrainingError(
                f"Round {number}{step}: weights are no longer numbers after it ({lost}). Lower the learning rate "
                f"({optimizer.param_groups[0]['lr']:g})."
            )
        return cls(number, labels, copied, dict(about), unfinished)

    @property
    def step(self) -> int | None:
        """Steps done in a round that is not finished."""
        return None if self.unfinished is None else len(self.unfinished.losses)

    def restore_encoder(self, encoder: nn.Module) -> None:
        """Copies the weights into a network of the same kind."""
        encoder.load_state_dict(self._under("encoder."))

    def restore(self, encoder: nn.Module, loss: nn.Module) -> None:
        """Brings network and loss back to this state.

        What the loss has takes the saved shape: a classifier or a memory is made when the number of clusters is known.
        """
        self.restore_encoder(encoder)
        parameters = dict(loss.named_parameters())
        for name, value in self._under("loss.").items():
            if name in parameters:
                parameters[name].data = value.to(parameters[name])
                continue
            path, _, leaf = name.rpartition(".")
            owner = loss.get_submodule(path)
            owner._buffers[leaf] = value.to(_device_of(loss))
        for name, generator in _generators(loss):
            if f"generator.loss.{name}" in self.tensors:
                generator.set_state(self.tensors[f"generator.loss.{name}"])

    def restore_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Brings an optimizer over the restored parameters back to this state."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in self._under("optimizer.").items():
            place, _, key = name.partition(".")
            state.setdefault(int(place), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

    def restore_draws(self) -> None:
        """Brings PyTorch's own generators to where they were in the middle of the round."""
        torch.set_rng_state(self.tensors["generator.cpu"])
        if "generator.cuda" in self.tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.tensors["generator.cuda"])

    def save(self, path: Path) -> None:
        """Writes one safetensors file, under a temporary name first, with a checksum over all that is in it."""
        tensors = {**self.tensors, "labels": torch.from_numpy(self.labels)}
        content: dict[str, Any] = {"format": FORMAT, "number": self.number, "about": dict(self.about)}
        if self.unfinished is not None:
            tensors["round.losses"] = torch.from_numpy(self.unfinished.losses)
            tensors["round.embeddings"] = torch.from_numpy(self.unfinished.embeddings)
            content["seconds"] = self.unfinished.seconds
        text = json.dumps({**content, "checksum": _checksum(content, tensors)})
        with replacing(path) as temporary:
            # One entry: safetensors writes several in an order of chance, and equal states would differ in bytes.
            save_file(tensors, temporary, {"reunite": text})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Reads what `save` wrote.

        Raises:
            RunError: damaged, written by another version, or with weights that are not numbers.
        """
        try:
            with safe_open(path, framework="pt") as file:
                content = json.loads((file.metadata() or {}).get("reunite", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dictionary)
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise RunError(f"Checkpoint {str(path)!r} cannot be read ({error}).") from error
        if content.get("format") != FORMAT or "labels" not in tensors:
            raise RunError(f"Checkpoint {str(path)!r} has format {content.get('format')}; this version reads {FORMAT}.")
        if content.pop("checksum", None) != _checksum(content, tensors):
            raise RunError(
                f"Checkpoint {str(path)!r} is damaged: its content does not have the checksum it was written with."
            )
        lost = _not_finite(tensors)
        if lost is not None:
            raise RunError(f"Checkpoint {str(path)!r} has weights that are not numbers (NaN or infinite: {lost}).")
        labels = tensors.pop("labels").numpy()
        unfinished = None
        if "round.losses" in tensors:
            losses, embeddings = tensors.pop("round.losses").numpy(), tensors.pop("round.embeddings").numpy()
            unfinished = Unfinished(losses, embeddings, content["seconds"])
        return cls(content["number"], labels, tensors, content["about"], unfinished)

    def _under(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}


def check_same(holder: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises RunError with the first difference, unless `was` says of everything what `now` says."""
    for key, wanted in now.items():
        found = was.get(key)
        if found == wanted:
            continue
        if key == "recipe":
            pairs = zip(str(found).splitlines(), str(wanted).splitlines(), strict=False)
            found, wanted = next((pair for pair in pairs if pair[0] != pair[1]), (found, wanted))
        raise RunError(
            f"{holder} has another {key}: it was {str(found).strip()!r}, now it is {str(wanted).strip()!r}. "
            "Go on with the old one, or start anew with another --out."
        )


def _generators(loss: nn.Module) -> Iterator[tuple[str, torch.Generator]]:
    """Generators that parts of a loss keep as attributes, with their names."""
    for path, module in loss.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Generator):
                yield f"{path}.{name}".removeprefix("."), value


def _device_of(loss: nn.Module) -> torch.device:
    for each in (*loss.parameters(), *loss.buffers()):
        return each.device
    return torch.device("cpu")


def _checksum(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        if value.numel():
            digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first of the weights that has a NaN or is infinite."""
    for name, value in tensors.items():
        trained = name.startswith(("encoder.", "loss."))
        if trained and value.is_floating_point() and not torch.isfinite(value).all():
            return name
    return None
