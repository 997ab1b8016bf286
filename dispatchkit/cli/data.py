"""`data`: exports and foreign files in and out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatchkit.cli import output, privacy
from dispatchkit.cli.output import call
from dispatchkit.config import span
from dispatchkit.kernel.clock import parse_day, parse_instant, rfc3339, service_day
from dispatchkit.kernel.errors import Usage
from dispatchkit.warehouse import QUARANTINE_FILE, WAREHOUSE_FILE

if TYPE_CHECKING:
    import polars as pl

    from dispatchkit.warehouse.load import LoadReport
    from dispatchkit.warehouse.manifest import Manifest

Now = Annotated[
    str | None, typer.Option(help="Judge ages at this instant instead of the machine's clock.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse columns that nobody knows instead of warning.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an export that is there.")]
MaxAge = Annotated[str | None, typer.Option(help="Refuse an older extract: 30s, 15min, 2h, 7d.")]
Export = Annotated[
    Path,
    typer.Argument(
        readable=False, metavar="DIR", help="Directory of an export, with its manifest.json."
    ),
]


def register(app: typer.Typer) -> None:
    """Add `data sample`, `data import`, `data extract`, `data load`, `data check`, `data erase` and `data purge`."""
    group = typer.Typer(
        help="Exports and foreign files, in and out.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command()(sample)
    group.command("import")(bring)
    group.command()(extract)
    group.command()(load)
    group.command()(check)
    privacy.register(group)
    app.add_typer(group, name="data")


def sample(
    ctx: typer.Context,
    to: Annotated[
        Path, typer.Option(readable=False, metavar="DIR", help="Directory for the export.")
    ],
    orders: Annotated[int, typer.Option(min=1, help="Orders in all days together.")] = 1200,
    days: Annotated[
        int, typer.Option(min=1, help="Service days; the last one stops in the evening rush.")
    ] = 2,
    start: Annotated[str, typer.Option(metavar="DAY", help="The first day.")] = "2026-03-06",
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=output.MAX_SEED, help="The same seed gives the same city, byte for byte."
        ),
    ] = 1,
    force: Force = False,
) -> None:
    """Make up a city with drivers, merchants and days of orders, as an export.

    Example: dispatchkit data sample --orders 1200 --days 2 --to data/city
    """
    from dispatchkit.flows.data import data_io
    from dispatchkit.flows.data.sample import write_sample
    from dispatchkit.simulation import Scenario

    data_io.inside(to)
    plan = Scenario(orders=orders, days=days, start=parse_day(start), seed=seed)
    with output.working(ctx, f"making up {orders:,} orders"):
        manifest = write_sample(plan, to, force=force)
    _wrote(ctx, manifest, to)


def bring(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            readable=False, metavar="FILES", help="CSV files, or the directory of one export."
        ),
    ],
    mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="TOML", help="What the columns of foreign files mean; see configs/imports."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count; write nothing.")
    ] = False,
    max_changes: Annotated[
        int | None, typer.Option(min=0, help="Refuse to write more rows than this.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 that the sender gave for a single file.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=0, help="Lines after the header that the sender announced.")
    ] = None,
    strict: Strict = False,
    now: Now = None,
) -> None:
    """Bring foreign files, or an export of ours, into Postgres; bad rows go to quarantine.csv.

    Example: dispatchkit data import orders.csv --mapping configs/imports/doordash.toml --dry-run
    """
    from dispatchkit.flows.data import data_io

    with output.working(ctx, "reading"):
        batch = data_io.read_files(
            files, mapping, now=_now(now), strict=strict, sha256=sha256, rows=rows
        )
    with output.working(ctx, "writing"):
        done = data_io.import_files(
            call(ctx).db, call(ctx).data, batch, dry_run=dry_run, max_changes=max_changes
        )
    tables = {
        table: {"inserted": n.inserted, "same": n.same, "conflicting": len(n.conflicting)}
        for table, n in done.tables.items()
    }
    if call(ctx).json:
        output.document(
            {
                "dry_run": dry_run,
                "read": batch.counts,
                "tables": tables,
                "quarantine": _by_reason(batch.quarantine),
            }
        )
    else:
        output.table(["read", "count"], list(batch.counts.items()))
        output.line(_equation(batch.counts))
        output.table(
            ["table", "inserted", "same", "conflicting"],
            [[name, *n.values()] for name, n in tables.items()],
        )
    _warn(
        ctx, batch.warnings, batch.quarantine, None if dry_run else call(ctx).data / QUARANTINE_FILE
    )
    if done.conflicting:
        output.refuse(
            ctx, f"{done.conflicting} rows are in the database with other values; those stand"
        )


def extract(
    ctx: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="Orders placed from this day or instant on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Orders placed before this day or instant.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory; by default `extract` under --data."),
    ] = None,
    force: Force = False,
) -> None:
    """Write the database as Parquet with a manifest, all of one snapshot; a day begins as the market's service day.

    Example: dispatchkit data extract --since 2026-03-06 --until 2026-03-07 --to data/extract --force
    """
    from dispatchkit.flows.data import data_io

    lower, upper = (_instant(ctx, text) for text in (since, until))
    if lower and upper and lower >= upper:
        raise Usage(f"--since {since} is not before --until {until}")
    to = to or _under_data(ctx, "extract")
    with output.working(ctx, "extracting"):
        manifest = data_io.extract(
            call(ctx).db, call(ctx).data, to, since=lower, until=upper, force=force
        )
    _wrote(ctx, manifest, to)


def load(
    ctx: typer.Context,
    export: Export,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"DuckDB file; by default {WAREHOUSE_FILE} under --data."
        ),
    ] = None,
    strict: Strict = False,
    max_age: MaxAge = None,
    now: Now = None,
) -> None:
    """Check an export and load it into DuckDB for reports; bad rows go to quarantine.csv beside the file.

    Example: dispatchkit data load data/extract --max-age 2h
    """
    from dispatchkit.flows.data import data_io

    to = to or _under_data(ctx, WAREHOUSE_FILE)
    data_io.inside(to)
    with output.working(ctx, "loading"):
        loaded = data_io.load_export(
            export, to, now=_now(now), max_age=_span(max_age), strict=strict
        )
    _loaded(ctx, loaded, to.with_name(QUARANTINE_FILE))


def check(
    ctx: typer.Context,
    export: Export,
    strict: Strict = False,
    max_age: MaxAge = None,
    now: Now = None,
) -> None:
    """Check an export as `data load` does, and keep nothing.

    Example: dispatchkit data check data/extract --strict
    """
    from dispatchkit.flows.data import data_io

    with output.working(ctx, "checking"):
        checked = data_io.check_export(export, now=_now(now), max_age=_span(max_age), strict=strict)
    _loaded(ctx, checked, None)


def _wrote(ctx: typer.Context, manifest: Manifest, to: Path) -> None:
    rows = {facts.table: facts.rows for facts in manifest.files}
    if call(ctx).json:
        output.document(
            {
                "to": str(to),
                "as_of": rfc3339(manifest.as_of),
                "sha256": manifest.sha256,
                "rows": rows,
            }
        )
    else:
        output.table(["table", "rows"], list(rows.items()))
        output.note(ctx, f"export of {rfc3339(manifest.as_of)} written to {to}")


def _loaded(ctx: typer.Context, report: LoadReport, quarantine: Path | None) -> None:
    if call(ctx).json:
        output.document(
            {
                "as_of": rfc3339(report.as_of),
                "database_id": report.database_id,
                "sha256": report.manifest_sha256,
                "rows": report.rows,
                "quarantine": _by_reason(report.quarantine),
            }
        )
    else:
        output.table(["table", "rows"], list(report.rows.items()))
    _warn(ctx, report.warnings, report.quarantine, quarantine)


def _warn(
    ctx: typer.Context, warnings: list[str], quarantine: pl.DataFrame, file: Path | None
) -> None:
    for warning in warnings:
        output.warn(warning)
    if len(quarantine):
        first = quarantine.row(0, named=True)
        first_reason = (
            f"{first['code']}: {first['file']}:{first['row']}: {first['column']}: {first['reason']}"
        )
        where = f", all of them in {file}" if file else ""
        output.refuse(ctx, f"{len(quarantine)} rows quarantined{where}; the first: {first_reason}")


def _by_reason(quarantine: pl.DataFrame) -> list[dict[str, Any]]:
    counted = (
        quarantine.group_by("file", "column", "code").len("rows").sort("file", "column", "code")
    )
    return list(counted.iter_rows(named=True))


def _equation(counts: dict[str, int]) -> str:
    parts = [
        name
        for name in ("duplicate_lines", "folded_lines", "quarantined_lines", "records")
        if name in counts
    ]
    return f"{counts['lines']} lines = " + " + ".join(
        f"{counts[name]} {name.replace('_', ' ')}" for name in parts
    )


def _under_data(ctx: typer.Context, name: str) -> Path:
    call(ctx).data.mkdir(parents=True, exist_ok=True)
    return call(ctx).data / name


def _now(text: str | None) -> datetime:
    return parse_instant(text) if text else datetime.now(UTC)


def _span(text: str | None) -> timedelta | None:
    duration = span(text) if text is not None else None
    if text is not None and duration is None:
        raise Usage(f"--max-age is {text!r}; expected a span such as 30s, 15min, 2h or 7d")
    return duration


def _instant(ctx: typer.Context, text: str | None) -> datetime | None:
    if text is None or "T" in text:
        return parse_instant(text) if text else None
    market = call(ctx).settings().market
    return service_day(parse_day(text), market.timezone, starts_at=market.day_starts_at).since
