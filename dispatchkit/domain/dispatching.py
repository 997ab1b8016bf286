"""Which drivers may be offered a delivery now, and how soon they could be at its pickup.

`Dispatch` holds the parameters that offers, reassignment and assignment share; the Params of each
feature inherit them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from dispatchkit.domain.codes import Rule
from dispatchkit.domain.contract import contract_of
from dispatchkit.domain.rows import Delivery
from dispatchkit.domain.rows import Driver as Driver
from dispatchkit.domain.rows import Ping as Ping
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.geo import Point
from dispatchkit.kernel.radius_join import within_radius
from dispatchkit.travel.interface import Travel

PICKUPS_AT_ONCE = 256
SHIFT_ENDS = Rule.SHIFT_ENDS_BEFORE_PICKUP
RECENT = timedelta(minutes=20)  # how far back pings are read; an older one counts as no ping


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """When a search begins, how many deliveries a driver may hold, how old a ping may be."""

    lead: timedelta = timedelta(minutes=8)  # the search begins this long before the goods are ready
    max_stack: int = 2  # at most this many, and at most the driver's own max_stack
    timeouts_to_offline: int = 3  # unanswered offers in a row until a driver gets no more
    stack_detour: timedelta = timedelta(minutes=6)  # added to an approach per delivery in hand

    # The age of a driver's last ping: up to `fresh`, up to `aging`, up to `stale`, lost. Beyond
    # `aging` a driver gets no offers.
    fresh: timedelta = timedelta(seconds=60)
    aging: timedelta = timedelta(seconds=180)
    stale: timedelta = timedelta(seconds=600)

    max_skew: timedelta = timedelta(seconds=120)  # a phone's clock against the database's

    def __post_init__(self) -> None:
        if not 1 <= self.max_stack <= 3:
            raise BadConfig(f"max_stack is {self.max_stack}; a driver has slots 1 to 3")
        if self.timeouts_to_offline < 1:
            raise BadConfig(
                f"timeouts_to_offline is {self.timeouts_to_offline}; expected 1 or more"
            )
        for name in ("lead", "stack_detour", "max_skew"):
            if getattr(self, name) < timedelta():
                raise BadConfig(f"{name} is below zero")
        if not timedelta() < self.fresh <= self.aging <= self.stale:
            raise BadConfig(
                f"fresh {self.fresh}, aging {self.aging} and stale {self.stale} must not fall"
            )

    def freshness(self, pinged_at: datetime | None, now: datetime) -> str:
        """Return FRESH, AGING, STALE or LOST by the age of the last ping."""
        if pinged_at is None or now - pinged_at > self.stale:
            return "LOST"
        age = now - pinged_at
        return "FRESH" if age <= self.fresh else "AGING" if age <= self.aging else "STALE"


DriverRead = contract_of(Driver)
PingRead = contract_of(Ping)
# Deliveries that occupy a driver.
HeldRead = contract_of(Delivery).only("id driver_id", driver_id=True)


@dataclass(frozen=True, slots=True)
class Free:
    """A driver who may get offers: where they are, and how many deliveries they have in hand."""

    driver: Driver
    at: Point
    held: int


@dataclass(frozen=True, slots=True)
class Approach:
    """The trip of one free driver to one pickup.

    travel_s: the travel time. cost_s: travel time plus a detour for each delivery in hand.
    straight_m: the straight-line distance in metres.
    """

    driver: Driver
    travel_s: int
    cost_s: int
    straight_m: int

    def pickup_at(self, ready_at: datetime | None, now: datetime) -> datetime:
        """Return when the driver could pick up: arrived, and the goods are ready."""
        there = now + timedelta(seconds=self.cost_s)
        return max(there, ready_at or there)

    def fits_shift(self, ready_at: datetime | None, now: datetime) -> bool:
        """Return whether the driver's shift lasts until that pickup."""
        ends = self.driver.shift_end
        return ends is None or self.pickup_at(ready_at, now) <= ends


def dispatch_at(ready_at: datetime | None, created_at: datetime, lead: timedelta) -> datetime:
    """Return when the search for a driver begins: `lead` before the goods are ready.

    It begins at once if that is past, or if nobody knows when the goods will be ready.
    """
    return created_at if ready_at is None else max(created_at, ready_at - lead)


def unfit(
    driver: Driver, ping: Ping | None, held: int, pending: bool, params: Dispatch, now: datetime
) -> str | None:
    """Return the first rule that excludes a driver from offers at `now`, or None.

    held: deliveries in hand. pending: whether an offer waits for the driver's answer.
    """
    if driver.duty != "ON_DUTY":
        return Rule.NOT_ON_DUTY
    if pending:
        return Rule.OFFER_PENDING
    if held >= min(driver.max_stack, params.max_stack):
        return Rule.STACK_FULL
    if params.freshness(ping.at if ping else None, now) not in ("FRESH", "AGING"):
        return Rule.NO_RECENT_PING
    if driver.timeouts >= params.timeouts_to_offline:
        return Rule.TIMED_OUT
    if driver.cooldown_until is not None and now < driver.cooldown_until:
        return Rule.COOLDOWN
    return None


