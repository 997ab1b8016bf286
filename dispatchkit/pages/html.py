"""A report as one self-contained HTML file: headline, the day, then each section with its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape

import polars as pl

from dispatchkit.kernel.metrics import Metric, ReportResult, Section
from dispatchkit.pages import charts, parts, words
from dispatchkit.pages.style import CSS

HEADLINE = (
    "unassigned_never_served on_time_all_orders click_to_door_median_all_orders offer_acceptance "
    "eta_accuracy_placement auto_reassignment contribution_per_order driver_utilisation"
).split()
MAX_ZONES = 24  # in the heat map
ENDS = 8  # drivers shown from each end of the ranking
TARGETS = (
    "Targets are planned values, not promises: ✓ met or ✗ missed by the whole 95 % interval, ~ if the "
    "target lies inside the interval."
)


def page(result: ReportResult) -> str:
    """Return the whole page; it loads nothing, runs no script, and suits light, dark and paper."""
    body = [_head(result), *(_section(section, result.tz) for section in result.sections)]
    body += [_definitions(result), _foot(result)]
    title = escape(f"{result.title}, {result.day}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS}</style></head>\n"
        f"<body>\n{chr(10).join(body)}\n</body></html>\n"
    )


def _head(result: ReportResult) -> str:
    cards = [parts.card(m) for m in _headline(result)]
    warning = ""
    if result.faults:
        listed = "".join(f"<li>{escape(fault)}</li>" for fault in result.faults)
        warning = f'<div class="alarm"><b>Do not trust this report</b><ul>{listed}</ul></div>'
    running = ""
    if result.as_of < result.window.until:
        running = " The day was still running: orders on their way are counted as open."
    paid = any(m.unit == "cents" for section in result.sections for m in section.metrics)
    money = " Money is in the currency of the ledger." if paid else ""
    as_of = words.instant(result.as_of, result.tz)
    known = f"{words.span(result)}, known as of {as_of}.{running}{money}"
    return (
        f"<h1>{escape(result.title)}, {escape(result.day)}</h1>"
        f'<p class="soft">{escape(known)}</p>{warning}<div class="cards">{"".join(cards)}</div>'
    )


def _headline(result: ReportResult) -> list[Metric]:
    """Return the metrics of the headline: those of HEADLINE, or the first four without any."""
    metrics = {m.name: m for section in result.sections for m in section.metrics}
    chosen = [metrics[name] for name in HEADLINE if name in metrics]
    return chosen or list(metrics.values())[:4]


def _section(section: Section, tz: str) -> str:
    layout = LAYOUTS.get(section.name)
    inside = layout(section, tz) if layout else parts.metrics(section.metrics)
    return f"<h2>{escape(section.title)}</h2>\n{inside}{parts.notes(section.notes)}"


def _funnel(section: Section, tz: str) -> str:
    quarters, stages = section.table("quarters").frame, section.table("stages").frame
    chart = ""
    if quarters.height and quarters["orders"].sum():
        chart = parts.figure(
            charts.day(_trimmed(quarters), tz),
            (charts.BLUE, "orders placed in a quarter hour"),
            (charts.TEAL, "assigned"),
            (charts.GREY, "delivered"),
            (charts.RED, "waiting for a driver"),
        )
    rows = [
        (stage, n, share, f"{implied:,} without a time" if implied else "")
        for stage, n, share, implied in stages.iter_rows()
    ]
    ends = parts.fold("How orders ended", parts.table(section.table("ends"), tz))
    return chart + parts.bars(rows) + parts.metrics(section.metrics) + ends


def _trimmed(quarters: pl.DataFrame) -> pl.DataFrame:
    """Return the quarters from the first in which anything happened to the last."""
    busy = pl.sum_horizontal("orders", "assigned", "delivered", "unassigned") > 0
    numbers = quarters.with_row_index("i").filter(busy)["i"]
    first, last = int(numbers[0]), int(numbers[-1])
    return quarters.slice(first, last - first + 1)


def _service(section: Section, tz: str) -> str:
    """Return each metric over all orders beside the same over delivered ones.

    The latter always looks better, since the longest waits end without a delivery.
    """
    metrics = {m.name: m for m in section.metrics}
    body = ""
    for name, all_orders in metrics.items():
        if not name.endswith("_all_orders"):
            continue
        pair = (all_orders, metrics[name.replace("_all_orders", "_delivered_only")])
        cells = "".join(
            f"<td class=n><b>{escape(words.value(m.value, m.unit))}</b>"
            f"<td class=n>{escape(words.interval(m) or m.missing_reason)}"
            for m in pair
        )
        remark = (
            f'<br><span class="note">{escape(all_orders.remark)}</span>'
            if all_orders.remark
            else ""
        )
        body += (
            f"<tr><td>{escape(words.title(name.removesuffix('_all_orders')))}{remark}{cells}</tr>"
        )
    head = "".join(
        f"<th class=n>{text}"
        for text in ("all orders", "95 % interval", "delivered only", "95 % interval")
    )
    return f"<table><tr><th>{head}</tr>{body}</table>" + parts.fold(
        "With counts", parts.metrics(section.metrics)
    )


def _offers(section: Section, tz: str) -> str:
    tables = "".join(f"<h3>{escape(t.title)}</h3>{parts.table(t, tz)}" for t in section.tables)
    return parts.metrics(section.metrics) + parts.fold("All answers and cases", tables)


def _economics(section: Section, tz: str) -> str:
    chart = ""
    if section.table("ledger").frame.height:
        chart = parts.figure(charts.waterfall(section.table("bridge").frame))
    checks = "".join(
        f'<tr><td class="{"good" if c.holds else "bad"}">{"✓" if c.holds else "✗"}<td>{escape(c.name)}'
        f"<td>{escape(c.detail)}</tr>"
        for c in section.checks
    )
    folded = parts.fold("Ledger by kind", parts.table(section.table("ledger"), tz))
    zones = parts.fold("Contribution by zone", parts.table(section.table("by_zone"), tz))
    return (
        chart
        + parts.metrics(section.metrics)
        + f"<h3>Does the ledger add up?</h3><table>{checks}</table>"
        + folded
        + zones
    )


def _zones(section: Section, tz: str) -> str:
    day, hours = section.table("zones"), section.table("zone_hours")
    busiest = (
        day.frame.sort("orders", "zone", descending=[True, False])
        .head(MAX_ZONES)["zone"]
        .sort()
        .to_list()
    )
    chart = ""
    if hours.frame.height:
        chart = parts.figure(charts.heat(hours.frame, tz, busiest))
        chart += '<p class="note">The number is the orders placed in that hour.</p>'
    columns = (
        "zone band score orders never_served never_share never_high wait_p90_min required_h available_h short_h "
        "utilisation critical_hours strained_hours"
    ).split()
    return (
        chart + parts.table(day, tz, columns=columns, max_rows=40) + parts.metrics(section.metrics)
    )


def _drivers(section: Section, tz: str) -> str:
    drivers = section.table("drivers")
    ranked = drivers.frame.filter(pl.col("rank").is_not_null())
    columns = (
        "rank driver_id vehicle zone score cautious_score completion completion_n dropoff pickup "
        "acceptance available_h earned_per_h"
    ).split()
    few = drivers.frame.height - ranked.height
    shown = f"<p>{ranked.height:,} drivers ranked, {few:,} with too few events to rank.</p>"
    for title, rows in _ends_of(ranked) or [
        ("Busiest drivers (too few events to rank)", _busiest(drivers.frame))
    ]:
        part = replace(drivers, frame=rows, note="")
        shown += f"<h3>{title}</h3>" + parts.table(part, tz, columns=columns)
    shown += parts.notes([drivers.note])
    vehicles = f"<h3>By vehicle</h3>{parts.table(section.table('by_vehicle'), tz)}"
    return parts.metrics(section.metrics) + (shown if drivers.frame.height else "") + vehicles


def _ends_of(ranked: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Return titled parts of the ranking: all of it, or the first and the last."""
    if ranked.height <= 2 * ENDS:
        return [("Ranked by cautious score", ranked)] if ranked.height else []
    return [
        ("First by cautious score", ranked.head(ENDS)),
        ("Last by cautious score", ranked.tail(ENDS)),
    ]


