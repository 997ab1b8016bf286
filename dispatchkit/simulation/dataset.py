"""Dataset: the tables of a whole scenario, day by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from dispatchkit.simulation.day_log import Day
from dispatchkit.simulation.demand import day_demand
from dispatchkit.simulation.dispatch import run
from dispatchkit.simulation.exporters.columns import delivery_ids, ids, instants
from dispatchkit.simulation.exporters.duties import availability_frame, drivers_frame, duties
from dispatchkit.simulation.exporters.money import costs_frame, revenue_frame
from dispatchkit.simulation.exporters.offers import offers_frame
from dispatchkit.simulation.exporters.orders import (
    cases_frame,
    deliveries_frame,
    episodes_frame,
    orders_frame,
    take_snapshot,
    tickets_frame,
)
from dispatchkit.simulation.exporters.pings import pings_frame
from dispatchkit.simulation.exporters.quotes import quotes_frame
from dispatchkit.simulation.geography import (
    Geography,
    build_geography,
    merchants_frame,
    zones_frame,
)
from dispatchkit.simulation.outcomes import STALLS, Outcomes, day_outcomes
from dispatchkit.simulation.roster import day_roster
from dispatchkit.simulation.scenario import NEVER, Scenario, random_stream

PER_DAY = 100_000_000  # ids of event rows begin at a multiple of this, one a day
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def world(scenario: Scenario) -> dict[str, pl.DataFrame]:
    """Return the tables without a day: zones, merchants, customers, drivers and their preferences.

    Drivers have the state of `scenario.as_of`.
    """
    geography, last = build_geography(scenario), scenario.days - 1
    day, _ = _simulate(scenario, geography, last)
    intervals = duties(day, geography, _length_ms(scenario, last))
    return {
        "delivery_zones": zones_frame(geography),
        "merchants": merchants_frame(geography),
        "customers": _customers(scenario, geography),
        "drivers": drivers_frame(day, geography, intervals, _since_us(scenario, last)),
        "driver_zone_preferences": _preferences(geography),
    }


def days(scenario: Scenario) -> Iterator[dict[str, pl.DataFrame]]:
    """Yield the event tables of each day, as their contracts want them.

    The last day stops at `scenario.as_of`. A day depends on the scenario and its number only, and
    one day is held in memory at a time.
    """
    geography = build_geography(scenario)
    for index in range(scenario.days):
        day, outcomes = _simulate(scenario, geography, index)
        snapshot, since_us = take_snapshot(day), _since_us(scenario, index)
        seed, first_id = scenario.seed, (index + 1) * PER_DAY + 1
        intervals = duties(day, geography, _length_ms(scenario, index))
        episodes = episodes_frame(snapshot, since_us, first_id)
        yield {
            "orders": orders_frame(day, geography, since_us),
            "deliveries": deliveries_frame(snapshot, since_us),
            "driver_locations": pings_frame(
                snapshot, geography, outcomes, intervals, seed, since_us, first_id
            ),
            "driver_offers": offers_frame(day, seed, since_us, first_id),
            "driver_availability_history": availability_frame(intervals, day, since_us, first_id),
            "unassigned_orders": episodes,
            "reassignment_cases": cases_frame(snapshot, geography, outcomes, since_us, first_id),
            "support_tickets": tickets_frame(episodes),
            "delivery_costs": costs_frame(snapshot, geography, intervals, since_us, first_id),
            "delivery_revenue": revenue_frame(snapshot, seed, since_us, first_id),
            "eta_quotes": quotes_frame(snapshot, seed, since_us, first_id),
        }


def stalls(scenario: Scenario) -> pl.DataFrame:
    """Return the assignments whose driver does nothing at `scenario.as_of`.

    This is the truth that stall detection is measured against; no real export has it. Columns:
    delivery_id, driver_id, since (the acceptance) and kind: NO_START and NOT_MOVING stand still,
    the phone of LOST_PING is silent.
    """
    last = scenario.days - 1
    day, outcomes = _simulate(scenario, build_geography(scenario), last)
    snapshot, log = take_snapshot(day), day.log
    driver_index, accepted = log.times("driver_index"), snapshot.times["assigned"]
    not_started = (accepted < NEVER) & (snapshot.ended == NEVER) & (log.times("started") > day.now)
    stalled = (driver_index >= 0) & (log.times("stalled_driver") == driver_index)
    orders = np.flatnonzero(not_started & stalled)
    return pl.DataFrame(
        {
            "delivery_id": delivery_ids(day.demand, orders),
            "driver_id": ids(day.roster.driver[driver_index[orders]]),
            "since": instants(_since_us(scenario, last), accepted[orders]),
            "kind": pl.Series([STALLS[outcomes.stall_kind[i]] for i in orders], dtype=pl.String),
        }
    )


def _simulate(scenario: Scenario, geography: Geography, index: int) -> tuple[Day, Outcomes]:
    """Return one day after dispatching, and the outcomes drawn for it."""
    counts = scenario.orders_by_day()
    first_id, count, now = 1 + sum(counts[:index]), counts[index], scenario.stops_at(index)
    demand = day_demand(scenario, geography, index, first_id, count)
    roster = day_roster(scenario, geography, index)
    outcomes = day_outcomes(scenario, index, count)
    log = run(demand, roster, outcomes, geography, now)
    return Day(index, demand, roster, log, now), outcomes


def _since_us(scenario: Scenario, index: int) -> int:
    """Return when a day began, in microseconds since 1970."""
    return (scenario.window(index).since - EPOCH) // timedelta(microseconds=1)


def _length_ms(scenario: Scenario, index: int) -> int:
    return scenario.window(index).length // timedelta(milliseconds=1)


def _customers(scenario: Scenario, geography: Geography) -> pl.DataFrame:
    """Return the customers table; each has been a customer for up to 900 days."""
    count = len(geography.homes.x)
    ago = random_stream(scenario.seed, 0, "since").integers(1, 900, count) * 86_400_000
    return pl.DataFrame(
        {"id": ids(np.arange(count)), "since": instants(_since_us(scenario, 0), -ago)}
    )


def _preferences(geography: Geography) -> pl.DataFrame:
    """Return the preferences of drivers: first the usual zone, then the zone beside it."""
    rows = [
        (driver, zone, weight)
        for driver, base in enumerate(geography.base.tolist())
        for zone, weight in zip(geography.near(base), (80, 40), strict=False)
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
