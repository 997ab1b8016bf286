"""How figures are said: plain names, percent signs, local times."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from dispatchkit.kernel.clock import zone
from dispatchkit.kernel.metrics import Metric, ReportResult, Table, amount

_NAMES = {
    "unassigned_never_served": "Never served",
    "unassigned_ever_late": "Searched over 10 min",
    "unassigned_load": "Waiting on average",
    "on_time_all_orders": "On time, all orders",
    "on_time_delivered_only": "On time, delivered only",
    "offer_acceptance": "Offer acceptance",
    "first_offer_acceptance": "First offer accepted",
    "contribution_per_order": "Contribution an order",
    "click_to_door_median_all_orders": "Click to door, median of all orders",
    "eta_accuracy_placement": "ETA within 5 min at placement",
}

_HEADINGS = {
    "driver_id": "driver",
    "tag": "evidence",
    "score": "score (of 100)",
    "cautious": "cautious score (of 100)",
    "completion_n": "deliveries scored",
    "available_h": "hours available",
    "engaged_h": "hours with a delivery",
    "offers_per_h": "offers an hour",
    "earned_cents": "earned",
    "earned_per_h": "earned an hour",
    "cents": "amount",
    "never_served": "never served (orders)",
    "never_share": "never served (share)",
    "never_high": "never served, at most",
    "wait_p90_min": "wait, 90 % point (min)",
    "required_h": "hours needed",
    "short_h": "hours short",
    "short_quarters_h": "hours short by quarters",
    "required_s": "needed (s)",
    "available_s": "available (s)",
    "short_quarters_s": "short by quarters (s)",
    "unassigned": "waiting",
    "bias_min": "bias (min)",
    "error_median_min": "median error (min)",
    "width_mean_min": "mean interval (min)",
    "late_min": "late (min)",
    "boost_cents": "boost",
    "paid_cents": "boosts paid",
    "unboosted": "accepted unboosted (foretold)",
    "extra": "more than that",
    "extra_cents": "paid for each more",
    "saved_min": "saved (min)",
    "hours_share": "share of hours",
    "offers_share": "share of offers",
    "cut": "cut by the window",
    "lasting": "still lasting",
    "actual_h": "hours of shift",
    "planned_h": "hours planned",
    "over_min": "beyond (min)",
    "p90_min": "90 % point (min)",
    "median_min": "median (min)",
}


def name(word: str) -> str:
    """Return a metric's or column's name as words: `first_offer_acceptance` -> `First offer acceptance`."""
    if word in _NAMES:
        return _NAMES[word]
    plain = word.replace("eta_", "ETA ").replace("_", " ").strip()
    return plain[:1].upper() + plain[1:]


def heading(column: str) -> str:
    """Return a column's heading, with its unit: `wait_p90_min` -> `wait, 90 % point (min)`."""
    return _HEADINGS.get(column, column.replace("_", " "))


def value(number: float | None, unit: str) -> str:
    """Return a number with its unit as people say it: shares as percent, minutes with `min`."""
    if number is None:
        return "n/a"
    if unit == "share" and number != float("inf"):
        return f"{100 * number:.1f} %"
    text = amount(number, unit)
    return f"{text} min" if unit == "minutes" and text != "never" else text


def interval(metric: Metric) -> str:
    """Return a metric's interval in the same words, empty without one."""
    if metric.low is None or metric.high is None:
        return ""
    low, high = value(metric.low, metric.unit), value(metric.high, metric.unit)
    return f"{low.removesuffix(' %').removesuffix(' min')} to {high}"


def remarks(metric: Metric) -> str:
    """Return what stands beside a figure: why there is none, or what must be known of it and what it leaves out."""
    return metric.why or "; ".join(filter(None, [metric.remark, left_out(metric)]))


def left_out(metric: Metric) -> str:
    """Return exclusions with their reasons and the open rows, empty if there are none."""
    parts = [f"{e.reason} {e.count:,}" for e in metric.excluded if e.count]
    return ", ".join([*parts, *([f"open {metric.open:,}"] if metric.open else [])])


def cell(item: Any, unit: str | None, tz: str) -> str:
    """Return one cell of a table as text; times are shown on the market's clock."""
    if item is None:
        return ""
    if isinstance(item, bool):
        return "yes" if item else ""
    if isinstance(item, datetime):
        return f"{item.astimezone(zone(tz)):%H:%M}"
    if isinstance(item, date) or unit is None:
        return f"{item:,.2f}" if isinstance(item, float) else str(item)
    return value(float(item), unit).removesuffix(" min")


def rows(table: Table, tz: str, *, columns: list[str] | None = None) -> list[list[str]]:
    """Return a table's rows as text, all or some of its columns."""
    shown = columns or table.frame.columns
    return [
        [cell(row[c], table.units.get(c), tz) for c in shown]
        for row in table.frame.select(shown).iter_rows(named=True)
    ]


def instant(at: datetime, tz: str) -> str:
    """Return an instant on the market's clock, with the clock's name."""
    return f"{at.astimezone(zone(tz)):%Y-%m-%d %H:%M} {tz}"


def span(findings: ReportResult) -> str:
    """Return the window in words: the service day with its first and last local minute."""
    since, until = findings.window.since, findings.window.until
    hours = findings.window.length.total_seconds() / 3600
    begins, ends = instant(since, findings.tz), until.astimezone(zone(findings.tz))
    return f"{begins} to {ends:%m-%d %H:%M} ({hours:g} h)"
