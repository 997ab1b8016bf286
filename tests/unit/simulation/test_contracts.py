"""The simulated tables keep their contracts and every rule that the database enforces."""

from __future__ import annotations

import json
from datetime import date, time, timedelta
from functools import cache
from hashlib import sha256
from itertools import pairwise

import polars as pl
import pytest

from dispatchkit.domain.states import ACTIVE, CASE, DELIVERY, EPISODE, OFFER, OPEN, WITH_DRIVER
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.geo import contains, ring_fault
from dispatchkit.simulation import Scenario, days, world

SCENARIOS = (
    Scenario(seed=1),
    Scenario(orders=200, days=1, seed=2),
    Scenario(orders=9_000, days=3, seed=7, tz="Europe/Berlin"),
)
NAMES = ("sample", "tiny", "three days")

Frames = dict[str, pl.DataFrame]


@cache
def frames_of(scenario: Scenario) -> Frames:
    by_day = list(days(scenario))
    return world(scenario) | {name: pl.concat([day[name] for day in by_day]) for name in by_day[0]}


@pytest.fixture(params=SCENARIOS, ids=NAMES)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    assert isinstance(request.param, Scenario)
    return request.param


def both(frames: Frames, left: str, right: str, on: str = "delivery_id") -> pl.DataFrame:
    return frames[left].join(frames[right], left_on=on, right_on="id", suffix="_of")


def test_tables_match_their_contracts(scenario: Scenario) -> None:
    for name, frame in frames_of(scenario).items():
        schema = TABLES[name]
        assert frame.columns == list(schema.columns()), name
        schema.validate(frame, cast=False)
        assert frame["id"].is_sorted() and frame["id"].is_unique().all(), name


def test_references_lead_to_row(scenario: Scenario) -> None:
    frames = frames_of(scenario)
    for name, frame in frames.items():
        for column, table in TABLES[name].references().items():
            missing = frame.filter(pl.col(column).is_not_null()).join(
                frames[table], left_on=column, right_on="id", how="anti"
            )
            assert missing.is_empty(), f"{name}.{column}"


def test_days_have_requested_orders(scenario: Scenario) -> None:
    assert (
        len(frames_of(scenario)["orders"])
        == len(frames_of(scenario)["deliveries"])
        == scenario.orders
    )


def test_scenario_and_seed_determine_rows() -> None:
    again = list(days(Scenario(seed=1)))
    for name, frame in frames_of(Scenario(seed=1)).items():
        if name in again[0]:
            assert frame.equals(pl.concat([day[name] for day in again])), name
    other = next(days(Scenario(seed=2)))
    assert not other["orders"].equals(again[0]["orders"])
    assert (
        world(Scenario(seed=2))["merchants"]["lat"].to_list()
        != world(Scenario(seed=1))["merchants"]["lat"].to_list()
    )


def test_nothing_happens_after_live_instant(scenario: Scenario) -> None:
    known_ahead = {
        "promised_at",
        "ready_at",
        "dispatch_at",
        "expires_at",
        "hard_deadline",
        "grace_until",
        "shift_end",
    }
    known_ahead |= {"break_until", "cooldown_until", "eta_at", "low_at", "high_at"}
    for name, frame in frames_of(scenario).items():
        for column, kind in frame.schema.items():
            if isinstance(kind, pl.Datetime) and column not in known_ahead and len(frame):
                latest = frame[column].max()
                assert latest is None or latest <= scenario.as_of, f"{name}.{column}"  # type: ignore[operator]


# What the database enforces by constraints and invariants.


def test_state_decides_whether_there_is_driver(scenario: Scenario) -> None:
    for row in (
        frames_of(scenario)["deliveries"].select("state", "driver_id", "slot").iter_rows(named=True)
    ):
        assert (row["driver_id"] is not None) == (row["state"] in WITH_DRIVER)
        assert (row["slot"] is not None) == (row["state"] in ACTIVE)


def test_slots_are_unique_and_within_max_stack(scenario: Scenario) -> None:
    frames = frames_of(scenario)
    active = frames["deliveries"].filter(pl.col("state").is_in(sorted(ACTIVE)))
    assert active.select("driver_id", "slot").is_unique().all()
    carried = active.join(frames["drivers"], left_on="driver_id", right_on="id", suffix="_driver")
    assert (carried["slot"] <= carried["max_stack"]).all()
    assert not carried["duty"].is_in(["OFF_DUTY", "FORCED_OFF", "ON_BREAK", "SUSPENDED"]).any()


