"""A report as one self-contained HTML file: headline, the day, then each section with its evidence folded beneath."""

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
MOST_ZONES = 24
TARGETS = (
    "Targets are the plan's hopes, not promises: ✓ and ✗ where the whole 95 % interval lies on one side, ~ where the "
    "interval spans the target."
)


def page(findings: ReportResult) -> str:
    """Return the whole page; it loads nothing, runs no script, and reads on light, dark and paper."""
    body = [_head(findings), *(_section(section, findings.tz) for section in findings.sections)]
    body += [_definitions(findings), _foot(findings)]
    title = escape(f"{findings.title}, {findings.day}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>\n'
        f"<body>\n{chr(10).join(body)}\n</body></html>\n"
    )


def _head(findings: ReportResult) -> str:
    cards = [parts.card(m) for m in _headline(findings)]
    alarm = ""
    if findings.faults:
        listed = "".join(f"<li>{escape(fault)}</li>" for fault in findings.faults)
        alarm = f'<div class="alarm"><b>Not to be trusted as it stands</b><ul>{listed}</ul></div>'
    early = findings.as_of < findings.window.until
    running = " The day was still running: what is open is counted as open." if early else ""
    paid = any(m.unit == "cents" for section in findings.sections for m in section.metrics)
    money = " Money is in the currency of the ledger." if paid else ""
    known = f"{words.span(findings)}, known as of {words.instant(findings.as_of, findings.tz)}.{running}{money}"
    return (
        f"<h1>{escape(findings.title)}, {escape(findings.day)}</h1>"
        f'<p class="soft">{escape(known)}</p>{alarm}<div class="cards">{"".join(cards)}</div>'
    )


def _headline(findings: ReportResult) -> list[Metric]:
    found = {m.name: m for section in findings.sections for m in section.metrics}
    chosen = [found[name] for name in HEADLINE if name in found]
    return chosen or [m for section in findings.sections for m in section.metrics][:4]


def _section(section: Section, tz: str) -> str:
    special = SHOWN.get(section.name)
    inside = special(section, tz) if special else parts.metrics(section.metrics)
    return f"<h2>{escape(section.title)}</h2>\n{inside}{parts.notes(section.notes)}"


