"""space.safetensors of a result: how its embeddings were changed before they were compared, for the images that come later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from reunite.errors import InputError
from reunite.files import replacing
from reunite.identities.whitening import Space, Whitening
from reunite.types import evenly_spread, unit_rows

NAME = "space.safetensors"
"""In the folder of a result."""

SAMPLED = 64
"""Images whose embeddings are kept with the space."""

SAME = 0.99
"""Mean cosine similarity of an image's embeddings then and now, from which they are of one encoder. Less precision in its
products costs less; other weights or sizes of images cost more."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Some images of a result, which tell whether later embeddings mean the same.

    Attributes:
        names: of m images. embeddings: of these, (m, d), of length one.
    """

    names: tuple[str, ...]
    embeddings: Float32[np.ndarray, "m d"]

    @classmethod
    def of(cls, names: Sequence[str], embeddings: Float32[np.ndarray, "n d"]) -> Sample:
        """At most `SAMPLED` images, evenly spread."""
        rows = evenly_spread(len(names), SAMPLED)
        return cls(tuple(names[row] for row in rows.tolist()), unit_rows(np.asarray(embeddings[rows], np.float32)))

    def same_encoder(self, embeddings: Float32[np.ndarray, "n e"], rows: Int64[np.ndarray, " m"]) -> bool:
        """Whether images that are still there have the embeddings that they had; `rows` says where each is now, -1 nowhere."""
        there = rows >= 0
        if not there.any() or embeddings.shape[1] != self.embeddings.shape[1]:
            return False
        now = unit_rows(np.asarray(embeddings[rows[there]], np.float32))
        return float(np.einsum("md,md->m", now, self.embeddings[there]).mean()) > SAME


def write_space(space: Space, sample: Sample, folder: Path) -> None:
    """Each whitening of the space as two tensors, its mean and its matrix, and the sample."""
    tensors = {"sample": sample.embeddings}
    for field in fields(space):
        each = getattr(space, field.name)
        if each is not None:
            # A transposed matrix would be written as it lies in memory, and read as another one.
            tensors |= {f"{field.name}.{name}": np.ascontiguousarray(tensor) for name, tensor in vars(each).items()}
    with replacing(folder / NAME) as temporary:
        temporary.write_bytes(save(tensors, {"sample": json.dumps(sample.names)}))  # save_file locks others out


def read_space(folder: Path) -> tuple[Space, Sample] | None:
    """Those of a result; None where it has none.

    Raises:
        InputError: the file is damaged, or of something else.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        with safe_open(file, "np") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, it is no dictionary
            names = tuple(json.loads(opened.metadata()["sample"]))
        embeddings = tensors.pop("sample")
        found = {name.partition(".")[0] for name in tensors}
        space = Space(**{name: Whitening(tensors[f"{name}.mean"], tensors[f"{name}.matrix"]) for name in found})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    d = embeddings.shape[-1] if embeddings.ndim else 0
    expected = {name: (d,) if name.endswith(".mean") else (d, d) for name in tensors} | {"sample": (len(names), d)}
    if expected != {name: tensor.shape for name, tensor in tensors.items()} | {"sample": embeddings.shape}:
        raise _damaged(file, "shapes that do not fit each other")
    return space, Sample(names, embeddings)


def _damaged(file: Path, reason: str) -> InputError:
    return InputError(
        f"{file} cannot be read as a space ({reason}). Take it from a backup, or remove it: then it is learned anew."
    )
