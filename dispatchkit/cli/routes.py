"""`route`: multi-stop plans of standalone problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispatchkit.cli.output import MAX_SEED, call, document, line, note, refuse, table, working

route = typer.Typer(help="Multi-stop plans of standalone problems.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A routing problem.")]
Format = Annotated[
    str, typer.Option("--format", help="json (ours) or lilim (Li and Lim's benchmark files).")
]


def register(app: typer.Typer) -> None:
    """Add the group `route`."""
    app.add_typer(route, name="route")


@route.command()
def plan(
    ctx: typer.Context,
    file: File,
    form: Format = "json",
    engine: Annotated[
        str, typer.Option(help="auto, exact (one vehicle, few jobs, proven) or ortools.")
    ] = "auto",
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Stop OR-Tools by the clock; results then differ between runs."
        ),
    ] = None,
    solutions: Annotated[
        int, typer.Option(min=1, help="Else stop it after looking at so many solutions.")
    ] = 500,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the search.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the plan here, as JSON.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Plan the stops of every vehicle in a problem file.

    Example:

    dispatchkit route plan lc101.txt --format lilim --seconds 10 --out plan.json
    """
    from dispatchkit.flows.planning import routes as planning
    from dispatchkit.kernel.files import check_output

    if out:
        check_output(out, force=force)
    with working(ctx, f"planning {file}"):
        result = planning.plan(
            file, form, engine=engine, seconds=seconds, seed=seed, solutions=solutions
        )
    if out:
        planning.write(result, out)
    if call(ctx).json:
        document(result)
    else:
        rows = zip(result["vehicle_ids"], result["routes"], strict=True)
        table(
            ("vehicle", "stops", "route"),
            [(id_, len(nodes), " ".join(map(str, nodes))) for id_, nodes in rows],
        )
        note(
            ctx,
            f"{result['vehicles']} vehicles, distance {result['distance']}, engine {result['engine']}",
        )
    for job in result["unassigned"]:
        refuse(ctx, f"job {job['id']} is in no route: {job['reason']}")


@route.command()
def check(
    ctx: typer.Context,
    file: File,
    plan_file: Annotated[
        Path, typer.Argument(metavar="PLAN", help="A plan as `route plan --out` writes it.")
    ],
    form: Format = "json",
) -> None:
    """Name every rule that a plan breaks, whoever made it; exit 3 if there is one.

    Example:

    dispatchkit route check lc101.txt plan.json --format lilim
    """
    from dispatchkit.flows.planning import routes as planning

    violations = planning.check(file, form, plan_file)
    if call(ctx).json:
        document(
            {
                "violations": [
                    {"code": v.code, "vehicle": v.vehicle, "job": v.job, "text": v.text}
                    for v in violations
                ]
            }
        )
    elif violations:
        table(
            ("code", "vehicle", "job", "what"),
            [(v.code, v.vehicle, v.job, v.text) for v in violations],
        )
    else:
        line("no violation")
    if violations:
        refuse(ctx, f"{plan_file} breaks {len(violations)} rules")
