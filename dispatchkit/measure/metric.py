"""How metrics are computed: rates and quantiles with exclusions, open rows and 95 % intervals.

Intervals: Wilson score (Wilson 1927) for rates of one to four days; a percentile bootstrap over
whole days (cluster bootstrap, Efron & Tibshirani 1993) for rates and means of five days and more;
order statistics with the normal approximation of the binomial for quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from dispatchkit.kernel import stable_random
from dispatchkit.kernel.clock import Window, rfc3339
from dispatchkit.kernel.errors import SchemaMismatch
from dispatchkit.kernel.metrics import Exclusion, Metric

Z95 = 1.96
MIN_BOOTSTRAP_DAYS = 5  # with fewer days a bootstrap over days is meaningless
BOOTSTRAP_DRAWS = 1000
Columns = Mapping[str, Sequence[str]]  # mart -> columns read


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is measured: whole service days, as known at `as_of`.

    seed: used by the bootstrap alone.
    """

    days: tuple[Window, ...]
    as_of: datetime
    seed: int = 0

    @property
    def window(self) -> Window:
        return Window(self.days[0].since, self.days[-1].until)

    @property
    def known_until(self) -> datetime:
        """Return the window's end, or `as_of` if the window is still running then."""
        return max(self.window.since, min(self.window.until, self.as_of))

    def within(self, column: str) -> pl.Expr:
        """Return an expression: does this instant lie in the window?"""
        return pl.col(column).is_between(self.window.since, self.window.until, closed="left")

    def day_number(self, column: str) -> pl.Expr:
        """Return the position of an instant's service day, 0 for the first."""
        starts = [day.since for day in self.days[1:]]
        return pl.sum_horizontal(
            [pl.lit(0), *((pl.col(column) >= start).cast(pl.Int32) for start in starts)]
        )

    def cohort(self, by: str) -> str:
        """Return the words for a cohort, e.g. `orders by creation in [..., ...), as of ...`."""
        since, until = rfc3339(self.window.since), rfc3339(self.window.until)
        return f"{by} in [{since}, {until}), as of {rfc3339(self.as_of)}"


def need(marts: Mapping[str, pl.DataFrame], reads: Columns) -> None:
    """Raise SchemaMismatch naming every mart or column that a measure reads and that is missing."""
    missing = [name for name in reads if name not in marts]
    for name, columns in reads.items():
        if name in marts:
            missing += [f"{name}.{c}" for c in columns if c not in marts[name].columns]
    if missing:
        raise SchemaMismatch(
            f"the warehouse lacks {', '.join(missing)}; load the export again with this version"
        )


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Return the Wilson score interval of hits / n (Wilson 1927); (0, 1) if n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, zz = hits / n, z * z
    center = p + zz / (2 * n)
    margin = z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return max(0.0, (center - margin) / (1 + zz / n)), min(1.0, (center + margin) / (1 + zz / n))


