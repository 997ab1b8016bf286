"""Reports: measure the loaded marts of a period and write the result as files."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from dispatchkit.config import Settings
from dispatchkit.flows.live import catalog
from dispatchkit.kernel.clock import Window, day_of, parse_instant, rfc3339, service_day
from dispatchkit.kernel.errors import CannotCreate, InputMissing
from dispatchkit.kernel.files import SHARED, make_folder, staged
from dispatchkit.kernel.metrics import ReportResult
from dispatchkit.measure.metric import Scope
from dispatchkit.warehouse.database import Marts, open_marts

# Days read before the window: scores and zones compare with the same hour of earlier weeks.
HISTORY = timedelta(days=28)
MARGIN = timedelta(days=1)  # after the window: orders placed in it end later
# A spreadsheet runs text that begins so as a formula; imported text reaches these tables.
FORMULA = r"^[=+\-@\t\r\n]"


def report(
    name: str, day: date, warehouse: Path, settings: Settings, *, days: int = 1, seed: int = 0
) -> ReportResult:
    """Return the result of a report on a service day, or on `days` days ending with it.

    warehouse: path of the loaded DuckDB file. seed: of the bootstrap over days.
    Raises Usage for an unknown report, InputMissing if nothing is loaded or no order of these days.
    """
    report_type = catalog.report(name)
    market = settings.market
    spans = tuple(
        service_day(day - timedelta(days=back), market.timezone, starts_at=market.day_starts_at)
        for back in reversed(range(days))
    )
    with open_marts(warehouse) as marts:
        as_of = parse_instant(marts.manifest["as_of"])
        scope = Scope(days=spans, as_of=as_of, seed=seed)
        if scope.window.since >= as_of:
            raise InputMissing(
                f"{day} begins after the loaded data ends: the export is of {rfc3339(as_of)}"
            )
        _need_orders(marts, scope.window, _days_in_words(day, days), settings)
        period = Window(scope.window.since - HISTORY, scope.window.until + MARGIN)
        frames = {
            mart: marts.frame(mart, columns, within=period)
            for mart, columns in report_type.reads.items()
        }
        source = {
            key: marts.manifest[key]
            for key in ("database_id", "revision", "sha256")
            if key in marts.manifest
        }
    return ReportResult(
        name=name,
        title=report_type.title,
        day=_days_in_words(day, days),
        window=scope.window,
        as_of=as_of,
        tz=market.timezone,
        sections=report_type.measure(frames, scope),
        source=source,
    )


def write(result: ReportResult, to: Path) -> list[Path]:
    """Write a report as HTML, Markdown, JSON and its tables as CSV and Parquet.

    Returns the files, HTML first.

    File names contain the report's days. Reports are for people, so only the umask limits readers.
    All files are written and synced before the first gets its name: a full disk leaves the older
    report.
    Raises CannotCreate, NotPermitted (a symlink), IOFailed.
    """
    from dispatchkit.pages.html import page
    from dispatchkit.pages.markdown import markdown

    stem = f"{result.name}-{result.day.replace(' to ', '_')}"
    tables = to / f"{stem}-tables"
    texts = {"html": page(result), "md": markdown(result), "json": as_json(result)}
    contents = {to / f"{stem}.{ending}": text.encode() for ending, text in texts.items()}
    for section in result.sections:
        for table in section.tables:
            contents[tables / f"{table.name}.csv"] = _csv(table.frame)
            contents[tables / f"{table.name}.parquet"] = _parquet(table.frame)
    make_folder(to)
    for path in contents:
        if path.is_dir():
            raise CannotCreate(f"{path}: is a directory, a file belongs there; move it away")
    make_folder(tables)
    with ExitStack() as files:
        for path, content in contents.items():
            files.enter_context(staged(path, content, mode=SHARED))
    return list(contents)


def _days_in_words(day: date, days: int) -> str:
    return str(day) if days == 1 else f"{day - timedelta(days=days - 1)} to {day}"


def _need_orders(marts: Marts, window: Window, named: str, settings: Settings) -> None:
    """Raise InputMissing for a window without any order: all its metrics would be `n/a`."""
    if marts.frame("mart_deliveries", ["placed_at"], within=window).height:
        return
    placed = marts.frame("mart_deliveries", ["placed_at"])["placed_at"].drop_nulls().sort()
    market = settings.market
    ends = [
        day_of(at, market.timezone, starts_at=market.day_starts_at)
        for at in (*placed.head(1), *placed.tail(1))
    ]
    loaded = f"{ends[0]} to {ends[1]}" if ends else "no order at all"
    raise InputMissing(f"no orders on {named}; loaded: {loaded}")


def as_json(result: ReportResult) -> str:
    """Return the result as one JSON document with sorted keys."""
    return (
        json.dumps(result.document(), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        + "\n"
    )


def _csv(frame: pl.DataFrame) -> bytes:
    """Return a table as CSV, with a quote mark before text that a spreadsheet would run."""
    text = pl.col(pl.String)
    safe = frame.with_columns(
        pl.when(text.str.contains(FORMULA)).then(pl.lit("'") + text).otherwise(text).name.keep()
    )
    return safe.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out, compression="zstd")
    return out.getvalue()
