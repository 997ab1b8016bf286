"""Health of zones over days small enough to count by hand."""

from __future__ import annotations

import pytest

from dispatchkit.measure import zones
from tests.unit.measure.small_dataset import after, at, delivered, marts, order, scope, tables

TWO = [{"id": 1, "name": "east"}, {"id": 2, "name": "west"}]


def duty(driver: int, since: str, until: str):
    return {"driver_id": driver, "duty": "ON_DUTY", "since": at(since), "until": at(until)}


def measured(jobs, **more):
    section = zones.measure(marts(tables(jobs, **more)), scope())
    return {row["zone"]: row for row in section.table("zones").frame.iter_rows(named=True)}


def lost(number: int, placed: str, **more):
    ended = {"ended_at": after(placed, 45), "ended_while": "UNASSIGNED"}
    return order(number, placed, state="UNFULFILLED", **ended, **more)


def test_quiet_zone_with_drivers_is_healthy():
    jobs = [delivered(n, "12:00", 20, driver_id=n) for n in range(1, 6)]
    drivers = [{"id": n} for n in range(1, 6)]
    day = measured(
        jobs,
        drivers=drivers,
        driver_availability_history=[duty(n, "11:00", "14:00") for n in range(1, 6)],
    )
    zone = day["centre"]
    assert (zone["band"], zone["orders"], zone["available_h"]) == ("HEALTHY", 5, 15.0)
    assert round(zone["never_high"], 2) == 0.43
    assert zone["required_h"] == pytest.approx(
        5 * 18 / 60 / 0.75
    )  # 18 engaged minutes an order, three quarters used


def test_most_orders_lost_is_critical():
    jobs = [
        *(lost(n, "12:00") for n in range(1, 7)),
        *(delivered(n, "12:00", 20) for n in range(7, 11)),
    ]
    zone = measured(jobs, driver_availability_history=[duty(1, "06:00", "22:00")])["centre"]
    assert zone["never_served"] == 6
    assert zone["band"] == "CRITICAL"
    assert zone["score"] == 0


def test_few_orders_and_hours_are_unknown():
    zone = measured(
        [delivered(1, "12:00", 20)], driver_availability_history=[duty(1, "12:00", "12:29")]
    )["centre"]
    assert (zone["band"], zone["score"]) == ("UNKNOWN", None)


def test_without_duty_there_is_no_gap():
    zone = measured([delivered(n, "12:00", 20) for n in range(1, 11)])["centre"]
    assert zone["band"] == "HEALTHY"
    assert zone["available_h"] == 0


def test_driver_counts_in_zone_of_last_order():
    jobs = [delivered(1, "12:00", 20, zone_id=2)]
    day = measured(
        jobs, delivery_zones=TWO, driver_availability_history=[duty(1, "11:02", "14:02")]
    )
    assert (day["east"]["available_h"], day["west"]["available_h"]) == (1.0, 2.0)


def test_long_wait_strains_zone():
    jobs = [delivered(n, "12:00", 30, assigned_at=after("12:00", 8)) for n in range(1, 9)]
    zone = measured(jobs)["centre"]
    assert (zone["wait_p90_min"], zone["band"]) == (8.0, "STRAINED")
    assert zone["score"] == pytest.approx(100 * (1 - 5 / 12))


def test_order_without_zone_uses_merchant_cell():
    merchant = [{"id": 1, "zone_id": None, "lat": 40.7512, "lon": -73.9901}]
    assert list(measured([delivered(1, "12:00", 20)], merchants=merchant)) == ["cell 40.75/-74.0"]


def test_deliveries_alone_leave_band_unknown():
    jobs = [delivered(n, "12:00", 20, assigned_at=None) for n in range(1, 11)]
    assert measured(jobs)["centre"]["band"] == "UNKNOWN"


def test_spare_afternoon_drivers_do_not_fill_noon_gap():
    jobs = [delivered(n, "12:00", 20, driver_id=n) for n in range(1, 6)]
    drivers = [{"id": n} for n in range(1, 6)]
    duties = [duty(1, "12:00", "13:00"), *(duty(n, "14:00", "18:00") for n in range(2, 6))]
    zone = measured(jobs, drivers=drivers, driver_availability_history=duties)["centre"]
    assert zone["available_h"] > zone["required_h"] == pytest.approx(2)
    assert (zone["short_h"], zone["score"]) == (pytest.approx(1), pytest.approx(50))
    assert (zone["band"], zone["strained_hours"]) == ("STRAINED", 1)
