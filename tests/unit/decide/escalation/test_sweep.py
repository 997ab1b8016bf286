"""The escalation sweep: when and by which clock each level is reached, and what follows from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.escalation.model import Params
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import BadConfig
from tests.builders import (
    NOW,
    Row,
    Rows,
    a_case,
    a_delivery,
    a_driver,
    an_episode,
    an_offer,
    minutes,
    seconds,
    tables,
)
from tests.unit.decide.corridor import apply
from tests.unit.decide.escalation.scenario import (
    ESCALATED,
    a_ticket,
    dues,
    episode,
    events,
    levels,
    queue,
    run,
    seen,
    swept,
)

FAR_OFF = NOW + timedelta(hours=3)  # a promise that no slack clock minds


def waiting(since: float, *, promise: Any = FAR_OFF, **more: Any) -> Any:
    """Return a town with one delivery that has sought a driver for so many minutes."""
    town = tables(a_delivery(1, due=minutes(since), **more))
    return promised(town, promise)


def searching(since: float, **episode: Any) -> Any:
    """Return a town with one search that began so many minutes ago, and no driver."""
    town = promised(
        tables(a_delivery(1, state="CREATED"), an_episode(1, opened=minutes(since), **episode)),
        FAR_OFF,
    )
    return {**town, "deliveries": town["deliveries"].with_columns(state=pl.lit("UNASSIGNED"))}


def promised(town: Any, at: Any) -> Any:
    return {
        **town,
        "orders": town["orders"].with_columns(promised_at=pl.lit(at, pl.Datetime("us", "UTC"))),
    }


BY_AGE = [
    (2.99, []),
    (3, [1]),
    (5.99, [1]),
    (6, [1, 2]),
    (10, [1, 2, 3]),
    (20, [1, 2, 3, 4]),
    (44.9, [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("age", "reached"), BY_AGE)
def test_search_climbs_with_age(age, reached):
    assert [level for level, _, _, _ in levels(run(waiting(age)))] == reached


def test_late_sweep_keeps_due_times_notifies_once():
    changes = run(waiting(25))
    assert levels(changes) == [
        (1, "AGE", 22, False),
        (2, "AGE", 19, False),
        (3, "AGE", 15, False),
        (4, "AGE", 5, True),
    ]
    climbed = [change for change in changes if change.event == ESCALATED]
    assert [change.version for change in climbed] == [1, 2, 3, 4]
    assert dues(changes) == [NOW - minutes(m) for m in (22, 19, 15, 5)]
    assert {change.after["level_at"] for change in climbed} == {NOW}


def test_outage_does_not_shorten_last_level():
    opened = NOW - minutes(5)
    town = swept(waiting(5), NOW)
    assert episode(town)["level"] == 1
    late = NOW + timedelta(hours=2)
    changes = run(town, late)
    assert [(level, notify) for level, _, _, notify in levels(changes)] == [
        (2, False),
        (3, False),
        (4, True),
    ]
    assert [due - opened for due in dues(changes)] == [minutes(6), minutes(10), minutes(20)]
    others = [event for event in events(changes) if event != ESCALATED]
    assert others == ["support_ticket_created", "customer_delay_notice"], (
        "it has not ended before anybody heard of it"
    )
    town = apply(town, changes)
    assert run(town, late) == []
    assert queue(town, late)[0]["next_at"] == rfc3339(late + minutes(25))
    assert "delivery_unfulfilled" not in events(run(town, late + minutes(24.9)))
    ended = run(town, late + minutes(26))
    assert events(ended) == ["delivery_unfulfilled", "episode_closed"]
    assert (ended[0].payload["notify"], ended[0].payload["lagS"]) == (True, 60)


def test_search_ends_at_unfulfilled_age():
    town, ages = waiting(0), []
    for age in range(50):
        changes = run(town, NOW + minutes(age))
        town = apply(town, changes)
        ages += [age] * ("delivery_unfulfilled" in events(changes))
    assert ages == [45]


def test_manual_level_does_not_end_search_sooner():
    raised: dict[str, Any] = {
        "level": 4,
        "level_at": NOW - minutes(40),
        "level_due_at": NOW - minutes(40),
    }
    town = swept(searching(44.9, **raised))
    assert episode(town)["state"] == "OPEN"
    assert events(run(town, NOW + seconds(6))) == ["delivery_unfulfilled", "episode_closed"]


def test_level_three_opens_ticket_and_notifies_customer():
    changes = run(waiting(10))
    assert events(changes)[-2:] == ["support_ticket_created", "customer_delay_notice"]
    ticket = changes[-2]
    assert (ticket.after["level"], ticket.after["cause"], ticket.after["due_at"]) == (
        3,
        "NO_SUPPLY",
        NOW,
    )
    assert ticket.payload["ticketId"] == ticket.id
    assert {change.root for change in changes} == {("delivery", 1)}


SLACKS = [
    (901, []),
    (899, [1]),
    (481, [1]),
    (479, [1, 2]),
    (1, [1, 2]),
    (0, [1, 2]),
    (-1, [1, 2, 3]),
]
DOOR_S = 1300 / 4.2  # 1 km by air on a bicycle, 1.3 km by street


@pytest.mark.parametrize(("slack_s", "reached"), SLACKS)
def test_search_climbs_as_slack_runs_out(slack_s, reached):
    ways = round(DOOR_S) + round(1.3 * 500 / 4.2) + 240
    town = tables(a_delivery(1, due=seconds(1), ready_in=None), a_driver(7, at=(500, 0)))
    town = promised(town, NOW + seconds(ways + slack_s))
    assert [(level, clock) for level, clock, _, _ in levels(run(town))] == [
        (level, "SLACK") for level in reached
    ]
    assert (queue(town)[0]["slack_s"], queue(town)[0]["soonest_driver_id"]) == (slack_s, 7)


def test_slack_counts_goods_wait_once():
    near, far = (
        tables(a_delivery(1, ready_in=minutes(9)), a_driver(7, at=at)) for at in ((0, 0), (1500, 0))
    )
    assert queue(near)[0]["slack_s"] == queue(far)[0]["slack_s"]
    assert queue(near)[0]["slack_s"] == 25 * 60 - 9 * 60 - 240 - round(DOOR_S)


NOBODY: dict[str, Rows] = {
    "nobody is there": [],
    "the only one is too far": a_driver(7, at=(6100, 0)),
    "the only one was asked": [
        *a_driver(7),
        *an_offer(5, driver=7, state="DECLINED", cause="TOO_FAR"),
    ],
    "it was taken from the only one": [
        *a_driver(7),
        *a_case(3, driver=7, state="RELEASED", released_at=NOW),
    ],
    "the only one goes home before": a_driver(7, at=(900, 0), shift_end=NOW + minutes(1)),
}


@pytest.mark.parametrize("case", NOBODY)
def test_slack_without_driver_is_the_maximum(case):
    shown = queue(tables(a_delivery(1, ready_in=None), NOBODY[case]))[0]
    assert (shown["slack_s"], shown["soonest_driver_id"]) == (25 * 60 - 240 - round(DOOR_S), None)


def test_shift_must_last_until_goods_ready():
    town = tables(
        a_delivery(1, ready_in=minutes(9)),
        a_driver(7, shift_end=NOW + minutes(8)),
        a_driver(8, at=(900, 0)),
    )
    assert queue(town)[0]["soonest_driver_id"] == 8


@pytest.mark.parametrize("unknown", ["promised_at", "dropoff_lat"])
def test_slack_clock_needs_its_inputs(unknown):
    town = tables(a_delivery(1, due=minutes(3)))
    town["orders"] = town["orders"].with_columns(
        pl.lit(None, town["orders"].schema[unknown]).alias(unknown)
    )
    assert [clock for _, clock, _, _ in levels(run(town))] == ["AGE"]
    assert queue(town)[0]["slack_s"] is None


def asked(*ended_ago: float) -> Rows:
    """Return declined offers, one a round, that ended so many minutes ago."""
    rounds = enumerate(ended_ago, 1)
    return [
        row
        for n, ago in rounds
        for row in an_offer(
            n,
            driver=n,
            attempt=n,
            state="DECLINED",
            cause="TOO_FAR",
            sent=minutes(ago + 0.1),
            answered=minutes(ago),
        )
    ]


def test_search_climbs_with_attempts_at_round_end():
    town = promised(tables(a_delivery(1, attempt=5), asked(1.9, 1.5, 1.2, 0.9, 0.5)), FAR_OFF)
    assert levels(run(town)) == [(1, "ATTEMPTS", 1.2, False), (2, "ATTEMPTS", 0.5, True)]
    fewer = promised(tables(a_delivery(1, attempt=2), asked(1.9, 1.5)), FAR_OFF)
    assert run(fewer) == []


def test_rounds_of_earlier_search_do_not_count():
    again = [*a_delivery(1, episode=2, attempt=0), *asked(9, 8, 7, 6, 5)]
    assert run(promised(tables(again), FAR_OFF)) == []
    before = asked(9, 8, 7, 6, 5)
    now = [
        Row(r.table, r.values | {"episode": 2, "id": r.values["id"] + 10})
        for r in asked(1.5, 1.2, 0.9)
    ]
    town = promised(tables(a_delivery(1, episode=2, attempt=3), before, now), FAR_OFF)
    assert levels(run(town)) == [(1, "ATTEMPTS", 0.9, True)]


def test_wave_ends_with_next_wave_or_last_answer():
    def wave(number: int, *answered: float | None) -> Rows:
        sent: dict[str, Any] = {
            "attempt": number,
            "sent": minutes(2 - number / 4),
            "timeout": minutes(3),
        }
        ids = range(10 * number, 10 * number + len(answered))
        return [
            row
            for id, ago in zip(ids, answered, strict=True)
            for row in (
                an_offer(id, driver=id, **sent)
                if ago is None
                else an_offer(id, driver=id, state="DECLINED", answered=minutes(ago), **sent)
            )
        ]

    town = tables(
        a_delivery(1, state="OFFERING", attempt=3),
        wave(1, 1.6),
        wave(2, 1.4, None),
        wave(3, None),
        wave(4, None),
    )
    assert levels(run(promised(town, FAR_OFF))) == [(1, "ATTEMPTS", 1, True)], (
        "the fourth wave left a minute ago"
    )
    over = tables(a_delivery(1, attempt=3), wave(1, 1.6), wave(2, 1.4, 1.1), wave(3, 0.5))
    assert levels(run(promised(over, FAR_OFF))) == [(1, "ATTEMPTS", 0.5, True)]


def test_first_clock_names_the_level():
    town = promised(tables(a_delivery(1, due=minutes(7), attempt=3), asked(6.5, 6, 5)), FAR_OFF)
    assert levels(run(town)) == [(1, "ATTEMPTS", 5, False), (2, "AGE", 1, True)]


def test_level_never_falls():
    town = swept(tables(a_delivery(1, due=seconds(1), ready_in=None, placed=minutes(30))))
    assert episode(town)["level"] == 2, "ten minutes left for a ride of nine"
    later = promised(town, FAR_OFF)
    assert run(later) == []
    assert episode(swept(later, NOW + minutes(9)))["level"] == 2


def test_due_times_never_decrease():
    town = swept(waiting(4))
    hurried = promised(town, NOW - minutes(30))
    assert [(level, late) for level, _, late, _ in levels(run(hurried))] == [(2, 1), (3, 1)]


CAUSES: dict[str, tuple[Rows, str]] = {
    "nobody was asked": ([], "NO_SUPPLY"),
    "an offer was withdrawn": (an_offer(5, state="REVOKED", cause="OPS"), "NO_SUPPLY"),
    "an offer never arrived": (an_offer(5, state="UNDELIVERABLE"), "NO_SUPPLY"),
    "somebody declined": (an_offer(5, state="DECLINED", cause="TOO_FAR"), "NO_ACCEPTANCE"),
    "somebody did not answer": (an_offer(5, state="EXPIRED", sent=minutes(1)), "NO_ACCEPTANCE"),
    "somebody is being asked": (an_offer(5), "NO_ACCEPTANCE"),
    "somebody declined in an earlier search": (
        an_offer(5, state="DECLINED", cause="TOO_FAR", episode=9),
        "NO_SUPPLY",
    ),
}


@pytest.mark.parametrize("case", CAUSES)
def test_search_has_one_cause(case):
    offers, cause = CAUSES[case]
    state = "OFFERING" if offers and offers[0].values["state"] == "PENDING" else "UNASSIGNED"
    [change] = run(promised(tables(a_delivery(1, due=minutes(3), state=state), offers), FAR_OFF))
    assert change.after["cause"] == change.payload["cause"] == cause


@pytest.mark.parametrize(
    ("trigger", "cause"), [("NOT_MOVING", "STALL"), ("OPS", "STALL"), ("MERCHANT_WAIT", "MERCHANT")]
)
def test_search_after_release_has_its_cause(trigger, cause):
    taken = a_case(3, driver=7, state="REOFFERING", trigger=trigger, released_at=NOW - minutes(3))
    declined = an_offer(5, state="DECLINED", cause="TOO_FAR", episode=2)
    town = promised(tables(a_delivery(1, episode=2, due=minutes(3)), taken, declined), FAR_OFF)
    assert run(town)[0].after["cause"] == cause


def test_unknown_pickup_is_merchant_cause():
    town = waiting(3)
    town["merchants"] = town["merchants"].with_columns(lat=pl.lit(None, pl.Float64))
    assert run(town)[0].after["cause"] == "MERCHANT"


def test_release_starts_new_ladder():
    town = promised(
        tables(a_delivery(1, state="ASSIGNED", driver=7, episode=1), a_driver(7)), FAR_OFF
    )
    first = an_episode(
        1, 1, opened=minutes(30), state="ASSIGNED", closed_at=NOW - minutes(5), level=3, version=4
    )
    again = an_episode(1, 2, opened=minutes(3))
    town = promised(tables(a_delivery(1, state="CREATED", episode=2), first, again), FAR_OFF)
    town["deliveries"] = town["deliveries"].with_columns(state=pl.lit("UNASSIGNED"))
    assert [(level, lag) for level, _, lag, _ in levels(run(town))] == [(1, 0)]
    assert episode(swept(town), number=1)["level"] == 3


def test_given_up_search_keeps_ticket_for_refund():
    town = swept(waiting(20))
    late = NOW + minutes(25)
    changes = run(town, late)
    assert [(c.event, c.after["state"]) for c in changes] == [
        ("delivery_unfulfilled", "UNFULFILLED"),
        ("episode_closed", "UNFULFILLED"),
    ]
    assert (changes[0].after["ended_by"], changes[0].after["ended_while"]) == (
        "system",
        "UNASSIGNED",
    )
    over = apply(town, changes)
    assert over["support_tickets"]["state"].to_list() == ["OPEN"]
    assert run(over, late + minutes(30)) == []
    assert "delivery_unfulfilled" not in events(run(town, late - seconds(0.001)))


def test_pending_offer_prevents_giving_up():
    asking = tables(
        a_delivery(1, due=minutes(50), state="OFFERING"), an_offer(5, driver=7, sent=seconds(5))
    )
    changes = run(promised(asking, FAR_OFF))
    assert [(level, notify) for level, _, _, notify in levels(changes)] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]
    assert {change.entity for change in changes} == {"episode", "ticket", "delivery"}
    assert events(changes)[-3:] == ["support_ticket_created", "customer_delay_notice", ESCALATED]
    late = NOW + minutes(25)
    town = swept(apply(asking, changes), late)
    assert (episode(town)["state"], run(town, late)) == ("OPEN", [])
    town["driver_offers"] = town["driver_offers"].with_columns(
        state=pl.lit("EXPIRED"), responded_at=pl.lit(late)
    )
    assert run(town, late) == [], "the round has not been ended yet"
    town["deliveries"] = town["deliveries"].with_columns(state=pl.lit("UNASSIGNED"))
    assert events(run(town, late)) == ["delivery_unfulfilled", "episode_closed"]


def test_reminders_every_ten_minutes_once_after_outage():
    town = swept(waiting(6))
    assert run(town, NOW + minutes(3)) == []
    town = swept(town, NOW + minutes(4))  # level 3 at ten minutes
    assert run(town, NOW + minutes(13.9)) == []
    town = swept(town, NOW + minutes(14))  # level 4 is due at the same time and is news enough
    assert (episode(town)["level"], episode(town)["reminders"]) == (4, 0)
    [reminder] = run(town, NOW + minutes(24))
    assert (reminder.event, reminder.payload["count"], reminder.payload["ageS"]) == (
        "unassigned_order_reminder",
        1,
        1800,
    )
    outage = apply(town, run(town, NOW + minutes(24)))
    [only] = run(outage, NOW + minutes(38.9))
    assert (only.payload["count"], only.after["reminded_at"]) == (2, NOW + minutes(38.9))
    assert run(apply(outage, [only]), NOW + minutes(38.95)) == []


LEVEL_2: dict[str, Any] = {
    "level": 2,
    "level_at": NOW - minutes(12),
    "level_due_at": NOW - minutes(12),
}
SILENCED: dict[str, tuple[dict[str, Any], int]] = {
    "nothing silences it": ({}, 1),
    "it is acknowledged": ({"acked_at": NOW - minutes(11)}, 0),
    "the level below was acknowledged": ({"acked_at": NOW - minutes(13)}, 1),
    "it is snoozed": ({"snoozed_until": NOW + seconds(1)}, 0),
    "the snooze is over": ({"snoozed_until": NOW}, 1),
    "a reminder went out nine minutes ago": ({"reminded_at": NOW - minutes(9), "reminders": 1}, 0),
    "a reminder went out ten minutes ago": ({"reminded_at": NOW - minutes(10), "reminders": 1}, 1),
}


@pytest.mark.parametrize("case", SILENCED)
def test_reminder_unless_acknowledged_or_snoozed(case):
    notes, reminders = SILENCED[case]
    assert (
        events(run(searching(9, **LEVEL_2, **notes))) == ["unassigned_order_reminder"] * reminders
    )


def test_snooze_does_not_stop_clocks():
    quiet: dict[str, Any] = {"acked_at": NOW - minutes(1), "snoozed_until": NOW + minutes(30)}
    assert levels(run(searching(10, **LEVEL_2, **quiet))) == [(3, "AGE", 0, True)]


ENDS = [
    ("ASSIGNED", "CLOSED"),
    ("CUSTODY", "CLOSED"),
    ("CANCELLED", "CLOSED"),
    ("UNFULFILLED", "OPEN"),
    ("OPEN", "OPEN"),
]


@pytest.mark.parametrize(("search", "ticket"), ENDS)
def test_ticket_closes_with_search_unless_refund_due(search, ticket):
    over = {} if search == "OPEN" else {"state": search, "closed_at": NOW}
    town = swept(tables(a_delivery(1, state="CREATED"), an_episode(1, **over), a_ticket(4)))
    row = town["support_tickets"].row(0, named=True)
    assert row["state"] == ticket
    assert row["closed_by"] == (None if ticket == "OPEN" else "system:escalation")


def test_custody_conflict_ticket_stays_open():
    carried = a_delivery(1, state="PICKED_UP", driver=7)
    assert (
        run(
            tables(
                carried,
                an_episode(1, state="ASSIGNED", closed_at=NOW),
                a_ticket(4, cause="CUSTODY_CONFLICT"),
            )
        )
        == []
    )


STALLED: dict[str, tuple[Rows, str, int]] = {
    "goods are with a suspended driver": (
        [*a_delivery(1, state="PICKED_UP", driver=7), *a_driver(7, duty="SUSPENDED")],
        "DRIVER_SUSPENDED",
        2,
    ),
    "no sweep may take it from another driver": (
        [
            *a_delivery(1, state="ASSIGNED", driver=7),
            *a_case(3, state="EXHAUSTED", closed_at=NOW - minutes(9)),
        ],
        "ATTEMPTS_USED_UP",
        4,
    ),
    "nobody takes over from a driver who shows no progress": (
        [
            *a_delivery(1, state="EN_ROUTE_PICKUP", driver=7),
            *a_case(3, driver=7, suspected=minutes(13)),
        ],
        "NOBODY_TO_TAKE_OVER",
        2,
    ),
}
DUE = {
    "DRIVER_SUSPENDED": minutes(30),
    "ATTEMPTS_USED_UP": minutes(9),
    "NOBODY_TO_TAKE_OVER": minutes(3),
}


@pytest.mark.parametrize("case", STALLED)
def test_stalled_delivery_opens_one_ticket(case):
    rows, cause, level = STALLED[case]
    town = tables(rows)
    [ticket] = run(town)
    assert (ticket.event, ticket.after["cause"], ticket.after["level"]) == (
        "support_ticket_created",
        cause,
        level,
    )
    assert ticket.after["due_at"] == NOW - DUE[cause]
    called = apply(town, [ticket])
    assert run(called) == []
    closed = called["support_tickets"].with_columns(state=pl.lit("CLOSED"), closed_at="opened_at")
    assert run({**called, "support_tickets": closed}) == [], "the person who closed it knows of it"
    delivered = called["deliveries"].with_columns(state=pl.lit("DELIVERED"))
    assert events(run({**called, "deliveries": delivered})) == ["support_ticket_closed"]


@pytest.mark.parametrize("case", STALLED)
def test_outside_rollout_tickets_only_close(case):
    town = tables(STALLED[case][0])
    assert run(town, outside=True) == []
    called = swept(town)
    assert run(called, outside=True) == []
    delivered = called["deliveries"].with_columns(state=pl.lit("DELIVERED"))
    assert events(run({**called, "deliveries": delivered}, outside=True)) == [
        "support_ticket_closed"
    ]


def test_outside_rollout_ticket_closes_with_search():
    begun = swept(waiting(10))
    assigned = begun["unassigned_orders"].with_columns(
        state=pl.lit("ASSIGNED"), closed_at=pl.lit(NOW)
    )
    taken = begun["deliveries"].with_columns(state=pl.lit("CREATED"))
    town = {**begun, "unassigned_orders": assigned, "deliveries": taken}
    assert events(run(town, outside=True)) == ["support_ticket_closed"]


@pytest.mark.parametrize(
    ("age", "level", "ends"), [(2, 0, False), (3, 1, True), (10, 3, True), (20, 4, True)]
)
def test_outside_rollout_search_ends_without_climbing(age, level, ends):
    town = swept(waiting(age))
    assert episode(town)["level"] == level
    assert run(town, NOW + minutes(44.9 - age), outside=True) == []
    last = events(run(town, NOW + minutes(45 - age), outside=True))
    assert last == (["delivery_unfulfilled", "episode_closed"] if ends else [])


def test_stuck_ticket_opens_late_closes_with_case():
    carried = tables(
        a_delivery(1, state="ASSIGNED", driver=7), a_case(3, driver=7, suspected=minutes(10))
    )
    assert run(carried, NOW - seconds(1)) == []
    town = swept(carried)
    assert town["support_tickets"]["cause"].to_list() == ["NOBODY_TO_TAKE_OVER"]
    moved = town["reassignment_cases"].with_columns(state=pl.lit("CLEARED"), closed_at=pl.lit(NOW))
    assert events(run({**town, "reassignment_cases": moved})) == ["support_ticket_closed"]


def test_queue_sorts_by_slack_and_shows_next_level():
    town = tables(
        a_delivery(1, due=minutes(4), placed=minutes(5)),
        a_delivery(2, placed=minutes(12)),
        a_driver(7),
    )
    shown = queue(town)
    assert [row["delivery_id"] for row in shown] == [2, 1]
    assert (shown[1]["age_s"], shown[1]["level"], shown[1]["cause"]) == (240, 0, "NO_SUPPLY")
    assert (shown[1]["next_at"], shown[1]["next_by"]) == (rfc3339(NOW - minutes(1)), "AGE")
    after = {row["delivery_id"]: row for row in queue(swept(town))}
    assert (after[1]["level"], after[1]["due_at"], after[1]["next_at"]) == (
        1,
        rfc3339(NOW - minutes(1)),
        rfc3339(NOW + minutes(2)),
    )


def test_same_driver_may_serve_two_estimates():
    town = tables(a_delivery(1), a_delivery(2), a_driver(7))
    assert [row["soonest_driver_id"] for row in queue(town)] == [7, 7]


def test_delivery_not_seeking_is_ignored():
    town = tables(
        a_delivery(1, state="SCHEDULED", due=minutes(30)),
        a_delivery(2, state="ASSIGNED", driver=7),
        a_driver(7),
    )
    assert (run(town), queue(town)) == ([], [])


CONTRADICTIONS = [
    ({"age_2": minutes(2)}, "age_1", "age_2"),
    ({"age_4": minutes(50)}, "age_4", "unfulfilled"),
    ({"slack_1": minutes(5)}, "slack_2", "slack_1"),
    ({"attempts_3": 4}, "attempts_2", "attempts_3"),
    ({"reminder": timedelta()}, "reminder", "longer than zero"),
    ({"pickup_service": -minutes(1)}, "pickup_service", "below zero"),
    ({"stuck_after": -minutes(1)}, "stuck_after", "below zero"),
    ({"reach_m": 0}, "reach_m", "1 or more"),
    ({"fresh": minutes(4)}, "fresh", "aging"),
]


@pytest.mark.parametrize(("settings", "one", "other"), CONTRADICTIONS)
def test_contradicting_settings_are_refused(settings, one, other):
    with pytest.raises(BadConfig, match=f"{one}.*{other}"):
        Params(**settings)


def test_slack_falls_only_with_time():
    town = tables(a_delivery(1, ready_in=None), a_driver(7, at=(500, 0)))
    soon = NOW + minutes(2)
    assert queue(seen(town, soon), soon)[0]["slack_s"] == queue(town)[0]["slack_s"] - 120
