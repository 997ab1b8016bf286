"""The rules of the database for the memory store, under the names they have in the migrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from dispatchkit.domain.states import ACTIVE, AWAY, CASE_OPEN, CASE_SUSPECT, OPEN, WITH_DRIVER
from dispatchkit.domain.tables import FROZEN, MACHINES, TABLES
from dispatchkit.kernel.errors import DispatchError
from dispatchkit.kernel.machine import INITIAL

Row = dict[str, Any]
Rows = Mapping[str, Mapping[int, Row]]
_MACHINES = {machine.table: machine for machine in MACHINES}
_STATE = {"drivers": "duty"}  # where the column is not called `state`
_LAST = datetime.max.replace(tzinfo=UTC)


class RuleViolation(DispatchError):
    """A rule of the database was broken."""


@dataclass(frozen=True)
class CheckConstraint:
    """A condition within one row. Checked in order, so a check may rely on those before it."""

    name: str
    table: str
    holds: Callable[[Row], bool]


CHECKS = (
    CheckConstraint(
        "active_has_slot", "deliveries", lambda r: r["state"] not in ACTIVE or r["slot"] is not None
    ),
    CheckConstraint(
        "driver_when_carried",
        "deliveries",
        lambda r: (
            (r["driver_id"] is not None) == (not r["driver_unknown"] and r["state"] in WITH_DRIVER)
        ),
    ),
    CheckConstraint(
        "unknown_driver_only_in_history",
        "deliveries",
        lambda r: not r["driver_unknown"] or r["state"] in WITH_DRIVER - ACTIVE,
    ),
    CheckConstraint(
        "offer_times",
        "driver_offers",
        lambda r: r["sent_at"] < r["expires_at"] <= r["hard_deadline"],
    ),
    CheckConstraint(
        "offer_answered_iff_ended",
        "driver_offers",
        lambda r: (r["state"] == "PENDING") == (r["responded_at"] is None),
    ),
    CheckConstraint(
        "offer_accepted_in_time",
        "driver_offers",
        lambda r: r["state"] != "ACCEPTED" or r["responded_at"] < r["hard_deadline"],
    ),
    CheckConstraint(
        "offer_expired_after_deadline",
        "driver_offers",
        lambda r: r["state"] != "EXPIRED" or r["responded_at"] >= r["hard_deadline"],
    ),
    CheckConstraint(
        "duty_interval_not_empty",
        "driver_availability_history",
        lambda r: r["until"] is None or r["since"] < r["until"],
    ),
    CheckConstraint(
        "episode_closed_iff_over",
        "unassigned_orders",
        lambda r: (r["state"] == "OPEN") == (r["closed_at"] is None),
    ),
    CheckConstraint(
        "boost_is_part_of_pay", "driver_offers", lambda r: r["boost_cents"] <= r["pay_cents"]
    ),
    CheckConstraint(
        "ticket_closed_iff_over",
        "support_tickets",
        lambda r: (r["state"] == "OPEN") == (r["closed_at"] is None),
    ),
    CheckConstraint(
        "route_optimization_data_check",
        "route_optimization_data",
        lambda r: r["id"] == r["driver_id"],
    ),
)


def overlaps(one: Row, other: Row) -> bool:
    """Return whether two half-open intervals share an instant."""
    return bool(
        one["since"] < (other["until"] or _LAST) and other["since"] < (one["until"] or _LAST)
    )


@dataclass(frozen=True)
class ExclusionConstraint:
    """Two rows of one table may not have the same key, if both are in `states` and clash.

    states: None stands for every state; clash: whether two rows with the same key exclude each
    other, by default always.
    """

    name: str
    table: str
    key: tuple[str, ...]
    states: frozenset[str] | None = None
    clash: Callable[[Row, Row], bool] = lambda one, other: True

    def key_of(self, row: Row) -> tuple[Any, ...] | None:
        """Return the key that a row occupies, or None if the rule does not concern it."""
        if self.states is not None and row["state"] not in self.states:
            return None
        key = tuple(row[name] for name in self.key)
        return None if None in key else key


EXCLUSIONS = (
    ExclusionConstraint("delivery_one_per_slot", "deliveries", ("driver_id", "slot"), ACTIVE),
    ExclusionConstraint(
        "offer_one_accepted", "driver_offers", ("delivery_id", "episode"), frozenset({"ACCEPTED"})
    ),
    ExclusionConstraint(
        "offer_one_pending", "driver_offers", ("driver_id",), frozenset({"PENDING"})
    ),
    ExclusionConstraint(
        "duty_intervals_apart", "driver_availability_history", ("driver_id",), clash=overlaps
    ),
    ExclusionConstraint("episode_once", "unassigned_orders", ("delivery_id", "episode")),
    ExclusionConstraint(
        "episode_one_open", "unassigned_orders", ("delivery_id",), frozenset({"OPEN"})
    ),
    ExclusionConstraint(
        "ticket_once", "support_tickets", ("delivery_id", "episode", "level", "cause")
    ),
    ExclusionConstraint("case_one_suspicion", "reassignment_cases", ("delivery_id",), CASE_SUSPECT),
    ExclusionConstraint(
        "case_one_release", "reassignment_cases", ("delivery_id",), CASE_OPEN - CASE_SUSPECT
    ),
)


def check_row(table: str, row: Row, old: Row | None, rows: Rows, now: datetime) -> None:
    """Raise RuleViolation or IllegalTransition if a row may not replace `old` (None: insert)."""
    for name, accepts in _columns(table):
        if not accepts(row[name]):
            raise RuleViolation(f"{table} {row['id']}: {name} may not be {row[name]!r}")
    for name, parent in _parents(table):
        if row[name] is not None and row[name] not in rows[parent]:
            raise RuleViolation(f"{table} {row['id']}: there is no {name} {row[name]} in {parent}")
    for name in FROZEN.get(table, ()):
        if old and old[name] != row[name]:
            raise RuleViolation(f"{table} {row['id']}: a frozen column changed: {name}")
    machine, column = _MACHINES.get(table), _STATE.get(table, "state")
    if machine and (not old or old[column] != row[column]):
        machine.step(old[column] if old else INITIAL, row[column])
    for rule in CHECKS:
        if rule.table == table and not rule.holds(row):
            raise RuleViolation(f"{table} {row['id']}: {rule.name}")
    if table == "driver_offers" and not old:
        _check_delivery_takes_offers(row, rows)
    if table == "unassigned_orders" and old and row["level"] < old["level"]:
        raise RuleViolation(f"{table} {row['id']}: a level never falls")
    if table == "drivers" and old and row["duty"] != old["duty"] and row["duty"] in AWAY:
        _check_no_delivery_held(row, rows)
    if table == "driver_offers" and old and row["state"] != old["state"]:
        _check_answer_time(row, now)


def _check_delivery_takes_offers(offer: Row, rows: Rows) -> None:
    """Raise RuleViolation unless the delivery is open and still in the offer's episode."""
    delivery = rows["deliveries"][offer["delivery_id"]]
    if delivery["state"] not in OPEN or delivery["episode"] != offer["episode"]:
        raise RuleViolation(f"delivery {delivery['id']} takes no offers now")


