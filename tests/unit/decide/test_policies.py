"""Offers, reassignment and acts in random cities never break a rule of the database.

`corridor.apply` refuses what the writer and the database refuse: illegal steps, wrong versions, two
pending offers of a driver, two accepted in an episode, two deliveries in a slot. Each sweep runs
twice at one instant: the second run must find nothing to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatchkit.decide.deliveries import policy as deliveries
from dispatchkit.decide.deliveries.model import Params as DeliveryParams
from dispatchkit.decide.offers import model as offer_params
from dispatchkit.decide.offers import policy as offers
from dispatchkit.decide.offers.model import Params as OfferParams
from dispatchkit.decide.reassignment import policy as reassignment
from dispatchkit.decide.reassignment.model import Params as ReassignmentParams
from dispatchkit.domain.feature import Event
from dispatchkit.kernel.sql import parse
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import (
    NOW,
    Place,
    Tables,
    a_delivery,
    a_driver,
    a_ping,
    minutes,
    seconds,
    tables,
)
from tests.unit.decide.corridor import apply, gather, locked

TRAVEL = StraightLine()
DRIVERS, DELIVERIES = range(11, 16), range(1, 6)
MODES: Any = {mode: (offers.FEATURE, OfferParams(mode=mode)) for mode in offer_params.MODES}
REASSIGNMENT: Any = (reassignment.FEATURE, ReassignmentParams())
CARRYING: Any = (deliveries.FEATURE, DeliveryParams())
STEPS = ("start", "arrive-pickup", "pickup", "deliver", "fail", "return")
TOLD = ("unassign", "breakdown")
OFTEN = (
    "accept accept accept accept decline viewed undeliverable wait wait wait duty silence move "
    "reassign release pickup"
).split()
BY_OPS = ("cancel", "rescue", "handover")
places = st.tuples(st.integers(-2500, 2500), st.integers(-2500, 2500))
walks = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
scripts = st.lists(
    st.tuples(
        st.sampled_from([*OFTEN, *STEPS, *TOLD, *BY_OPS]),
        st.integers(0, 9),
    ),
    min_size=4,
    max_size=20,
)


def test_same_read_name_has_same_sql() -> None:
    one, other = offers.FEATURE, reassignment.FEATURE
    shared = [name for name in one.reads if one.reads[name] is other.reads.get(name)]
    assert shared == ["drivers", "pings"]
    ours, theirs = (parse(feature.sql.read_text()) for feature in (one, other) if feature.sql)
    assert [without_comments(ours[name]) for name in shared] == [
        without_comments(theirs[name]) for name in shared
    ]


def without_comments(query: str) -> list[str]:
    return [line for line in query.splitlines() if not line.startswith("--")]


@dataclass
class City:
    """The tables, where each driver is, and whose phone is silent."""

    tables: Tables
    spots: dict[int, Place]
    silent: set[int] = field(default_factory=set)
    mode: str = "cascade"
    now: datetime = NOW
    seen: set[str] = field(default_factory=set)

    def write(self, changes: Any) -> None:
        self.seen.update(change.event for change in changes)
        assert all(re.fullmatch("[A-Z]+(_[A-Z]+)*", change.reason) for change in changes), (
            "the trail keeps words"
        )
        self.tables = apply(self.tables, changes)


@st.composite
def cities(draw: st.DrawFn) -> City:
    """A few deliveries at any point of the search and a few drivers, near or far."""
    spots: dict[int, Place] = {id: draw(places) for id in DRIVERS}
    deliveries = [
        a_delivery(
            id,
            state=draw(st.sampled_from(["CREATED", "SCHEDULED", "UNASSIGNED"])),
            pickup=draw(places),
            due=minutes(draw(st.integers(-3, 10))),
            ready_in=draw(st.sampled_from([None, minutes(-5), minutes(8)])),
            priority=draw(st.integers(0, 1)),
        )
        for id in DELIVERIES
    ]
    drivers = [
        a_driver(
            id,
            at=spots[id],
            seen=seconds(draw(st.integers(0, 200))),
            vehicle=draw(st.sampled_from(["car", "bicycle", "walker"])),
            max_stack=draw(st.integers(1, 3)),
            shift_end=draw(st.sampled_from([None, None, NOW + minutes(12)])),
        )
        for id in DRIVERS
    ]
    return City(
        tables(*deliveries, *drivers), spots, mode=draw(st.sampled_from(offer_params.MODES))
    )


def sweep(city: City) -> None:
    """Run both sweeps, each twice at one instant; the second run must find nothing."""
    for feature, params in (REASSIGNMENT, MODES[city.mode]):
        city.write(
            feature.decide(
                gather(feature, city.tables, city.now, check=False), params, city.now, TRAVEL, 0
            ).changes
        )
        again = feature.decide(
            gather(feature, city.tables, city.now, check=False), params, city.now, TRAVEL, 0
        )
        assert again.changes == [], feature.name
    tables = city.tables
    offering = tables["deliveries"].filter(state="OFFERING")["id"].to_list()
    assert (
        tables["driver_offers"].filter(state="PENDING")["delivery_id"].unique().sort().to_list()
        == offering
    )
    seeking = tables["deliveries"].filter(pl.col("state").is_in(["UNASSIGNED", "OFFERING"]))
    opened = (
        tables["unassigned_orders"]
        .filter(state="OPEN")
        .select("delivery_id", "episode")
        .sort("delivery_id")
    )
    assert opened.rows() == seeking.select("id", "episode").sort("id").rows()


def apply_event(city: City, event_name: str, n: int) -> None:
    """Apply one event of a driver or a person, if possible; then every phone sends its position."""
    city.now += minutes(n) if event_name == "wait" else seconds(2 * n)
    driver = DRIVERS[n % len(DRIVERS)]
    if event_name in offers.FEATURE.events:
        pending = city.tables["driver_offers"].filter(state="PENDING").rows(named=True)
        for offer in pending[n % len(pending) :][:1] if pending else []:
            event = Event(
                name=event_name, actor="driver", driver_id=offer["driver_id"], offer_id=offer["id"]
            )
            respond(city, MODES[city.mode], event)
    elif event_name in ("reassign", "release"):
        args = {"to": driver if event_name == "reassign" else None, "reason": "VEHICLE"}
        respond(
            city,
            REASSIGNMENT,
            Event(name="reassign", actor="ops", delivery_id=1 + n % 5, args=args),
        )
    elif event_name == "silence":
        city.silent ^= {driver}
    elif event_name == "move":
        city.spots[driver] = (city.spots[driver][0] / 2, city.spots[driver][1] / 2)
    elif event_name == "duty":
        off = pl.when(duty="ON_DUTY").then(pl.lit("OFF_DUTY")).otherwise(pl.lit("ON_DUTY"))
        overwrite(city, "drivers", pl.col("id") == driver, duty=off)
    elif event_name in STEPS:  # reported for a delivery the driver has or has lost
        lost = city.tables["reassignment_cases"].filter(pl.col("released_at").is_not_null())
        had = [
            *city.tables["deliveries"].filter(driver_id=driver)["id"],
            *lost.filter(driver_id=driver)["delivery_id"],
        ]
        for id in had[:1] if n % 2 else had[-1:]:
            event = Event(
                name=event_name,
                actor="driver",
                delivery_id=id,
                driver_id=driver,
                args={"reason": "TRIED"},
            )
            respond(city, CARRYING, event)
    elif event_name in TOLD:
        for id in city.tables["deliveries"].filter(driver_id=driver)["id"].to_list()[:1]:
            event = Event(
                name=event_name,
                actor="driver",
                delivery_id=id,
                driver_id=driver,
                args={"reason": "TRIED"},
            )
            respond(city, REASSIGNMENT, event)
    elif event_name in BY_OPS:
        to = driver if event_name == "handover" else None
        args = {"to": to, "by": "customer", "reason": "TRIED"}
        respond(
            city,
            CARRYING,
            Event(name=event_name, actor="ops", delivery_id=1 + n % 5, driver_id=to, args=args),
        )
    pings = [
        a_ping(id, at=city.spots[id], ago=NOW - city.now) for id in DRIVERS if id not in city.silent
    ]
    sent = pl.DataFrame(
        [row.values for ping in pings for row in ping],
        schema=city.tables["driver_locations"].schema,
    )
    pinged = pl.concat([city.tables["driver_locations"], sent]).unique("id").sort("id")
    city.tables = {**city.tables, "driver_locations": pinged}


def respond(city: City, feature_params: Any, event: Event) -> None:
    """Answer an act. A refused act may only open a ticket; repeated, it is refused or a replay."""
    feature, params = feature_params
    answer = feature.respond(locked(city.tables, event, city.now), event, params, city.now)
    assert not answer.refused or {change.entity for change in answer.changes} <= {"ticket"}
    city.write(answer.changes)
    if answer.changes:
        again = feature.respond(locked(city.tables, event, city.now), event, params, city.now)
        assert (again.code, again.changes) == (answer.code if answer.refused else "OK_REPLAY", ())


def overwrite(city: City, table: str, where: pl.Expr, **columns: pl.Expr) -> None:
    """Change columns as another feature would."""
    written = {name: pl.when(where).then(value).otherwise(name) for name, value in columns.items()}
    frame = city.tables[table].with_columns(
        **written, version=pl.col("version") + where.cast(pl.Int64)
    )
    city.tables = {**city.tables, table: frame}


def walk(city: City, script: list[tuple[str, int]]) -> set[str]:
    """Return the events that a script leads to."""
    sweep(city)
    for event_name, n in script:
        apply_event(city, event_name, n)
        sweep(city)
    return city.seen


@walks
@given(cities(), scripts)
def test_sweep_keeps_rules_and_is_idempotent(city, script):
    walk(city, script)


def test_random_events_reach_offer_release_and_reassignment():
    spots: dict[int, Place] = {
        11: (900, 0),
        12: (1200, 0),
        13: (-1400, 0),
        14: (9000, 0),
        15: (9000, 0),
    }
    city = City(
        tables(a_delivery(1), *(a_driver(id, at=spot) for id, spot in spots.items())), spots
    )
    script = [
        ("accept", 0),
        ("wait", 4),
        ("wait", 2),
        ("wait", 3),
        ("wait", 2),
        ("accept", 0),
        ("pickup", 1),
    ]
    seen = walk(city, script)
    assert {
        "offer_accepted",
        "reassignment_suspected",
        "delivery_released",
        "reassignment_reassigned",
    } <= seen


@walks
@given(cities(), st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(city, random):
    for feature, params in (MODES[city.mode], REASSIGNMENT):
        frames = gather(feature, city.tables, NOW)
        mixed = {
            name: frame[random.sample(range(frame.height), frame.height)]
            for name, frame in frames.items()
        }
        assert feature.decide(mixed, params, NOW, TRAVEL, 0) == feature.decide(
            frames, params, NOW, TRAVEL, 0
        )
