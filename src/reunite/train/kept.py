"""The checkpoints of a run on disk: the last two, and the last finished round."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from reunite.errors import RunError
from reunite.train.checkpoint import Checkpoint

NAME = re.compile(r"\d{5}(-\d{7})?\.safetensors")
"""00012.safetensors is the end of round 12, 00012-0000040.safetensors its state after 40 steps; names are in order of time."""


class Kept:
    """A folder of checkpoints.

    Args:
        folder: made when the first one is saved.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes one, and then removes those that are no longer needed.

        Raises:
            RunError: there is no room on the disk. Those there are stay as they were.
        """
        step = "" if checkpoint.step is None else f"-{checkpoint.step:07d}"
        path = self.folder / f"{checkpoint.number:05d}{step}.safetensors"
        with self.room(f"the checkpoint of round {checkpoint.number}"):
            checkpoint.save(path)
        paths = self.paths()
        needed_still = {*paths[-2:], *self.finished()[-1:]}
        for each in paths:
            if each not in needed_still:
                each.unlink(missing_ok=True)
        return path

    @contextmanager
    def room(self, what: str) -> Iterator[None]:
        """Within, a disk without room for `what` is a sentence that names what there is to go on from."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            if not _is_full(error):
                raise
            free = shutil.disk_usage(self.folder if self.folder.is_dir() else self.folder.parent).free
            paths = self.paths()
            raise RunError(
                f"There is no room for {what} in {str(self.folder)!r}: {free / 1e6:,.0f} MB are free. Make room and run the "
                f"same command again; it goes on from {paths[-1].name if paths else 'the beginning'}."
            ) from error

    def paths(self) -> list[Path]:
        """All checkpoints, oldest first."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(each for each in found if NAME.fullmatch(each.name))

    def finished(self) -> list[Path]:
        """Those of finished rounds, oldest first."""
        return [each for each in self.paths() if "-" not in each.name]

    def newest(self, paths: list[Path], damaged: Callable[[str], None] | None = None) -> Checkpoint | None:
        """The last of these that can be used, None if there are none.

        Args:
            paths: oldest first.
            damaged: called with a sentence about each that cannot be used, before the one before it is tried. None raises.

        Raises:
            RunError: none can be used, or the last one cannot and `damaged` is None.
        """
        for path in reversed(paths):
            try:
                return Checkpoint.load(path)
            except RunError as error:
                if damaged is None or path == paths[0]:
                    raise
                damaged(str(error))
        return None


def _is_full(error: Exception) -> bool:
    """Whether a disk, or the part of it that this user may fill, is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(error, SafetensorError) and any(f"os error {code}" in str(error) for code in (28, 122))
