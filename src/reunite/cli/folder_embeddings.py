"""Embeddings of a folder of images, each computed once: a stop costs little, and a folder that grew costs what is new."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from reunite.cli.encoders import NamedEncoder
from reunite.errors import ImageError
from reunite.files import remove_leftovers, replacing
from reunite.images.decoding_threads import decode_all
from reunite.images.loading import BrokenImage, available_cores
from reunite.model import Encoder, embed
from reunite.model.inference import Precision, use_bfloat16
from reunite.types import Images

PART = 2048
"""Images between two files on disk, which is what a stop costs at most."""

BLOCK = 16384
"""Rows copied at once when parts are joined."""


@dataclass(frozen=True, eq=False)
class FolderEmbeddings:
    """What could be embedded, and what could not.

    Attributes:
        images: the n images that can be read, in the order given.
        embeddings: unit rows of these, mapped from a file.
        left_out: the images that cannot be read. reasons: why, of each.
        computed: how many embeddings were computed by this call; the others were there.
    """

    images: Images
    embeddings: Float32[np.ndarray, "n d"]
    left_out: Images
    reasons: tuple[str, ...]
    computed: int

    @property
    def unreadable(self) -> tuple[BrokenImage, ...]:
        """The images that cannot be read, by name."""
        return tuple(map(BrokenImage, self.left_out.paths.tolist(), self.reasons))


def embed_folder(
    encoder: NamedEncoder,
    images: Images,
    out: Path,
    *,
    root: Path,
    precision: Precision = "float32",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FolderEmbeddings:
    """An embedding of every image that can be read; those computed before are found again in `out`.

    They are kept in `out/.embeddings.MARK`, MARK being that of the encoder, with a key for each file: its path, size and time
    of change. Files that have not changed are not embedded again, whatever was added to the folder, taken away or stopped in
    between. What cannot be read is tried again by each call. Only the embeddings of one encoder are kept.

    Args:
        encoder: computes where it is.
        images: n images, each once.
        out: the folder of the result.
        root: the folder of the images, or their table; paths below it are keyed from there, so that all may be moved.
        precision: as `embed` takes it.
        progress: called with the images done and the images there are.

    Raises:
        ImageError: no image can be read.
        InputError: the precision is not to be had.
    """
    network = encoder.encoder
    fast = use_bfloat16(precision, next(network.parameters()).device)
    store = _Store(out / f".embeddings.{encoder.mark}{'.bfloat16' if fast else ''}", network.dimensions)
    keys = file_keys(images.paths.tolist(), root)
    missing = np.flatnonzero(~store.has(keys))
    for start in range(0, len(missing), PART):
        rows = missing[start : start + PART]
        tell = partial(_tell, progress, len(images) - len(missing) + start, len(images))
        found = _embedded(network, images.take(rows), precision, tell)
        readable = np.isfinite(found[:, 0])
        if readable.any():
            store.add(keys[rows[readable]], found[readable])
    there = store.has(keys)
    if not there.any():
        raise ImageError(_none_readable(images.paths.tolist()))
    embeddings = store.joined(keys[there])
    for other in set(out.glob(".embeddings.*")) - {store.folder}:
        shutil.rmtree(other)
    left_out = images.take(~there)
    return FolderEmbeddings(
        images.take(there) if len(left_out) else images,
        embeddings,
        left_out,
        _reasons(left_out.paths.tolist()),
        int(there[missing].sum()),
    )


def file_keys(paths: list[str], root: Path) -> UInt64[np.ndarray, " n"]:
    """A number for each file that changes with its place below `root`, its size or its time of change.

    Contents are not read. Of a million files two share a number with a probability of 3 in 10**8.
    """
    keys = np.empty(len(paths), np.uint64)
    for row, (path, place) in enumerate(zip(paths, below(root, paths), strict=True)):
        try:
            about = os.stat(path)
            state = f"{about.st_size}\0{about.st_mtime_ns}"
        except (OSError, ValueError):
            state = ""  # a link that leads nowhere, told when it is embedded
        text = f"{place}\0{state}".encode("utf-8", "surrogateescape")
        keys[row] = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    return keys


def below(root: Path, paths: list[str]) -> list[str]:
    """Paths relative to a folder, or to that of a table, where they are in it, with forward slashes; others as they are."""
    folder = os.path.abspath(os.path.expanduser(root if root.is_dir() else root.parent))
    inside = os.path.join(folder, "")
    return [path[len(inside) :].replace(os.sep, "/") if path.startswith(inside) else path for path in paths]


class _Store:
    """Embeddings on disk in parts: NAME.keys.npy and, written after it, NAME.npy with a row for each key.

    Args:
        folder: made if it does not exist; what was being written there when a process was killed is removed.
        dimensions: of an embedding.
    """

    def __init__(self, folder: Path, dimensions: int):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        self.folder, self._dimensions = folder, dimensions
        self._parts = [path for path in sorted(folder.glob("*.npy")) if _keys_of(path).is_file()]
        self._index([np.load(_keys_of(path)) for path in self._parts])

    def has(self, keys: UInt64[np.ndarray, " n"]) -> np.ndarray:
        """Which of the keys have an embedding."""
        place = np.minimum(np.searchsorted(self._keys, keys), max(len(self._keys) - 1, 0))
        return self._keys[place] == keys if len(self._keys) else np.zeros(len(keys), bool)

    def add(self, keys: UInt64[np.ndarray, " m"], rows: Float32[np.ndarray, "m d"]) -> None:
        """Keeps these rows as one more part."""
        path = self.folder / f"{_name(keys)}.npy"
        _save(_keys_of(path), keys)
        _save(path, rows)
        self._parts.append(path)
        self._index([*self._given, keys])

    def joined(self, keys: UInt64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        """The rows of these keys, in this order, mapped from one file that takes the place of all parts."""
        path = self.folder / f"{_name(keys)}.npy"
        if path not in self._parts:
            place = np.searchsorted(self._keys, keys)
            _save(_keys_of(path), keys)
            with replacing(path) as temporary:
                self._copy(self._part[place], self._row[place], temporary)
        for other in set(self.folder.iterdir()) - {path, _keys_of(path)}:
            other.unlink()
        return np.load(path, mmap_mode="r")

    def _copy(self, part: Int64[np.ndarray, " n"], row: Int64[np.ndarray, " n"], target: Path) -> None:
        whole = np.lib.format.open_memmap(target, "w+", np.float32, (len(part), self._dimensions))
        for number, path in enumerate(self._parts):
            source = np.load(path, mmap_mode="r")
            places = np.flatnonzero(part == number)
            for start in range(0, len(places), BLOCK):
                some = places[start : start + BLOCK]
                whole[some] = source[row[some]]
        whole.flush()

    def _index(self, keys: list[np.ndarray]) -> None:
        """Where the row of each key lies: in which part, and where in it."""
        self._given = keys
        together = np.concatenate([np.empty(0, np.uint64), *keys])
        self._keys, first = np.unique(together, return_index=True)
        ends = np.cumsum([len(each) for each in keys], dtype=np.int64)
        self._part = np.searchsorted(ends, first, "right")
        self._row = first - np.append(0, ends)[self._part]


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _embedded(
    encoder: Encoder, images: Images, precision: Precision, progress: Callable[[int, int], None]
) -> Float32[np.ndarray, "m d"]:
    """An embedding of each image, NaN where it cannot be read."""
    try:
        return embed(encoder, images, progress=progress, on_error="skip", precision=precision)
    except ImageError:  # none of these can be read, but perhaps others can
        return np.full((len(images), encoder.dimensions), np.nan, np.float32)


def _none_readable(paths: list[str]) -> str:
    shown = "; ".join(f"{path} ({reason})" for path, reason in zip(paths, _reasons(paths[:3]), strict=False))
    return f"None of the {len(paths):,} images can be read: {shown}. Check the folder, or the column of file names."


def _reasons(paths: list[str]) -> tuple[str, ...]:
    """Why each cannot be read."""
    reasons = decode_all(paths, (8, 8), available_cores())
    return tuple(reason or "it could not be read a moment ago" for reason in reasons)


def _keys_of(path: Path) -> Path:
    return path.with_suffix(".keys.npy")


def _name(keys: np.ndarray) -> str:
    return hashlib.sha256(keys.tobytes()).hexdigest()[:16]


def _save(path: Path, array: np.ndarray) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)
