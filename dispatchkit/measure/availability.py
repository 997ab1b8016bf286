"""How long were drivers in each state, within the hours cap, and did shifts end as planned?

* `available_share`: seconds available (on duty, nothing in hand, no offer pending) / seconds on shift,
  in the window. No interval.
* `hours_within_cap`: runs of work without time on duty for new work after 12 h / runs of work that touch
  the window. A run ends with a rest of 6 h; breaks are no work. Interval: Wilson.
* `shift_kept`: shifts that ended within 15 min of the planned end / shifts that ended. Shifts that still
  last are open; shifts without a planned end are counted in the remark. Interval: see measure/metric.py.
* Check: the states of each driver add up to clock time, to the microsecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import polars as pl

from dispatchkit.domain.duty import WORKING, Availability, availability
from dispatchkit.domain.hours import MAX_HOURS, MIN_REST, Stretch, cap_reached_at, runs_of_work
from dispatchkit.kernel.metrics import Check, Metric, Section, Table
from dispatchkit.measure.metric import Scope, need, rate

READS = {
    "mart_availability": "driver_id duty held offer_pending since until open".split(),
    "mart_shifts": "driver_id duty since until open shift_since planned_end".split(),
}
KEPT = timedelta(minutes=15)  # a shift that ends so close to its planned end counts as kept
_HOUR = 3_600_000_000  # microseconds; sums of them are exact, sums of float hours are not
_INSTANT = pl.Datetime("us", "UTC")
NO_DUTY = "no duty intervals were imported"


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return durations by state, the hours cap, and planned against actual shifts."""
    need(marts, READS)
    spans = _clipped(merged(marts["mart_availability"]), scope)
    hours, over = _hours(marts["mart_shifts"], scope)
    shifts = _shifts(marts["mart_shifts"], scope)
    return Section(
        name="availability",
        title="Availability",
        metrics=(_available(spans, scope), hours, _kept(shifts, scope)),
        tables=(_durations(spans), _planned(shifts), over),
        checks=(_adds_up(spans),),
        notes=(
            "The state is the first of these that applies: offline, on break, ending the shift, busy "
            "(deliveries in hand), offered (an offer is pending), available. The age of the position "
            "does not matter. Medians are of whole intervals; those that are still open or cross the "
            "edge of the window are counted separately.",
        ),
    )


def merged(stretches: pl.DataFrame) -> pl.DataFrame:
    """Return intervals (driver_id, state, since, until, open); adjacent ones of one state are merged."""
    state = availability(pl.col("duty"), pl.col("held"), pl.col("offer_pending"))
    named = stretches.with_columns(state=state).sort("driver_id", "since")
    new = (pl.col("state") != pl.col("state").shift()) | (
        pl.col("since") != pl.col("until").shift()
    )
    number = (
        (new | (pl.col("driver_id") != pl.col("driver_id").shift())).fill_null(value=True).cum_sum()
    )
    return (
        named.group_by(number.alias("number"), maintain_order=True)
        .agg(pl.col("driver_id", "state", "since").first(), pl.col("until", "open").last())
        .drop("number")
    )


