"""`why` and `why-not`: the reason behind an assignment, or behind its absence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call

Delivery = Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Delivery id.")]
COLUMNS = {  # of the tables for people
    "decisions": ("rule", "event", "sweep", "as_of", "run_id"),
    "offers": (
        "driver_id",
        "episode",
        "attempt",
        "state",
        "cause",
        "pay_cents",
        "sent_at",
        "responded_at",
    ),
    "releases": (
        "driver_id",
        "episode",
        "trigger",
        "actor",
        "released_at",
        "state",
        "new_driver_id",
    ),
    "refused_acts": ("at", "actor", "event", "state_before", "code"),
}
Now = Annotated[
    str | None, typer.Option(help="Judge at this instant instead of the database clock.")
]


def register(app: typer.Typer) -> None:
    """Add `why` and `why-not`."""
    app.command()(why)
    app.command("why-not")(why_not)


def why(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[
        int | None,
        typer.Option(min=1, max=output.MAX_ID, help="Explain also why it is not with this driver."),
    ] = None,
    now: Now = None,
) -> None:
    """Explain why a delivery is with its driver, or with none: decision, rule, what would change it.

    Example: dispatchkit why 12
    """
    from dispatchkit.flows.explain import why as explain

    settings, store = call(ctx).settings(), call(ctx).store(now)
    document = explain.why(store, settings, delivery)
    if driver is not None:
        document["why_not"] = explain.why_not(store, settings, delivery, driver)
    _print(ctx, document)


def why_not(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Driver id.")],
    now: Now = None,
) -> None:
    """Explain why a delivery is not with a certain driver: the first rule, the smallest relaxation.

    Example: dispatchkit why-not 12 7
    """
    from dispatchkit.flows.explain import why as explain

    settings, store = call(ctx).settings(), call(ctx).store(now)
    _print(ctx, explain.why_not(store, settings, delivery, driver))


def _print(ctx: typer.Context, document: Mapping[str, Any]) -> None:
    """Show the answer as sentences, then its evidence as tables; --json has the whole document."""
    if call(ctx).json:
        output.document(document)
        return
    sentences = [*document["explanation"]]
    if "why_not" in document:
        sentences += document["why_not"]["explanation"]
    for sentence in sentences:
        output.line(sentence)
    tables = {**document, "decisions": _decisions(document)}
    for name, columns in COLUMNS.items():
        if rows := tables.get(name):
            output.line("")
            output.table(columns, [[row[column] for column in columns] for row in rows], title=name)


def _decisions(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the decisions behind the assignment, the pending offers and the answer of why-not."""
    pending = document.get("search", {}).get("pending_offers", ())
    parts = [document.get("assignment", {}), *pending, document]
    return [part["decision"] for part in parts if part.get("decision")]
