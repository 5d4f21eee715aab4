"""The shell that Reunite's pages share: one HTML file that asks no server for anything and runs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files


@dataclass(frozen=True)
class Section:
    """A part of a page: `name` for links within the page, `title` as text, and its `body` as HTML."""

    name: str
    title: str
    body: str


def page(
    kind: str,
    title: str,
    result: str,
    sections: Sequence[Section],
    styles: Sequence[str] = ("report.css",),
    links: str | None = None,
) -> str:
    """A whole page.

    Args:
        kind: what the page is, such as "run report".
        title: the heading, as text: it is escaped here, as is the result.
        result: the page in one sentence, which stands below the heading.
        sections: in order; their titles are links below the result.
        styles: style sheets that lie beside this file.
        links: HTML to stand below the result in place of the titles of the sections.
    """
    room = files("reunite.evaluate")
    style = "".join(room.joinpath(name).read_text(encoding="utf-8") for name in styles)
    if links is None:
        links = "".join(f'<a href="#{section.name}">{section.title}</a>' for section in sections)
    body = "\n".join(
        f'<section id="{section.name}" aria-labelledby="{section.name}-title">\n'
        f'<h2 id="{section.name}-title">{section.title}</h2>\n{section.body}\n</section>'
        for section in sections
    )
    title = escape(title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Reunite">
<title>{title} · Reunite</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="kind">Reunite · {kind}</p>
<h1>{title}</h1>
<p class="result">{escape(result)}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def number(count: int, noun: str, plural: str = "") -> str:
    """A count and its noun: "1 image", "2,000 images"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def missing(sentence: str) -> str:
    """What stands in place of something there is nothing to show of."""
    return f'<p class="missing">{sentence}</p>'


def card(name: str, value: str, note: str, meter: str = "") -> str:
    """One large number of a list of cards, all of it HTML."""
    return f'<div class="card"><dt>{name}</dt><dd>{value}<small>{note}</small>{meter}</dd></div>'


def fact_list(facts: Mapping[str, str]) -> str:
    """Names and values, both text, in their order."""
    if not facts:
        return missing("None were recorded.")
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'
