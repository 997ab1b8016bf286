"""Memory refuses what Postgres refuses: one case for each rule, and no trace of it remains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from dispatchkit.domain.changes import Change
from dispatchkit.domain.tables import ENTITIES
from dispatchkit.kernel.errors import BadData
from dispatchkit.store.memory import MemoryStore
from dispatchkit.store.postgres import PostgresStore
from dispatchkit.store.rules import CHECKS, EXCLUSIONS
from tests import databases
from tests.contract.both import apply, events, table

CITY, NOW = databases.sample_frames(), databases.NOW
GONE = 999_999_999
SECOND = timedelta(seconds=1)
Row = dict[str, Any]


def first(table: str, *where: pl.Expr) -> Row:
    """Return the first row of the made-up city of which all of `where` is true."""
    return CITY[table].filter(*where).sort("id").row(0, named=True)


def insert(entity: str, after: Mapping[str, Any], id: int = GONE) -> Change:
    return change(entity, {"id": id, "version": 0, **after}, after)


def change(entity: str, seen: Row, after: Mapping[str, Any]) -> Change:
    """Return a change of a row; its root is its delivery if it has one, else its driver."""
    kind = "delivery" if entity == "delivery" or "delivery_id" in seen else "driver"
    root = seen["id"] if entity == kind else seen[f"{kind}_id"]
    return Change(
        entity=entity,
        id=seen["id"],
        version=seen["version"],
        event="tried",
        after=after,
        reason="test",
        at=NOW,
        root=(kind, root),
    )


state, ids = pl.col("state"), pl.col("id")
LATE = first(
    "driver_offers", state == "PENDING"
)  # its deadline is over when that of PENDING is near
PENDING = first(
    "driver_offers", state == "PENDING", pl.col("hard_deadline") > LATE["hard_deadline"]
)
THEN = PENDING["hard_deadline"] - SECOND
OTHER = first("driver_offers", state == "PENDING", pl.col("delivery_id") != PENDING["delivery_id"])
ACCEPTED = first("driver_offers", state == "ACCEPTED")
OPEN = first("unassigned_orders", state == "OPEN")
OVER = first(
    "unassigned_orders", state != "OPEN", ~pl.col("delivery_id").is_in([OPEN["delivery_id"]])
)
CASE = first("reassignment_cases", state.is_in(["SUSPECTED", "GRACE"]))
SMALL = CITY["drivers"].filter(pl.col("max_stack") < 3)["id"]
ACTIVE = first("deliveries", state == "ASSIGNED", pl.col("driver_id").is_in(SMALL.implode()))
CARRIED = first(
    "deliveries", ids.is_in([ACCEPTED["delivery_id"]]), pl.col("episode") == ACCEPTED["episode"]
)
RIVAL = first("deliveries", state == "ASSIGNED", pl.col("driver_id") != ACTIVE["driver_id"])
SEEKING = first("deliveries", state == "UNASSIGNED")
DONE = first("deliveries", state == "DELIVERED")
IDLE = first(
    "drivers", ~ids.is_in(CITY["driver_offers"].filter(state == "PENDING")["driver_id"].implode())
)
AT_HOME = first("drivers", pl.col("duty") == "OFF_DUTY")
ASSIGNED = {"state": "ASSIGNED", "slot": 1, "assigned_at": NOW}
DUTY = first("driver_availability_history", pl.col("until").is_null())

# Inserted beside a pending offer of the same delivery, so that no other rule is broken.
OFFER = {
    name: value
    for name, value in PENDING.items()
    if name not in ("id", "version", "delivered_at", "viewed_at", "responded_at", "cause", "late")
} | {"driver_id": IDLE["id"], "ask": PENDING["ask"] + 1}
EPISODE = {
    "delivery_id": OPEN["delivery_id"],
    "episode": OPEN["episode"] + 1,
    "state": "OPEN",
    "opened_at": NOW,
}
SUSPICION = {
    "delivery_id": CASE["delivery_id"],
    "driver_id": CASE["driver_id"],
    "episode": CASE["episode"],
    "trigger": "NOT_MOVING",
    "state": "SUSPECTED",
    "suspected_at": NOW,
}
TICKET = {
    "delivery_id": OPEN["delivery_id"],
    "episode": OPEN["episode"],
    "level": 3,
    "cause": "NO_SUPPLY",
    "state": "OPEN",
    "opened_at": NOW,
    "due_at": NOW,
}
RELEASED = [
    change("case", CASE | {"version": CASE["version"] + i}, {"state": step})
    for i, step in enumerate(("CONFIRMED", "RELEASED"))
]
ROUTE = {
    "driver_id": IDLE["id"],
    "state": "PLANNED",
    "planned_at": NOW,
    "stops": "[]",
    "distance_m": 0,
    "duration_s": 0,
    "engine": "greedy",
    "inputs_sha256": "0" * 64,
}


def again(*steps: Change, id: int) -> list[Change]:
    """Return a second suspicion of a case's delivery, and the same steps for it."""
    return [
        insert("case", SUSPICION, id),
        *(replace(s, id=id, version=i + 1) for i, s in enumerate(steps)),
    ]


