"""`show`: lists of live rows, and one delivery with its history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call
from dispatchkit.kernel.errors import Usage

if TYPE_CHECKING:
    import polars as pl

JSON_COLUMNS = ("params", "payload", "stops")


def register(app: typer.Typer) -> None:
    """Add `show`."""
    app.command()(show)


def show(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            help="deliveries, offers, drivers, unassigned, cases, tickets, routes, outbox, runs, refusals; "
            "or delivery ID."
        ),
    ],
    id_: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, max=output.MAX_ID, help="Delivery id.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="Only rows in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10**7, help="At most this many rows.")] = 50,
    now: Annotated[
        str | None, typer.Option(help="Judge ages, slack and freshness at this instant.")
    ] = None,
) -> None:
    """Show live rows, or one delivery with its offers, cases, searches and tickets.

    Example: dispatchkit show unassigned --limit 10
    """
    from dispatchkit.flows.explain import listings

    if (what == "delivery") != (id_ is not None):
        raise Usage("`show delivery` needs the id of a delivery; the lists take no id")
    settings, store = call(ctx).settings(), call(ctx).store(now)
    if id_:
        frames = listings.delivery(store, id_)
    else:
        # One row more than asked for shows whether there are more.
        rows = listings.listing(store, settings, what, state=state, limit=limit + 1)
        if rows.height > limit:
            output.note(ctx, f"the first {limit} rows; there are more, see --limit")
        frames = {what: rows.head(limit)}
    if call(ctx).json:
        documents = {name: _rows(frame) for name, frame in frames.items()}
        output.document(documents if id_ else documents[what])
        return
    for name, whole in frames.items():
        frame = whole.drop("params", strict=False)  # a whole document: only in --json
        if name == "delivery":
            output.table(("what", "is"), list(zip(frame.columns, _cells(frame)[0], strict=True)))
        else:
            output.table(frame.columns, _cells(frame), title=name if id_ else "")


def _rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    """Return the rows for programs; columns that hold JSON text become part of the document."""
    from dispatchkit.kernel.canonical_json import plain

    return [
        plain(
            {
                name: json.loads(value) if name in JSON_COLUMNS and value else value
                for name, value in row.items()
            }
        )
        for row in frame.iter_rows(named=True)
    ]


def _cells(frame: pl.DataFrame) -> list[list[object]]:
    """Return the rows for people: instants to the second."""
    from datetime import datetime

    return [
        [f"{value:%Y-%m-%d %H:%M:%S}Z" if isinstance(value, datetime) else value for value in row]
        for row in frame.rows()
    ]
