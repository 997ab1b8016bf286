"""Figures as measures make them and pages show them: a number never stands without what it was made from.

ReportResult hold sections, a section holds metrics, tables and checks. In every metric
cohort = denominator + excluded + open, so that no row is lost silently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from dispatchkit.kernel.clock import Window, rfc3339

MAX_EXCLUDED_SHARE = 0.10


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Rows left out of a denominator for one named reason.

    by_definition: the metric's question does not concern them (silence, where only answers are asked about); they are
    counted and shown, but do not make the figure untrustworthy.
    """

    reason: str
    count: int
    by_definition: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What the plan hopes for, shown beside a figure as a target and not as a promise."""

    text: str
    sign: str = ""  # ">", "<" or "=" where a figure can be held against `value`
    value: float = 0.0

    def met(
        self, value: float | None, low: float | None = None, high: float | None = None
    ) -> bool | None:
        """Return whether a figure meets it; None where there is no figure, or its interval spans the target."""
        if value is None or not self.sign:
            return None
        if self.sign == "=":
            return value == self.value
        sides = {
            v > self.value if self.sign == ">" else v < self.value
            for v in (value, low, high)
            if v is not None
        }
        return sides.pop() if len(sides) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure with everything needed to judge it.

    unit: share, minutes, cents or ratio. numerator is None where the figure is a quantile.
    made_in: the units of numerator and denominator, count, cents or seconds.
    low, high: 95 % interval; `interval` says how it was made, or why there is none. why: the reason of an `n/a`.
    remark: what must be known to read the value, said beside it.
    """

    name: str
    definition: str
    cohort: str
    unit: str
    value: float | None
    denominator: int
    numerator: int | None = None
    made_in: tuple[str, str] = ("count", "count")
    excluded: tuple[Exclusion, ...] = ()
    open: int = 0
    low: float | None = None
    high: float | None = None
    interval: str = ""
    why: str = ""
    remark: str = ""
    target: Target | None = None

    @property
    def excluded_count(self) -> int:
        return sum(e.count for e in self.excluded)

    @property
    def failed(self) -> bool:
        """Return whether too much was left out for the figure to stand; an `n/a` claims nothing and cannot fail."""
        if self.value is None:
            return False
        left_out = sum(e.count for e in self.excluded if not e.by_definition)
        return left_out > MAX_EXCLUDED_SHARE * (self.denominator + self.excluded_count + self.open)

    def line(self) -> str:
        """Return the figure in one line: `0.8984 [0.8976, 0.8992] = 510,776 / 568,546; excluded 0; open 0`."""
        equals = "" if self.numerator is None else "= "
        text = f"{self.shown} {self.between} {equals}{self.made_of}".replace("  ", " ")
        reasons = ", ".join(f"{e.reason} {e.count:,}" for e in self.excluded if e.count)
        text += f"; excluded {self.excluded_count:,}{f' ({reasons})' if reasons else ''}; open {self.open:,}"
        text += f"; {self.why}" if self.value is None and self.why else ""
        text += f"; {self.remark}" if self.remark else ""
        return (
            f"{text}; FAILED: more than {MAX_EXCLUDED_SHARE:.0%} excluded" if self.failed else text
        )

    @property
    def target_met(self) -> bool | None:
        """Return whether the whole interval lies on the target's good side; None where that cannot be told."""
        return self.target.met(self.value, self.low, self.high) if self.target else None

    @property
    def shown(self) -> str:
        """Return the value alone, in its unit."""
        return amount(self.value, self.unit)

    @property
    def made_of(self) -> str:
        """Return what the value was made from: `555 / 655`, or `of 642` for a quantile."""
        below = amount(self.denominator, self.made_in[1])
        return (
            f"of {below}"
            if self.numerator is None
            else f"{amount(self.numerator, self.made_in[0])} / {below}"
        )

    @property
    def between(self) -> str:
        """Return the interval alone, empty if there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"[{amount(self.low, self.unit)}, {amount(self.high, self.unit)}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows worth reading; `units` says how a column is written (share, cents, minutes, ...)."""

    name: str
    title: str
    frame: pl.DataFrame
    units: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must add up, and whether it does."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one measure found."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    tables: tuple[Table, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    def metric(self, name: str) -> Metric:
        return next(m for m in self.metrics if m.name == name)

    def table(self, name: str) -> Table:
        return next(t for t in self.tables if t.name == name)

    @property
    def faults(self) -> list[str]:
        """Return why this section must not be trusted, empty if it may."""
        excluded = [
            f"{m.name}: {m.excluded_count:,} rows excluded" for m in self.metrics if m.failed
        ]
        return excluded + [f"{c.name}: {c.detail}" for c in self.checks if not c.holds]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult:
    """What a report says about one window, as known at one instant. tz: the clock its readers live by.

    source: where the rows came from.
    """

    name: str
    title: str
    day: str
    window: Window
    as_of: datetime
    sections: tuple[Section, ...]
    tz: str = "UTC"
    source: Mapping[str, str] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        return [fault for section in self.sections for fault in section.faults]

    def section(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def document(self) -> dict[str, Any]:
        """Return the findings as JSON-able data; floats keep six decimals, so equal input gives equal bytes."""
        return {
            "report": self.name,
            "title": self.title,
            "day": self.day,
            "since": rfc3339(self.window.since),
            "until": rfc3339(self.window.until),
            "as_of": rfc3339(self.as_of),
            "tz": self.tz,
            "source": dict(self.source),
            "faults": self.faults,
            "sections": {s.name: _section(s) for s in self.sections},
        }


def amount(value: float | None, unit: str) -> str:
    """Return a number as people read it in its unit; None is `n/a`, infinity `never`."""
    if value is None:
        return "n/a"
    if math.isinf(value):
        return "never"
    match unit:
        case "share":
            return f"{value:.4f}"
        case "cents":
            return f"{'-' if round(value) < 0 else ''}{abs(round(value)) / 100:,.2f}"
        case "orders" | "count" | "id":
            return f"{value:,.0f}"
        case "seconds":
            return f"{value / 3600:,.1f} h"
        case "minutes" | "hours" | "score":
            return f"{value:,.1f}"
    return f"{value:.2f}"


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "metrics": {m.name: _metric(m) for m in section.metrics},
        "tables": {
            t.name: [_plain(row) for row in t.frame.iter_rows(named=True)] for t in section.tables
        },
        "checks": {c.name: {"holds": c.holds, "detail": c.detail} for c in section.checks},
        "notes": list(section.notes),
    }


def _metric(m: Metric) -> dict[str, Any]:
    return _plain(
        {
            "value": m.value,
            "unit": m.unit,
            "numerator": m.numerator,
            "denominator": m.denominator,
            "excluded": {e.reason: e.count for e in m.excluded},
            "open": m.open,
            "interval": None if m.low is None or m.high is None else [m.low, m.high],
            "interval_by": m.interval,
            "cohort": m.cohort,
            "definition": m.definition,
            "target": m.target.text if m.target else None,
            "target_met": m.target_met,
            "why": m.why,
            "remark": m.remark,
            "failed": m.failed,
            "line": m.line(),
        }
    )


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _number(value) for key, value in row.items()}


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return rfc3339(value)
    return [_number(v) for v in value] if isinstance(value, list) else value
