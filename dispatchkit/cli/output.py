"""How results reach people and programs: data on stdout, messages on stderr, JSON when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dispatchkit.config import Settings
    from dispatchkit.store.contract import Store

WIDE = 2_000  # columns; no cell of ours is cut
MAX_ID = 2**63 - 1  # what a bigint holds
MAX_SEED = 2**31 - 1  # what every engine takes


@dataclass(kw_only=True)
class CliContext:
    """The options of every command; each finds them with `call(ctx)`."""

    config: tuple[Path, ...] = ()
    db: str = "embedded"
    data: Path = Path("data")
    json: bool = False
    quiet: bool = False
    debug: bool = False
    # Reasons for exit 3 when the command has finished.
    refused: list[str] = field(default_factory=list)

    def settings(self) -> Settings:
        """Return the settings of this run. Raises BadConfig."""
        from dispatchkit.flows.live.catalog import settings

        return settings(self.config)

    def store(
        self, now: str | None = None, *, batch: int | None = None, workers: int | None = None
    ) -> Store:
        """Return the store that --db names, its schema checked; `now`, if given, is its clock."""
        from dispatchkit.flows.data.database import store
        from dispatchkit.kernel.clock import parse_instant

        instant = parse_instant(now) if now else None
        return store(self.db, self.data, self.settings(), now=instant, batch=batch, workers=workers)


def call(ctx: typer.Context) -> CliContext:
    """Return the options that every command has."""
    context = ctx.find_root().obj
    assert isinstance(context, CliContext)
    return context


def document(value: Any) -> None:
    """Print one JSON document: ids as text, sorted keys, so that equal results are equal bytes."""
    from dispatchkit.kernel.canonical_json import text_ids

    print(
        json.dumps(text_ids(value), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print rows as a table on a terminal and as tab-separated lines when piped."""
    cells = [[text(value) for _, value in zip(columns, row, strict=True)] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *cells]:
            print("\t".join(line))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    out = Table(
        title=title or None, box=box.SIMPLE_HEAD, title_justify="left"
    )  # too wide: the terminal wraps lines
    for i, name in enumerate(columns):
        numeric = bool(cells) and all(
            row[i].replace(",", "").replace(".", "").lstrip("-").isdigit() for row in cells
        )
        out.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    for row in cells:
        out.add_row(*row)
    Console(highlight=False, markup=False, width=WIDE, soft_wrap=True).print(out, crop=False)


def text(value: Any) -> str:
    """Return a value as text for people: None is empty, lists have no brackets."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{name} {text(part)}" for name, part in value.items())
        case list() | tuple():
            return ", ".join(map(text, value))
    return str(value)


def line(message: str) -> None:
    """Print one line of data."""
    print(message)


def note(ctx: typer.Context, text: str) -> None:
    """Print a message for people on stderr, unless quiet."""
    if not call(ctx).quiet:
        print(text, file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    print(f"dispatchkit: warning: {text}", file=sys.stderr)


def refuse(ctx: typer.Context, text: str) -> None:
    """Note a refusal: the command finishes, prints it in one line, and exits 3."""
    call(ctx).refused.append(text)


@contextmanager
def working(ctx: typer.Context, what: str) -> Iterator[None]:
    """Show a spinner on a terminal while something takes its time."""
    if call(ctx).quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
