"""A recipe's text back to the recipe. The text is read, never executed."""

from __future__ import annotations

import ast
import importlib
import inspect
import math
from collections.abc import Iterable, Sequence
from typing import Any

from sklearn.base import BaseEstimator
from torch import nn

from reunite import cluster, losses, model
from reunite.errors import InputError
from reunite.images import transforms
from reunite.images.tracklets import Frames
from reunite.train import batches, optimizers
from reunite.train.recipe import Recipe

TRUSTED = ("sklearn", "pytorch_metric_learning", "torch", "hdbscan", "cuml")
"""Packages whose clusterers and losses a text may name. Naming a class imports its package, which runs the package's code."""

ROOMS = (transforms, model, cluster, losses, batches, optimizers)


def load_recipe(text: str, trust: Sequence[str] = ()) -> Recipe:
    """The recipe that printed this text: ``load_recipe(repr(recipe)) == recipe``.

    Only calls of known parts with literal arguments are read. Parts of other packages must be scikit-learn estimators or
    torch modules.

    Args:
        text: what `repr` of a recipe gives, as a run folder keeps it.
        trust: packages that the text may name besides scikit-learn, PyTorch and the like.

    Raises:
        InputError: not such a text, an unknown part, or a package that is not trusted.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise InputError(f"This is not the text of a recipe: line {error.lineno}, {error.msg}.") from error
    recipe = _Reader({*TRUSTED, *trust}).value(tree)
    if not isinstance(recipe, Recipe):
        raise InputError(f"The text of a recipe starts with Recipe(...); this is {type(recipe).__name__}.")
    return recipe


class _Reader:
    """Builds values from a syntax tree of calls and literals."""

    def __init__(self, trusted: set[str]):
        self.trusted = trusted
        self.known = {
            "Recipe": Recipe,
            "Frames": Frames,
            **{name: each for room in ROOMS for name, each in _parts(room)},
        }

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Call):
            if node.args or any(keyword.arg is None for keyword in node.keywords):
                raise InputError(f"Line {node.lineno}: arguments of a part are written with their names.")
            given = {str(each.arg): self.value(each.value) for each in node.keywords}
            return self._build(self.type(node.func), given)
        if isinstance(node, (ast.Tuple, ast.List)):
            items = [self.value(each) for each in node.elts]
            return tuple(items) if isinstance(node, ast.Tuple) else items
        if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
            return getattr(math, node.id)
        try:
            return ast.literal_eval(node)
        except ValueError as error:
            raise InputError(
                f"Line {node.lineno}: {ast.unparse(node)!r} is neither a part nor a plain value."
            ) from error

    def type(self, node: ast.expr) -> Any:
        name = ast.unparse(node)
        if name in self.known:
            return self.known[name]
        package, _, kind = name.rpartition(".")
        if not package:
            raise InputError(
                f"Line {node.lineno}: Reunite has no part {name!r}; it has {', '.join(sorted(self.known))}."
            )
        if package.split(".")[0] not in self.trusted:
            raise InputError(
                f"Line {node.lineno}: {name!r} is of a package that is not trusted. If you trust it: "
                f"load_recipe(text, trust=({package.split('.')[0]!r},))."
            )
        try:
            found = getattr(importlib.import_module(package), kind)
        except (ImportError, AttributeError) as error:
            raise InputError(f"Line {node.lineno}: there is no {name!r} here ({error}).") from error
        if not (inspect.isclass(found) and issubclass(found, (nn.Module, BaseEstimator))):
            raise InputError(f"Line {node.lineno}: {name!r} is neither a torch module nor a scikit-learn estimator.")
        return found

    def _build(self, kind: Any, given: dict[str, Any]) -> Any:
        try:
            return kind(**given)
        except TypeError as error:
            raise InputError(f"{kind.__name__} cannot be built from this text ({error}).") from error


def _parts(room: Any) -> Iterable[tuple[str, Any]]:
    """Classes of a room that recipes are made of."""
    return (
        (name, each)
        for name, each in vars(room).items()
        if inspect.isclass(each) and each.__module__.startswith("reunite.") and not name.startswith("_")
    )
