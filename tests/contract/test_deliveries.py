"""Pairs of events around one delivery, in both stores: the one that comes first decides."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from dispatchkit.config import Settings
from dispatchkit.domain.feature import Event
from dispatchkit.domain.states import ACTIVE, OPEN, TO_PICKUP
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.gather import gather
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.contract import RunRequest
from tests import databases
from tests.contract.both import Either, events, refusals, row, table, written

CITY, NOW = databases.sample_frames(), databases.NOW
state = pl.col("state")
BUSY = CITY["deliveries"].filter(state.is_in(sorted(ACTIVE)))
ON_WAY = CITY["deliveries"].filter(state == "ASSIGNED").sort("id").row(0, named=True)
CARRIED = CITY["deliveries"].filter(state == "EN_ROUTE_DROPOFF").sort("id").row(0, named=True)
TAKEN = [*BUSY["driver_id"], *CITY["driver_offers"].filter(state == "PENDING")["driver_id"]]
IDLE = int(
    CITY["drivers"]
    .filter((pl.col("duty") == "ON_DUTY") & ~pl.col("id").is_in(TAKEN))
    .sort("id")["id"][0]
)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    """Return the settings that hold where no file says otherwise."""
    monkeypatch.chdir(tmp_path)
    return catalog.settings()


def act_code(
    store: Either, settings: Settings, name: str, delivery: int | None, **arguments: Any
) -> str:
    """Return the code of one act."""
    driver, offer = arguments.pop("driver", None), arguments.pop("offer", None)
    actor = f"driver:{driver}" if driver else "ops"
    args = {"reason": "TRIED", "by": "customer"} | arguments
    event = Event(
        name=name, actor=actor, delivery_id=delivery, driver_id=driver, offer_id=offer, args=args
    )
    return act(store, settings, event).answer.code


def an_offer(store: Either, settings: Settings) -> dict[str, Any]:
    """Return a pending offer of the offers sweep."""
    sweep(store, settings, "offers", Options())
    return (
        table(store, "driver_offers")
        .filter(state == "PENDING")
        .sort("sent_at", "id")
        .row(-1, named=True)
    )


def test_cancellation_before_accept_wins(store, settings):
    offer = an_offer(store, settings)
    assert act_code(store, settings, "cancel", offer["delivery_id"]) == "OK"
    accept = act_code(store, settings, "accept", None, offer=offer["id"], driver=offer["driver_id"])
    assert (accept, row(store, "deliveries", offer["delivery_id"])["state"]) == (
        "DELIVERY_CANCELLED",
        "CANCELLED",
    )


def test_cancellation_after_accept_frees_and_pays_driver(store, settings):
    offer = an_offer(store, settings)
    assert (
        act_code(store, settings, "accept", None, offer=offer["id"], driver=offer["driver_id"])
        == "OK"
    )
    assert act_code(store, settings, "cancel", offer["delivery_id"]) == "OK"
    delivery = row(store, "deliveries", offer["delivery_id"])
    assert (delivery["state"], delivery["driver_id"], delivery["ended_while"]) == (
        "CANCELLED",
        None,
        "ASSIGNED",
    )
    assert "cancellation_pay_due" in [event[0] for event in events(store)]
    assert act_code(store, settings, "cancel", offer["delivery_id"]) == "OK_REPLAY"


def test_pickup_by_released_driver_restores_custody(store, settings):
    """While nobody else has the delivery, who has the goods gets it back."""
    delivery, driver = ON_WAY["id"], ON_WAY["driver_id"]
    assert act_code(store, settings, "unassign", delivery, driver=driver) == "OK"
    assert act_code(store, settings, "pickup", delivery, driver=driver) == "CUSTODY_RESTORED"
    assert row(store, "deliveries", delivery)["driver_id"] == driver
    sweep(store, settings, "reassignment", Options())
    case = table(store, "reassignment_cases").filter(
        delivery_id=delivery, trigger="DRIVER_UNASSIGN"
    )
    assert case.select("state", "driver_id").rows() == [("ABORTED", driver)]


def test_pickup_after_reassignment_opens_custody_ticket(store, settings):
    """The delivery stays with the new driver; a person has to find out who has the goods."""
    delivery, driver = ON_WAY["id"], ON_WAY["driver_id"]
    assert act_code(store, settings, "reassign", delivery, driver=IDLE, to=IDLE) == "OK"
    before = row(store, "deliveries", delivery)
    for _ in range(2):
        assert act_code(store, settings, "pickup", delivery, driver=driver) == "CUSTODY_CONFLICT"
    assert row(store, "deliveries", delivery) == before
    tickets = table(store, "support_tickets").filter(pl.col("cause") == "CUSTODY_CONFLICT")
    assert tickets.select("delivery_id", "level", "state").rows() == [(delivery, 2, "OPEN")]
    assert [r[1:] for r in refusals(store)][:2] == [
        ("pickup", "delivery", delivery, "CUSTODY_CONFLICT")
    ] * 2


def case_of(store: Either, driver: int) -> tuple[str, str]:
    """Return state and trigger of a driver's latest case about the delivery ON_WAY."""
    cases = table(store, "reassignment_cases").filter(delivery_id=ON_WAY["id"], driver_id=driver)
    return cases.sort("episode").select("state", "trigger").row(-1)


