"""Packages that are compared with where they are installed, and functions from checkouts of other repositories."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock, patch

from benchmarks.blas import OF_FAISS


def optional(name: str) -> ModuleType | None:
    """The package, or None where it is not installed.

    Load faiss before infomap: both are made by SWIG and share its table of types, and an Infomap that was loaded first
    gets faiss' iterators from then on, which end the process.
    """
    if name == "faiss":
        return _faiss()
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _faiss() -> ModuleType | None:
    """OpenBLAS reads its setting when it is loaded, and faiss brings its own: it can have other kernels than NumPy's."""
    chosen = {"OPENBLAS_CORETYPE": os.environ.get(OF_FAISS, "")}
    try:
        with patch.dict(os.environ, chosen if chosen["OPENBLAS_CORETYPE"] else {}):
            return importlib.import_module("faiss")
    except ImportError:
        return None


def from_checkout(checkout: Path, module: str, stubs: Sequence[str] = ()) -> ModuleType:
    """A module of a checkout, without running the packages around it, which import half of the repository.

    Args:
        checkout: the folder that holds the outermost package.
        module: its dotted name.
        stubs: modules it imports, but that what we call does not use.
    """
    packages = [module.rsplit(".", depth)[0] for depth in range(module.count("."), 0, -1)]
    bare = {}
    for name in packages:
        bare[name] = ModuleType(name)
        bare[name].__path__ = [str(checkout / name.replace(".", "/"))]
    kept = {name: there for name, there in sys.modules.items() if name.split(".")[0] != packages[0]}
    with patch.dict(sys.modules, {**kept, **bare, **{name: MagicMock() for name in stubs}}, clear=True):
        found = importlib.import_module(module)
        loaded = {name: there for name, there in sys.modules.items() if name.split(".")[0] != packages[0]}
    sys.modules.update(loaded)  # other packages that it brought along stay; its own name is free for the next checkout
    return found
