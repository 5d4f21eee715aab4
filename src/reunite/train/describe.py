"""Parts as text, and parts with one argument changed.

A part is described by its type and its constructor arguments. Dataclasses, and parts with scikit-learn's `get_params`,
say what these are; anything else is asked for an attribute of the same name as the argument, also scikit-learn's rule.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
from typing import Any

from sklearn.base import BaseEstimator

from reunite.errors import InputError


def arguments(part: Any) -> dict[str, Any]:
    """Constructor arguments of a part and their values."""
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}
    if isinstance(part, BaseEstimator):
        return part.get_params(deep=False)
    if hasattr(part, "get_params"):
        return part.get_params()
    parameters = inspect.signature(type(part).__init__).parameters.values()
    named = [
        each.name
        for each in parameters
        if each.name != "self" and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    return {name: getattr(part, name) for name in named if hasattr(part, name)}


def describe(part: Any, depth: int = 0) -> str:
    """Python text that builds the part again: one argument a line for parts made of parts, one line for small ones."""
    if isinstance(part, tuple) and any(_is_part(each) for each in part):
        inner = ",\n".join(_pad(depth + 1) + describe(each, depth + 1) for each in part)
        return f"(\n{inner},\n{_pad(depth)})"
    if not _is_part(part):
        return repr(part)
    values = arguments(part)
    name = (
        type(part).__name__
        if type(part).__module__.startswith("reunite.")
        else f"{type(part).__module__}.{type(part).__name__}"
    )
    if depth:
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items())})"
    lines = [f"{_pad(1)}{key}={describe(value, 1)},\n" for key, value in values.items()]
    return f"{name}(\n{''.join(lines)})"


def set_field(part: Any, path: str, text: str) -> Any:
    """A copy of `part` with one field changed, as ``--set clusterer.eps=0.5`` asks for.

    Args:
        part: a recipe, or a part of one.
        path: names of fields, joined by dots; a number picks from a tuple of parts.
        text: a Python literal, or plain text.

    Raises:
        InputError: no such field (the known ones are listed), or the part refuses the value.
    """
    name, _, rest = path.partition(".")
    known = {str(place): each for place, each in enumerate(part)} if isinstance(part, tuple) else arguments(part)
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"{type(part).__name__} has no field {name!r}; it has {', '.join(known) or 'none'}.{hint}")
    if rest and not (_is_part(known[name]) or isinstance(known[name], tuple)):
        raise InputError(f"{name!r} is {known[name]!r} and has no fields of its own.")
    value = set_field(known[name], rest, text) if rest else _literal(text, known[name], name)
    if isinstance(part, tuple):
        return tuple(value if str(place) == name else each for place, each in enumerate(part))
    return type(part)(**{**arguments(part), name: value})


def _literal(text: str, old: Any, name: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(old, (bool, int, float, tuple)) and not isinstance(value, type(old)) and value is not None:
        raise InputError(f"{name} is {old!r} ({type(old).__name__}); {text!r} is not of that kind.")
    return value


def _is_part(value: Any) -> bool:
    return (
        hasattr(value, "__dict__") and not isinstance(value, type) and not callable(getattr(value, "__wrapped__", None))
    )


def _pad(depth: int) -> str:
    return "    " * depth