def test_restored_custody_ends_cases_of_both_drivers(store, settings):
    delivery, first = ON_WAY["id"], ON_WAY["driver_id"]
    assert act_code(store, settings, "unassign", delivery, driver=first) == "OK"
    assert act_code(store, settings, "reassign", delivery, driver=IDLE, to=IDLE) == "OK"
    assert act_code(store, settings, "unassign", delivery, driver=IDLE) == "OK"
    assert act_code(store, settings, "pickup", delivery, driver=first) == "CUSTODY_RESTORED"
    assert act_code(store, settings, "deliver", delivery, driver=first) == "OK"
    sweep(store, settings, "reassignment", Options())
    assert case_of(store, first) == ("RELAPSED", "DRIVER_UNASSIGN")
    assert case_of(store, IDLE) == ("ABORTED", "DRIVER_UNASSIGN")


def test_rescue_keeps_case_open_until_delivered(store, settings):
    delivery, first = ON_WAY["id"], ON_WAY["driver_id"]
    assert act_code(store, settings, "unassign", delivery, driver=first) == "OK"
    assert act_code(store, settings, "reassign", delivery, driver=IDLE, to=IDLE) == "OK"
    assert act_code(store, settings, "pickup", delivery, driver=IDLE) == "OK"
    assert act_code(store, settings, "rescue", delivery) == "OK"
    assert act_code(store, settings, "handover", delivery, driver=first, to=first) == "OK"
    sweep(store, settings, "reassignment", Options())
    assert case_of(store, first)[0] == "REASSIGNED"
    assert act_code(store, settings, "deliver", delivery, driver=first) == "OK"
    sweep(store, settings, "reassignment", Options())
    assert case_of(store, first)[0] == "SUCCEEDED"


def test_pickup_without_free_slot_revokes_offers(store, settings):
    """The holder of the goods has no free slot: offers are revoked, a person is called."""
    delivery, driver = ON_WAY["id"], ON_WAY["driver_id"]
    assert act_code(store, settings, "unassign", delivery, driver=driver) == "OK"
    sweep(store, settings, "offers", Options())
    assert row(store, "deliveries", delivery)["state"] == "OFFERING"
    others = (
        table(store, "deliveries")
        .filter(state.is_in([*OPEN, *TO_PICKUP]), pl.col("id") != delivery)
        .sort("id")
    )
    codes = {
        act_code(store, settings, "reassign", other, driver=driver, to=driver)
        for other in others["id"][:4]
    }
    assert "DRIVER_UNAVAILABLE" in codes, "the driver has no free slot"
    assert act_code(store, settings, "pickup", delivery, driver=driver) == "CUSTODY_CONFLICT"
    assert row(store, "deliveries", delivery)["state"] == "UNASSIGNED"
    asked = table(store, "driver_offers").filter(delivery_id=delivery).filter(state == "REVOKED")
    assert "TAKEN_BY_OTHER" in asked["cause"].to_list()
    assert table(store, "support_tickets").filter(delivery_id=delivery)["cause"].to_list() == [
        "CUSTODY_CONFLICT"
    ]
    sweep(store, settings, "offers", Options())
    assert row(store, "deliveries", delivery)["state"] == "UNASSIGNED", (
        "nobody is asked for what is gone"
    )


