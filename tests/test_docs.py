"""Documentation cannot rot: names, verbs, links and the README's example are held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

import reunite
from reunite.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("benchmarks/*.md")]
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)


def test_every_public_name_is_documented():
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    missing = [name for name in reunite.__all__ if not re.search(rf"\b{name}\b", reference)]
    assert not missing


def test_every_verb_is_documented_and_every_verb_documented_exists():
    verbs = set(typer.main.get_command(app).commands)
    readme = (ROOT / "README.md").read_text("utf-8")
    block = readme.split("## The command line")[1].split("```")[1]
    assert set(re.findall(r"^reunite (\w+)", block, re.M)) == verbs


def test_every_recipe_is_documented():
    for name in reunite.recipes.__all__:
        assert name.replace("_", "-") in TEXT
        assert f"`{name}`" in TEXT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_the_example_in_the_readme_runs(tmp_path, capsys):
    reunite.render_walkers(tmp_path / "crops", identities=16, cameras=2, images=4, seed=0)
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)[1]
    small = "rounds=1, batches=reunite.IdentityBatches(4, 4, 2), clusterer=reunite.JaccardDBSCAN(8, 3, 0.7, 3)"
    code = example.replace('"crops/"', repr(str(tmp_path / "crops"))).replace("rounds=20", small)
    assert code.count(small) == 1
    names: dict[str, object] = {}
    exec(code, names)
    assert "clusters" in capsys.readouterr().out
    assert len(names["labels"]) == len(names["dataset"].train)
