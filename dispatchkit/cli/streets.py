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
    float, typer.Option(help="Metres; a place farther than this from any street is unreachable.")
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
    """Show what a street map contains, where it comes from and what was left out.

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
    """Write travel times from every place of one file to every place of another; -1 if unreachable.

    Example:

    dispatchkit streets matrix data/streets --from drivers.csv --to merchants.csv --out times.npy
    """
    from dispatchkit.flows.planning import streets as flow

    with working(ctx, "searching"):
        summary = flow.matrix(folder, from_, to, out, vehicle=vehicle, max_gap_m=max_gap)
    if call(ctx).json:
        document(summary)
    else:
        line(
            f"{out}: {summary['from']} x {summary['to']} travel times, {summary['unreachable']} unreachable"
        )
        line(f"engine: {summary['engine']}, {vehicle}")
    for side in ("from", "to"):
        too_far = summary[f"{side}_too_far"]
        if too_far:
            refuse(
                ctx,
                f"{len(too_far)} places of --{side} are more than {max_gap:g} m from any street, first {too_far[0]}",
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

    path = flow.route(folder, _place(a), _place(b), vehicle=vehicle, max_gap_m=max_gap)
    gaps = path["gap_from_m"], path["gap_to_m"]
    if call(ctx).json:
        document(path)
    elif path["seconds"] is not None:
        line(f"{path['seconds']} s, {path['metres']} m over {len(path['ways'])} ways")
        line(f"from the start {gaps[0]} m to the street, at the end {gaps[1]} m")
        note(ctx, f"engine: {path['engine']}, {vehicle}")
    if path["seconds"] is None:
        refuse(
            ctx,
            f"no path for {vehicle}: A is {gaps[0]} m and B is {gaps[1]} m from the nearest street "
            f"(--max-gap is {max_gap:g})",
        )


def _describe(ctx: typer.Context, folder: Path) -> None:
    """Print the manifest of a map: one row a profile, then the source and the licence."""
    from dispatchkit.flows.planning import streets as flow

    facts = flow.info(folder)
    if call(ctx).json:
        document(facts)
        return
    measures = ("nodes", "arcs", "km")
    rows = []
    for name, entry in facts["profiles"].items():
        counts = [entry["counts"][measure] for measure in measures]
        dropped = [entry["dropped"][f"{measure}_outside_main_part"] for measure in measures]
        rows.append([name, *counts, *dropped])
    kept = ["junctions", "arcs", "km of arcs"]
    columns = ["profile", *kept, "junctions cut off", "arcs cut off", "km cut off"]
    table(columns, rows, title=f"{folder}: map {facts['map']} from {facts['source']['name']}")
    for key, value in sorted(facts["source"].items()):
        note(ctx, f"{key}: {value}")
    note(ctx, facts["licence"])


def _place(text: str) -> tuple[float, float]:
    """Return (lat, lon) of an argument. Raises Usage."""
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
