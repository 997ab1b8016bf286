"""The availability sweep: breaks and shifts end, drivers are forced off, each at its exact instant."""

from __future__ import annotations

import pytest

from dispatchkit.decide.availability.model import Params
from dispatchkit.domain.duty import TICK
from dispatchkit.domain.hours import LOOK_BACK
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.gather import gather
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.flags import Flag
from dispatchkit.store.contract import RunRequest
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, a_case, a_delivery, a_driver, a_duty, an_offer, hours, minutes
from tests.unit.decide.availability.scenario import LOSSES, DutyScenario, at, on_duty


def resting(**columns):
    """Driver 1 rests since minute -20; the break ends at minute 10."""
    return on_duty(duty="ON_BREAK", since=-20, break_until=at(10), **columns)


def delivered(scenario: DutyScenario, minute: float, id: int = 1) -> None:
    """What other rooms write: a driver finishes a delivery."""
    scenario.set("deliveries", id, state="DELIVERED", ended_at=at(minute))


def test_overdue_break_warns_once_then_ends_duty():
    scenario = DutyScenario(resting())
    for minute in (9.9, 10, 11, 14.9):
        scenario.sweep(minute)
    assert (scenario.duty(), len(scenario.payloads("break_expired"))) == ("ON_BREAK", 1)
    assert scenario.payloads("break_expired")[0] == {
        "dutyId": scenario.payloads("break_expired")[0]["dutyId"], "driverId": "1", "breakDuration": 1800, "at": at(10),
    }  # fmt: skip
    scenario.sweep(15)
    assert scenario.history() == [("ON_BREAK", -20, 15), ("OFF_DUTY", 15, None)]
    assert len(scenario.payloads("break_expired")) == 1


def test_late_sweep_writes_punctual_instants():
    late, punctual = DutyScenario(resting()), DutyScenario(resting())
    late.sweep(300)
    for minute in range(0, 301, 5):
        punctual.sweep(minute)
    assert late.history() == punctual.history() == [("ON_BREAK", -20, 15), ("OFF_DUTY", 15, None)]
    assert [e["event"] for e in late.store.events] == [e["event"] for e in punctual.store.events]


def test_break_may_end_in_work_on_time():
    scenario = DutyScenario(resting(), availability={"break_on_expiry": "resume"})
    scenario.sweep(12)
    assert scenario.history() == [("ON_BREAK", -20, 10), ("ON_DUTY", 10, None)]
    assert len(scenario.payloads("break_expired")) == 1


def test_pending_break_and_end_start_after_delivery():
    for duty, after in (("BREAK_PENDING", "ON_BREAK"), ("ENDING_SHIFT", "OFF_DUTY")):
        scenario = DutyScenario(on_duty(duty=duty, break_until=at(0)), a_delivery(1, state="PICKED_UP", driver=1),
                    a_delivery(2, state="PICKED_UP", driver=1, slot=2))  # fmt: skip
        scenario.sweep(1)
        delivered(scenario, 3, 2)
        assert not scenario.sweep(4).changes, "one delivery is still in hand"
        delivered(scenario, 6)
        scenario.sweep(7)
        assert scenario.history() == [(duty, -30, 6), (after, 6, None)]


def busy(duty: str = "ENDING_SHIFT", since: float = -30, **columns):
    """Return driver 1 on the way to a pickup, accepted at minute -40."""
    return [*on_duty(duty=duty, since=since, **columns), *a_delivery(1, state="EN_ROUTE_PICKUP", driver=1),
            *an_offer(1, state="ACCEPTED", sent=minutes(41), answered=minutes(40))]  # fmt: skip


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("swept", [8, 300])
def test_lost_delivery_also_ends_pending_duty(how, swept):
    waiting, over = DutyScenario(busy()), DutyScenario(busy("ON_DUTY", shift_end=at(3)))
    for scenario in (waiting, over):
        scenario.lose(how, 7)
        scenario.sweep(swept)
    assert waiting.history() == [("ENDING_SHIFT", -30, 7), ("OFF_DUTY", 7, None)]
    assert over.history() == [("ON_DUTY", -30, 3), ("ENDING_SHIFT", 3, 7), ("OFF_DUTY", 7, None)]


def test_cancellation_ignores_earlier_drivers():
    scenario = DutyScenario(busy())
    scenario.lose("taken", 2)
    scenario.lose("cancelled", 7)
    scenario.sweep(8)
    assert scenario.history() == [("ENDING_SHIFT", -30, 2), ("OFF_DUTY", 2, None)]


