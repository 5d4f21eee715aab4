"""What images are called in files that a person may read, edit and move: their path relative to the data folder."""

from __future__ import annotations

import bisect
import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64

UNKNOWN_NAME, AMBIGUOUS = -1, -2
"""In place of a row: no image is called so; several are."""

NEIGHBORS = 2_000
"""Names before and after a misspelt one, in alphabetical order, that are looked through for what was meant."""


@dataclass(frozen=True, eq=False)
class ImageNames:
    """The names of n images. Build with `ImageNames.of`.

    Attributes:
        folder: the data folder, absolute.
        names: (n,) relative to it with slashes, absolute where an image is not below it.
    """

    folder: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, paths: Sequence[str], folder: str | Path) -> ImageNames:
        """The names of images with these absolute paths, in a data folder or in the folder of a table of images."""
        given = os.path.abspath(os.path.expanduser(folder))
        root = os.path.dirname(given) if os.path.isfile(given) else given
        return cls(root, tuple(_relative(path, root) for path in map(str, paths)))

    def __len__(self) -> int:
        return len(self.names)

    def exactly(self, texts: Sequence[str]) -> Int64[np.ndarray, " k"]:
        """The row of the image with exactly this name, -1 for none: for files that Reunite wrote itself."""
        return np.array([self._rows.get(text, UNKNOWN_NAME) for text in texts], np.int64)

    def find(self, texts: Sequence[str]) -> Int64[np.ndarray, " k"]:
        """The row of the image that a person means: by a path relative to the folder, an absolute one, or the end of one.

        The end of a path, such as the file name, must be that of a single image. Backslashes may stand for slashes, and
        spaces around a path do not count unless they are part of it. -1 for no such image, -2 for several.
        """
        rows = self.exactly(texts)
        open_ = np.flatnonzero(rows == UNKNOWN_NAME).tolist()
        meant = {k: self._normal(texts[k]) for k in open_}
        wanted = {name.rpartition("/")[2] for name in meant.values()}
        same_file: dict[str, list[int]] = {name: [] for name in wanted}
        for row, name in enumerate(self.names):
            if (file := name.rpartition("/")[2]) in wanted:
                same_file[file].append(row)
        for k, name in meant.items():
            candidates = same_file[name.rpartition("/")[2]]
            whole = [row for row in candidates if self.names[row] == name]
            ends = whole or [row for row in candidates if self._path(row).endswith(f"/{name}")]
            rows[k] = UNKNOWN_NAME if not ends else ends[0] if len(ends) == 1 else AMBIGUOUS
        return rows

    def close_to(self, text: str) -> str | None:
        """A name that `text` may be a misspelling of; of many images, only those near it in the alphabet are compared."""
        meant = self._normal(text).split("/")
        near: dict[str, str] = {}
        for parts in {1, len(meant)}:  # a wrong folder is far away in the alphabet, and its files may be right
            ordered = sorted((name.split("/")[-parts:], name) for name in self.names)
            at = bisect.bisect_left(ordered, (meant[-parts:], ""))
            for _, name in ordered[max(at - NEIGHBORS, 0) : at + NEIGHBORS]:
                near["/".join(name.split("/")[-len(meant) :])] = name
        close = difflib.get_close_matches("/".join(meant), near, 1)
        return near[close[0]] if close else None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in reversed(list(enumerate(self.names)))}  # of one name twice: the first

    def _path(self, row: int) -> str:
        return os.path.join(self.folder, self.names[row]).replace(os.sep, "/")

    def _normal(self, text: str) -> str:
        """A path as names are written: relative to the folder where it is inside, with slashes."""
        path = os.path.normpath(os.path.join(self.folder, text.strip().replace("\\", "/")))
        return _relative(path, self.folder)


def _relative(path: str, folder: str) -> str:
    inside = os.path.join(folder, "")
    return (path[len(inside) :] if path.startswith(inside) else path).replace(os.sep, "/")
