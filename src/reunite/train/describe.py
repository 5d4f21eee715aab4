"""Parts as text, and parts with one argument changed.

A part is described by its type and its constructor arguments. Dataclasses, and parts with scikit-learn's `get_params`,
say what these are; anything else is asked for an attribute of the same name as the argument, also scikit-learn's rule.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
from collections.abc import Sequence
from types import FunctionType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from sklearn.base import BaseEstimator

from reunite.errors import InputError

WIDTH = 120
"""Columns of a line; a part that needs more is written with one argument a line."""


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
    """Python text that builds the part again; `reunite.train.parse` reads it.

    The outermost part has one argument a line; an inner one is on one line where that fits.

    Args:
        part: a recipe, a part of one, or a plain value.
        depth: levels of indentation that the text will stand at.
    """
    if isinstance(part, (tuple, list)) and any(is_part(each) for each in part):
        closing = ",)" if isinstance(part, tuple) and len(part) == 1 else (")" if isinstance(part, tuple) else "]")
        return _joined("(" if isinstance(part, tuple) else "[", [("", each) for each in part], closing, depth)
    if not is_part(part):
        return repr(part)
    return _joined(f"{type_name(part)}(", [(f"{key}=", value) for key, value in arguments(part).items()], ")", depth)


def type_name(part: Any) -> str:
    """The name of a part's type: Reunite's own are short, others carry their module."""
    kind = type(part)
    return kind.__name__ if kind.__module__.startswith("reunite.") else f"{kind.__module__}.{kind.__qualname__}"


def is_part(value: Any) -> bool:
    """Whether a value is described by its type and arguments, not by its own `repr`."""
    return hasattr(value, "__dict__") and not isinstance(value, (type, FunctionType))


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
    if rest and not (is_part(known[name]) or isinstance(known[name], tuple)):
        raise InputError(f"{name!r} is {known[name]!r} and has no fields of its own.")
    value = set_field(known[name], rest, text) if rest else _literal(text, part, name, known[name])
    if isinstance(part, tuple):
        return tuple(value if str(place) == name else each for place, each in enumerate(part))
    try:
        return type(part)(**{**arguments(part), name: value})
    except TypeError as error:
        raise InputError(f"{type(part).__name__} does not take {name}={value!r} ({error}).") from error


def _joined(opening: str, items: list[tuple[str, Any]], closing: str, depth: int) -> str:
    if depth:
        line = opening + ", ".join(key + describe(value, depth + 1) for key, value in items) + closing
        if "\n" not in line and len(line) + 4 * depth <= WIDTH - 30:  # room for the field's own name before it
            return line
    inner = "".join(f"{'    ' * (depth + 1)}{key}{describe(value, depth + 1)},\n" for key, value in items)
    return f"{opening}\n{inner}{'    ' * depth}{closing.removeprefix(',')}"


def _literal(text: str, part: Any, name: str, old: Any) -> Any:
    """The value that `text` stands for, if it is of a kind that the argument takes."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    kinds = _kinds(part, name)
    if not kinds and (old is None or isinstance(old, str)):
        return value  # neither annotation nor present value says what it takes
    kinds = kinds or {type(old)}
    if type(value) is int and float in kinds and int not in kinds:
        return float(value)
    if value is None or type(value) in kinds:
        return value
    if str in kinds:
        return text
    raise InputError(f"{name} is {old!r} ({type(old).__name__}); {text!r} is not of that kind.")


def _kinds(part: Any, name: str) -> set[type]:
    """The types that a constructor's annotation allows for an argument; empty where it says nothing."""
    try:
        hint = get_type_hints(type(part).__init__).get(name)
    except (NameError, TypeError):  # annotations that only a type checker can read
        return set()
    kinds: set[type] = set()
    waiting = [hint]
    while waiting:
        hint = waiting.pop()
        origin = get_origin(hint)
        if origin is Literal:
            kinds |= {type(value) for value in get_args(hint)}
        elif origin in (Union, UnionType):
            waiting += get_args(hint)
        elif isinstance(origin or hint, type) and hint is not Any:
            kind = cast(type, origin or hint)
            kinds.add(tuple if kind is Sequence else kind)
        else:
            return set()
    return kinds