def accepted(offer: Row, at: Any) -> Change:
    return change("offer", offer, {"state": "ACCEPTED", "responded_at": at})


# case: (the changes, the SQLSTATE of Postgres, a part of the message of memory)
REFUSED: Mapping[str, tuple[Sequence[Change], str, str]] = {
    "the pay of an offer changes": (
        [change("offer", PENDING, {"pay_cents": PENDING["pay_cents"] + 1})],
        "DK002",
        "a frozen column changed: pay_cents",
    ),
    "a delivery changes its order": (
        [change("delivery", SEEKING, {"order_id": DONE["order_id"]})],
        "DK002",
        "a frozen column changed: order_id",
    ),
    "a duty interval begins at another time": (
        [change("duty", DUTY, {"since": DUTY["since"] - SECOND})],
        "DK002",
        "a frozen column changed: since",
    ),
    "a delivery leaps to its end": (
        [change("delivery", SEEKING, {"state": "DELIVERED", "driver_id": IDLE["id"]})],
        "DK003",
        '"UNASSIGNED" may not become "DELIVERED"',
    ),
    "an offer for a delivery that has ended": (
        [insert("offer", OFFER | {"delivery_id": DONE["id"], "episode": DONE["episode"]})],
        "DK004",
        "takes no offers now",
    ),
    "an offer of another episode": (
        [insert("offer", OFFER | {"episode": OFFER["episode"] + 1})],
        "DK004",
        "takes no offers now",
    ),
    "an accepted offer whose delivery stays open": (
        [accepted(PENDING, THEN)],
        "DK006",
        "its delivery has another driver",
    ),
    "a delivery taken from the driver who accepted it": (
        [change("delivery", CARRIED, {"driver_id": IDLE["id"], "slot": 1})],
        "DK006",
        "its delivery has another driver",
    ),
    "a delivery for a driver at home": (
        [change("delivery", SEEKING, ASSIGNED | {"driver_id": AT_HOME["id"]})],
        "DK013",
        "is OFF_DUTY and may not be assigned",
    ),
    "goods for a driver who stays at home": (
        [
            change(
                "delivery", SEEKING, ASSIGNED | {"driver_id": AT_HOME["id"], "state": "PICKED_UP"}
            )
        ],
        "DK013",
        "is OFF_DUTY and may not be assigned",
    ),
    "a delivery beyond a driver's stack": (
        [change("delivery", ACTIVE, {"slot": 3})],
        "DK013",
        "no slot 3",
    ),
    "an offer that expires at a deadline to come": (
        [change("offer", PENDING, {"state": "EXPIRED", "responded_at": PENDING["hard_deadline"]})],
        "DK014",
        "which is impossible at",
    ),
    "an acceptance dated back over the deadline": (
        [accepted(LATE, LATE["hard_deadline"] - SECOND)],
        "DK014",
        "which is impossible at",
    ),
    "an offer to an unknown driver": (
        [insert("offer", OFFER | {"driver_id": GONE})],
        "23503",
        "there is no driver_id",
    ),
    "a case of an unknown delivery": (
        [
            replace(
                insert("case", SUSPICION | {"delivery_id": GONE}), root=("delivery", SEEKING["id"])
            )
        ],
        "23503",
        "there is no delivery_id",
    ),
    "a driver in an unknown zone": (
        [change("driver", IDLE, {"zone_id": GONE})],
        "23503",
        "there is no zone_id",
    ),
    "an offer without a mode": (
        [insert("offer", {name: value for name, value in OFFER.items() if name != "mode"})],
        "23502",
        "mode may not be None",
    ),
    "a boost above the pay": (
        [insert("offer", OFFER | {"boost_cents": OFFER["pay_cents"] + 1})],
        "23514",
        "boost_is_part_of_pay",
    ),
    "a ticket that is open and closed": (
        [insert("ticket", TICKET | {"closed_at": NOW})],
        "23514",
        "ticket_closed_iff_over",
    ),
    "one ticket twice": (
        [insert("ticket", TICKET), insert("ticket", TICKET, GONE + 1)],
        "23505",
        "ticket_once",
    ),
    "a level that falls": (
        [
            change("episode", OPEN, {"level": 2}),
            change("episode", OPEN | {"version": OPEN["version"] + 1}, {"level": 1}),
        ],
        "DK008",
        "a level never falls",
    ),
    "a driver with a delivery goes home": (
        [change("driver", first("drivers", ids == ACTIVE["driver_id"]), {"duty": "OFF_DUTY"})],
        "DK009",
        "holds a delivery",
    ),
    "negative pay": (
        [insert("offer", OFFER | {"pay_cents": -1})],
        "23514",
        "pay_cents may not be -1",
    ),
    "a slot that nobody has": (
        [change("delivery", ACTIVE, {"slot": 4})],
        "23514",
        "slot may not be 4",
    ),
    "a level above the last": (
        [change("episode", OPEN, {"level": 5})],
        "23514",
        "level may not be 5",
    ),
    "a number too large for its column": (
        [change("driver", IDLE, {"timeouts": 2**63})],
        "22003",
        "timeouts may not be",
    ),
    "an offer that is sent when it expires": (
        [insert("offer", OFFER | {"expires_at": OFFER["sent_at"]})],
        "23514",
        "offer_times",
    ),
    "an offer that expires after its deadline": (
        [insert("offer", OFFER | {"expires_at": OFFER["hard_deadline"] + SECOND})],
        "23514",
        "offer_times",
    ),
    "an offer answered without an instant": (
        [change("offer", PENDING, {"state": "DECLINED"})],
        "23514",
        "offer_answered_iff_ended",
    ),
    "an acceptance at the deadline": (
        [accepted(PENDING, PENDING["hard_deadline"])],
        "23514",
        "offer_accepted_in_time",
    ),
    "an offer expired before its deadline": (
        [change("offer", PENDING, {"state": "EXPIRED", "responded_at": THEN})],
        "23514",
        "offer_expired_after_deadline",
    ),
    "an active delivery without a slot": (
        [change("delivery", ACTIVE, {"slot": None})],
        "23514",
        "active_has_slot",
    ),
    "an active delivery without a driver": (
        [change("delivery", ACTIVE, {"driver_id": None})],
        "23514",
        "driver_when_carried",
    ),
    "an active delivery whose driver nobody knows": (
        [change("delivery", ACTIVE, {"driver_id": None, "driver_unknown": True})],
        "23514",
        "unknown_driver_only_in_history",
    ),
    "an episode closed without an instant": (
        [change("episode", OPEN, {"state": "CANCELLED"})],
        "23514",
        "episode_closed_iff_over",
    ),
    "an open episode with the instant of its end": (
        [change("episode", OPEN, {"closed_at": NOW})],
        "23514",
        "episode_closed_iff_over",
    ),
    "a duty interval that ends as it begins": (
        [change("duty", DUTY, {"until": DUTY["since"]})],
        "23514",
        "duty_interval_not_empty",
    ),
    "the route of one driver under the id of another": (
        [insert("route", ROUTE)],
        "23514",
        "route_optimization_data_check",
    ),
    "two deliveries in one slot": (
        [change("delivery", ACTIVE, {"driver_id": RIVAL["driver_id"], "slot": RIVAL["slot"]})],
        "23505",
        "delivery_one_per_slot",
    ),
    "a second pending offer of a driver": (
        [insert("offer", OFFER | {"driver_id": OTHER["driver_id"]})],
        "23505",
        "offer_one_pending",
    ),
    "a second accepted offer of an episode": (
        [
            insert("offer", OFFER),
            accepted(OFFER | {"id": GONE, "version": 1}, THEN),
            accepted(PENDING, THEN),
        ],
        "23505",
        "offer_one_accepted",
    ),
    "a second row of an episode": (
        [
            insert(
                "episode",
                EPISODE | {"delivery_id": OVER["delivery_id"], "episode": OVER["episode"]},
            )
        ],
        "23505",
        "episode_once",
    ),
    "a second open episode of a delivery": (
        [insert("episode", EPISODE)],
        "23505",
        "episode_one_open",
    ),
    "a second suspicion of a delivery": (
        [insert("case", SUSPICION)],
        "23505",
        "case_one_suspicion",
    ),
    "a second release of a delivery": (
        [*RELEASED, *again(*RELEASED, id=GONE)],
        "23505",
        "case_one_release",
    ),
    "a duty interval within another": (
        [
            insert(
                "duty",
                {
                    "driver_id": DUTY["driver_id"],
                    "duty": "ON_DUTY",
                    "since": DUTY["since"] + SECOND,
                },
            )
        ],
        "23P01",
        "duty_intervals_apart",
    ),
}


