"""`flags`: the state of each rollout, and who is inside."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call


def register(app: typer.Typer) -> None:
    """Add `flags` and `flags who`."""
    group = typer.Typer(help="Rollout flags.", rich_markup_mode=None, invoke_without_command=True)
    group.callback()(flags)
    group.command()(who)
    app.add_typer(group, name="flags")


def flags(ctx: typer.Context) -> None:
    """Show each feature's flag: on or off, and for how many percent of its deliveries or drivers.

    Example: dispatchkit flags
    """
    if ctx.invoked_subcommand:
        return
    from dispatchkit.flows.live import catalog

    settings = call(ctx).settings()
    rollouts = [settings.flag(name) for name in catalog.FLAGS]
    if call(ctx).json:
        output.document(
            [{"name": f.name, "enabled": f.enabled, "percent": f.percent} for f in rollouts]
        )
    else:
        output.table(
            ("flag", "enabled", "percent"), [(f.name, f.enabled, f.percent) for f in rollouts]
        )


def who(
    ctx: typer.Context,
    flag: Annotated[str, typer.Argument(help="Name of the flag.")],
    ids: Annotated[
        list[int],
        typer.Argument(
            min=1,
            max=output.MAX_ID,
            help="Ids of deliveries (for availability and routes: drivers).",
        ),
    ],
) -> None:
    """Tell which ids are inside a rollout; raising the percentage only ever adds some.

    Example: dispatchkit flags who offers 1 2 3
    """
    from dispatchkit.flows.live import catalog
    from dispatchkit.kernel.errors import Usage
    from dispatchkit.kernel.flags import bucket

    if flag not in catalog.FLAGS:
        raise Usage(f"unknown flag {flag!r}; expected one of {', '.join(catalog.FLAGS)}")
    rollout = call(ctx).settings().flag(flag)
    rows = [{"id": id_, "bucket": bucket(flag, id_), "inside": rollout.admits(id_)} for id_ in ids]
    if call(ctx).json:
        output.document(rows)
    else:
        output.table(("id", "bucket of 10,000", "inside"), [list(row.values()) for row in rows])
