"""The pages of the methods cannot rot: their code, settings, commands, examples and links are held against the source."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shlex
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reunite import recipes
from reunite.errors import InputError
from reunite.train import Recipe
from reunite.train.describe import set_field

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "methods").glob("*.md"))
TEXT = {page.stem: page.read_text("utf-8") for page in PAGES}
METHODS = [name for name in TEXT if name != "README"]
FIELDS = [field.name for field in dataclasses.fields(Recipe)]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SETTING = re.compile(rf"(?:{'|'.join(FIELDS)})(?:\.\w+)*=\S+")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language; "" is the command line."""
    return [body for kind, body in FENCE.findall(TEXT[page]) if kind == language]


def quotes(page: str) -> list[tuple[str, list[str]]]:
    """Quoted code: the file that the first line names, and the lines below."""
    lines = (body.splitlines() for body in blocks(page, "python"))
    return [(first.removeprefix("# "), rest) for first, *rest in lines if first.startswith("# src/")]


def commands(page: str) -> list[tuple[str, list[str]]]:
    """Training commands: the name of the recipe, and its settings."""
    lines = "\n".join(blocks(page, "")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    train = [each for each in words if each[:2] == ["reunite", "train"]]
    return [(each[2], [b for a, b in pairwise(each) if a == "--set"]) for each in train]


def named(page: str) -> list[Recipe]:
    """The recipes that a page's commands name, without those of a reader's own files; all where there are none."""
    names = dict.fromkeys(name for name, _ in commands(page) if ".py:" not in name)
    return [getattr(recipes, name.replace("-", "_"))() for name in names or recipes.__all__]


def settings(text: str) -> list[str]:
    """Settings in running text and tables, with or without --set before them."""
    inline = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    return [each.removeprefix("--set ") for each in inline if each.startswith("--set ") or SETTING.fullmatch(each)]


def changed(recipe: Recipe, choices: list[str]) -> Recipe:
    """The recipe with these settings, as the command line makes it."""
    return reduce(lambda made, choice: set_field(made, *choice.split("=", 1)), choices, recipe)


def accepting(page: str, choice: str) -> list[tuple[Recipe, Recipe]]:
    """Those of the page's recipes that take the setting, and what they become."""
    taken = []
    for recipe in named(page):
        with contextlib.suppress(InputError):
            taken.append((recipe, changed(recipe, [choice])))
    return taken


@pytest.mark.parametrize("page", METHODS)
def test_quoted_code_is_in_the_file_it_names(page):
    assert quotes(page)
    for name, lines in quotes(page):
        source = {line.strip() for line in (ROOT / name).read_text("utf-8").splitlines()}
        wanted = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        assert wanted and not [line for line in wanted if line not in source], name


@pytest.mark.parametrize("page", METHODS)
def test_every_equation_is_followed_by_its_code(page):
    equations = list(re.finditer(r"\$\$[^$]+\$\$\n", TEXT[page]))
    assert len(equations) >= 4
    lonely = [each[0] for each in equations if not TEXT[page].startswith("```python\n# src/", each.end())]
    assert not lonely


@pytest.mark.parametrize("page", METHODS)
def test_examples_run(page):
    for code in blocks(page, "python"):
        if not code.startswith("# src/"):
            names: dict[str, Any] = {}
            exec(code, names)
            made = names["recipe"] if "recipe" in names else names["instance_memory"]()
            assert isinstance(made, Recipe)


def test_every_recipe_has_a_command_on_a_page():
    run = {name.replace("-", "_") for page in METHODS for name, _ in commands(page)}
    assert set(recipes.__all__) <= run


def test_the_index_names_every_recipe_and_every_page():
    rows = [line for line in TEXT["README"].splitlines() if line.startswith("|")]
    assert {name.replace("_", "-") for name in recipes.__all__} <= set(re.findall(r"`([a-z-]+)` \|", "\n".join(rows)))
    assert set(METHODS) == set(re.findall(r"\((\w+)\.md\)", "\n".join(rows)))


@pytest.mark.parametrize("page", METHODS)
def test_commands_are_accepted(page):
    assert commands(page)
    for name, choices in commands(page):
        if ".py:" not in name:
            changed(getattr(recipes, name.replace("-", "_"))(), choices)


@pytest.mark.parametrize("page", TEXT)
def test_settings_in_the_text_are_accepted(page):
    assert settings(TEXT[page])
    assert not [choice for choice in settings(TEXT[page]) if not accepting(page, choice)]


@pytest.mark.parametrize("page", METHODS)
def test_other_readings_are_not_the_default(page):
    section = TEXT[page].split("## Where we differ")[1].split("\n## ")[0]
    rows = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert settings(rows)
    for choice in settings(rows):
        assert any(after != before for before, after in accepting(page, choice)), choice


@pytest.mark.parametrize("page", TEXT)
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        path, _, heading = link.partition("#")
        target = ROOT / "docs" / "methods" / path
        assert target.is_file(), link
        titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
        assert not heading or heading in [
            re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles
        ], link