def _funnel(section: Section, tz: str) -> str:
    quarters, stages = section.table("quarters").frame, section.table("stages").frame
    drawn = ""
    if quarters.height and quarters["orders"].sum():
        busy = _busy(quarters)
        drawn = parts.figure(
            charts.day(busy, tz),
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
    return drawn + parts.bars(rows) + parts.metrics(section.metrics) + ends


def _busy(quarters: pl.DataFrame) -> pl.DataFrame:
    """Return the quarters from the first in which anything happened to the last."""
    alive = pl.sum_horizontal("orders", "assigned", "delivered", "unassigned") > 0
    found = quarters.with_row_index("i").filter(alive)["i"]
    return quarters.slice(int(found[0]), int(found[-1]) - int(found[0]) + 1)


def _service(section: Section, tz: str) -> str:
    """Return every figure over all orders beside the same over delivered ones, which always looks better."""
    found = {m.name: m for m in section.metrics}
    body = ""
    for name, everyone in found.items():
        if not name.endswith("_all_orders"):
            continue
        pair = (everyone, found[name.replace("_all_orders", "_delivered_only")])
        cells = "".join(
            f"<td class=n><b>{escape(words.value(m.value, m.unit))}</b><td class=n>{escape(words.interval(m) or m.why)}"
            for m in pair
        )
        remark = (
            f'<br><span class="note">{escape(everyone.remark)}</span>' if everyone.remark else ""
        )
        body += (
            f"<tr><td>{escape(words.name(name.removesuffix('_all_orders')))}{remark}{cells}</tr>"
        )
    head = "<th><th class=n>all orders<th class=n>95 % interval<th class=n>delivered only<th class=n>95 % interval"
    return f"<table><tr>{head}</tr>{body}</table>" + parts.fold(
        "With counts", parts.metrics(section.metrics)
    )


def _offers(section: Section, tz: str) -> str:
    tables = "".join(f"<h3>{escape(t.title)}</h3>{parts.table(t, tz)}" for t in section.tables)
    return parts.metrics(section.metrics) + parts.fold("Every answer, every case", tables)


def _economics(section: Section, tz: str) -> str:
    drawn = ""
    if section.table("ledger").frame.height:
        drawn = parts.figure(charts.waterfall(section.table("bridge").frame))
    checks = "".join(
        f'<tr><td class="{"good" if c.holds else "bad"}">{"✓" if c.holds else "✗"}<td>{escape(c.name)}'
        f"<td>{escape(c.detail)}</tr>"
        for c in section.checks
    )
    folded = parts.fold("Ledger by kind", parts.table(section.table("ledger"), tz))
    zones = parts.fold("Contribution by zone", parts.table(section.table("by_zone"), tz))
    return (
        drawn
        + parts.metrics(section.metrics)
        + f"<h3>It adds up</h3><table>{checks}</table>"
        + folded
        + zones
    )


def _zones(section: Section, tz: str) -> str:
    day, hours = section.table("zones"), section.table("zone_hours")
    busiest = (
        day.frame.sort("orders", "zone", descending=[True, False])
        .head(MOST_ZONES)["zone"]
        .sort()
        .to_list()
    )
    drawn = ""
    if hours.frame.height:
        drawn = parts.figure(charts.heat(hours.frame, tz, busiest))
        drawn += '<p class="note">The number is the orders placed in that hour.</p>'
    columns = (
        "zone band score orders never_served never_share never_high wait_p90_min required_h available_h short_h "
        "utilisation critical_hours strained_hours"
    ).split()
    return drawn + parts.table(day, tz, columns=columns, most=40) + parts.metrics(section.metrics)


def _drivers(section: Section, tz: str) -> str:
    whole = section.table("drivers")
    ranked = whole.frame.filter(pl.col("rank").is_not_null())
    columns = (
        "rank driver_id vehicle zone score cautious completion completion_n dropoff pickup acceptance available_h "
        "earned_per_h"
    ).split()
    few = whole.frame.height - ranked.height
    shown = f"<p>{ranked.height:,} drivers ranked, {few:,} with too few events to rank.</p>"
    for title, rows in _ends_of(ranked) or [
        ("Busiest drivers (too few events to rank)", _busiest(whole.frame))
    ]:
        part = replace(whole, frame=rows, note="")
        shown += f"<h3>{title}</h3>" + parts.table(part, tz, columns=columns)
    shown += parts.notes([whole.note])
    vehicles = f"<h3>By vehicle</h3>{parts.table(section.table('by_vehicle'), tz)}"
    return parts.metrics(section.metrics) + (shown if whole.frame.height else "") + vehicles


def _ends_of(ranked: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    if ranked.height <= 16:
        return [("Ranked, most certain first", ranked)] if ranked.height else []
    return [("First by cautious rank", ranked.head(8)), ("Last by cautious rank", ranked.tail(8))]


def _busiest(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("delivered", "driver_id", descending=[True, False]).head(8)


def _etas(section: Section, tz: str) -> str:
    found = section.table("errors").frame
    given = [
        e for e in ("placement", "accept", "pickup", "near_door") if e in found["event"].to_list()
    ]
    drawn = (
        parts.figure(charts.errors(found, given), (charts.TEAL, "within 5 minutes"))
        if given
        else ""
    )
    accuracy = [m for m in section.metrics if "accuracy" in m.name]
    rest = [m for m in section.metrics if "accuracy" not in m.name]
    events = parts.table(section.table("events"), tz)
    return (
        parts.metrics(accuracy)
        + drawn
        + events
        + parts.fold("Lateness, coverage, p90", parts.metrics(rest))
    )


SHOWN: dict[str, Callable[[Section, str], str]] = {
    "funnel": _funnel,
    "service": _service,
    "offers": _offers,
    "economics": _economics,
    "zones": _zones,
    "drivers": _drivers,
    "etas": _etas,
}


def _definitions(findings: ReportResult) -> str:
    listed = "".join(
        f"<dt>{escape(words.name(m.name))} <code>{escape(m.name)}</code></dt><dd>{escape(m.definition)}. Cohort: "
        f"{escape(m.cohort)}. {f'Interval: {escape(m.interval)}.' if m.interval else ''}<br><code>{escape(m.line())}"
        "</code></dd>"
        for section in findings.sections
        for m in section.metrics
    )
    return parts.fold(
        "Definitions: every figure with its cohort and all it was made from", f"<dl>{listed}</dl>"
    )


def _foot(findings: ReportResult) -> str:
    source = ", ".join(
        f"{escape(k)} <code>{escape(v)}</code>" for k, v in sorted(findings.source.items())
    )
    return f"<footer>{TARGETS} {f'Source: {source}.' if source else ''}</footer>"
