"""Requests of drivers and operations about duties: every request in every duty."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dispatchkit.decide.availability.driver_requests import REQUESTS
from dispatchkit.domain.states import AWAY, DUTY
from dispatchkit.kernel.errors import Usage
from tests.builders import NOW, a_delivery, a_duty, an_offer, hours, minutes
from tests.unit.decide.availability.scenario import DutyScenario, at, on_duty

GRANTED = """
start-shift OFF_DUTY      ON_DUTY       .
start-shift ENDING_SHIFT  ON_DUTY       ON_DUTY
start-shift FORCED_OFF    ON_DUTY       .
resume      ON_BREAK      ON_DUTY       .
resume      BREAK_PENDING ON_DUTY       ON_DUTY
resume      ENDING_SHIFT  ON_DUTY       ON_DUTY
resume      FORCED_OFF    ON_DUTY       .
break       ON_DUTY       ON_BREAK      BREAK_PENDING
break       BREAK_PENDING ON_BREAK      -
end-shift   ENDING_SHIFT  OFF_DUTY      -
end-shift   ON_DUTY       OFF_DUTY      ENDING_SHIFT
end-shift   BREAK_PENDING OFF_DUTY      ENDING_SHIFT
end-shift   ON_BREAK      OFF_DUTY      .
end-shift   FORCED_OFF    OFF_DUTY      .
suspend     ON_DUTY       SUSPENDED     SUSPENDED
suspend     OFF_DUTY      SUSPENDED     .
suspend     ON_BREAK      SUSPENDED     .
suspend     BREAK_PENDING SUSPENDED     SUSPENDED
suspend     ENDING_SHIFT  SUSPENDED     SUSPENDED
suspend     FORCED_OFF    SUSPENDED     .
reinstate   SUSPENDED     OFF_DUTY      -
"""  # request, duty, duty afterwards without and with a delivery (. cannot be, - is refused)
AGAIN = """
start-shift ON_DUTY
resume ON_DUTY
break ON_BREAK
break BREAK_PENDING
end-shift OFF_DUTY
end-shift ENDING_SHIFT
suspend SUSPENDED
reinstate OFF_DUTY
"""
TABLE = {
    (line.split()[0], line.split()[1]): line.split()[2:] for line in GRANTED.strip().splitlines()
}
REPLAYS = {tuple(line.split()) for line in AGAIN.strip().splitlines()}
CASES = [
    (event_name, duty, held)
    for event_name in REQUESTS
    for duty in sorted(DUTY.states)
    for held in (0, 1)
    if not held or duty not in AWAY
]


@pytest.mark.parametrize(("event_name", "duty", "held"), CASES)
def test_requests_are_answered_as_table_says(event_name, duty, held):
    job = a_delivery(1, state="PICKED_UP", driver=1) if held else []
    scenario = DutyScenario(
        on_duty(duty=duty, break_until=at(10) if duty.endswith(("BREAK", "PENDING")) else None), job
    )
    answer = scenario.act(event_name)
    becomes = TABLE.get((event_name, duty), ["-", "-"])[held]
    if becomes in ("-", "."):
        replay = (event_name, duty) in REPLAYS
        assert (answer.code, answer.refused) == (
            ("OK_REPLAY", False) if replay else ("ILLEGAL_TRANSITION", True)
        )
        assert (answer.changes, scenario.duty(), len(scenario.history())) == ((), duty, 1)
        assert [refusal["code"] for refusal in scenario.store.refusals] == (
            [] if replay else ["ILLEGAL_TRANSITION"]
        )
        return
    pending = becomes in ("BREAK_PENDING", "ENDING_SHIFT")
    assert (answer.code, answer.refused, scenario.duty()) == (
        "OK_PENDING" if pending else "OK",
        False,
        becomes,
    )
    assert scenario.history() == [(duty, -30, 0), (becomes, 0, None)]
    (payload,) = scenario.payloads("availability_changed")
    assert (payload["from"], payload["to"], payload["driverId"], payload["at"]) == (
        duty,
        becomes,
        "1",
        NOW,
    )
    if event_name != "reinstate":
        assert scenario.act(event_name).code == "OK_REPLAY"


@pytest.mark.parametrize("event_name", ["start-shift", "resume"])
def test_request_resets_counted_timeouts(event_name):
    scenario = DutyScenario(on_duty(timeouts=3))
    assert scenario.act(event_name).code == "OK"
    assert (scenario.row("drivers")["timeouts"], scenario.duty(), len(scenario.history())) == (
        0,
        "ON_DUTY",
        1,
    )
    assert scenario.act(event_name).code == "OK_REPLAY"


def test_unknown_driver_is_not_found():
    assert DutyScenario(on_duty()).act("break", 2).code == "NOT_FOUND"


@pytest.mark.parametrize(
    ("event_name", "held"),
    [("break", 0), ("end-shift", 0), ("suspend", 0), ("break", 1), ("end-shift", 1)],
)
def test_leaving_driver_returns_pending_offer(event_name, held):
    job = a_delivery(2, state="PICKED_UP", driver=1) if held else []
    scenario = DutyScenario(on_duty(), a_delivery(1, state="OFFERING", attempt=2), an_offer(5), job)
    scenario.act(event_name)
    offer, delivery = scenario.row("driver_offers", 5), scenario.row("deliveries")
    assert (offer["state"], offer["cause"], offer["responded_at"]) == (
        "REVOKED",
        "DRIVER_UNAVAILABLE",
        NOW,
    )
    assert (delivery["state"], delivery["attempt"]) == ("UNASSIGNED", 3)
    assert [event["event"] for event in scenario.store.events][:2] == [
        "offer_revoked",
        "delivery_unassigned",
    ]


def test_returned_offer_keeps_round_with_other_offers():
    scenario = DutyScenario(
        on_duty(), on_duty(2), a_delivery(1, state="OFFERING"), an_offer(5), an_offer(6, driver=2)
    )
    scenario.act("break")
    assert (scenario.row("deliveries")["state"], scenario.row("driver_offers", 6)["state"]) == (
        "OFFERING",
        "PENDING",
    )
    scenario.act("end-shift", 2)
    assert (scenario.row("deliveries")["state"], scenario.row("deliveries")["attempt"]) == (
        "UNASSIGNED",
        1,
    )


def test_break_starts_when_last_delivery_ends():
    scenario = DutyScenario(on_duty(), a_delivery(1, state="ARRIVED_DROPOFF", driver=1))
    assert scenario.act("break", minutes=20).code == "OK_PENDING"
    scenario.set("deliveries", state="DELIVERED", ended_at=at(7))
    scenario.sweep(8)
    assert (scenario.duty(), scenario.row("drivers")["break_until"]) == ("ON_BREAK", at(27))
    assert scenario.history() == [
        ("ON_DUTY", -30, 0),
        ("BREAK_PENDING", 0, 7),
        ("ON_BREAK", 7, None),
    ]


@pytest.mark.parametrize("minutes_", [0, 31])
def test_break_length_out_of_bounds_is_usage_error(minutes_):
    with pytest.raises(Usage, match=r"1 to 30 \(availability.break_max\)"):
        DutyScenario(on_duty()).act("break", minutes=minutes_)


def test_shift_start_records_planned_end():
    scenario = DutyScenario(on_duty(duty="OFF_DUTY"))
    scenario.act("start-shift", until=at(240))
    (interval,) = [
        row
        for row in scenario.store.rows["driver_availability_history"].values()
        if row["until"] is None
    ]
    assert (scenario.row("drivers")["shift_end"], interval["shift_end"]) == (at(240), at(240))
    with pytest.raises(Usage, match=r"end 20\S+T\S+Z must be an instant after"):
        DutyScenario(on_duty(duty="OFF_DUTY")).act("start-shift", until=at(0))


def test_return_after_planned_end_has_no_planned_end():
    scenario = DutyScenario(
        on_duty(duty="ENDING_SHIFT", shift_end=at(-5)), a_delivery(1, state="PICKED_UP", driver=1)
    )
    scenario.act("resume")
    assert scenario.row("drivers")["shift_end"] is None
    assert not scenario.sweep(1).changes


def test_simultaneous_changes_leave_no_gap():
    scenario = DutyScenario(on_duty())
    for event_name in ("break", "resume", "end-shift", "start-shift"):
        assert scenario.act(event_name).code == "OK"
    rows = sorted(
        scenario.store.rows["driver_availability_history"].values(), key=lambda row: row["since"]
    )
    assert [row["duty"] for row in rows] == [
        "ON_DUTY",
        "ON_BREAK",
        "ON_DUTY",
        "OFF_DUTY",
        "ON_DUTY",
    ]
    assert all(one["until"] == other["since"] for one, other in pairwise(rows))
    assert rows[-1]["since"] - NOW < minutes(0.001)


def worked(*shifts: tuple[float, float]):
    """Return closed stretches on duty, in hours ago."""
    return [
        row for since, until in shifts for row in a_duty(1, began=hours(since), ended=hours(until))
    ]


@pytest.mark.parametrize(
    ("duty", "shifts", "code"),
    [
        ("OFF_DUTY", [(13, 1)], "HOURS_CAP"),
        ("FORCED_OFF", [(13, 1)], "HOURS_CAP"),
        ("FORCED_OFF", [(12, 1)], "OK"),  # eleven hours: forced off for timeouts
        ("OFF_DUTY", [(18, 6)], "OK"),
        ("OFF_DUTY", [(18, 12), (7, 1)], "HOURS_CAP"),  # five hours are no rest
        ("OFF_DUTY", [(20, 13), (7, 1)], "OK"),
    ],
)
def test_capped_driver_returns_after_long_rest(duty, shifts, code):
    off = a_duty(1, duty, began=hours(shifts[-1][1]))
    driver = [
        row for row in on_duty(duty=duty, since=-60 * shifts[-1][1]) if row.table == "drivers"
    ]
    scenario = DutyScenario(driver, worked(*shifts), off)
    answer = scenario.act("start-shift")
    assert answer.code == code
    assert answer.details == (
        {"rested_at": NOW + hours(6 - shifts[-1][1])} if code == "HOURS_CAP" else {}
    )
