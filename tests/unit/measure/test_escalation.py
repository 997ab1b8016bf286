"""Levels, lags, causes and tickets of days small enough to count by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dispatchkit.measure import escalation
from tests.unit.measure.small_dataset import Row, after, at, delivered, marts, order, scope, tables


def a_day() -> dict[str, Any]:
    """Five searches; four escalated: two assigned, one unfulfilled, one still open."""
    orders = [
        *(delivered(n, "12:00", 40) for n in (1, 2, 3)),
        order(4, "12:00", state="UNFULFILLED", ended_at=at("12:45"), ended_while="UNASSIGNED"),
        order(5, "12:00", state="UNASSIGNED"),
    ]
    searches = [
        search(1, level=0),
        search(2, level=2, late=1, closed_at=at("12:08")),
        search(3, level=1, late=3, closed_at=at("12:05")),
        search(4, level=4, late=30, state="UNFULFILLED", closed_at=at("12:45")),
        search(5, level=3, late=0, state="OPEN", closed_at=None),
    ]
    return {"orders": orders, "unassigned_orders": searches}


def search(delivery: int, *, level: int, late: float = 0, **more: Any) -> Row:
    """Return a search opened at noon whose highest level was reached `late` minutes late."""
    reached = (
        {"level_due_at": after("12:00", 3), "level_at": after("12:00", 3 + late)} if level else {}
    )
    given = {
        "delivery_id": delivery,
        "opened_at": at("12:00"),
        "closed_at": at("12:02"),
        "level": level,
    }
    return {**given, **reached, "reminders": 0, **more}


def measured(as_of: Any = None, **more: list[Row]) -> Any:
    day = a_day()
    frames = tables(day["orders"], **{"unassigned_orders": day["unassigned_orders"], **more})
    known = {} if as_of is None else {"as_of": as_of}
    return escalation.measure(marts(frames, **known), scope(**known))


def test_search_counts_at_its_highest_level():
    levels = measured().table("levels").frame
    assert levels["searches"].to_list() == [1, 1, 1, 1, 1]
    assert levels["unfulfilled"].to_list() == [0, 0, 0, 0, 1]
    assert levels["share"].sum() == pytest.approx(1)


def test_lag_is_that_of_highest_level():
    median, p90 = (
        measured().metric("escalation_lag_median"),
        measured().metric("escalation_lag_p90"),
    )
    assert (median.value, median.denominator, p90.value) == (1, 4, 30)


def test_level_without_times_is_excluded():
    unknown = [{**search(2, level=2), "level_at": None}]
    lag = measured(unassigned_orders=unknown).metric("escalation_lag_median")
    assert (lag.value, lag.excluded_count, lag.failed) == (None, 1, False)


OFFERS = [
    {
        "delivery_id": 2,
        "driver_id": 1,
        "state": "DECLINED",
        "cause": "TOO_FAR",
        "responded_at": at("12:01"),
    },
    {
        "delivery_id": 3,
        "driver_id": 1,
        "state": "REVOKED",
        "cause": "OPS",
        "responded_at": at("12:01"),
    },
]
TIMES = {
    "sent_at": at("12:00"),
    "expires_at": after("12:00", 1),
    "hard_deadline": after("12:00", 1.1),
}


def causes(**more: Any) -> dict[str, int]:
    offers = [{**TIMES, **offer} for offer in OFFERS]
    table = measured(driver_offers=offers, **more).table("causes").frame
    return dict(table.filter(table["searches"] > 0).select("cause", "searches").iter_rows())


def test_closed_escalated_search_has_one_cause():
    assert causes() == {"NO_ACCEPTANCE": 1, "NO_SUPPLY": 2}
    section = measured(driver_offers=[{**TIMES, **offer} for offer in OFFERS])
    assert section.table("causes").frame["share"].sum() == pytest.approx(1)
    assert ([check.holds for check in section.checks], section.faults) == ([True], [])


@pytest.mark.parametrize(
    ("trigger", "cause"), [("NOT_MOVING", "STALL"), ("MERCHANT_WAIT", "MERCHANT")]
)
def test_search_after_release_has_its_cause(trigger, cause):
    searches = [search(2, level=2, episode=2, closed_at=at("12:08"))]
    case = {
        "delivery_id": 2,
        "driver_id": 1,
        "trigger": trigger,
        "state": "REASSIGNED",
        "suspected_at": at("11:50"),
    }
    given = {
        "unassigned_orders": searches,
        "reassignment_cases": [{**case, "released_at": at("12:00")}],
    }
    assert causes(**given) == {cause: 1}


def test_unknown_pickup_position_is_merchant_cause():
    assert causes(merchants=[{"id": 1, "lat": None, "lon": None}]) == {"MERCHANT": 3}


def ticket(delivery: int, *, opened: float = 10, **more: Any) -> Row:
    when = after("12:00", opened)
    return {
        "delivery_id": delivery, "episode": 1, "level": 3, "cause": "NO_SUPPLY", "state": "OPEN",
        "opened_at": when, "due_at": when, **more,
    }  # fmt: skip


def test_tickets_per_thousand_leave_young_orders_open():
    tickets = [ticket(4), ticket(5), ticket(5, cause="STALL"), ticket(1, opened=24 * 60 + 1)]
    section = measured(support_tickets=tickets)
    early = section.metric("escalation_tickets_per_1000")
    assert (early.numerator, early.denominator, early.open, early.value) == (1, 4, 1, 250), (
        "order 5 is still running"
    )
    later = measured(as_of=after("12:00", 3 * 24 * 60), support_tickets=tickets).metric(
        "escalation_tickets_per_1000"
    )
    assert (later.numerator, later.denominator, later.open, later.value) == (3, 5, 0, 600)
    counted = section.table("tickets").frame.select("level", "cause", "tickets").rows()
    assert counted == [(3, "NO_SUPPLY", 2), (3, "STALL", 1)], (
        "the ticket of the next day belongs to that day"
    )


def test_without_searches_lag_is_not_available():
    section = escalation.measure(marts(tables([delivered(1, "12:00", 30)])), scope())
    assert section.table("levels").frame["searches"].sum() == 0
    assert section.metric("escalation_lag_median").summary().endswith(escalation.NO_SEARCHES)


def test_ticket_counts_within_24_hours_of_order():
    assert timedelta(hours=24) == escalation.TICKET_WINDOW
    assert (
        measured(support_tickets=[ticket(4, opened=24 * 60)])
        .metric("escalation_tickets_per_1000")
        .numerator
        == 1
    )
    assert (
        measured(support_tickets=[ticket(4, opened=24 * 60 + 0.1)])
        .metric("escalation_tickets_per_1000")
        .numerator
        == 0
    )