def test_earlier_release_does_not_date_end():
    scenario = DutyScenario(
        on_duty(duty="ENDING_SHIFT", since=-5),
        a_delivery(1),
        a_case(1, state="RELEASED", released_at=at(-9)),
    )
    scenario.sweep(0)
    assert scenario.history() == [("ENDING_SHIFT", -5, 0), ("OFF_DUTY", 0, None)]


def test_unknown_end_of_work_is_now():
    scenario = DutyScenario(on_duty(duty="ENDING_SHIFT"))
    scenario.sweep(5)
    assert scenario.history() == [("ENDING_SHIFT", -30, 5), ("OFF_DUTY", 5, None)]


def test_planned_end_waits_for_deliveries():
    scenario = DutyScenario(
        on_duty(shift_end=at(5)),
        on_duty(2, shift_end=at(5)),
        a_delivery(1, state="PICKED_UP", driver=2),
    )
    scenario.sweep(6)
    assert scenario.history(1) == [("ON_DUTY", -30, 5), ("OFF_DUTY", 5, None)]
    assert scenario.history(2) == [("ON_DUTY", -30, 5), ("ENDING_SHIFT", 5, None)]
    assert scenario.row("drivers", 2)["shift_end"] == at(5), "an overrun is measured against it"
    delivered(scenario, 12)
    scenario.sweep(13)
    assert scenario.history(2)[1:] == [("ENDING_SHIFT", 5, 12), ("OFF_DUTY", 12, None)]
    assert scenario.row("drivers", 2)["shift_end"] is None


def test_late_delivery_counts_as_overrun():
    scenario = DutyScenario(on_duty(shift_end=at(5)), a_delivery(1, state="PICKED_UP", driver=1))
    delivered(scenario, 12)
    scenario.sweep(13)
    assert scenario.history() == [
        ("ON_DUTY", -30, 5),
        ("ENDING_SHIFT", 5, 12),
        ("OFF_DUTY", 12, None),
    ]


def test_driver_with_pending_offer_stays_on_duty():
    scenario = DutyScenario(
        on_duty(shift_end=at(-1), timeouts=3), a_delivery(1, state="OFFERING"), an_offer(1)
    )
    assert not scenario.sweep(0).changes
    scenario.set("driver_offers", state="EXPIRED", responded_at=at(0.2))
    scenario.sweep(1)
    assert scenario.history() == [("ON_DUTY", -30, -1), ("OFF_DUTY", -1, None)]


def test_three_timeouts_force_driver_off_duty():
    scenario = DutyScenario(on_duty(timeouts=3), on_duty(2, timeouts=2))
    scenario.sweep(0)
    assert (scenario.duty(1), scenario.duty(2), scenario.row("drivers")["timeouts"]) == (
        "FORCED_OFF",
        "ON_DUTY",
        0,
    )
    assert scenario.payloads("availability_changed")[0]["reason"] == "TIMEOUTS"
    assert not scenario.sweep(1).changes
    assert scenario.act("resume", minute=2).code == "OK"
    assert not scenario.sweep(3).changes


def test_silent_driver_finishes_delivery_first():
    scenario = DutyScenario(on_duty(timeouts=3), a_delivery(1, state="PICKED_UP", driver=1))
    scenario.sweep(0)
    delivered(scenario, 5)
    scenario.sweep(6)
    assert scenario.history() == [
        ("ON_DUTY", -30, 0),
        ("ENDING_SHIFT", 0, 5),
        ("FORCED_OFF", 5, None),
    ]


def test_finish_after_planned_end_is_off_duty():
    scenario = DutyScenario(
        on_duty(timeouts=3, shift_end=at(3)), a_delivery(1, state="PICKED_UP", driver=1)
    )
    scenario.sweep(0)
    delivered(scenario, 5)
    scenario.sweep(6)
    assert scenario.history() == [
        ("ON_DUTY", -30, 0),
        ("ENDING_SHIFT", 0, 5),
        ("OFF_DUTY", 5, None),
    ]


def test_forced_off_becomes_off_duty_at_planned_end():
    scenario = DutyScenario(on_duty(timeouts=3, shift_end=at(20)))
    scenario.sweep(0)
    scenario.sweep(30)
    assert scenario.history() == [
        ("ON_DUTY", -30, 0),
        ("FORCED_OFF", 0, 20),
        ("OFF_DUTY", 20, None),
    ]