def test_no_driver_ever_exceeds_max_stack(scenario: Scenario) -> None:
    frames = frames_of(scenario)
    held = frames["deliveries"].filter(
        pl.col("driver_id").is_not_null() & pl.col("assigned_at").is_not_null()
    )
    until = pl.col("ended_at").fill_null(scenario.as_of)
    steps = pl.concat(
        [
            held.select("driver_id", at=pl.col("assigned_at"), step=pl.lit(1)),
            held.select("driver_id", at=until, step=pl.lit(-1)),
        ]
    ).sort("driver_id", "at", "step")
    load = (
        steps.with_columns(load=pl.col("step").cum_sum().over("driver_id"))
        .group_by("driver_id")
        .agg(pl.col("load").max())
    )
    checked = load.join(frames["drivers"], left_on="driver_id", right_on="id")
    assert (checked["load"] <= checked["max_stack"]).all()


def test_pending_offers_match_offering_deliveries(
    scenario: Scenario,
) -> None:
    frames = frames_of(scenario)
    offers = both(frames, "driver_offers", "deliveries").filter(state="PENDING")
    assert (offers["state_of"] == "OFFERING").all() and (
        offers["episode"] == offers["episode_of"]
    ).all()
    offering = frames["deliveries"].filter(state="OFFERING")["id"].to_list()
    assert sorted(offers["delivery_id"].to_list()) == sorted(offering), (
        "in cascade one offer is pending for each"
    )
    assert offers["driver_id"].is_unique().all(), "at most one pending offer a driver"


def test_one_accepted_offer_per_episode_names_driver(
    scenario: Scenario,
) -> None:
    accepted = both(frames_of(scenario), "driver_offers", "deliveries").filter(state="ACCEPTED")
    assert accepted.select("delivery_id", "episode").is_unique().all()
    in_force = accepted.filter(pl.col("episode") == pl.col("episode_of"))
    assert in_force["driver_id"].equals(in_force["driver_id_of"].alias("driver_id"))
    with_driver = frames_of(scenario)["deliveries"].filter(pl.col("driver_id").is_not_null())
    assert sorted(with_driver["id"]) == sorted(in_force["delivery_id"])
    assert in_force["responded_at"].equals(in_force["assigned_at"].alias("responded_at"))


def test_answers_respect_deadline(scenario: Scenario) -> None:
    offers = frames_of(scenario)["driver_offers"]
    accepted, expired = offers.filter(state="ACCEPTED"), offers.filter(state="EXPIRED")
    assert (accepted["responded_at"] < accepted["hard_deadline"]).all()
    assert (expired["responded_at"] >= expired["hard_deadline"]).all()
    assert (accepted["late"] == (accepted["responded_at"] >= accepted["expires_at"])).all()
    assert offers["sent_at"].is_sorted()


def test_no_driver_has_two_offers_at_once(scenario: Scenario) -> None:
    offers = frames_of(scenario)["driver_offers"].sort("driver_id", "sent_at")
    free_again = pl.col("responded_at").shift().over("driver_id")
    assert offers.filter(pl.col("sent_at") < free_again).is_empty()


def test_payload_is_canonical_and_hashed(scenario: Scenario) -> None:
    for row in frames_of(scenario)["driver_offers"].head(300).iter_rows(named=True):
        assert canonical(json.loads(row["payload"])) == row["payload"]
        assert sha256(row["payload"].encode()).hexdigest() == row["payload_sha256"]
        assert json.loads(row["payload"])["pay_cents"] == row["pay_cents"]


def test_episode_is_open_while_delivery_seeks_driver(scenario: Scenario) -> None:
    episodes = both(frames_of(scenario), "unassigned_orders", "deliveries")
    seeking = episodes["state_of"].is_in(sorted(OPEN)) & (
        episodes["episode"] == episodes["episode_of"]
    )
    assert (seeking == (episodes["state"] == "OPEN")).all()
    assert ((episodes["state"] == "OPEN") == episodes["closed_at"].is_null()).all()
    assert len(episodes.filter(state="OPEN")) == len(
        frames_of(scenario)["deliveries"].filter(pl.col("state").is_in(sorted(OPEN)))
    )
    assert set(episodes["state"]) <= EPISODE.states
    assert (
        episodes["closed_at"].drop_nulls() >= episodes.drop_nulls("closed_at")["opened_at"]
    ).all()


