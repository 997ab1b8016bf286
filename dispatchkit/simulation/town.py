"""The made-up city as tables: what stands still, and what happened day by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from dispatchkit.simulation.book import Day
from dispatchkit.simulation.crew import day_crew
from dispatchkit.simulation.deliveries import (
    cases_frame,
    deliveries_frame,
    episodes_frame,
    ids,
    orders_frame,
    stages,
    tickets_frame,
)
from dispatchkit.simulation.demand import day_demand
from dispatchkit.simulation.dispatch import run
from dispatchkit.simulation.duties import drivers_frame, duties, duties_frame
from dispatchkit.simulation.ground import Ground, build, merchants_frame, zones_frame
from dispatchkit.simulation.ledger import costs_frame, revenue_frame
from dispatchkit.simulation.luck import Luck, day_luck
from dispatchkit.simulation.offers import offers_frame
from dispatchkit.simulation.pings import pings_frame
from dispatchkit.simulation.plan import CityPlan, draws
from dispatchkit.simulation.quotes import quotes_frame

PER_DAY = 100_000_000  # ids of event rows start anew with each day at a multiple of this
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def world(plan: CityPlan) -> dict[str, pl.DataFrame]:
    """Return what stands still: zones, merchants, customers, drivers (as at `plan.as_of`) and their preferences."""
    ground, last = build(plan), plan.days - 1
    day, _ = day_of(plan, ground, last)
    return {
        "delivery_zones": zones_frame(ground),
        "merchants": merchants_frame(ground),
        "customers": _customers(plan, ground),
        "drivers": drivers_frame(
            day, ground, duties(day, ground, _length(plan, last)), since_us(plan, last)
        ),
        "driver_zone_preferences": _preferences(ground),
    }


def days(plan: CityPlan) -> Iterator[dict[str, pl.DataFrame]]:
    """Yield each day's event tables, every one fit for its contract; the last day stops at `plan.as_of`.

    A day depends on the plan and its number alone, and only one is held at a time.
    """
    ground = build(plan)
    for index in range(plan.days):
        yield _tables(plan, ground, *day_of(plan, ground, index))


def day_of(plan: CityPlan, ground: Ground, index: int) -> tuple[Day, Luck]:
    """Return one day as it was, and the luck that it was made with."""
    counts = plan.orders_by_day()
    demand = day_demand(plan, ground, index, 1 + sum(counts[:index]), counts[index])
    crew, luck, now = (
        day_crew(plan, ground, index),
        day_luck(plan, index, counts[index]),
        plan.until(index),
    )
    return Day(index, demand, crew, run(demand, crew, luck, ground, now), now), luck


def _tables(plan: CityPlan, ground: Ground, day: Day, luck: Luck) -> dict[str, pl.DataFrame]:
    st, since, first = stages(day), since_us(plan, day.index), (day.index + 1) * PER_DAY + 1
    duty = duties(day, ground, _length(plan, day.index))
    episodes = episodes_frame(st, since, first)
    return {
        "orders": orders_frame(day, ground, since),
        "deliveries": deliveries_frame(st, since),
        "driver_locations": pings_frame(st, ground, luck, duty, plan.seed, since, first),
        "driver_offers": offers_frame(day, plan.seed, since, first),
        "driver_availability_history": duties_frame(duty, day, since, first),
        "unassigned_orders": episodes,
        "reassignment_cases": cases_frame(st, ground, luck, since, first),
        "support_tickets": tickets_frame(episodes),
        "delivery_costs": costs_frame(st, ground, duty, since, first),
        "delivery_revenue": revenue_frame(st, plan.seed, since, first),
        "eta_quotes": quotes_frame(st, plan.seed, since, first),
    }


def since_us(plan: CityPlan, index: int) -> int:
    """Return when a day began, in microseconds since 1970."""
    return (plan.window(index).since - EPOCH) // timedelta(microseconds=1)


def _length(plan: CityPlan, index: int) -> int:
    return plan.window(index).length // timedelta(milliseconds=1)


def _customers(plan: CityPlan, ground: Ground) -> pl.DataFrame:
    count = len(ground.homes.x)
    ago = draws(plan.seed, 0, "since").integers(1, 900, count) * 86_400_000
    stamps = (since_us(plan, 0) - ago * 1000).astype("datetime64[us]")
    return pl.DataFrame(
        {"id": ids(np.arange(count)), "since": pl.Series(stamps).dt.replace_time_zone("UTC")}
    )


def _preferences(ground: Ground) -> pl.DataFrame:
    """Return that each driver would rather work in the usual zone, and next best in the one beside it."""
    rows = [
        (d, z, w)
        for d, base in enumerate(ground.base.tolist())
        for z, w in zip(ground.near(base), (80, 40), strict=False)
    ]
    driver, zone, weight = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(rows))),
            "driver_id": ids(driver),
            "zone_id": ids(zone),
            "weight_percent": weight,
        }
    )
