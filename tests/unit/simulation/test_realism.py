"""The simulation is realistic: rushes, answers, service, money, and work at the live instant."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from itertools import chain

import polars as pl
import pytest

from dispatchkit.domain.states import ACTIVE, OPEN
from dispatchkit.simulation import Scenario, days, world

WEEK = Scenario(orders=12_000, days=6, seed=11)
SAMPLE = Scenario()

Frames = dict[str, pl.DataFrame]


@cache
def frames_of(scenario: Scenario) -> Frames:
    by_day = list(days(scenario))
    return world(scenario) | {name: pl.concat([day[name] for day in by_day]) for name in by_day[0]}


def share(part: pl.DataFrame, whole: pl.DataFrame) -> float:
    return len(part) / len(whole)


def delivered(frames: Frames) -> pl.DataFrame:
    orders = frames["orders"].rename({"id": "order_id"})
    return frames["deliveries"].filter(state="DELIVERED").join(orders, on="order_id")


def test_lunch_and_dinner_are_rushes() -> None:
    hours = frames_of(WEEK)["orders"].group_by(pl.col("placed_at").dt.hour().alias("hour")).len()
    count = dict(hours.iter_rows())
    assert count[12] > 2 * count[15] and count[19] > 2 * count[15], "more than twice the afternoon"
    assert not set(count) & set(range(6)), "nobody orders at night"


def test_weekends_are_busier_than_mondays() -> None:
    orders = frames_of(Scenario(orders=8_000, days=8, seed=3))["orders"]
    by_day = dict(
        orders.group_by(pl.col("placed_at").dt.date().dt.weekday().alias("day")).len().iter_rows()
    )
    assert by_day[6] > 1.15 * by_day[1]


def test_acceptance_of_first_offers_matches_published_rates() -> None:
    first = (
        frames_of(WEEK)["driver_offers"]
        .filter(attempt=1, episode=1)
        .filter(pl.col("state") != "PENDING")
    )
    assert 0.82 < share(first.filter(state="ACCEPTED"), first) < 0.90
    again = frames_of(WEEK)["driver_offers"].filter(pl.col("attempt") > 1)
    assert share(again.filter(state="ACCEPTED"), again) < 0.82, (
        "an unattractive order stays unattractive"
    )


def test_service_is_good_but_not_perfect() -> None:
    frames = frames_of(WEEK)
    done = delivered(frames)
    assert 0.70 < share(done.filter(pl.col("ended_at") <= pl.col("promised_at")), done) < 0.95
    never = frames["deliveries"].filter(pl.col("state").is_in(["CANCELLED", "UNFULFILLED"]))
    never = never.filter(pl.col("ended_while").is_in(sorted(OPEN)))
    assert 0.002 < share(never, frames["deliveries"]) < 0.06
    minutes = (done["ended_at"] - done["placed_at"]).dt.total_minutes()
    assert 25 < float(minutes.median() or 0) < 45  # type: ignore[arg-type]


def test_quotes_are_more_exact_near_door() -> None:
    quotes = frames_of(WEEK)["eta_quotes"].join(
        delivered(frames_of(WEEK)), left_on="delivery_id", right_on="id"
    )
    off = (pl.col("ended_at") - pl.col("eta_at")).dt.total_seconds().abs()
    within = dict(quotes.group_by("event").agg((off <= 300).mean()).iter_rows())
    assert 0.40 < within["placement"] < within["accept"] < within["pickup"] < within["near_door"]
    assert (quotes["low_at"] <= quotes["eta_at"]).all() and (
        quotes["eta_at"] <= quotes["high_at"]
    ).all()


def test_cancellations_stalls_and_failures_all_occur() -> None:
    frames = frames_of(WEEK)
    ended = frames["deliveries"].drop_nulls("ended_while")
    assert set(ended["ended_while"]) >= {
        "SCHEDULED",
        "UNASSIGNED",
        "EN_ROUTE_PICKUP",
        "ARRIVED_PICKUP",
        "ARRIVED_DROPOFF",
    }
    assert set(frames["deliveries"]["state"]) >= {"CANCELLED", "UNFULFILLED", "FAILED", "RETURNED"}
    assert set(frames["reassignment_cases"]["state"]) >= {"CLEARED", "SUCCEEDED", "GRACE"}
    assert set(frames["driver_offers"]["state"]) == {
        "PENDING",
        "ACCEPTED",
        "DECLINED",
        "EXPIRED",
        "REVOKED",
    }
    assert set(frames["drivers"]["duty"]) >= {"ON_DUTY", "OFF_DUTY", "ON_BREAK"}


def test_topups_lift_shifts_exactly_to_guarantee() -> None:
    """Recompute from the tables: hours on duty at 15.00 an hour, less piece pay, to the cent."""
    frames = frames_of(WEEK)
    cost = frames["delivery_costs"].with_columns(day=pl.col("id") // 100_000_000)
    duty = frames["driver_availability_history"].with_columns(day=pl.col("id") // 100_000_000)
    over = duty.filter(duty="OFF_DUTY", reason="WORK_DONE").select("day", "driver_id")
    paid = duty.filter(pl.col("duty").is_in(["ON_DUTY", "BREAK_PENDING", "ENDING_SHIFT"]))
    spent = (pl.col("until") - pl.col("since")).dt.total_milliseconds().sum()
    hours = paid.group_by("day", "driver_id").agg(ms=spent)

    def lines(*kinds: str) -> pl.DataFrame:
        return (
            cost.filter(pl.col("kind").is_in(kinds))
            .group_by("day", "driver_id")
            .agg(pl.col("amount_cents").sum())
        )

    shifts = over.join(hours, on=["day", "driver_id"]).join(
        lines("piece_pay"), on=["day", "driver_id"], how="left"
    )
    shifts = shifts.join(
        lines("guarantee_topup", "idle_topup"), on=["day", "driver_id"], how="left", suffix="_topup"
    )
    assert len(shifts) == len(over) > 300
    for row in shifts.fill_null(0).iter_rows(named=True):
        guarantee = (row["ms"] * 1500 * 2 + 3_600_000) // 7_200_000  # half away from zero
        assert row["amount_cents_topup"] == max(0, guarantee - row["amount_cents"])


def test_ended_deliveries_have_costs_and_revenue() -> None:
    frames = frames_of(WEEK)
    ended = (
        frames["deliveries"]
        .filter(pl.col("state").is_in(["DELIVERED", "FAILED", "RETURNED"]))["id"]
        .sort()
    )
    for table, kind in (
        ("delivery_costs", "piece_pay"),
        ("delivery_costs", "payment_fee"),
        ("delivery_revenue", "delivery_fee"),
    ):
        assert (
            frames[table].filter(kind=kind)["delivery_id"].sort().equals(ended.alias("delivery_id"))
        ), kind
    sides = frames["delivery_revenue"].group_by("kind").agg(pl.col("side").unique())
    assert dict(sides.iter_rows())["tip"] == ["pass_through"]


@pytest.mark.parametrize("scenario", [SAMPLE, WEEK], ids=["sample", "week"])
def test_live_instant_has_work_for_every_sweep(scenario: Scenario) -> None:
    frames, now = frames_of(scenario), scenario.as_of
    pending = frames["driver_offers"].filter(state="PENDING")
    assert len(pending.filter(pl.col("hard_deadline") <= now)) >= 2, "offers to expire"
    assert len(pending.filter(pl.col("hard_deadline") > now)) >= 1, "offers still open"
    states = frames["deliveries"]["state"]
    assert {
        "SCHEDULED",
        "UNASSIGNED",
        "OFFERING",
        "ASSIGNED",
        "EN_ROUTE_PICKUP",
        "EN_ROUTE_DROPOFF",
    } <= set(states)
    last = frames["driver_locations"].group_by("driver_id").agg(pl.col("at").max())
    assigned = frames["deliveries"].filter(state="ASSIGNED").join(last, on="driver_id")
    assert len(assigned.filter(pl.col("at") <= now - timedelta(minutes=10))) >= 1, (
        "a silent driver who holds a delivery"
    )
    assert len(assigned.filter(pl.col("assigned_at") <= now - timedelta(minutes=10))) >= 2, (
        "drivers who never started"
    )
    active = frames["deliveries"].filter(pl.col("state").is_in(sorted(ACTIVE)))
    assert len(active.group_by("driver_id").len().filter(pl.col("len") == 2)) >= 3, (
        "drivers with two deliveries"
    )
    idle = (
        frames["drivers"]
        .filter(duty="ON_DUTY")
        .join(active, left_on="id", right_on="driver_id", how="anti")
    )
    fresh = idle.join(last, left_on="id", right_on="driver_id").filter(
        pl.col("at") >= now - timedelta(seconds=60)
    )
    assert len(fresh) >= 5, "drivers who could be asked"


def test_pings_move_no_faster_than_car() -> None:
    frames = frames_of(SAMPLE)
    recent = (
        frames["driver_locations"]
        .filter(pl.col("at") > SAMPLE.as_of - timedelta(minutes=4))
        .sort("driver_id", "at")
    )
    seconds = (pl.col("at") - pl.col("at").shift().over("driver_id")).dt.total_milliseconds() / 1000
    north = (pl.col("lat") - pl.col("lat").shift().over("driver_id")) * 111_195
    east = (pl.col("lon") - pl.col("lon").shift().over("driver_id")) * 67_000
    pace = recent.select(pace=((north**2 + east**2).sqrt() - 20) / (seconds + 1)).drop_nulls()
    assert len(pace) > 50 and float(pace["pace"].max()) < 20  # type: ignore[arg-type]


def test_delivery_and_order_ids_are_disjoint() -> None:
    frames = frames_of(SAMPLE)
    assert not set(chain(frames["orders"]["id"])) & set(frames["deliveries"]["id"])