def test_twelve_hours_cap_excludes_breaks():
    day = [
        *a_duty(1, began=hours(13), ended=hours(9)),
        *a_duty(1, "ON_BREAK", began=hours(9), ended=hours(8.5)),
    ]
    scenario = DutyScenario(
        on_duty(since=-8.5 * 60), day
    )  # four hours, half an hour of rest, and work since
    assert not scenario.sweep(-31).changes
    scenario.sweep(0)
    assert scenario.history()[2:] == [("ON_DUTY", -510, -30), ("FORCED_OFF", -30, None)]
    assert scenario.payloads("availability_changed")[0]["reason"] == "HOURS_CAP"
    assert scenario.act("resume", minute=1).code == "HOURS_CAP"
    assert scenario.act("resume", minute=330).code == "OK", "six hours after the last one worked"


def test_duties_are_read_back_to_configured_span():
    day = [*a_duty(1, began=hours(49), ended=LOOK_BACK)]
    day += a_duty(1, "ON_BREAK", began=hours(60), ended=LOOK_BACK + TICK)
    frames = gather(
        DutyScenario(on_duty(), day).store,
        catalog.feature("availability"),
        Flag(name="availability"),
        NOW,
    ).frames
    assert frames["duties"]["duty"].to_list() == ["ON_DUTY", "ON_DUTY"]


def test_hours_cap_waits_for_current_delivery():
    scenario = DutyScenario(on_duty(since=-720.0), a_delivery(1, state="PICKED_UP", driver=1))
    scenario.sweep(1)
    assert scenario.history() == [("ON_DUTY", -720, 0), ("ENDING_SHIFT", 0, None)]
    assert scenario.act("resume", minute=2).code == "HOURS_CAP"
    delivered(scenario, 4)
    scenario.sweep(5)
    assert scenario.history()[1:] == [("ENDING_SHIFT", 0, 4), ("FORCED_OFF", 4, None)]


def test_suspended_and_absent_are_left_alone():
    scenario = DutyScenario(
        on_duty(duty="SUSPENDED", shift_end=at(-9)), on_duty(2, duty="OFF_DUTY", shift_end=at(-9))
    )
    assert not scenario.sweep(0).changes


def test_first_change_starts_missing_history():
    scenario = DutyScenario(a_driver(1, duty="ON_BREAK", break_until=at(-1), duty_since=at(-20)))
    scenario.sweep(0)
    assert scenario.history() == [("ON_BREAK", -20, None)]
    scenario.sweep(5)
    assert scenario.history() == [("ON_BREAK", -20, 4), ("OFF_DUTY", 4, None)]


def test_drivers_outside_rollout_are_left_alone():
    scenario = DutyScenario(resting(), flags={"availability": {"percent": 0.0}})
    scenario.store.now = at(60)
    swept = sweep(scenario.store, scenario.settings, "availability", Options())
    assert (swept.changes, swept.held_by_flag) == ([], 1)


def test_changed_driver_is_stale():
    scenario = DutyScenario(on_duty(timeouts=3))
    scenario.store.now = NOW
    feature, params = catalog.feature("availability"), Params()
    with scenario.store.sweeping(RunRequest(sweep="availability")) as run:
        assert run is not None and feature.decide is not None
        frames = gather(run, feature, scenario.settings.flag("availability"), NOW).frames
        scenario.set("drivers", version=2, timeouts=0)  # the driver was given work meanwhile
        outcome = run.apply(
            feature.decide(frames, params, NOW, StraightLine(), 0).changes, inputs_sha256=""
        )
    assert (outcome.applied, len(outcome.stale), scenario.duty()) == (0, 3, "ON_DUTY")
    assert len(scenario.history()) == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"break_on_expiry": "sleep"}, "break_on_expiry"),
        ({"break_max": "6h"}, "break_max .* drive_reset"),
        ({"drive_max": "44h"}, "drive_max .* drive_reset"),
        ({"drive_max": "0s"}, "drive_max"),
    ],
)
def test_contradictions_of_settings_name_both_keys(given, named):
    with pytest.raises(BadConfig, match=named):
        catalog.params(
            catalog.feature("availability"), DutyScenario(on_duty(), availability=given).settings
        )
