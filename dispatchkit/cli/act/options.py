"""What the commands of `act` share: their common options, and sending one event to be answered."""

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
    str | None, typer.Option(help="Reason at this instant instead of the database clock.")
]
Limit = Annotated[int | None, typer.Option(min=0, help="Refuse to make more changes than this.")]
Delivery = Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Delivery id.")]


def word(given: str, option: str) -> str:
    """Return a reason that is one word. Raises Usage for free text, which may name people: the trail keeps none."""
    if not re.fullmatch(r"[A-Z][A-Z_]{1,39}", given):
        told = "one word in capitals such as FLAT_TYRE (or two, joined by _)"
        raise Usage(
            f"{option} is {told}: free text may name people, and the audit trail keeps none"
        )
    return given


def limited(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the option that all acts share, --max-changes; `send` keeps to it."""

    @wraps(command)
    def run(ctx: typer.Context, max_changes: int | None = None, **given: Any) -> None:
        ctx.meta[limited.__name__] = max_changes
        command(ctx, **given)

    signature = inspect.signature(
        command, eval_str=True
    )  # here, or typer sees words, not annotations
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
    """Have one event answered, show the answer, exit 3 if it was refused; return what else was told."""
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
        for name, value in plain(result.answer.told).items():
            if value is not None:
                output.line(
                    f"{name} {_parts(value) if isinstance(value, dict) else output.said(value)}"
                )
        rows = [(c.event, f"{c.entity} {c.id}", c.version, c.reason) for c in result.answer.changes]
        if rows:
            output.table(("event", "row", "version", "reason"), rows)
        if dry_run:
            output.note(ctx, "dry run, nothing written")
    if result.answer.refused:
        met = f" (it was {result.was})" if result.was else ""
        output.refuse(ctx, f"{result.event.name} refused: {result.answer.code}{met}")
    return result.answer.told


def _parts(told: Mapping[str, Any]) -> str:
    """Return what is known of something, each part under its name."""
    return " ".join(
        f"{key}={output.said(part).replace(' ', '')}"
        for key, part in told.items()
        if part not in (None, [])
    )
