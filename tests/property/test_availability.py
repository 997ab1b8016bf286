"""Duty intervals follow each other without a gap, whatever drivers request and when sweeps run."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatchkit.config import Settings
from dispatchkit.decide.availability.driver_requests import REQUESTS
from dispatchkit.domain.feature import Event
from dispatchkit.domain.states import AWAY
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.memory import MemoryStore
from tests.builders import a_delivery, a_driver, a_duty, an_offer, tables
from tests.unit.decide.availability.scenario import LOSSES, lose

pytestmark = pytest.mark.timeout(1800)  # by night there are ten times as many examples
NIGHTS = [
    datetime(2026, *day, tzinfo=UTC) for day in ((3, 28, 20), (10, 24, 20), (3, 2, 20))
]  # clocks change in two
BEGAN = timedelta(hours=3)  # before the night's first event
ENDS = ("done", *LOSSES)  # how a driver's work ends
SAID = ("availability_changed", "break_expired")
walks = settings(
    max_examples=settings().max_examples // 10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
happenings = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *REQUESTS,
                "break",
                "resume",
                "start",
                "work",
                "work",
                *ENDS,
                "silence",
                "sweep",
                "sweep",
            ]
        ),
        st.sampled_from([0, 0, 1, 7, 31, 100, 400]),
    ),
    min_size=3,
    max_size=20,
)


class Night:
    """One driver's night in memory; time only goes on."""

    def __init__(self, begins: datetime) -> None:
        told = tables(
            a_driver(1),
            a_duty(1, began=BEGAN),
            [row for id in range(1, 9) for row in a_delivery(id, state="DELIVERED", driver=1)],
            [row for id in range(1, 9) for row in an_offer(id, delivery=id, state="ACCEPTED")],
        )
        self.store = MemoryStore(told, begins)
        [first] = self.store.rows["driver_availability_history"]
        self.set("drivers", 1, duty_since=begins - BEGAN)
        self.set("driver_availability_history", first, since=begins - BEGAN)
        self.settings = Settings({})
        self.deliveries_given = 0

    def set(self, table: str, id: int, **columns: Any) -> None:
        """Set columns of a row, as if another part of the system had written them."""
        self.store.put(table, id, self.store.rows[table][id] | columns)

    @property
    def deliveries(self) -> dict[int, dict[str, Any]]:
        return self.store.rows["deliveries"]

    def happen(self, what: str, minutes: float) -> None:
        driver = self.store.rows["drivers"][1]
        if what == "sweep":
            self.sweep()
        elif what in REQUESTS or what == "start":
            until = (
                {"until": self.store.now + timedelta(hours=1 + minutes / 60)}
                if what == "start"
                else {}
            )
            name = "start-shift" if what == "start" else what
            act(self.store, self.settings, Event(name=name, actor="test", driver_id=1, args=until))
        elif what == "work" and driver["duty"] == "ON_DUTY" and self.deliveries_given < 8:
            self.deliveries_given += 1
            slot = 1 + sum(row["state"] == "ASSIGNED" for row in self.deliveries.values())
            if slot <= 3:
                self.set(
                    "deliveries", self.deliveries_given, state="ASSIGNED", slot=slot, ended_at=None
                )
                self.set("drivers", 1, version=driver["version"] + 1, timeouts=0)
        elif what in ENDS:
            self.finish(what, self.store.now)
        elif what == "silence" and driver["duty"] == "ON_DUTY":
            version, timeouts = driver["version"] + 1, driver["timeouts"] + 1
            self.set("drivers", 1, version=version, timeouts=timeouts)

    def finish(self, how: str, at: datetime) -> None:
        """End all work of the driver at an instant."""
        for id, row in list(self.deliveries.items()):
            if row["state"] == "ASSIGNED" and how in LOSSES:
                lose(self.store, self.settings, how, id, at)
            elif row["state"] == "ASSIGNED":
                self.set("deliveries", id, state="DELIVERED", ended_at=at)

    def sweep(self) -> None:
        swept = sweep(self.store, self.settings, "availability", Options())
        assert (swept.outcome.poisoned, swept.outcome.stale, swept.quarantined) == ([], [], {})
        if swept.changes:
            again = sweep(self.store, self.settings, "availability", Options(dry_run=True))
            assert again.changes == [], "a second run finds nothing"

    def history(self) -> list[dict[str, Any]]:
        return sorted(
            self.store.rows["driver_availability_history"].values(), key=lambda row: row["since"]
        )

    def event_names(self) -> list[str]:
        return [event["event"] for event in self.store.events if event["event"] in SAID]

    def sound(self) -> None:
        """Assert that intervals meet, none is empty, only the last is open and equals the driver's
        row.
        """
        rows, driver = self.history(), self.store.rows["drivers"][1]
        assert [row["until"] is None for row in rows] == [False] * (len(rows) - 1) + [True]
        assert all(one["until"] == other["since"] for one, other in pairwise(rows))
        assert all(row["since"] < row["until"] for row in rows[:-1])
        assert all(one["duty"] != other["duty"] for one, other in pairwise(rows))
        lasted = sum((row["until"] - row["since"] for row in rows[:-1]), timedelta())
        assert lasted == rows[-1]["since"] - rows[0]["since"]
        assert (driver["duty"], driver["duty_since"]) == (rows[-1]["duty"], rows[-1]["since"])
        held = [row for row in self.deliveries.values() if row["state"] == "ASSIGNED"]
        assert not (held and driver["duty"] in AWAY)


@walks
@given(st.sampled_from(NIGHTS), happenings)
def test_duty_intervals_are_gapless_and_sum_up(begins, script):
    night = Night(begins)
    for what, minutes in script:
        night.happen(what, minutes)
        night.sound()
        night.store.now += timedelta(minutes=minutes)
    night.sweep()
    night.sound()


@walks
@given(st.sampled_from(NIGHTS), happenings, st.sampled_from([3, 40, 700]), st.sampled_from(ENDS))
def test_late_sweep_writes_history_of_punctual_sweeps(begins, script, busy_for, how):
    night = Night(begins)
    for what, minutes in script:
        night.happen(what, minutes)
        night.store.now += timedelta(minutes=minutes)
    night.sweep()  # from here on nobody wishes anything: only time passes and work ends
    begins_quiet, late = night.store.now, copy.deepcopy(night)
    for minute in range(0, 17 * 60, 50):
        night.store.now = begins_quiet + timedelta(minutes=minute)
        if minute >= busy_for:
            night.finish(how, begins_quiet + timedelta(minutes=busy_for))
        night.sweep()
    late.store.now = night.store.now
    late.finish(how, begins_quiet + timedelta(minutes=busy_for))
    late.sweep()
    assert late.history() == night.history()
    assert late.event_names() == night.event_names()
