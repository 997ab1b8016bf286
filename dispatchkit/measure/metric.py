"""How figures are made: rates, quantiles and means with their exclusions, open rows and 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from dispatchkit.kernel import stable_random as chance
from dispatchkit.kernel.clock import Window, rfc3339
from dispatchkit.kernel.errors import SchemaMismatch
from dispatchkit.kernel.metrics import Exclusion, Metric

Z95 = 1.96
FEWEST_DAYS = 5  # below this a bootstrap over days says nothing
DRAWS = 1000
Columns = Mapping[str, Sequence[str]]  # mart -> columns read


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is measured: whole service days, as known at `as_of`. seed feeds the bootstrap alone."""

    days: tuple[Window, ...]
    as_of: datetime
    seed: int = 0

    @property
    def window(self) -> Window:
        return Window(self.days[0].since, self.days[-1].until)

    @property
    def known_until(self) -> datetime:
        """Return the end of what can be known: the window's end, or as_of in the middle of it."""
        return max(self.window.since, min(self.window.until, self.as_of))

    def within(self, column: str) -> pl.Expr:
        """Return whether an instant lies in the window."""
        return pl.col(column).is_between(self.window.since, self.window.until, closed="left")

    def day_number(self, column: str) -> pl.Expr:
        """Return the position of an instant's service day, 0 for the first."""
        starts = [day.since for day in self.days[1:]]
        return pl.sum_horizontal(
            [pl.lit(0), *((pl.col(column) >= start).cast(pl.Int32) for start in starts)]
        )

    def cohort(self, by: str) -> str:
        """Return the words for a cohort, e.g. `orders by creation in [..., ...), as of ...`."""
        return f"{by} in [{rfc3339(self.window.since)}, {rfc3339(self.window.until)}), as of {rfc3339(self.as_of)}"


def need(marts: Mapping[str, pl.DataFrame], reads: Columns) -> None:
    """Raise SchemaMismatch naming every mart or column that a measure reads and that is not there."""
    missing = [name for name in reads if name not in marts]
    missing += [
        f"{n}.{c}" for n, cs in reads.items() if n in marts for c in cs if c not in marts[n].columns
    ]
    if missing:
        raise SchemaMismatch(
            f"the warehouse lacks {', '.join(missing)}; load the export again with this version"
        )


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Return the Wilson score interval of hits/n, everything possible without trials (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p, zz = hits / n, z * z
    middle = p + zz / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return max(0.0, (middle - reach) / (1 + zz / n)), min(1.0, (middle + reach) / (1 + zz / n))


def bootstrap(
    name: str, days: Sequence[tuple[float, float]], seed: int
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of sum(a) / sum(b) over days drawn with replacement; None below five days.

    days: (a, b) per day. Rows of one day share its weather and supply, so whole days are drawn (cluster bootstrap).
    """
    if len(days) < FEWEST_DAYS:
        return None
    ratios = []
    for draw in range(DRAWS):
        picked = [
            days[int(chance.uniform(seed, "bootstrap", name, draw, i) * len(days))]
            for i in range(len(days))
        ]
        below = sum(b for _, b in picked)
        if below:
            ratios.append(sum(a for a, _ in picked) / below)
    ratios.sort()
    return (
        (ratios[int(0.025 * len(ratios))], ratios[int(0.975 * (len(ratios) - 1))])
        if ratios
        else None
    )


def sort_rows(
    rows: pl.DataFrame, excluded: Mapping[str, pl.Expr], open_: pl.Expr | None
) -> tuple[pl.DataFrame, tuple[Exclusion, ...], int]:
    """Return (rows that count, exclusions, open rows). A row counts under the first reason that fits, then as open."""
    kind = pl.lit("")
    reasons = {**excluded, **({} if open_ is None else {"\0open": open_})}
    for reason, fits in reversed(reasons.items()):
        kind = pl.when(fits.fill_null(value=False)).then(pl.lit(reason)).otherwise(kind)
    sorted_ = rows.with_columns(kind.alias("_kind"))
    counts = dict(sorted_.group_by("_kind").len().iter_rows())
    named = tuple(Exclusion(reason, counts.get(reason, 0)) for reason in excluded)
    return sorted_.filter(pl.col("_kind") == "").drop("_kind"), named, counts.get("\0open", 0)


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
    why: str = "no such rows",
) -> Metric:
    """Return the share of rows that hit, among those neither excluded nor open.

    by: the cohort in words. at: the column that places a row in a day, for the bootstrap over days; None where rows
    are not of one day (drivers, zones). why: what an `n/a` says.
    """
    counted, exclusions, still_open = sort_rows(rows, excluded or {}, open_)
    day = pl.lit(0) if at is None else scope.day_number(at)
    marked = counted.select(_day=day, _hit=hit.fill_null(value=False).cast(pl.Int64))
    n, hits = marked.height, int(marked["_hit"].sum())
    between: tuple[float, float] | None = wilson(hits, n) if n else None
    how = "Wilson; rows taken as independent"
    if at is not None and len(scope.days) >= FEWEST_DAYS:
        per_day = marked.group_by("_day").agg(pl.col("_hit").sum(), pl.len()).sort("_day")
        between, how = (
            bootstrap(name, [(a, b) for _, a, b in per_day.iter_rows()], scope.seed),
            "bootstrap over days",
        )
    low, high = between or (None, None)
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
        interval=how if between else "",
        why="" if n else why,
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
    why: str = "no such rows",
) -> Metric:
    """Return a quantile in minutes by nearest rank, with the order-statistic interval (binomial, normal approximation).

    A row whose duration is empty counts as longer than any other: exclude it by name where that is not meant.
    """
    counted, exclusions, still_open = sort_rows(rows, excluded or {}, open_)
    minutes = (seconds / 60).fill_null(math.inf)
    values = counted.select(_v=minutes)["_v"].sort().to_list()
    n = len(values)
    reach = Z95 * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - reach), math.ceil(n * q + reach) + 1  # ranks, from 1
    has_interval = n > 0 and low >= 1 and high <= n
    value = values[max(1, math.ceil(n * q)) - 1] if n else None
    never = value is not None and math.isinf(value)
    return Metric(
        name=name,
        definition=definition,
        cohort=scope.cohort(by),
        unit="minutes",
        value=None if never else value,
        denominator=n,
        excluded=exclusions,
        open=still_open,
        low=values[low - 1] if has_interval and not never else None,
        high=values[high - 1] if has_interval and not never else None,
        interval="order statistics" if has_interval and not never else "",
        why=why
        if not n
        else f"so many never arrived that the {q:.0%} point lies among them"
        if never
        else "",
    )


def absent(name: str, definition: str, scope: Scope, why: str) -> Metric:
    """Return a figure that cannot be made from what was imported: `n/a` with the reason, never 0."""
    cohort = scope.cohort("nothing imported")
    return Metric(
        name=name,
        definition=definition,
        cohort=cohort,
        unit="share",
        value=None,
        numerator=0,
        denominator=0,
        why=why,
    )


def count(rows: pl.DataFrame, fits: pl.Expr) -> int:
    """Return how many rows fit; an empty answer does not."""
    return int(rows.select(fits.fill_null(value=False).sum()).item() or 0)