@pytest.fixture(scope="module")
def stores():
    """Yield both stores with one city for all cases: what is refused leaves nothing behind."""
    with databases.fresh("sample") as made:
        yield MemoryStore(CITY, THEN), PostgresStore(made, now=THEN)


@pytest.mark.parametrize("what", REFUSED)
def test_both_stores_refuse_by_the_same_rule(stores, what):
    changes, sqlstate, rule = REFUSED[what]
    memory, postgres = stores
    touched = sorted({ENTITIES[c.entity] for c in changes})
    for store, why in ((postgres, sqlstate), (memory, rule)):
        before = [table(store, name) for name in touched]
        outcome = apply(store, *changes)
        assert [p.id for p in outcome.poisoned] == [c.id for c in changes], (
            f"{type(store).__name__}: {outcome}"
        )
        assert all(why in p.why for p in outcome.poisoned), outcome.poisoned[0].why
        assert (outcome.applied, outcome.stale, events(store)) == (0, [], [])
        assert all(
            table(store, name).equals(was) for name, was in zip(touched, before, strict=True)
        )


def test_every_rule_has_a_case():
    named = {rule for _, _, rule in REFUSED.values()}
    assert {rule.name for rule in (*CHECKS, *EXCLUSIONS)} <= named


def test_refused_change_frees_its_unique_keys(store):
    apply(store, *REFUSED["a second accepted offer of an episode"][0])
    idle = insert("offer", OFFER)
    assert apply(store, idle).applied == 1, "the driver of the refused offer is free for another"


