"""space.safetensors of a result: how its embeddings were changed before they were compared, for the images that come later."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reunite.errors import InputError
from reunite.files import replacing
from reunite.identities.whitening import Space, Whitening

NAME = "space.safetensors"
"""In the folder of a result."""


def write_space(space: Space, folder: Path) -> None:
    """Each whitening of the space as two tensors, its mean and its matrix; none for a space that changes nothing."""
    tensors: dict[str, np.ndarray] = {}
    for field in fields(space):
        each = getattr(space, field.name)
        if each is not None:
            # A transposed matrix would be written as it lies in memory, and read as another one.
            tensors |= {f"{field.name}.{name}": np.ascontiguousarray(tensor) for name, tensor in vars(each).items()}
    with replacing(folder / NAME) as temporary:
        save_file(tensors, temporary)


def read_space(folder: Path) -> Space | None:
    """That of a result; None where it has none.

    Raises:
        InputError: the file is damaged, or of something else.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        tensors = load_file(file)
        found = {name.partition(".")[0] for name in tensors}
        space = Space(**{name: Whitening(tensors[f"{name}.mean"], tensors[f"{name}.matrix"]) for name in found})
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise _damaged(file, str(error)) from error
    shapes = {tensor.shape for tensor in tensors.values()}
    if shapes - {(space.dimensions,), (space.dimensions, space.dimensions)}:
        raise _damaged(file, f"shapes {', '.join(map(str, sorted(shapes)))}")
    return space


def _damaged(file: Path, reason: str) -> InputError:
    return InputError(
        f"{file} cannot be read as a space ({reason}). Take it from a backup, or remove it: then it is learned anew."
    )
