"""`db`: the schema up and down, and whether everything in it is as promised."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call
from dispatchkit.kernel.clock import parse_instant


def register(app: typer.Typer) -> None:
    """Add `db up`, `db down`, `db status` and `db check`."""
    group = typer.Typer(
        help="Migrations both ways, and checks.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command()(up)
    group.command()(down)
    group.command()(status)
    group.command()(check)
    app.add_typer(group, name="db")


def up(
    ctx: typer.Context,
    revision: Annotated[str, typer.Argument(help="Revision to go up to.")] = "head",
    strict_clock: Annotated[
        bool, typer.Option("--strict-clock", help="Writes refuse --now from now on.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which steps would run, and run none.")
    ] = False,
) -> None:
    """Bring the schema up, keeping all rows.

    Example: dispatchkit db up
    """
    from dispatchkit.flows.data import database

    result = database.migrate_up(
        call(ctx).db, call(ctx).data, revision, strict_clock=strict_clock, dry_run=dry_run
    )
    _tell(ctx, result)


def down(
    ctx: typer.Context,
    revision: Annotated[
        str, typer.Argument(help="Revision to go down to; `base` for all the way.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which steps would run, and run none.")
    ] = False,
) -> None:
    """Take the schema down; rows are kept in schema dk_kept and come back with `db up`.

    Example: dispatchkit db down 20260201000400
    """
    from dispatchkit.flows.data import database

    _tell(ctx, database.migrate_down(call(ctx).db, call(ctx).data, revision, dry_run=dry_run))


def status(ctx: typer.Context) -> None:
    """Show where the database stands: revision, newest revision, drift.

    Example: dispatchkit db status
    """
    from dispatchkit.flows.data import database

    _tell(ctx, database.schema_status(call(ctx).db, call(ctx).data))


def check(
    ctx: typer.Context,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the checks for psql instead of running them.")
    ] = False,
    now: Annotated[str | None, typer.Option(help="Judge what is due at this instant.")] = None,
) -> None:
    """Run every invariant, compare the schema with what was migrated, and name sweeps that fell silent.

    Example: dispatchkit db check
    """
    from dispatchkit.flows.data import database

    if sql:
        output.line(
            "SET timezone = 'UTC'; SET extra_float_digits = 1;  -- as the trail was written\n"
        )
        for name, offender, query in database.invariants():
            output.line(f"-- {name}: {offender}\n{query};\n")
        return
    at = parse_instant(now) if now else None
    result = database.check_database(call(ctx).db, call(ctx).data, at)
    if call(ctx).json:
        output.document(result)
    else:
        output.table(
            ("check", "offenders", "an offender is"),
            [(row["name"], row["offenders"], row["offender"]) for row in result["checks"]],
        )
        output.table(
            ("sweep", "last OK run", "oldest due row"),
            [(row["sweep"], row["last_ok"], row["oldest_due"]) for row in result["sweeps"]],
        )
    for finding in result["findings"]:
        output.refuse(ctx, finding)


def _tell(ctx: typer.Context, result: dict[str, object]) -> None:
    if call(ctx).json:
        output.document(result)
    else:
        output.table(("what", "is"), list(result.items()))
