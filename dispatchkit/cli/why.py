"""`why` and `why-not`: the reason behind an assignment, or behind its absence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call

Delivery = Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Delivery id.")]
DETAILS = {
    "decisions": ("rule", "event", "sweep", "as_of", "run_id"),
    "asked": (
        "driver_id",
        "episode",
        "attempt",
        "state",
        "cause",
        "pay_cents",
        "sent_at",
        "responded_at",
    ),
    "released": (
        "driver_id",
        "episode",
        "trigger",
        "actor",
        "released_at",
        "state",
        "new_driver_id",
    ),
    "refused": ("at", "actor", "event", "was", "code"),
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
        typer.Option(min=1, max=output.MAX_ID, help="Also why it is not with this driver."),
    ] = None,
    now: Now = None,
) -> None:
    """Say why a delivery is with its driver, or with none: decision, runner-up, rule, and what would change it.

    Example: dispatchkit why 12
    """
    from dispatchkit.flows.explain import why as reasons

    settings, store = call(ctx).settings(), call(ctx).store(now)
    said = reasons.why(store, settings, delivery)
    if driver is not None:
        said["why_not"] = reasons.why_not(store, settings, delivery, driver)
    _tell(ctx, said)


def why_not(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Driver id.")],
    now: Now = None,
) -> None:
    """Say why a delivery is not with a certain driver: the first rule that bars him, and the smallest relaxation.

    Example: dispatchkit why-not 12 7
    """
    from dispatchkit.flows.explain import why as reasons

    settings, store = call(ctx).settings(), call(ctx).store(now)
    _tell(ctx, reasons.why_not(store, settings, delivery, driver))


def _tell(ctx: typer.Context, said: Mapping[str, Any]) -> None:
    """Show the answer in sentences, then what it rests on; figures, hashes and parameters of the runs are in --json."""
    if call(ctx).json:
        output.document(said)
        return
    for sentence in (*said["because"], *said.get("why_not", {}).get("because", ())):
        output.line(sentence)
    found = {
        **said,
        "decisions": [one["decision"] for one in _reasons(said) if one.get("decision")],
    }
    for name, columns in DETAILS.items():
        if rows := found.get(name):
            output.line("")
            output.table(columns, [[row[column] for column in columns] for row in rows], title=name)


def _reasons(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what may name the decision behind it: the assignment, each offer that is out, the answer of why-not."""
    return [said.get("assigned", {}), *said.get("seeking", {}).get("asking", ()), said]
