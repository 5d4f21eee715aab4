"""What a rendering depends on, checked once, and where its files go: all of them, or none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reunite.errors import InputError

RENDERER = 1
"""Raised whenever the same arguments give other pictures; an older rendering is then not taken for the present one."""

WALKER, CAMERA, TRACK, SPLIT, LENGTH, ROUTE, ROUND, MOMENT, TRACKER = range(9)  # what random numbers are drawn for

Progress = Callable[[int, int], None] | None
"""Called with (pictures drawn, pictures in all) now and then."""


class Plan:
    """Everything the pictures depend on. What is drawn is a frozen dataclass with these fields and those of its own."""

    seed: int
    height: int
    width: int

    def generator(self, *purpose: int) -> np.random.Generator:
        """Random numbers for one purpose: the same whatever else is drawn before, and in whatever order."""
        return np.random.default_rng([self.seed, *purpose])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self.height, self.width

    def record(self) -> dict[str, int | bool]:
        """The fields as JSON; those that were not given (None) are left out."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class WalkersPlan(Plan):
    """The arguments of `render_walkers`; what `walkers.json` holds."""

    identities: int
    cameras: int
    images: int
    seed: int
    height: int
    width: int
    renderer: int = RENDERER
    frames: int | None = None

    def train(self) -> set[int]:
        """The identities to train on."""
        return set((1 + self.generator(SPLIT).permutation(self.identities)[: self.identities // 2]).tolist())


def whole_numbers(ranges: dict[str, tuple[object, int, int]]) -> dict[str, int]:
    """Arguments that must be whole numbers: name -> (value, lowest, highest).

    Raises:
        InputError: the first that is not, or is out of its range.
    """
    numbers = {}
    for name, (value, low, high) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            raise InputError(f"{name} must be a whole number from {low:,} to {high:,}; got {value!r}.")
        numbers[name] = int(value)
    return numbers


def sides(size: object) -> tuple[object, object]:
    """Height and width out of the argument `size`.

    Raises:
        InputError: not two of them.
    """
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise InputError(f"size must be (height, width) in pixels; got {size!r}.")
    return size[0], size[1]


def render_into(
    folder: str | Path, plan: Plan, record: str, what: str, readme: str, draw: Callable[[Path], None]
) -> Path:
    """The absolute folder, drawn unless it already holds what `plan` says.

    Files are written into a temporary folder beside it, which is renamed at the end.

    Args:
        folder: must be missing, empty, or hold this rendering.
        plan: what is drawn.
        record: name of the file that holds the plan.
        what: the plural noun for errors ("walkers").
        readme: content of README.txt.
        draw: writes everything else into the folder it is given.

    Raises:
        InputError: the folder holds something else.
    """
    target = Path(os.path.abspath(os.path.expanduser(folder)))
    if not _is_free(target, plan, record, what):
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.mkdir(parents=True)
    try:
        draw(temporary)
        (temporary / "README.txt").write_text(readme, encoding="utf-8")
        (temporary / record).write_text(json.dumps(plan.record(), indent=1) + "\n", encoding="utf-8")
        if target.exists():
            target.rmdir()  # empty: Windows does not rename over it
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _is_free(target: Path, plan: Plan, record: str, what: str) -> bool:
    """Whether `target` is to be drawn: True if missing or empty, False if it holds this rendering.

    Raises:
        InputError: it holds something else.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return True
    advice = "Pass a folder that does not exist yet, or delete this one."
    try:
        found = json.loads((target / record).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{target} exists and is no rendering of {what} (it has no {record}). {advice}") from None
    if found != plan.record():
        raise InputError(f"{target} holds another rendering: {found}, not {plan.record()}. {advice}")
    return False