def _check_no_delivery_held(driver: Row, rows: Rows) -> None:
    """Raise RuleViolation if a driver who leaves still has an active delivery."""
    held = (
        delivery["driver_id"] == driver["id"] and delivery["state"] in ACTIVE
        for delivery in rows["deliveries"].values()
    )
    if any(held):
        raise RuleViolation(
            f"driver {driver['id']} holds a delivery and may not be {driver['duty']}"
        )


def _check_answer_time(offer: Row, now: datetime) -> None:
    """Raise RuleViolation if an acceptance comes after the deadline, or an answer from the future."""
    too_late = (
        offer["state"] == "ACCEPTED" and offer["mode"] != "forced" and now >= offer["hard_deadline"]
    )
    if too_late or offer["responded_at"] > now:
        answer = f"offer {offer['id']} is {offer['state']} as of {offer['responded_at']}"
        raise RuleViolation(f"{answer}, which is impossible at {now}")


def check_assignment(delivery: Row, old: Row | None, rows: Rows) -> None:
    """Raise RuleViolation if the new driver of a delivery is not at work or does not have that slot.

    A suspended driver may keep goods that they picked up before they heard of the suspension.
    """
    before = old and (old["driver_id"], old["slot"])
    if delivery["state"] not in ACTIVE or before == (delivery["driver_id"], delivery["slot"]):
        return
    driver = rows["drivers"][delivery["driver_id"]]
    restored = old is not None and old["state"] in OPEN and delivery["state"] == "PICKED_UP"
    if driver["duty"] in AWAY or (driver["duty"] == "SUSPENDED" and not restored):
        raise RuleViolation(
            f"driver {driver['id']} is {driver['duty']} "
            f"and may not be assigned delivery {delivery['id']}"
        )
    if delivery["slot"] > driver["max_stack"]:
        raise RuleViolation(
            f"driver {driver['id']} has {driver['max_stack']} slots, no slot {delivery['slot']}"
        )


def check_accepted_offer(offer: Row, rows: Rows) -> None:
    """Raise RuleViolation if an offer accepted in this episode and its delivery name two drivers."""
    delivery = rows["deliveries"][offer["delivery_id"]]
    in_force = offer["state"] == "ACCEPTED" and delivery["episode"] == offer["episode"]
    if in_force and delivery["driver_id"] != offer["driver_id"]:
        raise RuleViolation(f"offer {offer['id']} is accepted but its delivery has another driver")


@cache
def _parents(table: str) -> tuple[tuple[str, str], ...]:
    """Return (column, the table it refers to) of each reference of a table."""
    return tuple(TABLES[table].references().items())


@cache
def _columns(table: str) -> tuple[tuple[str, Callable[[Any], bool]], ...]:
    """Return what each column accepts. In plain Python: a frame of one row takes a contract 5 ms, this 10 µs."""
    return tuple((name, column.accepts) for name, column in TABLES[table].columns().items())
