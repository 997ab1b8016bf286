"""`act ping`: a driver's phone says where it is."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.act.options import Dry, Now
from dispatchkit.cli.output import call
from dispatchkit.kernel.clock import parse_instant


def ping(
    ctx: typer.Context,
    driver: Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Driver id.")],
    lat: Annotated[float, typer.Option(min=-90, max=90, help="Latitude in degrees.")],
    lon: Annotated[float, typer.Option(min=-180, max=180, help="Longitude in degrees.")],
    at: Annotated[
        str | None, typer.Option(help="When the phone was there (an instant); now if not given.")
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Keep where a driver is. The same instant told twice is kept once; a clock too far ahead is refused.

    Example: dispatchkit act ping 7 --lat 52.52 --lon 13.405 --at 2026-03-02T19:30:00Z
    """
    from dispatchkit.flows.live.pings import ping as run

    settings, store = call(ctx).settings(), call(ctx).store(now)
    result = run(
        store, settings, driver, lat, lon, at=parse_instant(at) if at else None, dry_run=dry_run
    )
    if call(ctx).json:
        output.document(result.document())
    else:
        output.line(f"{result.code} repeated" if result.repeated else result.code)
    if result.refused:
        output.refuse(ctx, f"ping refused: {result.code}")
