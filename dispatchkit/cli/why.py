"""`why` and `why-not`: the reason behind an assignment, or behind its absence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from dispatchkit.cli import show
from dispatchkit.cli.show import call
from dispatchkit.kernel.change import canonical
from dispatchkit.kernel.clock import parse_instant

Delivery = Annotated[int, typer.Argument(min=1, max=show.MAX_ID, help="Delivery id.")]
Now = Annotated[str | None, typer.Option(help="Judge at this instant instead of the database clock.")]


def register(app: typer.Typer) -> None:
    """Add `why` and `why-not`."""
    app.command()(why)
    app.command("why-not")(why_not)


def why(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[
        int | None, typer.Option(min=1, max=show.MAX_ID, help="Also why it is not with this driver.")
    ] = None,
    now: Now = None,
) -> None:
    """Say why a delivery is with its driver, or with none: decision, runner-up, rule, and what would change it.

    Example: dispatchkit why 12
    """
    from dispatchkit.flows import database
    from dispatchkit.flows import why as reasons

    settings = call(ctx).settings()
    store = database.store(call(ctx).db, call(ctx).data, settings, now=parse_instant(now) if now else None)
    said = reasons.why(store, settings, delivery)
    if driver is not None:
        said["why_not"] = reasons.why_not(store, settings, delivery, driver)
    _tell(ctx, said)


def why_not(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[int, typer.Argument(min=1, max=show.MAX_ID, help="Driver id.")],
    now: Now = None,
) -> None:
    """Say why a delivery is not with a certain driver: the first rule that bars him, and the smallest relaxation.

    Example: dispatchkit why-not 12 7
    """
    from dispatchkit.flows import database
    from dispatchkit.flows import why as reasons

    settings = call(ctx).settings()
    store = database.store(call(ctx).db, call(ctx).data, settings, now=parse_instant(now) if now else None)
    _tell(ctx, reasons.why_not(store, settings, delivery, driver))


def _tell(ctx: typer.Context, said: Mapping[str, Any]) -> None:
    if call(ctx).json:
        show.document(said)
    else:
        show.table(("what", "is"), list(_lines(said)))


def _lines(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield (path, value) of everything in a document; what is unknown is left out."""
    if name.endswith("params"):
        yield name, canonical(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _lines(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from _lines(inner, f"{name} {number}")
    elif value is not None:
        yield name, value
