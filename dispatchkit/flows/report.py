"""Looking back: the loaded marts of a period, measured, and written as files that people and programs read."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from dispatchkit.config import Settings
from dispatchkit.flows import catalog
from dispatchkit.kernel.clock import Window, parse_instant, rfc3339, service_day
from dispatchkit.kernel.errors import CannotCreate, InputMissing
from dispatchkit.kernel.figures import Findings
from dispatchkit.measure.metric import Scope
from dispatchkit.warehouse.files import ours, write_whole
from dispatchkit.warehouse.load import open_marts

HISTORY = timedelta(days=28)  # what is usual: scores, zones at the same hour of the week
RUNS = r"^[=+\-@\t\r\n]"  # a spreadsheet runs text that begins so; words of an import reach these tables
MARGIN = timedelta(days=1)  # rows of the period that carry a later time


def report(name: str, day: date, warehouse: Path, settings: Settings, *, days: int = 1, seed: int = 0) -> Findings:
    """Return what a report finds on a service day, or on `days` days ending with it.

    Raises Usage for an unknown report, InputMissing if nothing is loaded or the day lies after what is loaded.
    """
    wanted = catalog.report(name)
    market = settings.market
    spans = tuple(
        service_day(day - timedelta(days=back), market.timezone, starts_at=market.day_starts_at)
        for back in reversed(range(days))
    )
    with open_marts(warehouse) as marts:
        as_of = parse_instant(marts.manifest["as_of"])
        scope = Scope(days=spans, as_of=as_of, seed=seed)
        if scope.window.since >= as_of:
            raise InputMissing(f"{day} begins after what is loaded: the export stands at {rfc3339(as_of)}")
        period = Window(scope.window.since - HISTORY, scope.window.until + MARGIN)
        frames = {mart: marts.frame(mart, columns, within=period) for mart, columns in wanted.reads.items()}
        source = {key: marts.manifest[key] for key in ("database_id", "revision", "sha256") if key in marts.manifest}
    return Findings(
        name=name,
        title=wanted.title,
        day=str(day) if days == 1 else f"{day - timedelta(days=days - 1)} to {day}",
        window=scope.window,
        as_of=as_of,
        tz=market.timezone,
        sections=wanted.measure(frames, scope),
        source=source,
    )


def write(findings: Findings, to: Path) -> list[Path]:
    """Write a report as HTML, Markdown, JSON, and its tables as CSV and Parquet; return the files, HTML first.

    Each file is there wholly or not at all; what stood there before is replaced. Raises CannotCreate, IOFailed.
    """
    from dispatchkit.pages.html import page
    from dispatchkit.pages.markdown import markdown

    tables = to / f"{findings.name}-tables"
    if not to.parent.is_dir():
        raise CannotCreate(f"{to.parent.name}: no such directory; make it first")
    with ours(to):
        to.mkdir(exist_ok=True)
        tables.mkdir(exist_ok=True)
    texts = {"html": page(findings), "md": markdown(findings), "json": as_json(findings)}
    made = {to / f"{findings.name}.{ending}": text.encode() for ending, text in texts.items()}
    for section in findings.sections:
        for table in section.tables:
            made[tables / f"{table.name}.csv"] = _csv(table.frame)
            made[tables / f"{table.name}.parquet"] = _parquet(table.frame)
    for path, data in made.items():
        write_whole(path, data)
    return list(made)


def as_json(findings: Findings) -> str:
    """Return the findings as one JSON document with sorted keys."""
    return json.dumps(findings.document(), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(frame: pl.DataFrame) -> bytes:
    text = pl.col(pl.String)
    safe = frame.with_columns(pl.when(text.str.contains(RUNS)).then(pl.lit("'") + text).otherwise(text).name.keep())
    return safe.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out, compression="zstd")
    return out.getvalue()
