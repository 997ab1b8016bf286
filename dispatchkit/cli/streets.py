"""`streets`: street maps and travel times."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispatchkit.cli.output import call, document, line, note, refuse, table, working
from dispatchkit.kernel.errors import Usage

streets = typer.Typer(
    help="Street maps from OpenStreetMap files, and travel times over them.", no_args_is_help=True
)

Map = Annotated[Path, typer.Argument(metavar="DIR", help="Folder made by `streets build`.")]
Vehicle = Annotated[
    str, typer.Option(help="bicycle, car, walker, scooter, motorcycle, van or other.")
]
MaxGap = Annotated[
    float, typer.Option(help="Metres; a place farther than this from any street is not reached.")
]


def register(app: typer.Typer) -> None:
    """Add the group `streets`."""
    app.add_typer(streets, name="streets")


@streets.command()
def build(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help=".osm.pbf, .osm or an osmnx .graphml.")
    ],
    to: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder for the map; an older map there is replaced."),
    ],
    profile: Annotated[
        list[str] | None,
        typer.Option(help="car, bicycle or foot; repeatable. Default: all (car for a .graphml)."),
    ] = None,
) -> None:
    """Turn an OpenStreetMap file into a street map.

    Example:

    dispatchkit streets build berlin.osm.pbf --to data/streets --profile car --profile bicycle
    """
    from dispatchkit.flows.planning import streets as flow

    with working(ctx, f"reading {file}"):
        flow.build(file, to, profiles=profile or ())
    _describe(ctx, to)


@streets.command()
def info(ctx: typer.Context, folder: Map) -> None:
    """Say what a street map holds, where it comes from and what was left out of it.

    Example:

    dispatchkit streets info data/streets
    """
    _describe(ctx, folder)


@streets.command()
def matrix(
    ctx: typer.Context,
    folder: Map,
    from_: Annotated[
        Path, typer.Option("--from", metavar="CSV", help="Places with columns lat, lon (and id).")
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="CSV", help="Places with columns lat, lon (and id).")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help=".npy (int32 seconds), .csv or .parquet (one row a pair)."
        ),
    ],
    vehicle: Vehicle = "car",
    max_gap: MaxGap = 500.0,
) -> None:
    """Write travel times from every place of one file to every place of another; -1 where there is no way.

    Example:

    dispatchkit streets matrix data/streets --from drivers.csv --to merchants.csv --out times.npy
    """
    from dispatchkit.flows.planning import streets as flow

    with working(ctx, "searching"):
        done = flow.matrix(folder, from_, to, out, vehicle=vehicle, max_gap_m=max_gap)
    if call(ctx).json:
        document(done)
    else:
        line(
            f"{out}: {done['from']} x {done['to']} travel times, {done['unreachable']} without a way"
        )
        line(f"engine: {done['engine']}, {vehicle}")
    for side in ("from", "to"):
        lost = done[f"{side}_lost"]
        if lost:
            refuse(
                ctx,
                f"{len(lost)} places of --{side} lie more than {max_gap:g} m from any street, first {lost[0]}",
            )


@streets.command(context_settings={"ignore_unknown_options": True})  # so that -33.9,18.4 is a place
def route(
    ctx: typer.Context,
    folder: Map,
    a: Annotated[str, typer.Argument(metavar="A", help="Start as lat,lon in degrees.")],
    b: Annotated[str, typer.Argument(metavar="B", help="End as lat,lon in degrees.")],
    vehicle: Vehicle = "car",
    max_gap: MaxGap = 500.0,
) -> None:
    """Show the fastest path between two places; --json holds its line and the OSM ways it uses.

    Example:

    dispatchkit streets route data/streets 52.5163,13.3777 52.5219,13.4132
    """
    from dispatchkit.flows.planning import streets as flow

    found = flow.route(folder, _place(a), _place(b), vehicle=vehicle, max_gap_m=max_gap)
    if call(ctx).json:
        document(found)
    elif found["seconds"] is not None:
        line(f"{found['seconds']} s, {found['metres']} m over {len(found['ways'])} ways")
        line(
            f"from the start {found['gap_from_m']} m to the street, at the end {found['gap_to_m']} m"
        )
        note(ctx, f"engine: {found['engine']}, {vehicle}")
    if found["seconds"] is None:
        far = [
            f"{name} is {gap} m away"
            for name, gap in (("A", found["gap_from_m"]), ("B", found["gap_to_m"]))
        ]
        refuse(
            ctx,
            f"no way for {vehicle}: from the nearest street {', '.join(far)} (--max-gap is {max_gap:g})",
        )


def _describe(ctx: typer.Context, folder: Path) -> None:
    from dispatchkit.flows.planning import streets as flow

    facts = flow.info(folder)
    if call(ctx).json:
        document(facts)
        return
    measures = ("nodes", "arcs", "km")
    rows = [
        [
            name,
            *(p["counts"][m] for m in measures),
            *(p["dropped"][f"{m}_outside_main_part"] for m in measures),
        ]
        for name, p in facts["profiles"].items()
    ]
    columns = [
        "profile",
        "junctions",
        "arcs",
        "km of arcs",
        "junctions cut off",
        "arcs cut off",
        "km cut off",
    ]
    table(columns, rows, title=f"{folder}: map {facts['map']} from {facts['source']['name']}")
    for key, value in sorted(facts["source"].items()):
        note(ctx, f"{key}: {value}")
    note(ctx, facts["licence"])


def _place(text: str) -> tuple[float, float]:
    from dispatchkit.kernel.geo import is_point

    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise Usage(f"{text!r} is not a place; expected lat,lon such as 52.5163,13.3777") from None
    if not is_point(lat, lon):
        raise Usage(
            f"{text!r} is not a place; latitude comes first, from -90 to 90, then longitude, from -180 to 180"
        )
    return lat, lon