@pytest.mark.parametrize("name", ["reassignment", "offers"])
def test_decision_is_stale_after_manual_reassignment(store, settings, name):
    feature = catalog.feature(name)
    params, travel = catalog.params(feature, settings), catalog.travel(settings)
    with store.sweeping(RunRequest(sweep=name)) as run:
        assert run is not None and feature.decide is not None
        changes = feature.decide(
            gather(run, feature, settings.flag(name), NOW).frames, params, NOW, travel, 0
        ).changes
        if name == "offers":  # give the driver something else
            asked = next(c for c in changes if c.entity == "offer" and c.version == 0)
            root, driver = asked.root, int(str(asked.after["driver_id"]))
            code = act_code(store, settings, "reassign", CARRIED["id"], driver=driver, to=driver)
            assert code == "CUSTODY_CONFLICT"
            code = act_code(store, settings, "reassign", ON_WAY["id"], driver=driver, to=driver)
        else:  # assign the delivery to another driver
            taken = next(
                c for c in changes if c.event in ("delivery_released", "reassignment_suspected")
            )
            root = taken.root
            code = act_code(store, settings, "reassign", root[1], driver=IDLE, to=IDLE)
        assert code == "OK"
        outcome = written(run, [c for c in changes if c.root == root])
    assert outcome.applied == 0 and outcome.stale, outcome


def test_late_steps_keep_their_time_future_steps_refused(store, settings):
    delivery, driver = CARRIED["id"], CARRIED["driver_id"]
    ahead = NOW + timedelta(seconds=121)
    assert (
        act_code(store, settings, "arrive-dropoff", delivery, driver=driver, at=ahead)
        == "CLOCK_SKEW"
    )
    assert act_code(store, settings, "deliver", delivery, driver=driver) == "OK"
    at_door = CARRIED["picked_up_at"] + timedelta(seconds=1)
    assert act_code(store, settings, "arrive-dropoff", delivery, driver=driver, at=at_door) == "OK"
    after = row(store, "deliveries", delivery)
    assert (after["state"], after["arrived_dropoff_at"], after["ended_at"]) == (
        "DELIVERED",
        at_door,
        NOW,
    )
    assert act_code(store, settings, "deliver", delivery, driver=driver) == "OK_REPLAY"
    assert row(store, "deliveries", delivery) == after, "a replay writes nothing"
    assert [r[1:] for r in refusals(store)] == [
        ("arrive-dropoff", "delivery", delivery, "CLOCK_SKEW")
    ]


def test_step_time_never_skips_the_pickup(store, settings):
    """A phone whose clock is slow is believed, but no step before the assignment."""
    delivery, driver, since = ON_WAY["id"], ON_WAY["driver_id"], ON_WAY["assigned_at"]
    for step, column in (("deliver", "ended_at"), ("arrive-dropoff", "arrived_dropoff_at")):
        assert (
            act_code(store, settings, step, delivery, driver=driver, at=NOW) == "ILLEGAL_TRANSITION"
        )
        assert row(store, "deliveries", delivery)[column] is None
    assert (
        act_code(
            store, settings, "start", delivery, driver=driver, at=since - timedelta(seconds=30)
        )
        == "OK"
    )
    assert row(store, "deliveries", delivery)["started_at"] == since
    assert act_code(store, settings, "pickup", delivery, driver=driver) == "OK"
    assert act_code(store, settings, "deliver", delivery, driver=driver, at=NOW) == "OK"


def test_goods_change_driver_by_rescue_and_handover(store, settings):
    delivery, driver = CARRIED["id"], CARRIED["driver_id"]
    assert (
        act_code(store, settings, "handover", delivery, driver=IDLE, to=IDLE)
        == "ILLEGAL_TRANSITION"
    )
    assert act_code(store, settings, "rescue", delivery) == "OK"
    assert act_code(store, settings, "handover", delivery, driver=IDLE, to=IDLE) == "OK"
    assert act_code(store, settings, "deliver", delivery, driver=driver) == "NOT_FOUND"
    assert act_code(store, settings, "deliver", delivery, driver=IDLE) == "OK"


def test_cancelled_delivery_is_replaced_once(store, settings):
    delivery, order = ON_WAY["id"], ON_WAY["order_id"]
    assert act_code(store, settings, "create", None, order=order) == "ILLEGAL_TRANSITION"
    assert act_code(store, settings, "cancel", delivery) == "OK"
    assert act_code(store, settings, "create", None, order=order, replaces=delivery) == "OK"
    assert act_code(store, settings, "create", None, order=order, replaces=delivery) == "OK_REPLAY"
    [again] = table(store, "deliveries").filter(pl.col("replaces") == delivery).rows(named=True)
    assert (again["state"], again["order_id"], again["created_at"]) == ("CREATED", order, NOW)
    sweep(store, settings, "offers", Options())
    assert row(store, "deliveries", again["id"])["state"] in ("UNASSIGNED", "OFFERING", "SCHEDULED")
