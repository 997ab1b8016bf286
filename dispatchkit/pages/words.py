"""How a report writes metrics: titles in words, percent signs, times on the market's clock."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from dispatchkit.kernel.clock import zone
from dispatchkit.kernel.metrics import Metric, ReportResult, Table, amount

# Titles of metrics whose name alone would not read well; see `title` for all others.
TITLES = {
    "unassigned_never_served": "Never served",
    "unassigned_ever_late": "Searched over 10 min",
    "mean_unassigned_orders": "Unassigned orders on average",
    "on_time_all_orders": "On time, all orders",
    "on_time_delivered_only": "On time, delivered only",
    "offer_acceptance": "Offer acceptance",
    "offer_willingness": "Acceptance among answered offers",
    "countable_acceptance": "Acceptance among offers that count for the driver's score",
    "first_offer_acceptance": "First offer accepted",
    "auto_reassignment": "Reassigned and delivered in time",
    "auto_reassignment_any_time": "Reassigned and delivered at any time",
    "reassignment_flaps": "Released twice within 15 min",
    "reassignment_returns": "Returned to a driver who had lost the delivery",
    "escalation_lag_median": "Escalation delay, median",
    "escalation_lag_p90": "Escalation delay, 90 % point",
    "escalation_tickets_per_1000": "Escalation tickets per 1,000 orders",
    "contribution_per_order": "Contribution per order",
    "contribution_per_delivered": "Contribution per delivered order",
    "idle_topup_share": "Share of top-ups paid to idle drivers",
    "click_to_door_median_all_orders": "Click to door, median of all orders",
    "eta_accuracy_placement": "ETA within 5 min at placement",
    "offer_gini": "Gini coefficient of offers",
    "hours_within_cap": "Runs of work within the hours cap",
    "shift_kept": "Shifts that ended as planned",
}

# Headings of columns whose name alone would not read well; see `heading` for all others.
HEADINGS = {
    "driver_id": "driver",
    "tag": "evidence",
    "score": "score (of 100)",
    "cautious_score": "cautious score (of 100)",
    "completion_n": "deliveries scored",
    "available_h": "hours available",
    "engaged_h": "hours with a delivery",
    "offers_per_h": "offers per hour",
    "earned_cents": "earned",
    "earned_per_h": "earned per hour",
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
    "predicted_without_boost": "accepted without boost (predicted)",
    "extra_accepted": "accepted beyond that",
    "cost_per_extra_cents": "cost of each extra acceptance",
    "saved_min": "saved (min)",
    "hours_share": "share of hours",
    "offers_share": "share of offers",
    "actual_h": "hours of shift",
    "planned_h": "hours planned",
    "over_min": "beyond (min)",
    "p90_min": "90 % point (min)",
    "median_min": "median (min)",
}


def title(name: str) -> str:
    """Return a metric's name in words: `first_offer_acceptance` -> `First offer accepted`."""
    if name in TITLES:
        return TITLES[name]
    plain = name.replace("eta_", "ETA ").replace("_", " ").strip()
    return plain[:1].upper() + plain[1:]


def heading(column: str) -> str:
    """Return a column's heading, with its unit: `wait_p90_min` -> `wait, 90 % point (min)`."""
    return HEADINGS.get(column, column.replace("_", " "))


def value(number: float | None, unit: str) -> str:
    """Return a number with its unit: shares as percent, minutes with `min`."""
    if number is None:
        return "n/a"
    if unit == "share" and number != float("inf"):
        return f"{100 * number:.1f} %"
    text = amount(number, unit)
    return f"{text} min" if unit == "minutes" and text != "never" else text


def interval(metric: Metric) -> str:
    """Return a metric's 95 % interval as `64.0 to 95.0 %`, empty without one."""
    if metric.low is None or metric.high is None:
        return ""
    low, high = value(metric.low, metric.unit), value(metric.high, metric.unit)
    return f"{low.removesuffix(' %').removesuffix(' min')} to {high}"


def remarks(metric: Metric) -> str:
    """Return why a metric has no value, or else its remark and what it excludes."""
    return metric.missing_reason or "; ".join(filter(None, [metric.remark, exclusions(metric)]))


def exclusions(metric: Metric) -> str:
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


def span(result: ReportResult) -> str:
    """Return the window in words: from its first to its last local minute, and its length."""
    since, until = result.window.since, result.window.until
    hours = result.window.length.total_seconds() / 3600
    first, last = instant(since, result.tz), until.astimezone(zone(result.tz))
    return f"{first} to {last:%m-%d %H:%M} ({hours:g} h)"