def _clipped(spans: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Return the parts inside the window.

    cut: the window cut the interval. whole: it is neither cut nor still open.
    """
    since, until = pl.lit(scope.window.since), pl.lit(scope.known_until)
    cut = (pl.col("since") < since) | (pl.col("until") > until)
    inside = spans.filter((pl.col("since") < until) & (pl.col("until") > since))
    return inside.with_columns(
        cut=cut,
        whole=~cut & ~pl.col("open"),
        since=pl.max_horizontal("since", since),
        until=pl.min_horizontal("until", until),
    ).with_columns(us=(pl.col("until") - pl.col("since")).dt.total_microseconds())


def _durations(spans: pl.DataFrame) -> Table:
    minutes = (pl.col("us") / 60e6).filter(pl.col("whole"))
    total = spans["us"].sum()
    frame = (
        pl.DataFrame({"state": [str(s) for s in Availability], "rank": range(len(Availability))})
        .join(
            spans.group_by("state").agg(
                hours=pl.col("us").sum() / _HOUR,
                share=pl.col("us").sum() / total,
                intervals=pl.col("whole").sum().cast(pl.Int64),
                median_min=minutes.median(),
                p90_min=minutes.quantile(0.9),
                still_open=(pl.col("open") & ~pl.col("cut")).sum().cast(pl.Int64),
                cut_by_window=pl.col("cut").sum().cast(pl.Int64),
            ),
            on="state",
            how="left",
        )
        .with_columns(
            pl.col("hours", "intervals", "still_open", "cut_by_window").fill_null(0),
            pl.col("share").fill_null(0.0),
        )
        .sort("rank")
        .drop("rank")
    )
    units = {
        "hours": "hours",
        "share": "share",
        **dict.fromkeys(("intervals", "still_open", "cut_by_window"), "count"),
        **dict.fromkeys(("median_min", "p90_min"), "minutes"),
    }
    return Table(
        name="driver_availability_duration", title="Time in each state", frame=frame, units=units
    )


def _available(spans: pl.DataFrame, scope: Scope) -> Metric:
    at_work = spans.filter(pl.col("state") != "OFFLINE")
    on_shift_s = int(at_work["us"].sum()) // 1_000_000
    available_s = int(at_work.filter(pl.col("state") == "AVAILABLE")["us"].sum()) // 1_000_000
    return Metric(
        name="available_share",
        definition="time available (on duty, nothing in hand, no offer pending) / time on shift",
        cohort=scope.cohort("time on shift"),
        unit="share",
        value=available_s / on_shift_s if on_shift_s else None,
        numerator=available_s,
        denominator=on_shift_s,
        fraction_units=("seconds", "seconds"),
        missing_reason="" if on_shift_s else NO_DUTY,
    )


def _adds_up(spans: pl.DataFrame) -> Check:
    """Check that each driver's states and the gaps of the history add up to clock time.

    Exact to the microsecond; overlapping intervals fail.
    """
    gap = (
        (pl.col("since") - pl.col("until").shift().over("driver_id"))
        .dt.total_microseconds()
        .fill_null(0)
    )
    by_driver = (
        spans.sort("driver_id", "since")
        .with_columns(gap=gap)
        .group_by("driver_id")
        .agg(
            clock=(pl.col("until").max() - pl.col("since").min()).dt.total_microseconds(),
            us=pl.col("us").sum(),
            gap=pl.col("gap").sum(),
            overlaps=(pl.col("gap") < 0).any(),
        )
    )
    wrong = by_driver.filter(
        pl.col("overlaps") | (pl.col("us") + pl.col("gap") != pl.col("clock"))
    ).height
    unknown_h = by_driver["gap"].sum() / _HOUR
    detail = (
        f"the states of {wrong} of {by_driver.height} drivers do not add up to their time; "
        f"{unknown_h:g} h are unknown"
    )
    return Check("driver states add up to clock time", not wrong, detail)


def _hours(shifts: pl.DataFrame, scope: Scope) -> tuple[Metric, Table]:
    """Return the share of runs of work within the hours cap, and the runs beyond it."""
    rows = []
    for (driver,), own in shifts.filter(pl.col("duty").is_in(WORKING)).group_by(
        "driver_id", maintain_order=True
    ):
        open_to_work = own.filter(pl.col("duty") == "ON_DUTY").select("since", "until").rows()
        for run in runs_of_work(own.select("since", "until").rows(), MIN_REST):
            if run[-1][1] > scope.window.since and run[0][0] < scope.known_until:
                rows.append(
                    (
                        driver,
                        run[0][0],
                        run[-1][1],
                        _beyond(run, open_to_work) / timedelta(minutes=1),
                    )
                )
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "driver_id": pl.Int64,
        "since": _INSTANT,
        "until": _INSTANT,
    }
    work_runs = pl.DataFrame(rows, schema=schema | {"over_min": pl.Float64}, orient="row").sort(
        "driver_id", "since"
    )
    most, rest = MAX_HOURS // timedelta(hours=1), MIN_REST // timedelta(hours=1)
    metric = rate(
        "hours_within_cap",
        work_runs,
        pl.col("over_min") == 0,
        scope,
        by="runs of work that touch the window",
        if_empty=NO_DUTY,
        definition=f"runs of work without time on duty for new work after {most} h / runs of work; a run "
        f"ends with a rest of {rest} h, breaks are no work, finishing deliveries in hand is not counted",
    )
    over = work_runs.filter(pl.col("over_min") > 0)
    title = f"On duty beyond {most} h"
    return metric, Table(
        name="hours_over_cap",
        title=title,
        frame=over,
        units={"driver_id": "id", "over_min": "minutes"},
    )


def _beyond(run: list[Stretch], open_to_work: list[Stretch]) -> timedelta:
    """Return the time on duty for new work after a run reached the cap."""
    cap = cap_reached_at(run, MAX_HOURS)
    if cap is None:
        return timedelta()
    return sum(
        (u - max(s, cap) for s, u in open_to_work if u > cap and s < run[-1][1]), timedelta()
    )


def _shifts(stretches: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Return the shifts that ended in the window or are still open, with planned and actual end."""
    shifts = (
        stretches.sort("driver_id", "since")
        .group_by("driver_id", "shift_since", maintain_order=True)
        .agg(pl.col("planned_end").first(), ended=pl.col("until").max(), open=pl.col("open").any())
        .filter(
            scope.within("ended") | (pl.col("open") & (pl.col("shift_since") < scope.known_until))
        )
    )
    off_by = pl.col("ended") - pl.col("planned_end")
    outcome = (
        pl.when(off_by < -KEPT)
        .then(pl.lit("early"))
        .when(off_by > KEPT)
        .then(pl.lit("late"))
        .otherwise(pl.lit("kept"))
    )
    return shifts.with_columns(outcome=outcome)


def _kept(shifts: pl.DataFrame, scope: Scope) -> Metric:
    planned = shifts.filter(pl.col("planned_end").is_not_null())
    metric = rate(
        "shift_kept",
        planned,
        pl.col("outcome") == "kept",
        scope,
        by="shifts with a planned end, by end",
        at="ended",
        open_=pl.col("open"),
        if_empty=NO_DUTY if shifts.is_empty() else "no shift had a planned end",
        definition=f"shifts that ended within {KEPT // timedelta(minutes=1)} min of the end planned at "
        "their start / shifts that ended",
    )
    unplanned = shifts.height - planned.height
    return replace(metric, remark=f"{unplanned:,} shifts had no planned end" if unplanned else "")


def _planned(shifts: pl.DataFrame) -> Table:
    ended = shifts.filter(~pl.col("open") & pl.col("planned_end").is_not_null())
    hours = {
        "planned_h": (pl.col("planned_end") - pl.col("shift_since")).dt.total_microseconds().sum()
        / _HOUR,
        "actual_h": (pl.col("ended") - pl.col("shift_since")).dt.total_microseconds().sum() / _HOUR,
    }
    frame = ended.group_by("outcome").agg(shifts=pl.len().cast(pl.Int64), **hours).sort("outcome")
    units = {"shifts": "count", "planned_h": "hours", "actual_h": "hours"}
    minutes = KEPT // timedelta(minutes=1)
    note = f"Early, late: more than {minutes} min from the end planned at the start of the shift."
    return Table(
        name="planned_shifts",
        title="Shifts against their plan",
        frame=frame,
        units=units,
        note=note,
    )