def bootstrap(
    name: str, days: Sequence[tuple[float, float]], seed: int
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of sum(a) / sum(b) over days drawn with replacement.

    name: part of the random seed, so that each metric has its own draws.
    days: (a, b) per day. Rows of one day share its weather and supply, so whole days are drawn
    (cluster bootstrap). None with fewer than five days.
    """
    if len(days) < MIN_BOOTSTRAP_DAYS:
        return None
    ratios = []
    for draw in range(BOOTSTRAP_DRAWS):
        sample = [
            days[int(stable_random.uniform(seed, "bootstrap", name, draw, i) * len(days))]
            for i in range(len(days))
        ]
        denominator = sum(b for _, b in sample)
        if denominator:
            ratios.append(sum(a for a, _ in sample) / denominator)
    if not ratios:
        return None

    ratios.sort()
    return ratios[int(0.025 * len(ratios))], ratios[int(0.975 * (len(ratios) - 1))]


def split_rows(
    rows: pl.DataFrame, excluded: Mapping[str, pl.Expr], open_: pl.Expr | None
) -> tuple[pl.DataFrame, tuple[Exclusion, ...], int]:
    """Return (rows of the denominator, exclusions, number of open rows).

    A row that fits several reasons is excluded for the first; a row that fits none can be open.
    """
    kind = pl.lit("")
    reasons = {**excluded, **({} if open_ is None else {"\0open": open_})}
    for reason, applies in reversed(reasons.items()):
        kind = pl.when(applies.fill_null(value=False)).then(pl.lit(reason)).otherwise(kind)
    marked = rows.with_columns(kind.alias("_kind"))
    counts = dict(marked.group_by("_kind").len().iter_rows())
    exclusions = tuple(Exclusion(reason, counts.get(reason, 0)) for reason in excluded)
    return marked.filter(pl.col("_kind") == "").drop("_kind"), exclusions, counts.get("\0open", 0)


def rate(
    name: str,
    rows: pl.DataFrame,
    hit: pl.Expr,
    scope: Scope,
    *,
    by: str,
    definition: str,
    at: str | None = None,
    excluded: Mapping[str, pl.Expr] | None = None,
    open_: pl.Expr | None = None,
    if_empty: str = "no such rows",
) -> Metric:
    """Return the share of rows that fit `hit`, among those neither excluded nor open.

    by: the cohort in words. at: the column that assigns a row to a day, for the bootstrap over
    days; None if a row belongs to no single day (drivers, zones).
    excluded: conditions by reason. if_empty: the reason shown if no row is left.
    """
    counted, exclusions, still_open = split_rows(rows, excluded or {}, open_)
    day = pl.lit(0) if at is None else scope.day_number(at)
    marked = counted.select(_day=day, _hit=hit.fill_null(value=False).cast(pl.Int64))
    n, hits = marked.height, int(marked["_hit"].sum())
    bounds: tuple[float, float] | None = wilson(hits, n) if n else None
    method = "Wilson; rows taken as independent"
    if at is not None and len(scope.days) >= MIN_BOOTSTRAP_DAYS:
        per_day = marked.group_by("_day").agg(pl.col("_hit").sum(), pl.len()).sort("_day")
        bounds = bootstrap(name, [(a, b) for _, a, b in per_day.iter_rows()], scope.seed)
        method = "bootstrap over days"
    low, high = bounds or (None, None)
    return Metric(
        name=name,
        definition=definition,
        cohort=scope.cohort(by),
        unit="share",
        value=hits / n if n else None,
        numerator=hits,
        denominator=n,
        excluded=exclusions,
        open=still_open,
        low=low,
        high=high,
        interval_method=method if bounds else "",
        missing_reason="" if n else if_empty,
    )


def quantile(
    name: str,
    rows: pl.DataFrame,
    seconds: pl.Expr,
    q: float,
    scope: Scope,
    *,
    by: str,
    definition: str,
    excluded: Mapping[str, pl.Expr] | None = None,
    open_: pl.Expr | None = None,
    if_empty: str = "no such rows",
) -> Metric:
    """Return the quantile q of durations, in minutes, by nearest rank.

    The interval is that of order statistics (binomial, normal approximation). A row whose duration
    is null counts as longer than any other; exclude it by name if that is not meant.
    """
    counted, exclusions, still_open = split_rows(rows, excluded or {}, open_)
    minutes = (seconds / 60).fill_null(math.inf)
    values = counted.select(_v=minutes)["_v"].sort().to_list()
    n = len(values)
    value = values[max(1, math.ceil(n * q)) - 1] if n else None
    never = value is not None and math.isinf(value)

    margin = Z95 * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - margin), math.ceil(n * q + margin) + 1  # ranks, from 1
    has_interval = n > 0 and low >= 1 and high <= n and not never

    reason = "" if n else if_empty
    if never:
        reason = f"so many never arrived that the {q:.0%} point lies among them"
    return Metric(
        name=name,
        definition=definition,
        cohort=scope.cohort(by),
        unit="minutes",
        value=None if never else value,
        denominator=n,
        excluded=exclusions,
        open=still_open,
        low=values[low - 1] if has_interval else None,
        high=values[high - 1] if has_interval else None,
        interval_method="order statistics" if has_interval else "",
        missing_reason=reason,
    )


def not_available(name: str, definition: str, scope: Scope, reason: str) -> Metric:
    """Return a metric that the imported data cannot give: `n/a` with the reason, never 0."""
    return Metric(
        name=name,
        definition=definition,
        cohort=scope.cohort("nothing imported"),
        unit="share",
        value=None,
        numerator=0,
        denominator=0,
        missing_reason=reason,
    )


def count(rows: pl.DataFrame, condition: pl.Expr) -> int:
    """Return how many rows meet a condition; null does not."""
    return int(rows.select(condition.fill_null(value=False).sum()).item() or 0)
