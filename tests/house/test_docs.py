"""The documentation holds: reference pages equal the code, links lead somewhere, commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.house.test_commands import leaves
from tests.house.tree import ROOT

DOCS = ROOT / "docs"
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    printed: dict[str, str] = module.pages()
    return printed


def test_reference_pages_equal_code():
    stale = [
        name for name, text in pages().items() if (DOCS / "reference" / name).read_text() != text
    ]
    assert stale == [], "run: .venv/bin/python docs/generate.py"


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path):
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    dead = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert dead == []


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist(page: Path):
    known = {tuple(leaf.values[0]) for leaf in leaves()}
    groups = {path[0] for path in known}
    blocks = "".join(re.findall(r"(?s)```\w*\n(.*?)```", page.read_text()))
    for line in re.findall(r"(?m)^(?:.*[*\d] +)?dispatchkit (.+)$", blocks):
        without_values = re.sub(r"(^| )(--data|--db|--config) \S+", " ", line)
        words = [word for word in without_values.split() if not word.startswith("-")]
        assert words and words[0] in groups, line
        assert (words[0],) in known or tuple(words[:2]) in known or tuple(words[:3]) in known, line