def rest_until(driver: Driver, until: datetime) -> datetime:
    """Return the end of a driver's cooldown: `until`, or the present cooldown if that ends later."""
    return max(until, driver.cooldown_until or until)


def free_slot(held: pl.DataFrame, driver_id: int, most: int) -> int | None:
    """Return the lowest slot from 1 to `most` that no active delivery of a driver occupies, or None."""
    taken = {
        slot for driver, slot in held.select("driver_id", "slot").iter_rows() if driver == driver_id
    }
    return next((slot for slot in range(1, most + 1) if slot not in taken), None)


def free_drivers(
    drivers: Iterable[Driver],
    pings: Mapping[int, Ping],
    held: Mapping[int, int],
    pending: frozenset[int],
    params: Dispatch,
    now: datetime,
) -> tuple[list[Free], dict[str, int]]:
    """Return the drivers who may get offers, by id, and how many drivers each rule excluded."""
    free: list[Free] = []
    unavailable_by_rule: dict[str, int] = {}
    for driver in sorted(drivers, key=lambda d: d.id):
        ping, n = pings.get(driver.id), held.get(driver.id, 0)
        rule = unfit(driver, ping, n, driver.id in pending, params, now)
        if rule is None and ping is not None:
            free.append(Free(driver, (ping.lat, ping.lon), n))
        elif rule is not None:
            unavailable_by_rule[rule] = unavailable_by_rule.get(rule, 0) + 1
    return free, dict(sorted(unavailable_by_rule.items()))


def approaches(
    free: Sequence[Free],
    pickups: Mapping[int, Point],
    within_m: int | Mapping[int, int],
    params: Dispatch,
    travel: Travel,
) -> dict[int, list[Approach]]:
    """Return pickup key -> the free drivers near it, soonest first, ties by driver id.

    within_m: the straight-line distance that counts as near, for all pickups or for each its own.
    Drivers without a path to the pickup are left out. Travel times are asked for by vehicle and for
    neighbouring pickups together, from the drivers near them alone.
    """
    by_pickup: dict[int, list[Approach]] = {key: [] for key in pickups}
    reach = within_m if isinstance(within_m, Mapping) else dict.fromkeys(pickups, within_m)
    by_vehicle: dict[str, dict[int, list[tuple[int, int]]]] = {}
    for i, key, straight_m in within_radius([one.at for one in free], pickups, reach):
        by_vehicle.setdefault(free[i].driver.vehicle, {}).setdefault(key, []).append(
            (i, straight_m)
        )
    detour = int(params.stack_detour.total_seconds())
    for vehicle, pairs in sorted(by_vehicle.items()):
        keys = list(pairs)
        for block in (keys[n : n + PICKUPS_AT_ONCE] for n in range(0, len(keys), PICKUPS_AT_ONCE)):
            row = {i: n for n, i in enumerate(sorted({i for key in block for i, _ in pairs[key]}))}
            seconds, _ = travel.matrix(
                [free[i].at for i in row], [pickups[key] for key in block], vehicle
            )
            for column, key in enumerate(block):
                to_pickup = seconds[[row[i] for i, _ in pairs[key]], column].tolist()
                for (i, straight_m), travel_s in zip(pairs[key], to_pickup, strict=True):
                    if travel_s >= 0:
                        cost_s = travel_s + free[i].held * detour
                        by_pickup[key].append(
                            Approach(free[i].driver, travel_s, cost_s, straight_m)
                        )
    for candidates in by_pickup.values():
        candidates.sort(key=lambda a: (a.cost_s, a.driver.id))
    return by_pickup


def legs(
    wanted: Mapping[int, tuple[Point, Point, str]], travel: Travel
) -> dict[int, tuple[int, int]]:
    """Return (seconds, metres) of single trips by key; -1 where there is no path.

    wanted: key -> (from, to, vehicle). Travel is asked once for each vehicle.
    """
    times: dict[int, tuple[int, int]] = {}
    for vehicle in sorted({vehicle for _, _, vehicle in wanted.values()}):
        keys = sorted(key for key in wanted if wanted[key][2] == vehicle)
        seconds, metres = travel.pairs(
            [wanted[key][0] for key in keys], [wanted[key][1] for key in keys], vehicle
        )
        times |= dict(zip(keys, zip(seconds.tolist(), metres.tolist(), strict=True), strict=True))
    return times
