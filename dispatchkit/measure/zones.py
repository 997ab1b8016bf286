"""How healthy is each zone, over the window and by hour? The worst of three parts decides.

* `zones_healthy`: zones in band HEALTHY / zones whose band is known. Zones in band UNKNOWN are open.
  Interval: Wilson.
* Score: 100 x (1 - worst part). Parts, each from 0 to 1: never-served share / 10 %; 90 % point of the wait
  from 3 to 15 min; hours short / hours needed.
* Bands: see `_banded`. Never-served shares are shrunk towards the zone's usual share; their
  bounds are Wilson intervals (Wilson 1927).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.kernel.metrics import Metric, Section, Table
from dispatchkit.measure.metric import Z95, Scope, need, rate

READS = {
    "mart_deliveries": (
        "zone placed_at source superseded outcome dispatchable dispatch_at assigned assigned_at first_assigned_at "
        "never_served ended_at"
    ).split(),
    "mart_zone_hours": (
        "zone bucket_at orders delivered never_served open_orders engaged_s engaged_orders available_s"
    ).split(),
}
TARGET_UTILISATION = 0.75
PRIOR = 20  # weight of the mean that shares are shrunk to, in orders
FEW_ORDERS, FEW_SECONDS = 5, 1800
IDLE_UTILISATION = 0.4  # below: more drivers than the zone needs
HOUR = timedelta(hours=1)
BANDS = ("CRITICAL", "STRAINED", "HEALTHY", "UNKNOWN")


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return the health of every zone over the window and of every zone and hour in it."""
    need(marts, READS)
    rows = marts["mart_zone_hours"]
    inside, history = (
        rows.filter(scope.within("bucket_at")),
        rows.filter(pl.col("bucket_at") < scope.window.since),
    )
    quarters = _supply_and_demand(inside)
    waits = _waits(marts["mart_deliveries"], scope)
    day = _health(quarters, waits, _usual(history, inside, ["zone"]), ["zone"])
    hourly = [
        c.with_columns(hour=pl.col(at).dt.truncate("1h"))
        for c, at in ((quarters, "bucket_at"), (waits, "at"))
    ]
    usual = _usual(history, inside, ["zone", "hour"])
    hours = _health(hourly[0], hourly[1], usual, ["zone", "hour"])
    return Section(
        name="zones",
        title="Zones",
        metrics=_metrics(day, scope),
        tables=(_day_table(day, hours), _hour_table(hours)),
        notes=_notes(inside),
    )


def _supply_and_demand(quarters: pl.DataFrame) -> pl.DataFrame:
    """Return quarter hours with the driver seconds required and missing.

    Required: orders x engaged seconds per order of this zone / target utilisation of 0.75. The seconds
    per order are shrunk towards the mean of the city (weight of 20 orders).
    """
    n, s = pl.col("engaged_orders").sum(), pl.col("engaged_s").sum()
    city = quarters.select(s / n).item() if quarters.select(n).item() else None
    each = (s.over("zone") + PRIOR * pl.lit(city)) / (n.over("zone") + PRIOR)
    required = pl.col("orders") * each / TARGET_UTILISATION
    # Without any duty interval the supply is unknown, not zero.
    known = bool(quarters["available_s"].sum())
    gap = (pl.col("required_s") - pl.col("available_s")).clip(lower_bound=0)
    marked = quarters.with_columns(required_s=required, supply_known=pl.lit(known))
    return marked.with_columns(short_quarters_s=pl.when("supply_known").then(gap))


