"""The reports: which sections each has, and the planned targets.

This module alone imports the other measures; they do not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import polars as pl
from polars import selectors as cs

from dispatchkit.domain.feature import Report
from dispatchkit.kernel.metrics import Section, Target
from dispatchkit.measure import (
    availability,
    drivers,
    economics,
    escalation,
    etas,
    funnel,
    offers,
    reassignment,
    risk,
    service,
    zones,
)
from dispatchkit.measure.metric import Columns, Scope, not_available

Measure = Callable[[Mapping[str, pl.DataFrame], Scope], Section]

SECTIONS: dict[str, tuple[Measure, Columns]] = {
    "funnel": (funnel.measure, funnel.READS),
    "service": (service.measure, service.READS),
    "offers": (offers.measure, offers.READS),
    "reassignment": (reassignment.measure, reassignment.READS),
    "escalation": (escalation.measure, escalation.READS),
    "risk": (risk.measure, risk.READS),
    "economics": (economics.measure, economics.READS),
    "zones": (zones.measure, zones.READS),
    "drivers": (drivers.measure, drivers.READS),
    "availability": (availability.measure, availability.READS),
    "etas": (etas.measure, etas.READS),
}
TARGETS = {
    "offer_acceptance": Target("> 80 %", ">", 0.80),
    "unassigned_never_served": Target("< 5 %", "<", 0.05),
    "auto_reassignment": Target("> 95 %", ">", 0.95),
    "drivers_tracked": Target("100 %", "=", 1.0),
    **{f"eta_accuracy_{event}": Target("> 85 %", ">", 0.85) for event in etas.EVENTS},
    "contribution_margin": Target("+15 % against a baseline"),
    "support_tickets": Target("-50 %"),
    "driver_satisfaction": Target("+15 %"),
    "customer_satisfaction": Target("+20 %"),
    "live_tracking": Target("> 60 %", ">", 0.60),
    "ops_effort": Target("-70 %"),
    "audit_completeness": Target("100 %", "=", 1.0),
    "route_efficiency": Target("+20 % against a baseline"),
}
# Targets without data: how they would be computed, and why an export does not allow it.
NOT_MEASURABLE = {
    "support_tickets": (
        "tickets opened within 24 h of an order / 1,000 orders",
        "no customers' tickets were imported; escalation tickets are reported separately",
    ),
    "driver_satisfaction": (
        "survey scores / respondents",
        "no survey was imported, and no proxy may carry the name",
    ),
    "customer_satisfaction": (
        "survey scores / respondents",
        "no survey was imported, and no proxy may carry the name",
    ),
    "live_tracking": (
        "deliveries with a customer view / deliveries",
        "no tracking views were imported",
    ),
    "ops_effort": ("transitions by ops / 1,000 orders", "exports carry no history of transitions"),
    "audit_completeness": (
        "rows, deltas and decisions matched / all",
        "checked in the database: `dispatchkit db check`",
    ),
    "route_efficiency": (
        "km and driver-minutes / delivered order",
        "needs paired days against a named baseline",
    ),
}


def measure(
    names: Sequence[str], marts: Mapping[str, pl.DataFrame], scope: Scope
) -> tuple[Section, ...]:
    """Return these sections, each metric with its planned target if it has one."""
    sections = (
        SECTIONS[name][0](marts, scope) if name in SECTIONS else not_measurable(scope)
        for name in names
    )
    return tuple(_finished(section) for section in sections)


def not_measurable(scope: Scope) -> Section:
    """Return the targets that an export does not allow to measure, each with the reason."""
    metrics = tuple(
        not_available(name, definition, scope, reason)
        for name, (definition, reason) in NOT_MEASURABLE.items()
    )
    return Section(
        name="not_measurable", title="Targets that this data does not measure", metrics=metrics
    )


def _finished(section: Section) -> Section:
    """Return a section with targets, and its tables with floats rounded to six decimals.

    A sum of floats may differ in its last bit from run to run; rounded, the files are the same.
    """
    metrics = tuple(replace(m, target=TARGETS.get(m.name)) for m in section.metrics)
    tables = tuple(
        replace(t, frame=t.frame.with_columns(cs.float().round(6))) for t in section.tables
    )
    return replace(section, metrics=metrics, tables=tables)


def _report(name: str, title: str, names: Sequence[str]) -> Report:
    """Return a report of these sections, with all mart columns that they read."""
    wanted: dict[str, set[str]] = {}
    for section in names:
        for mart, columns in (SECTIONS[section][1] if section in SECTIONS else {}).items():
            wanted.setdefault(mart, set()).update(columns)
    reads = {mart: sorted(columns) for mart, columns in sorted(wanted.items())}
    return Report(name=name, title=title, reads=reads, measure=partial(measure, names))


REPORTS = {
    name: _report(name, title, names)
    for name, title, names in (
        ("nightly", "Nightly report", (*SECTIONS, "not_measurable")),
        ("funnel", "Funnel", ("funnel", "service", "offers")),
        ("economics", "Economics", ("economics",)),
        ("drivers", "Drivers", ("drivers", "availability")),
        ("zones", "Zones", ("zones",)),
        ("etas", "Predicted delivery times", ("etas",)),
    )
}
