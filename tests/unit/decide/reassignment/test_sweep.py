"""The reassignment sweep: suspicion, grace, release, and what became of it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.offers import policy as offers
from dispatchkit.decide.offers.model import Params as Offering
from dispatchkit.decide.reassignment.model import Params
from dispatchkit.decide.reassignment.policy import FEATURE, decide
from dispatchkit.domain.changes import Change
from dispatchkit.domain.feature import OUTSIDE
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import (
    NOW,
    Rows,
    Tables,
    a_case,
    a_delivery,
    a_driver,
    a_ping,
    an_episode,
    an_offer,
    minutes,
    seconds,
    tables,
)
from tests.unit.decide.corridor import apply, gather

TRAVEL = StraightLine()


def run(tables: Tables, *, outside: bool = False, **params) -> list[Change]:
    """Return what one sweep decides. outside: no delivery is in the rollout."""
    frames = gather(FEATURE, tables, NOW)
    if outside:
        marked = {name: frame for name, frame in frames.items() if OUTSIDE in frame.columns}
        frames |= {
            name: frame.with_columns(outside=pl.lit(value=True)) for name, frame in marked.items()
        }
    return list(decide(frames, Params(**params), NOW, TRAVEL, 0).changes)


def verdicts(tables: Tables, **params) -> list[str]:
    return [
        str(v["verdict"])
        for v in decide(
            gather(FEATURE, tables, NOW), Params(**params), NOW, TRAVEL, 0
        ).explanations()
    ]


def events(tables: Tables, **params) -> list[str]:
    return [change.event for change in run(tables, **params)]


def assigned(
    id: int = 1, *, state: str = "ASSIGNED", driver: int = 7, since: float = 6, **columns
) -> Rows:
    return a_delivery(id, state=state, driver=driver, assigned=minutes(since), **columns)


def far_and_still(driver: int = 7) -> Rows:
    """A driver two kilometres from the square who has not moved for a quarter of an hour."""
    pings = [
        ping for ago in (16, 12, 8, 4) for ping in a_ping(driver, at=(2000, 0), ago=minutes(ago))
    ]
    return [*a_driver(driver, at=(2000, 0)), *pings]


def moving(driver: int = 7, *, frm: float, to: float) -> Rows:
    """Return a driver who moved from `frm` to `to` metres east of the square in the last 15
    minutes.
    """
    steps = range(16)
    pings = [
        a_ping(driver, at=(frm + (to - frm) * n / 15, 0), ago=minutes(15 - n) + seconds(10))
        for n in steps
    ]
    return [*a_driver(driver, at=None), *(row for ping in pings for row in ping)]


STILL = far_and_still()
SUSPECT = {
    "NO_START": tables(STILL, assigned()),
    "NOT_MOVING": tables(STILL, assigned(state="EN_ROUTE_PICKUP", since=14, started_at=NOW - minutes(12))),
    "LOST_PING": tables(a_driver(7, at=(2000, 0), seen=minutes(11)), assigned(since=12)),
    "WRONG_WAY": tables(moving(frm=100, to=3500), assigned(since=4, state="EN_ROUTE_PICKUP")),
    "ETA_BREACH": tables(
        moving(frm=9000, to=4500),
        assigned(since=14, state="EN_ROUTE_PICKUP", ready_in=minutes(-20)),
        an_offer(
            1, driver=7, state="ACCEPTED", sent=minutes(15), answered=minutes(14.8),
            payload='{"pickup_eta":"2026-03-02T19:20:00Z"}',
        ),
    ),
    "SHIFT_END": tables(a_driver(7, at=(2000, 0), shift_end=NOW - minutes(12)), assigned(since=1)),
    "MERCHANT_WAIT": tables(a_driver(7), assigned(
        since=30, state="ARRIVED_PICKUP", ready_in=minutes(-15), arrived_pickup_at=NOW - minutes(20)
    )),
}  # fmt: skip


@pytest.mark.parametrize("trigger", SUSPECT)
def test_stalled_assignment_is_suspected_and_nudged_once(trigger):
    town = SUSPECT[trigger]
    [change] = run(town)
    assert (change.event, change.after["trigger"], change.after["state"]) == (
        "reassignment_suspected",
        trigger,
        "GRACE",
    )
    assert change.after["grace_until"] == NOW + minutes(5)
    begun = apply(town, [change])
    assert run(begun) == []
    assert run(town, outside=True) == [], "outside the rollout nobody is suspected"
    [end] = run(begun, outside=True)
    assert (end.event, end.reason) == ("reassignment_aborted", "ROLLOUT")
    assert run(apply(begun, [end]), outside=True) == []


FINE = {
    "assigned a moment ago": tables(STILL, assigned(since=4)),
    "on the way": tables(moving(frm=2000, to=500), assigned(since=6)),
    "at the pickup": tables(a_driver(7, at=(50, 0)), assigned(since=9)),
    "set out a moment ago": tables(
        STILL, assigned(state="EN_ROUTE_PICKUP", since=14, started_at=NOW - minutes(2))
    ),
    "at the pickup without a signal": tables(
        a_driver(7, seen=minutes(12)), assigned(state="ARRIVED_PICKUP", since=15)
    ),
    "also carries something else": tables(
        moving(frm=100, to=2000),
        assigned(1, since=6),
        a_delivery(2, state="PICKED_UP", driver=7, slot=2),
    ),
    "has just delivered something else": tables(
        STILL,
        assigned(1, since=12),
        a_delivery(2, state="DELIVERED", driver=7, ended_at=NOW - minutes(4)),
    ),
    "something else was just released": tables(
        STILL,
        assigned(1, since=12),
        a_delivery(2, episode=2),
        a_case(2, delivery=2, driver=7, state="RELEASED", released_at=NOW - minutes(4)),
    ),
    "has the goods": tables(
        a_driver(7, at=None, duty="OFF_DUTY"), a_delivery(1, state="PICKED_UP", driver=7)
    ),
    "assigned after the last ping": tables(a_driver(7, seen=minutes(11)), assigned(since=4)),
    "finishes soon enough after the shift": tables(
        a_driver(7, shift_end=NOW - minutes(5)), assigned(since=1, dropoff=(500, 0))
    ),
    "the goods were to be ready a moment ago": tables(
        a_driver(7),
        assigned(
            since=30,
            state="ARRIVED_PICKUP",
            ready_in=minutes(-14),
            arrived_pickup_at=NOW - minutes(20),
        ),
    ),
}


def trail(*left: float) -> Tables:
    """Return driver 7, on the way for 4 minutes, seen every 30 s at these distances (metres)."""
    seen = [
        a_ping(7, at=(m, 0), ago=seconds(30 * (len(left) - 1 - n) + 5)) for n, m in enumerate(left)
    ]
    return tables(a_driver(7, at=None), *seen, assigned(since=4, state="EN_ROUTE_PICKUP"))


@pytest.mark.parametrize(
    ("left", "found"),
    [
        ((900, 300, 780), []),
        ((900, 300, 810), ["WRONG_WAY"]),
        ((900, 930, 960, 1005), ["WRONG_WAY"]),
        ((900, 930, 960, 995), []),
        ((900, 950, 940, 1010), []),
        ((900, 950, 1010), []),
    ],
    ids=["a detour", "far off", "away ping after ping", "noise", "not each ping", "too few pings"],
)
def test_wrong_direction_needs_distance_or_repeated_pings(left, found):
    assert [c.after["trigger"] for c in run(trail(*left))] == found


def test_shift_must_last_until_dropoff():
    near = a_driver(7, shift_end=NOW - minutes(5))
    [change] = run(tables(near, assigned(since=1, dropoff=(6000, 0))))
    assert change.after["trigger"] == "SHIFT_END"


def test_no_release_while_pickup_has_waiting_driver():
    waits = assigned(
        since=40, state="ARRIVED_PICKUP", ready_in=minutes(-25), arrived_pickup_at=NOW - minutes(30)
    )
    town = tables(a_driver(7), a_driver(8), waits, a_case(1, driver=7, trigger="MERCHANT_WAIT"))
    assert (verdicts(town), run(town)) == (["GAIN_TOO_SMALL"], [])


def broken(*pings: Rows, since: float = 6) -> Tables:
    """Return driver 7, who reported a broken vehicle, and driver 8, who is free."""
    told = a_case(1, driver=7, trigger="VEHICLE", suspected=minutes(since))
    return tables(a_driver(7, at=None), *pings, assigned(since=12), told, a_driver(8))


AT_FIRST = a_ping(7, at=(2000, 0), ago=minutes(5.9))


def test_broken_vehicle_is_released_after_grace():
    still = a_ping(7, at=(1950, 0))
    assert (verdicts(broken(AT_FIRST, still, since=4)), run(broken(AT_FIRST, still, since=4))) == (
        ["IN_GRACE"],
        [],
    )
    released = run(broken(AT_FIRST, still))
    assert [c.reason for c in released if c.event == "delivery_released"] == ["VEHICLE"]


def test_breakdown_outside_rollout_is_not_acted_on():
    assert run(broken(AT_FIRST), outside=True) == []


def test_vehicle_that_gets_going_again_clears_suspicion():
    assert events(broken(AT_FIRST, a_ping(7, at=(1800, 0)))) == ["reassignment_cleared"]


@pytest.mark.parametrize("case", FINE)
def test_assignment_is_left_alone_while(case):
    assert run(FINE[case]) == []


def stalled(*others: Rows, **case) -> Tables:
    return tables(STILL, assigned(since=12), a_case(1, driver=7, **case), *others)


def test_release_after_grace_has_priority_and_cooldown():
    town = stalled(a_driver(8, at=(300, 0)))
    changes = run(town)
    assert [c.event for c in changes] == [
        "reassignment_confirmed", "delivery_released", "episode_opened", "reassignment_released", "driver_cooled_down",
    ]  # fmt: skip
    assert changes[1].expects == (("driver", 8, 1),)
    after = apply(town, changes)
    delivery = after["deliveries"].row(0, named=True)
    assert (delivery["state"], delivery["episode"], delivery["priority"]) == ("UNASSIGNED", 2, 1)
    assert delivery["driver_id"] is delivery["slot"] is delivery["assigned_at"] is None
    assert after["unassigned_orders"]["id"].to_list() == [stable_id("episode", 1, 2)]
    assert after["drivers"]["cooldown_until"].to_list() == [NOW + minutes(15), None]
    assert run(after) == []


def test_released_driver_is_not_asked_again():
    town = apply(stalled(a_driver(8, at=(300, 0))), run(stalled(a_driver(8, at=(300, 0)))))
    rested = {
        **town,
        "drivers": town["drivers"].with_columns(
            cooldown_until=pl.lit(None, pl.Datetime("us", "UTC"))
        ),
    }
    asked = offers.decide(gather(offers.FEATURE, rested, NOW), Offering(), NOW, TRAVEL, 0).changes
    assert [c.after["driver_id"] for c in asked if c.entity == "offer"] == [8]


WAITS = {
    "IN_GRACE": stalled(a_driver(8, at=(300, 0)), suspected=minutes(4)),
    "NO_OTHER_DRIVER": stalled(),
    "NO_OTHER_DRIVER WHO HAS NOT DECLINED IT": stalled(
        a_driver(8), an_offer(1, driver=8, state="DECLINED")
    ),
    "NO_OTHER_DRIVER WHO HAS ANSWERED": stalled(
        a_driver(8), an_offer(1, driver=8, state="EXPIRED", sent=minutes(13))
    ),
    "GAIN_TOO_SMALL": stalled(a_driver(8, at=(5900, 0), vehicle="walker")),
}


@pytest.mark.parametrize("verdict", WAITS)
def test_suspect_keeps_delivery_while(verdict):
    assert (verdicts(WAITS[verdict]), run(WAITS[verdict])) == ([verdict.split()[0]], [])


@pytest.mark.parametrize(
    ("ready", "verdict"), [(9, "RELEASED"), (10, "RELEASED"), (11, "NO_OTHER_DRIVER")]
)
def test_no_release_to_shift_ending_before_ready(ready, verdict):
    """Offers would not ask driver 8, so nobody would have the delivery after a release."""
    silent, leaving = (
        a_driver(7, seen=minutes(11)),
        a_driver(8, at=(300, 0), shift_end=NOW + minutes(10)),
    )
    suspected = a_case(1, driver=7, trigger="LOST_PING", suspected=minutes(6))
    assert verdicts(
        tables(silent, leaving, suspected, assigned(since=12, ready_in=minutes(ready)))
    ) == [verdict]


def test_off_duty_driver_loses_delivery_immediately():
    town = tables(a_driver(7, duty="OFF_DUTY"), assigned(since=1))
    changes = run(town)
    assert [c.event for c in changes][:3] == [
        "reassignment_suspected",
        "delivery_released",
        "episode_opened",
    ]
    assert run(apply(town, changes)) == []


def test_two_releases_give_one_cooldown():
    town = tables(a_driver(7, duty="SUSPENDED"), assigned(1), assigned(2, slot=2))
    changes = run(town)
    assert [c.id for c in changes if c.entity == "driver"] == [7]
    assert [c.root[1] for c in changes if c.event == "delivery_released"] == [1, 2]
    assert run(apply(town, changes)) == []
    assert run(town, outside=True) == changes, "a suspension counts whatever is rolled out"


def test_free_driver_takes_one_of_two_deliveries():
    town = tables(
        far_and_still(7), far_and_still(9), assigned(1, driver=7, since=12), assigned(2, driver=9, since=12),
        a_case(1, driver=7), a_case(2, delivery=2, driver=9), a_driver(8),
    )  # fmt: skip
    changes = run(town)
    assert [c.root[1] for c in changes if c.event == "delivery_released"] == [1]
    assert verdicts(town) == ["RELEASED", "NO_OTHER_DRIVER"]
    assert run(apply(town, changes)) == []


def test_suspicion_is_dropped_when_driver_moves():
    town = tables(moving(frm=2000, to=500), assigned(since=12), a_case(1, driver=7), a_driver(8))
    assert events(town) == ["reassignment_cleared"]


def test_manual_assignment_is_kept_while_locked():
    locked: dict[str, Any] = {"lock_until": NOW + seconds(1)}
    assert events(tables(STILL, assigned(since=12, **locked), a_driver(8))) == []
    [change] = run(tables(STILL, assigned(since=12, **locked), a_case(1, driver=7), a_driver(8)))
    assert (change.event, change.reason) == ("reassignment_aborted", "MANUAL_LOCK")
    expired = tables(STILL, assigned(since=12, lock_until=NOW), a_case(1, driver=7), a_driver(8))
    assert "delivery_released" in events(expired)


def test_suspended_driver_loses_manual_assignment():
    past = [
        a_case(n, driver=9 + n, state="RELAPSED", released_at=NOW - minutes(20 + n))
        for n in (1, 2, 3)
    ]
    given = assigned(since=12, episode=4, lock_until=NOW + minutes(30))
    town = tables(a_driver(7, duty="SUSPENDED"), given, *past)
    assert "delivery_released" in events(town)


@pytest.mark.parametrize("state", ["PICKED_UP", "RESCUE", "RETURNING", "DELIVERED"])
def test_pickup_ends_suspicion(state):
    town = tables(a_driver(7), a_delivery(1, state=state, driver=7), a_case(1, driver=7))
    [change] = run(town)
    assert (change.event, change.reason) == ("reassignment_cleared", "PICKED_UP")


def test_last_attempt_keeps_delivery_and_exhausts_case():
    past: dict[str, Any] = {
        "released_at": NOW - minutes(13),
        "state": "REASSIGNED",
        "new_driver_id": 7,
    }
    town = tables(
        STILL,
        assigned(since=12, episode=2),
        a_case(1, driver=7, episode=2),
        a_case(2, driver=9, **past),
        a_driver(8),
    )
    changes = run(town, max_per_delivery=1)
    assert [(c.id, c.event) for c in changes] == [
        (1, "reassignment_aborted"),
        (2, "reassignment_exhausted"),
    ]
    after = apply(town, changes)
    assert (run(after, max_per_delivery=1), verdicts(after, max_per_delivery=1)) == (
        [],
        ["ATTEMPTS_USED_UP"],
    )


def taken(
    state: str = "RELEASED", *, now: str, driver: int | None = None, episode: int = 2
) -> Tables:
    """A delivery that was taken from driver 7 in episode 1, and where it is now."""
    delivery = a_delivery(1, state=now, driver=driver, episode=episode)
    return tables(
        delivery,
        a_case(1, driver=7, state=state, released_at=NOW - minutes(4)),
        a_driver(7),
        a_driver(9),
    )


BECAME = [
    ("it still waits", taken(now="UNASSIGNED"), []),
    ("it is offered", taken(now="OFFERING"), ["REOFFERING"]),
    ("a new driver has it", taken(now="ASSIGNED", driver=9), ["REOFFERING", "REASSIGNED"]),
    ("a new driver delivered it", taken("REASSIGNED", now="DELIVERED", driver=9), ["SUCCEEDED"]),
    ("nobody was found", taken("REOFFERING", now="UNFULFILLED"), ["EXHAUSTED"]),
    ("the new driver failed", taken("REASSIGNED", now="FAILED", driver=9), ["EXHAUSTED"]),
    ("the customer cancelled", taken("REOFFERING", now="CANCELLED"), ["ABORTED"]),
    ("a person gave it back", taken("REOFFERING", now="ASSIGNED", driver=7), ["ABORTED"]),
    ("a rescue handed it on", taken("REASSIGNED", now="PICKED_UP", driver=8, episode=3), []),
    (
        "a rescue brought it back to the old driver",
        taken("REASSIGNED", now="PICKED_UP", driver=7, episode=3),
        [],
    ),
    (
        "it failed after a rescue",
        taken("REASSIGNED", now="RETURNED", driver=8, episode=3),
        ["EXHAUSTED"],
    ),
]


@pytest.mark.parametrize(("town", "states"), [b[1:] for b in BECAME], ids=[b[0] for b in BECAME])
def test_case_follows_its_delivery_when(town, states):
    changes = run(town)
    assert [c.after["state"] for c in changes] == states
    assert run(apply(town, changes)) == []
    assert run(town, outside=True) == changes, (
        "a case that was begun comes to its end outside the rollout too"
    )


def test_second_release_marks_first_case_relapsed():
    first = a_case(2, driver=9, state="REASSIGNED", new_driver_id=7, released_at=NOW - minutes(13))
    town = tables(
        STILL, assigned(since=12, episode=2), a_case(1, driver=7, episode=2), first, a_driver(8)
    )
    changes = run(town)
    assert "reassignment_relapsed" in [c.event for c in changes]
    assert run(apply(town, changes)) == []


def test_no_release_where_everybody_would_wait():
    town = tables(STILL, assigned(since=12, ready_in=minutes(40)), a_case(1, driver=7), a_driver(8))
    assert verdicts(town) == ["GAIN_TOO_SMALL"]


def test_earlier_episode_is_ignored():
    town = tables(
        STILL,
        assigned(since=12, episode=2),
        an_episode(1, 1, state="ASSIGNED"),
        a_case(1, driver=7),
    )
    assert events(town)[:2] == ["reassignment_aborted", "reassignment_suspected"]


def lost(town: Tables) -> Tables:
    """Return the town with nobody knowing where its merchants are."""
    return {**town, "merchants": town["merchants"].with_columns(lat=pl.lit(None, pl.Float64))}


UNPLACED = {trigger: ["reassignment_suspected"] * (trigger == "LOST_PING") for trigger in SUSPECT}


@pytest.mark.parametrize("trigger", UNPLACED)
def test_unknown_pickup_allows_only_silence_suspicion(
    trigger,
):
    assert events(lost(SUSPECT[trigger])) == UNPLACED[trigger]


def test_unknown_pickup_releases_only_suspended_drivers():
    silent = tables(
        a_driver(7, seen=minutes(11)), assigned(since=12), a_case(1, driver=7, trigger="LOST_PING")
    )
    assert verdicts(lost(silent)) == ["NO_OTHER_DRIVER"]
    assert (verdicts(lost(broken(AT_FIRST))), run(lost(broken(AT_FIRST)))) == (
        ["NO_OTHER_DRIVER"],
        [],
    )
    assert "delivery_released" in events(
        lost(tables(a_driver(7, duty="SUSPENDED"), assigned(), a_driver(8)))
    )


def test_case_with_unknown_pickup_is_tracked():
    taken = a_case(1, state="RELEASED", trigger="OPS", released_at=NOW - minutes(1))
    assert run(lost(tables(a_delivery(1, episode=2), taken))) == []