def _busiest(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("delivered", "driver_id", descending=[True, False]).head(ENDS)


def _etas(section: Section, tz: str) -> str:
    errors = section.table("errors").frame
    quoted = errors["event"].to_list()
    events = [e for e in ("placement", "accept", "pickup", "near_door") if e in quoted]
    chart = (
        parts.figure(charts.errors(errors, events), (charts.TEAL, "within 5 minutes"))
        if events
        else ""
    )
    accuracy = [m for m in section.metrics if "accuracy" in m.name]
    rest = [m for m in section.metrics if "accuracy" not in m.name]
    by_event = parts.table(section.table("events"), tz)
    return (
        parts.metrics(accuracy)
        + chart
        + by_event
        + parts.fold("Lateness, coverage, p90", parts.metrics(rest))
    )


LAYOUTS: dict[str, Callable[[Section, str], str]] = {
    "funnel": _funnel,
    "service": _service,
    "offers": _offers,
    "economics": _economics,
    "zones": _zones,
    "drivers": _drivers,
    "etas": _etas,
}


def _definitions(result: ReportResult) -> str:
    listed = "".join(_definition(m) for section in result.sections for m in section.metrics)
    return parts.fold(
        "Definitions: each metric with its cohort, counts and interval", f"<dl>{listed}</dl>"
    )


def _definition(metric: Metric) -> str:
    interval = f"Interval: {escape(metric.interval_method)}." if metric.interval_method else ""
    return (
        f"<dt>{escape(words.title(metric.name))} <code>{escape(metric.name)}</code></dt>"
        f"<dd>{escape(metric.definition)}. Cohort: {escape(metric.cohort)}. {interval}"
        f"<br><code>{escape(metric.summary())}</code></dd>"
    )


def _foot(result: ReportResult) -> str:
    source = ", ".join(
        f"{escape(k)} <code>{escape(v)}</code>" for k, v in sorted(result.source.items())
    )
    return f"<footer>{TARGETS} {f'Source: {source}.' if source else ''}</footer>"