def test_duty_intervals_have_no_gap_or_overlap(scenario: Scenario) -> None:
    rows = frames_of(scenario)["driver_availability_history"].sort("driver_id", "since")
    after = pl.col("since").shift(-1).over("driver_id")
    assert rows.filter(
        after.is_not_null() & (pl.col("until").is_null() | (pl.col("until") != after))
    ).is_empty()
    current = rows.filter(pl.col("until").is_null()).join(
        frames_of(scenario)["drivers"], left_on="driver_id", right_on="id"
    )
    assert len(current) == len(frames_of(scenario)["drivers"])
    assert (current["duty"] == current["duty_right"]).all() and (
        current["since"] == current["duty_since"]
    ).all()


def test_offers_go_only_to_drivers_on_duty(scenario: Scenario) -> None:
    frames = frames_of(scenario)
    duties = (
        frames["driver_availability_history"].sort("since").select("driver_id", "duty", "since")
    )
    asked = (
        frames["driver_offers"]
        .sort("sent_at")
        .join_asof(
            duties, left_on="sent_at", right_on="since", by="driver_id", check_sortedness=False
        )
    )
    assert set(asked["duty"]) == {"ON_DUTY"}


def test_stages_follow_each_other_in_time(scenario: Scenario) -> None:
    steps = "created_at assigned_at started_at arrived_pickup_at picked_up_at arrived_dropoff_at ended_at".split()
    rows = frames_of(scenario)["deliveries"]
    for i, early in enumerate(steps):
        for late in steps[i + 1 :]:
            assert rows.filter(pl.col(late) < pl.col(early)).is_empty(), f"{late} before {early}"
    assert (
        (rows["ended_at"].is_not_null()) == rows["state"].is_in(sorted(DELIVERY.terminal))
    ).all()
    ready = both(frames_of(scenario), "deliveries", "orders", on="order_id").filter(
        pl.col("picked_up_at") < pl.col("ready_at")
    )
    assert ready.is_empty(), "nobody leaves with food that is not ready"


def test_states_are_those_of_machines(scenario: Scenario) -> None:
    frames = frames_of(scenario)
    assert set(frames["driver_offers"]["state"]) <= OFFER.states
    assert set(frames["reassignment_cases"]["state"]) <= CASE.states
    closed = frames["reassignment_cases"]
    assert (closed["closed_at"].is_not_null() == closed["state"].is_in(sorted(CASE.terminal))).all()


def test_zones_tile_city_and_hold_merchants(scenario: Scenario) -> None:
    frames = frames_of(scenario)
    rings = [json.loads(ring) for ring in frames["delivery_zones"]["ring"]]
    assert [ring_fault(ring) for ring in rings] == [None] * len(rings)
    sides = [tuple(map(tuple, side)) for ring in rings for side in pairwise(ring)]
    assert len(sides) == len(set(sides)), (
        "no side is walked twice in one direction, so nothing overlaps"
    )
    outer = [side for side in sides if side[::-1] not in set(sides)]
    assert len(outer) == 4 * round(len(rings) ** 0.5), (
        "only the city's own edge has no zone on its other side: no hole"
    )
    for row in frames["merchants"].iter_rows(named=True):
        inside = [i for i, ring in enumerate(rings, 1) if contains(ring, row["lat"], row["lon"])]
        assert inside[0] == row["zone_id"]


def test_impossible_sizes_are_usage_errors() -> None:
    for wrong in (
        {"orders": 10},
        {"days": 0},
        {"orders": 10_000_000, "days": 2},
        {"live_until": time(3)},
    ):
        with pytest.raises(Usage):
            Scenario(**wrong)


def test_clock_change_keeps_live_instant() -> None:
    scenario = Scenario(orders=300, days=2, start=date(2026, 3, 28), tz="Europe/Berlin")
    frames = frames_of(scenario)
    assert scenario.as_of.utcoffset() == timedelta(0) and scenario.as_of.hour == 17, (
        "19:30 in summer time"
    )
    last = (
        frames["driver_availability_history"]
        .filter(pl.col("reason") == "NEW_DAY")["since"]
        .unique()
        .sort()
    )
    assert (last[1] - last[0]) == timedelta(hours=23)