def _waits(deliveries: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Return minutes from dispatchable to assigned; a waiting order counts with its present age."""
    ended = pl.coalesce("first_assigned_at", "assigned_at", "ended_at", pl.lit(scope.as_of))
    live = scope.within("placed_at") & pl.col("dispatchable") & ~pl.col("superseded")
    known = ~(
        pl.col("assigned") & pl.col("assigned_at").is_null() & pl.col("first_assigned_at").is_null()
    )
    waited = (ended - pl.col("dispatch_at")).dt.total_microseconds().clip(lower_bound=0) / 60e6
    return deliveries.filter(live & known).select("zone", at="placed_at", waited_min=waited)


def _usual(history: pl.DataFrame, inside: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return the usual never-served share by zone: that of earlier days at the same hour of the week.

    Without such earlier hours it is the share of the whole city in the window.
    """
    served = pl.col("orders") - pl.col("open_orders")
    city = (
        inside.select(pl.col("never_served").sum() / served.sum()).item() if inside.height else None
    )
    at = pl.col("bucket_at")
    week = {"weekday": at.dt.weekday(), "hour_of_day": at.dt.hour()}
    marked = inside.with_columns(hour=at.dt.truncate("1h"), **week)
    past = history.with_columns(**week).group_by("zone", "weekday", "hour_of_day")
    known = past.agg(usual_lost=pl.col("never_served").sum(), usual_n=served.sum())
    joined = marked.select(*dict.fromkeys(["zone", *keys, "weekday", "hour_of_day"])).unique()
    summed = (
        joined.join(known, on=["zone", "weekday", "hour_of_day"], how="left")
        .group_by(keys)
        .agg(pl.col("usual_lost", "usual_n").sum())
    )
    share = (
        pl.when(pl.col("usual_n") > 0)
        .then(pl.col("usual_lost") / pl.col("usual_n"))
        .otherwise(pl.lit(city))
    )
    return summed.select(*keys, usual=share)


def _health(
    quarters: pl.DataFrame, waits: pl.DataFrame, usual: pl.DataFrame, keys: list[str]
) -> pl.DataFrame:
    """Return the health by `keys`: zone, or zone and hour.

    Hours are summed one by one: spare drivers in one hour do not fill the gap of another.
    """
    summed = (
        "orders delivered never_served open_orders engaged_s available_s required_s short_quarters_s"
    ).split()
    p90 = waits.group_by(keys).agg(
        wait_p90_min=pl.col("waited_min").quantile(0.9, interpolation="nearest")
    )
    supply, gap = pl.col("supply_known").first(), pl.col("required_s") - pl.col("available_s")
    hours = quarters.group_by("zone", hour=pl.col("bucket_at").dt.truncate("1h")).agg(
        pl.col(summed).sum(), supply
    )
    known = hours.with_columns(short_s=pl.when("supply_known").then(gap.clip(lower_bound=0)))
    rows = known.group_by(keys).agg(pl.col(*summed, "short_s").sum(), supply)
    joined = rows.join(p90, on=keys, how="left").join(usual, on=keys, how="left")
    return _banded(_scored(joined)).sort(keys)


def _scored(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the parts of the score, the score, and bounds of the never-served share."""
    closed = pl.col("orders") - pl.col("open_orders")
    lost = (pl.col("never_served") + PRIOR * pl.col("usual").fill_null(0)) / (closed + PRIOR)
    gap = (
        pl.when(pl.col("required_s") > 0)
        .then(pl.col("short_s") / pl.col("required_s"))
        .fill_null(0)
    )
    parts = rows.with_columns(closed=closed, never_share=lost, gap_share=gap)
    worst = pl.max_horizontal(
        (pl.col("never_share") / 0.10).clip(0, 1),
        ((pl.col("wait_p90_min").fill_null(0) - 3) / 12).clip(0, 1),
        pl.col("gap_share").clip(0, 1),
    )
    return parts.with_columns(score=100 * (1 - worst), never_low=_wilson(-1), never_high=_wilson(1))


def _wilson(side: int) -> pl.Expr:
    """Return the lower (-1) or upper (1) Wilson bound of the never-served share."""
    n, zz = pl.col("closed"), Z95 * Z95
    p = pl.col("never_served") / n
    margin = Z95 * (p * (1 - p) / n + zz / (4 * n * n)).sqrt()
    return pl.when(n > 0).then(((p + zz / (2 * n) + side * margin) / (1 + zz / n)).clip(0, 1))


def _banded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with band, utilisation and idle; without a score where the band is UNKNOWN.

    UNKNOWN: few orders and few driver hours, or neither waits nor supply are known.
    CRITICAL: over 10 % never served even at the lower bound, or over half of the needed hours short.
    STRAINED: over 5 % never served, wait (90 % point) of 6 min or more, or any hours short.
    """
    few = (pl.col("orders") < FEW_ORDERS) & (pl.col("available_s") < FEW_SECONDS)
    unknown = few | (pl.col("wait_p90_min").is_null() & ~pl.col("supply_known"))
    critical = (pl.col("never_low").fill_null(0) > 0.10) | (pl.col("gap_share") > 0.5)
    strained = (
        (pl.col("never_share") > 0.05)
        | (pl.col("wait_p90_min").fill_null(0) >= 6)
        | (pl.col("gap_share") > 0)
    )
    band = (
        pl.when(unknown)
        .then(pl.lit("UNKNOWN"))
        .when(critical)
        .then(pl.lit("CRITICAL"))
        .when(strained)
        .then(pl.lit("STRAINED"))
        .otherwise(pl.lit("HEALTHY"))
    )
    utilisation = pl.when(pl.col("available_s") > 0).then(
        pl.col("engaged_s") / pl.col("available_s")
    )
    return rows.with_columns(
        band=band, score=pl.when(~unknown).then(pl.col("score")), utilisation=utilisation
    ).with_columns(idle=(pl.col("utilisation") < IDLE_UTILISATION).fill_null(value=False))


def _metrics(day: pl.DataFrame, scope: Scope) -> tuple[Metric, ...]:
    return (
        rate(
            "zones_healthy",
            day,
            pl.col("band") == "HEALTHY",
            scope,
            by="zones with demand or supply",
            open_=pl.col("band") == "UNKNOWN",
            if_empty="no zone had enough orders or drivers",
            definition="zones in band HEALTHY over the window / zones whose band is known (UNKNOWN is "
            "open)",
        ),
    )


def _day_table(day: pl.DataFrame, hours: pl.DataFrame) -> Table:
    hours_by_band = hours.group_by("zone").agg(
        critical_hours=(pl.col("band") == "CRITICAL").sum().cast(pl.Int64),
        strained_hours=(pl.col("band") == "STRAINED").sum().cast(pl.Int64),
    )
    hours_of = {
        f"{name}_h": pl.col(f"{name}_s") / 3600
        for name in ("required", "available", "short", "short_quarters")
    }
    frame = (
        day.join(hours_by_band, on="zone", how="left")
        .with_columns(**hours_of)
        .select(
            "zone",
            "band",
            "score",
            "orders",
            "delivered",
            "never_served",
            "never_share",
            "never_high",
            "wait_p90_min",
            "required_h",
            "available_h",
            "short_h",
            "short_quarters_h",
            "utilisation",
            "idle",
            "critical_hours",
            "strained_hours",
        )
        .sort(pl.col("score"), "zone", nulls_last=True)
    )
    note = (
        "Never served (share) is shrunk towards the usual share of the zone; at most: the upper 95 % "
        "bound of the raw share. Hours short are summed hour by hour: spare drivers in the afternoon "
        "do not fill a gap at noon. Utilisation: time with a delivery in hand / hours available; "
        "idle: below 40 %."
    )
    return Table(name="zones", title="Zones over the day", frame=frame, units=_UNITS, note=note)


def _hour_table(hours: pl.DataFrame) -> Table:
    columns = (
        "zone hour band score orders never_served wait_p90_min required_s available_s short_quarters_s"
    ).split()
    return Table(
        name="zone_hours", title="Zones by hour", frame=hours.select(columns), units=_UNITS
    )


_UNITS = {
    **dict.fromkeys(
        ("orders", "delivered", "never_served", "critical_hours", "strained_hours"), "count"
    ),
    **dict.fromkeys(("never_share", "never_high", "utilisation"), "share"),
    **dict.fromkeys(("required_h", "available_h", "short_h", "short_quarters_h"), "hours"),
    **dict.fromkeys(("required_s", "available_s", "short_quarters_s"), "count"),
    "wait_p90_min": "minutes",
    "score": "score",
}


def _notes(inside: pl.DataFrame) -> tuple[str, ...]:
    notes = [
        "Score: 100 x (1 - the worst of never-served share / 10 %, wait (90 % point) from 3 to 15 min, "
        "hours short / needed).",
        "STRAINED: an hour was short, the wait is 6 min or more, or over 5 % were never served. "
        "CRITICAL: over half of the hours needed were short, or over 10 % never served even at the "
        "lower 95 % bound. The same rules hold for one hour and for the day.",
        "Demand is orders placed: a lower bound, since requests lost before an order are not imported.",
        "A driver's hours count in the zone of the last accepted order; before the first order of a "
        "shift in the home zone.",
    ]
    if not inside["available_s"].sum():
        notes.append(
            "No duty intervals were imported: supply is unknown and bands ignore hours short."
        )
        notes.append("If waits are unknown too, the band is UNKNOWN.")
    return tuple(notes)
