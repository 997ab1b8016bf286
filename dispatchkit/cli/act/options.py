"""Shared by the commands of `act`: common options, and sending one event to its feature."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call
from dispatchkit.kernel.errors import Usage

Dry = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; touch nothing.")]
Now = Annotated[
    str | None, typer.Option(help="Decide as of this instant instead of the database clock.")
]
Limit = Annotated[int | None, typer.Option(min=0, help="Refuse to make more changes than this.")]
Delivery = Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Delivery id.")]


def word(reason: str, option: str) -> str:
    """Return a reason that is one word. Raises Usage for free text: it could name a person."""
    if not re.fullmatch(r"[A-Z][A-Z_]{1,39}", reason):
        raise Usage(
            f"{option} takes one word in capitals such as FLAT_TYRE (or two, joined by _): "
            "free text could name people, and the audit trail must not hold names"
        )
    return reason


def limited(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the option --max-changes, which all acts share; `send` reads it."""

    @wraps(command)
    def run(ctx: typer.Context, max_changes: int | None = None, **arguments: Any) -> None:
        ctx.meta[limited.__name__] = max_changes
        command(ctx, **arguments)

    # Annotations are evaluated here: typer would see them as text.
    signature = inspect.signature(command, eval_str=True)
    limit = inspect.Parameter(
        "max_changes", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Limit
    )
    parts = [
        part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in signature.parameters.values()
    ]
    run.__signature__ = signature.replace(parameters=[*parts, limit])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "max_changes": Limit}
    return run


def send(ctx: typer.Context, now: str | None, dry_run: bool, **event: Any) -> Mapping[str, Any]:
    """Send one event, show the answer (exit 3 if refused), and return the answer's details."""
    from dispatchkit.domain.feature import Event
    from dispatchkit.flows.live.act import act
    from dispatchkit.kernel.canonical_json import plain

    settings, store = call(ctx).settings(), call(ctx).store(now)
    result = act(
        store, settings, Event(**event), dry_run=dry_run, limit=ctx.meta.get(limited.__name__)
    )
    if call(ctx).json:
        output.document(result.document())
    else:
        output.line(result.answer.code)
        for name, value in plain(result.answer.details).items():
            if value is not None:
                text = _parts(value) if isinstance(value, dict) else output.text(value)
                output.line(f"{name} {text}")
        rows = [(c.event, f"{c.entity} {c.id}", c.version, c.reason) for c in result.answer.changes]
        if rows:
            output.table(("event", "row", "version", "reason"), rows)
        if dry_run:
            output.note(ctx, "dry run, nothing written")
    if result.answer.refused:
        state = f" (state {result.state_before})" if result.state_before else ""
        output.refuse(ctx, f"{result.event.name} refused: {result.answer.code}{state}")
    return result.answer.details


def _parts(values: Mapping[str, Any]) -> str:
    """Return the values of a mapping as key=value, without empty ones."""
    return " ".join(
        f"{key}={output.text(value).replace(' ', '')}"
        for key, value in values.items()
        if value not in (None, [])
    )
