"""`act ping`: a driver's phone says where it is."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import show
from dispatchkit.cli.act.words import Dry, Now
from dispatchkit.cli.show import call
from dispatchkit.kernel.clock import parse_instant


def ping(
    ctx: typer.Context,
    driver: Annotated[int, typer.Argument(min=1, max=show.MAX_ID, help="Driver id.")],
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
    from dispatchkit.flows.pings import ping as run

    settings, store = call(ctx).settings(), call(ctx).store(now)
    made = run(
        store, settings, driver, lat, lon, at=parse_instant(at) if at else None, dry_run=dry_run
    )
    if call(ctx).json:
        show.document(made.document())
    else:
        show.line(f"{made.code} repeated" if made.repeated else made.code)
    if made.refused:
        show.refuse(ctx, f"ping refused: {made.code}")
