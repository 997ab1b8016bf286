"""The rules of live operation written a second time, with plain dictionaries.

Nothing here comes from the program. Every act is predicted exactly. Of a sweep, only what the rules
leave open (which driver is asked, which is suspected) is taken from the database, after a check.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

TO_PICKUP = ("ASSIGNED", "EN_ROUTE_PICKUP", "ARRIVED_PICKUP")
IN_HAND = ("PICKED_UP", "RETURNING")
SEEKING = ("UNASSIGNED", "OFFERING")
AWAY = ("OFF_DUTY", "ON_BREAK", "FORCED_OFF")
ENDED = {"EXPIRED": "OFFER_EXPIRED", "REVOKED": "OFFER_REVOKED"}
CAUSES = {"TAKEN_BY_OTHER": "LOST_RACE", "DELIVERY_CANCELLED": "DELIVERY_CANCELLED"}
Row = dict[str, Any]


@dataclass
class ReferenceModel:
    """Deliveries, offers and drivers by id."""

    now: datetime
    deliveries: dict[int, Row] = field(default_factory=dict)  # state, episode, driver
    offers: dict[int, Row] = field(
        default_factory=dict
    )  # state, cause, delivery, driver, episode, expires, deadline
    drivers: dict[int, Row] = field(default_factory=dict)  # duty, most, rests_until
    released: set[tuple[int, int]] = field(default_factory=set)  # (delivery, driver)

    def held(self, driver: int) -> list[int]:
        """Return the deliveries that a driver has in hand or is going to pick up."""
        return [
            k
            for k, d in self.deliveries.items()
            if d["driver"] == driver and d["state"] in TO_PICKUP + IN_HAND
        ]

    def pending(self, **where: Any) -> list[int]:
        """Return the pending offers whose columns say what `where` says."""
        said = {"state": "PENDING", **where}
        return [
            k
            for k, offer in self.offers.items()
            if all(offer[name] == value for name, value in said.items())
        ]

    def accept(self, id: int, driver: int) -> str:
        """Return how an acceptance is answered."""
        offer = self.offers.get(id)
        if offer is None or offer["driver"] != driver:
            return "NOT_FOUND"
        delivery, who = self.deliveries[offer["delivery"]], self.drivers[driver]
        in_force = (delivery["driver"], delivery["episode"]) == (driver, offer["episode"])
        if offer["state"] != "PENDING":
            return "OK_REPLAY" if offer["state"] == "ACCEPTED" and in_force else self._ended(offer)
        if self.now >= offer["deadline"]:
            return "OFFER_EXPIRED"
        if who["duty"] != "ON_DUTY" or len(self.held(driver)) >= who["most"]:
            return "ILLEGAL_TRANSITION"
        offer["state"] = "ACCEPTED"
        delivery |= {"state": "ASSIGNED", "driver": driver}
        self._withdraw(self.pending(delivery=offer["delivery"]), "TAKEN_BY_OTHER")
        return "OK" if self.now < offer["expires"] else "OK_LATE"

    def decline(self, id: int, driver: int, reason: str) -> str:
        """Return how a refusal is answered."""
        offer = self.offers.get(id)
        if offer is None or offer["driver"] != driver:
            return "NOT_FOUND"
        if offer["state"] != "PENDING":
            return "OK_REPLAY" if offer["state"] == "DECLINED" else self._ended(offer)
        if self.now >= offer["deadline"]:
            return "OFFER_EXPIRED"
        offer |= {"state": "DECLINED", "cause": reason}
        self._end_round(offer["delivery"])
        return "OK"

    def create(self, id: int, order: int) -> str:
        """Return how asking for a delivery is answered."""
        if id in self.deliveries:
            return "OK_REPLAY"
        self.deliveries[id] = {"state": "CREATED", "episode": 1, "driver": None}
        return "OK"

    def cancel(self, id: int) -> str:
        """Return how a cancellation is answered."""
        delivery = self.deliveries[id]
        if delivery["state"] in ("CANCELLED", "RETURNING"):
            return "OK_REPLAY"
        if delivery["state"] == "DELIVERED":
            return "ILLEGAL_TRANSITION"
        if delivery["state"] in IN_HAND:
            delivery["state"] = "RETURNING"
            return "OK"
        self._withdraw(self.pending(delivery=id), "DELIVERY_CANCELLED")
        let_go = delivery["driver"] is not None
        delivery |= {"state": "CANCELLED", "driver": None, "episode": delivery["episode"] + let_go}
        return "OK"

    def step(self, id: int, act: str) -> str:
        """Return how the holder's `pickup` or `deliver` is answered."""
        delivery, to = self.deliveries[id], {"pickup": "PICKED_UP", "deliver": "DELIVERED"}[act]
        if delivery["state"] == to or (
            act == "pickup" and delivery["state"] in ("DELIVERED", "RETURNING")
        ):
            return "OK_REPLAY"
        if delivery["state"] not in (TO_PICKUP if act == "pickup" else ("PICKED_UP",)):
            return "ILLEGAL_TRANSITION"
        delivery["state"] = to
        return "OK"

    def take_away(self, id: int) -> str:
        """Return how operations taking a delivery from a driver before pickup is answered."""
        delivery = self.deliveries[id]
        self.released.add((id, delivery["driver"]))
        delivery |= {"state": "UNASSIGNED", "driver": None, "episode": delivery["episode"] + 1}
        return "OK"

    def hand_over(self, id: int, to: int) -> str:
        """Return the answer when operations assign an open delivery, or one before pickup, to a
        driver.
        """
        delivery, who = self.deliveries[id], self.drivers[to]
        if delivery["driver"] == to:
            return "OK_REPLAY"
        if who["duty"] != "ON_DUTY" or len(self.held(to)) >= who["most"]:
            return "DRIVER_UNAVAILABLE"
        if delivery["state"] in TO_PICKUP:
            self.take_away(id)
        self._withdraw(self.pending(delivery=id), "OPS")
        delivery |= {"state": "ASSIGNED", "driver": to}
        return "OK"

    def request_duty(self, driver: int, act: str, *, silent: bool = False) -> str:
        """Return the answer to a break, a shift's end or a return to work.

        silent: offers to the driver ran out lately.
        """
        who, busy = self.drivers[driver], bool(self.held(driver))
        granted = {
            "break": ("ON_BREAK", "BREAK_PENDING"),
            "end-shift": ("OFF_DUTY", "ENDING_SHIFT"),
        }
        at_last = who["duty"] in ("BREAK_PENDING", "ENDING_SHIFT") and not busy
        if who["duty"] in granted.get(act, ("ON_DUTY",)) and not at_last:
            return "OK" if silent and who["duty"] == "ON_DUTY" else "OK_REPLAY"
        comes_from = {
            "break": ("ON_DUTY", "BREAK_PENDING"),
            "end-shift": ("ON_DUTY", "BREAK_PENDING", "ON_BREAK", "ENDING_SHIFT", "FORCED_OFF"),
            "resume": ("ON_BREAK", "BREAK_PENDING", "ENDING_SHIFT", "FORCED_OFF"),
            "start-shift": ("OFF_DUTY", "ENDING_SHIFT", "FORCED_OFF"),
        }
        if who["duty"] not in comes_from[act]:
            return "ILLEGAL_TRANSITION"
        asked = self.pending(driver=driver) if who["duty"] == "ON_DUTY" else []
        self._withdraw(asked, "DRIVER_UNAVAILABLE")
        for offer in asked:
            self._end_round(self.offers[offer]["delivery"])
        later = {"break": ("ON_BREAK", "BREAK_PENDING"), "end-shift": ("OFF_DUTY", "ENDING_SHIFT")}
        who["duty"] = later[act][busy] if act in later else "ON_DUTY"
        return "OK_PENDING" if act in later and busy else "OK"

    def run_out(self, rest: timedelta) -> None:
        """Expire what is past its deadline, as a sweep of offers does first; its driver rests."""
        for id in self.pending():
            offer = self.offers[id]
            if self.now >= offer["deadline"]:
                offer["state"] = "EXPIRED"
                if self.drivers[offer["driver"]]["duty"] == "ON_DUTY":
                    who = self.drivers[offer["driver"]]
                    who["rests_until"] = max(who["rests_until"], self.now + rest)
                self._end_round(offer["delivery"])

    def may_be_asked(self, driver: int, delivery: int) -> bool:
        """Return whether a sweep may make this driver a new offer of this delivery."""
        who, sought = self.drivers[driver], self.deliveries[delivery]
        again = any(
            (o["driver"], o["delivery"], o["episode"]) == (driver, delivery, sought["episode"])
            for o in self.offers.values()
        )
        free = (
            who["duty"] == "ON_DUTY"
            and len(self.held(driver)) < who["most"]
            and self.now >= who["rests_until"]
        )
        return (
            free
            and not again
            and not self.pending(driver=driver)
            and (delivery, driver) not in self.released
        )

    def _ended(self, offer: Row) -> str:
        if (
            offer["state"] == "ACCEPTED"
            and self.deliveries[offer["delivery"]]["state"] == "CANCELLED"
        ):
            return "DELIVERY_CANCELLED"
        return CAUSES.get(offer["cause"] or "") or ENDED.get(offer["state"], "ILLEGAL_TRANSITION")

    def _withdraw(self, offers: list[int], cause: str) -> None:
        for id in offers:
            self.offers[id] |= {"state": "REVOKED", "cause": cause}

    def _end_round(self, delivery: int) -> None:
        if not self.pending(delivery=delivery) and self.deliveries[delivery]["state"] == "OFFERING":
            self.deliveries[delivery]["state"] = "UNASSIGNED"
