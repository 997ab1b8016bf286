"""The modules of a package with their imports, and the texts of a checkout."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "dispatchkit"
TOP = (
    ".ci .gitignore CHANGELOG.md CONTRIBUTING.md LICENSE Makefile README.md configs data "
    "dispatchkit docs "
    "notebooks pyproject.toml requirements.lock tests"
).split()
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".sql",
    ".ipynb",
    ".json",
    ".geojson",
    ".lock",
    ".mako",
    ".html",
    ".css",
    ".csv",
    ".txt",
}


@dataclass(frozen=True)
class Module:
    """One Python file of the package."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(), str(self.path))

    @property
    def room(self) -> str:
        """Return the folder or file right under the package; empty for the package itself."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def imports(self) -> Iterator[str]:
        """Yield every imported name in full, also in functions, relative, and by
        `import_module("...")`.
        """
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from (f"{base}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and _is_import_call(node.func):
                yield from (
                    str(word.value) for word in node.args[:1] if isinstance(word, ast.Constant)
                )

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        up = node.level - (self.path.name == "__init__.py")
        parts = self.name.split(".")[: -up or None]
        return ".".join([*parts, *([node.module] if node.module else [])])


def _is_import_call(func: ast.expr) -> bool:
    name = (
        func.attr
        if isinstance(func, ast.Attribute)
        else func.id
        if isinstance(func, ast.Name)
        else ""
    )
    return name in ("import_module", "__import__")


def modules(root: Path = ROOT, package: str = PACKAGE) -> list[Module]:
    """Return every module of a package, sorted by path."""
    found = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found.append(Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def texts(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of every text that is or will be committed, without caches and data."""
    for top in TOP:
        for path in [root / top] if (root / top).is_file() else sorted((root / top).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and _kept(name) and (path.suffix in TEXT or "." not in path.name[1:]):
                yield name, path.read_text(errors="replace")


def _kept(name: str) -> bool:
    ignored = name.startswith("data/") and not name.startswith(("data/sample/", "data/README.md"))
    return not ignored and "__pycache__" not in name and ".ipynb_checkpoints" not in name
