"""A room imports only from rooms above it, and the public names are complete."""

from __future__ import annotations

import ast
from pathlib import Path

import reunite

SOURCE = Path(reunite.__file__).parent
ROOMS = [
    "types", "images", "model", "neighbors", "cluster", "identities",
    "losses", "train", "recipes", "testing", "evaluate", "cli", "__main__",
]  # fmt: skip
BASE = {"errors", "files", "threads", "version", "__init__"}


def imports_of(file: Path) -> set[str]:
    """Rooms that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "reunite":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name.split(".")[1] for each in node.names if each.name.startswith("reunite.")}
    return found


def test_imports_run_one_way():
    wrong = []
    for file in SOURCE.rglob("*.py"):
        room = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room in BASE:
            continue
        allowed = set(ROOMS[: ROOMS.index(room) + 1]) | BASE | {"__version__"}
        wrong += [f"{file.relative_to(SOURCE)} imports {each}" for each in imports_of(file) - allowed]
    assert not wrong


def test_public_names_are_complete():
    from reunite import __all__  # their order is ruff's business

    assert len(set(__all__)) == len(__all__)
    public = {name for name in vars(reunite) if not name.startswith("_")}
    rooms = {name for name in public if type(getattr(reunite, name)).__name__ == "module"}
    assert set(__all__) == (public - rooms) | {"images", "recipes"}


def test_files_are_small():
    long = {file.name: n for file in SOURCE.rglob("*.py") if (n := len(file.read_text("utf-8").splitlines())) > 400}
    assert not long