def test_duty_intervals_may_meet(store):
    ends = change("duty", DUTY, {"until": NOW})
    begins = insert("duty", {"driver_id": DUTY["driver_id"], "duty": "ON_BREAK", "since": NOW})
    assert apply(store, ends, begins).applied == 2


@pytest.mark.parametrize("name", ["mood", "id", "version"])
def test_unwritable_column_is_named_in_the_error(store, name):
    bad = change("driver", IDLE, {"timeouts": 7, name: 1})
    with pytest.raises(BadData, match=f"a change of a driver may not write \\['{name}'\\]"):
        apply(store, change("duty", DUTY, {"reason": "test"}), bad)
    with (
        pytest.raises(BadData, match="may not write"),
        store.acting(("driver", IDLE["id"]), drivers=[], actor="ops") as acting,
    ):
        acting.write([bad])
    assert events(store) == []


@pytest.mark.parametrize(
    "root", [("driver", IDLE["id"]), ("delivery", SEEKING["id"])], ids=["one root", "two roots"]
)
def test_equal_decisions_in_one_run_are_refused(store, root):
    one = change("driver", IDLE, {"timeouts": 7})
    with pytest.raises(
        BadData, match=f"driver {IDLE['id']} at version {IDLE['version']} has two equal decisions"
    ):
        apply(store, one, change("duty", DUTY, {"reason": "test"}), replace(one, root=root))
    assert events(store) == []
