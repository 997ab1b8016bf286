"""Metrics as measures compute them and pages show them, each with what it was computed from.

A report has sections; a section has metrics, tables and checks. In every metric
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
    """Rows excluded from a denominator for one named reason.

    by_definition: the metric is not about these rows (expired offers, where it is about answers).
    They are counted and shown, but do not count towards MAX_EXCLUDED_SHARE.
    """

    reason: str
    count: int
    by_definition: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The planned value of a metric, shown beside it."""

    text: str
    sign: str = ""  # ">", "<" or "=" if a metric can be compared with `value`
    value: float = 0.0

    def met(
        self, value: float | None, low: float | None = None, high: float | None = None
    ) -> bool | None:
        """Return whether a value meets the target.

        None without a value, or if the interval lies on both sides of the target.
        """
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
    """One number with everything needed to judge it.

    unit: share, minutes, cents or ratio.
    numerator: None if the metric is a quantile.
    fraction_units: the units of numerator and denominator: count, cents or seconds.
    low, high: 95 % interval, computed by `interval_method`.
    missing_reason: why there is no value (`n/a`).
    remark: what a reader must know to read the value; shown beside it.
    """

    name: str
    definition: str
    cohort: str
    unit: str
    value: float | None
    denominator: int
    numerator: int | None = None
    fraction_units: tuple[str, str] = ("count", "count")
    excluded: tuple[Exclusion, ...] = ()
    open: int = 0
    low: float | None = None
    high: float | None = None
    interval_method: str = ""
    missing_reason: str = ""
    remark: str = ""
    target: Target | None = None

    @property
    def excluded_count(self) -> int:
        return sum(e.count for e in self.excluded)

    @property
    def failed(self) -> bool:
        """Return whether more than MAX_EXCLUDED_SHARE of the cohort was excluded; `n/a` never fails."""
        if self.value is None:
            return False
        excluded = sum(e.count for e in self.excluded if not e.by_definition)
        return excluded > MAX_EXCLUDED_SHARE * (self.denominator + self.excluded_count + self.open)

    def summary(self) -> str:
        """Return everything in one line.

        `0.8984 [0.8976, 0.8992] = 510,776 / 568,546; excluded 0; open 0`
        """
        equals = "" if self.numerator is None else "= "
        text = f"{self.value_text} {self.interval_text} {equals}{self.fraction}".replace("  ", " ")
        reasons = ", ".join(f"{e.reason} {e.count:,}" for e in self.excluded if e.count)
        text += f"; excluded {self.excluded_count:,}{f' ({reasons})' if reasons else ''}"
        text += f"; open {self.open:,}"
        text += f"; {self.missing_reason}" if self.value is None and self.missing_reason else ""
        text += f"; {self.remark}" if self.remark else ""
        return (
            f"{text}; FAILED: more than {MAX_EXCLUDED_SHARE:.0%} excluded" if self.failed else text
        )

    @property
    def target_met(self) -> bool | None:
        """Return whether the whole interval meets the target; None if that is undecided."""
        return self.target.met(self.value, self.low, self.high) if self.target else None

    @property
    def value_text(self) -> str:
        """Return the value alone, in its unit."""
        return amount(self.value, self.unit)

    @property
    def fraction(self) -> str:
        """Return numerator and denominator: `555 / 655`, or `of 642` for a quantile."""
        denominator = amount(self.denominator, self.fraction_units[1])
        return (
            f"of {denominator}"
            if self.numerator is None
            else f"{amount(self.numerator, self.fraction_units[0])} / {denominator}"
        )

    @property
    def interval_text(self) -> str:
        """Return `[low, high]`, empty without an interval."""
        if self.low is None or self.high is None:
            return ""
        return f"[{amount(self.low, self.unit)}, {amount(self.high, self.unit)}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of a report.

    units: by column, how a number is written: share, cents, minutes, ... (see `amount`).
    """

    name: str
    title: str
    frame: pl.DataFrame
    units: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A sum that must add up, and whether it does."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The result of one measure."""

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
        """Return why this section must not be trusted, empty if it can be."""
        excluded = [
            f"{m.name}: {m.excluded_count:,} rows excluded" for m in self.metrics if m.failed
        ]
        return excluded + [f"{c.name}: {c.detail}" for c in self.checks if not c.holds]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult:
    """The result of a report on one window, as known at the instant `as_of`.

    tz: time zone of the market. source: keys of the export that the rows came from.
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
        """Return the result as data for JSON, with floats rounded to six decimals."""
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
    """Return a number as text in its unit; None is `n/a`, infinity is `never`."""
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
            "interval_method": m.interval_method,
            "cohort": m.cohort,
            "definition": m.definition,
            "target": m.target.text if m.target else None,
            "target_met": m.target_met,
            "missing_reason": m.missing_reason,
            "remark": m.remark,
            "failed": m.failed,
            "summary": m.summary(),
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
