"""Drivers and duties in the memory store, in minutes from NOW, with the real acts and sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from dispatchkit.config import Settings
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, Swept, sweep
from dispatchkit.store.memory import MemoryStore
from tests.builders import NOW, Row, Rows, a_driver, a_duty, minutes, tables

DutyHistory = list[tuple[str, float | None, float | None]]
LOSSES: dict[
    str, tuple[str, dict[str, Any]]
] = {  # how a driver loses work: the act of operations that does it
    "taken": ("reassign", {"to": None, "reason": "FLAT_TYRE"}),
    "cancelled": ("cancel", {"by": "customer"}),
}


def on_duty(
    driver: int = 1,
    duty: str = "ON_DUTY",
    *,
    since: float = -30,
    reason: str | None = None,
    **columns: Any,
) -> Rows:
    """Return a driver in a duty since a minute (0 is NOW), with the interval of that duty."""
    began = minutes(-since)
    planned = columns.get("shift_end")
    return [
        *a_driver(driver, duty=duty, idle_for=began, **columns),
        *a_duty(driver, duty, began=began, reason=reason, shift_end=planned),
    ]


def at(minute: float) -> datetime:
    return NOW + timedelta(minutes=minute)


def lose(
    store: MemoryStore, settings: Settings, how: str, delivery: int, instant: datetime
) -> None:
    """Take a delivery from its driver at an instant, by an act of operations."""
    name, args = LOSSES[how]
    looked, store.now = store.now, instant
    answered = act(
        store, settings, Event(name=name, actor="ops", delivery_id=delivery, args=args)
    ).answer
    store.now = looked
    assert answered.code == "OK"


class DutyScenario:
    """Rows in the memory store, and acts and sweeps on them at a minute from NOW."""

    def __init__(self, *told: Iterable[Row], **frames: Any) -> None:
        self.store = MemoryStore(tables(*told), NOW)
        self.settings = Settings(frames)

    def sweep(self, minute: float = 0) -> Swept:
        """Run the availability sweep: nothing may be refused, and a second run must find nothing."""
        self.store.now = at(minute)
        swept = sweep(self.store, self.settings, "availability", Options())
        assert (swept.outcome.poisoned, swept.outcome.stale, swept.quarantined) == ([], [], {})
        assert not sweep(self.store, self.settings, "availability", Options(dry_run=True)).changes
        return swept

    def act(self, event_name: str, driver: int = 1, minute: float = 0, **args: Any) -> Answer:
        self.store.now = at(minute)
        return act(
            self.store,
            self.settings,
            Event(name=event_name, actor="test", driver_id=driver, args=args),
        ).answer

    def lose(self, how: str, minute: float, delivery: int = 1) -> None:
        lose(self.store, self.settings, how, delivery, at(minute))

    def set(self, table: str, id: int = 1, **columns: Any) -> None:
        """Set columns of a row, as if another part of the system had written them."""
        self.store.put(table, id, self.row(table, id) | columns)

    def row(self, table: str, id: int = 1) -> dict[str, Any]:
        return self.store.rows[table][id]

    def duty(self, driver: int = 1) -> str:
        return str(self.row("drivers", driver)["duty"])

    def history(self, driver: int = 1) -> DutyHistory:
        """Return (duty, since, until) in minutes from NOW, in order of time."""
        found = [
            row
            for row in self.store.rows["driver_availability_history"].values()
            if row["driver_id"] == driver
        ]
        return [
            (row["duty"], _minute(row["since"]), _minute(row["until"]))
            for row in sorted(found, key=_since)
        ]

    def payloads(self, event: str) -> list[dict[str, Any]]:
        return [dict(told["payload"]) for told in self.store.events if told["event"] == event]


def _since(row: dict[str, Any]) -> datetime:
    since = row["since"]
    assert isinstance(since, datetime)
    return since


def _minute(instant: datetime | None) -> float | None:
    return None if instant is None else (instant - NOW) / timedelta(minutes=1)
