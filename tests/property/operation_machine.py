"""Live operation as a state machine: the reference model and both stores must always agree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests import counts
from tests.builders import NOW, minutes
from tests.property.attacks import ATTACKS
from tests.property.both_stores import DRIVERS, MOST, ORDERS, BothStores
from tests.property.reference_model import AWAY, SEEKING, TO_PICKUP, ReferenceModel, Row

AGES = (
    minutes(3),
    minutes(6),
    minutes(10),
    minutes(20),
)  # of a search, at which it is at level 1, 2, ...
SPANS = (0, 1, 29, 30, 31, 60, 300, 900)
some = st.integers(0, 11)  # picks one of what there is


class OperationMachine(RuleBasedStateMachine):
    """An operation with four drivers and six orders."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = BothStores()
        self.model = ReferenceModel(NOW)
        self.model.drivers = {
            id: {"duty": "ON_DUTY", "most": MOST[id], "rests_until": NOW} for id in DRIVERS
        }
        self.born: dict[int, int] = {}  # order -> delivery
        self.levels: dict[int, int] = {}

    @initialize(mode=st.sampled_from(["cascade", "broadcast"]), orders=st.integers(1, 3))
    def begin(self, mode: str, orders: int) -> None:
        """Begin with some deliveries that are offered to drivers."""
        self.stores.mode = mode
        for order in range(1, orders + 1):
            self.create(order)
        self.sweep_offers()

    @rule(span=st.sampled_from(SPANS))
    def wait(self, span: int) -> None:
        self._go_to(self.model.now + timedelta(seconds=span))

    @precondition(lambda self: self.model.pending())
    @rule(which=some, before=st.sampled_from([0, 1]), then=st.sampled_from(["sweep", "accept"]))
    def at_a_deadline(self, which: int, before: int, then: str) -> None:
        """At the deadline, or a microsecond before it, when the answer still counts."""
        offer, driver = self._asked(which)
        self._go_to(self.model.offers[offer]["deadline"] - timedelta(microseconds=before))
        if then == "sweep":
            self.sweep_offers()
        else:
            assert self._answer("accept", offer, driver) == self.model.accept(offer, driver)

    @rule(order=st.sampled_from(sorted(ORDERS)))
    def create(self, order: int) -> None:
        said = self.stores.act("create", actor="ops", args={"order": order})
        self.born.setdefault(order, next((c.id for c in said[1]), 0))
        assert said[0] == self.model.create(self.born[order], order)

    @precondition(lambda self: self.model.offers)
    @rule(which=some, wrong=st.sampled_from([False, False, False, True]))
    def accept(self, which: int, wrong: bool) -> None:
        offer, driver = self._offer(which, wrong)
        assert self._answer("accept", offer, driver) == self.model.accept(offer, driver)

    @precondition(lambda self: self.model.pending())
    @rule(which=some)
    def accept_at_once(self, which: int) -> None:
        offer, driver = self._asked(which)
        assert self._answer("accept", offer, driver) == self.model.accept(offer, driver)
        assert self._answer("accept", offer, driver) == self.model.accept(offer, driver)

    def accept_by(self, driver: int) -> None:
        """The driver accepts the pending offer."""
        (offer,) = self.model.pending(driver=driver)
        assert self._answer("accept", offer, driver) == self.model.accept(offer, driver)

    @precondition(lambda self: self.model.offers)
    @rule(which=some, reason=st.sampled_from(["TOO_FAR", "ENDING_SHIFT"]))
    def decline(self, which: int, reason: str) -> None:
        offer, driver = self._offer(which, wrong=False)
        assert self._answer("decline", offer, driver, reason=reason) == self.model.decline(
            offer, driver, reason
        )

    @rule(
        driver=st.sampled_from(sorted(DRIVERS)),
        request=st.sampled_from(["break", "end-shift", "resume", "start-shift"]),
    )
    def request_duty(self, driver: int, request: str) -> None:
        silent = self.stores.rows("drivers")[driver]["timeouts"] > 0
        code, _ = self.stores.act(request, actor=f"driver:{driver}", driver_id=driver)
        assert code == self.model.request_duty(driver, request, silent=silent)

    @precondition(lambda self: self.born)
    @rule(which=some)
    def cancel(self, which: int) -> None:
        id = _pick(sorted(self.model.deliveries), which)
        assert self.stores.act("cancel", actor="ops", delivery_id=id, args={"by": "ops"})[
            0
        ] == self.model.cancel(id)

    @precondition(lambda self: self._with_driver())
    @rule(which=some, act=st.sampled_from(["pickup", "deliver"]))
    def step(self, which: int, act: str) -> None:
        id = _pick(self._with_driver(), which)
        driver = self.model.deliveries[id]["driver"]
        said = self.stores.act(act, actor=f"driver:{driver}", delivery_id=id, driver_id=driver)
        assert said[0] == self.model.step(id, act)

    @precondition(lambda self: self._in(*TO_PICKUP))
    @rule(which=some)
    def take_away(self, which: int) -> None:
        id = _pick(self._in(*TO_PICKUP), which)
        said = self.stores.act(
            "reassign", actor="ops", delivery_id=id, args={"to": None, "reason": "FLAT_TYRE"}
        )
        assert said[0] == self.model.take_away(id)

    @precondition(lambda self: self._in(*TO_PICKUP, *SEEKING))
    @rule(which=some, to=st.sampled_from(sorted(DRIVERS)))
    def hand_over(self, which: int, to: int) -> None:
        id = _pick(self._in(*TO_PICKUP, *SEEKING), which)
        said = self.stores.act(
            "reassign", actor="ops", delivery_id=id, driver_id=to, args={"to": to, "reason": "VIP"}
        )
        assert said[0] == self.model.hand_over(id, to)

    @rule()
    def sweep_offers(self) -> None:
        self.stores.sweep("offers")
        model, now = self.model, self.model.now
        model.run_out(timedelta(seconds=60))
        for id, row in self.stores.rows("deliveries").items():
            if model.deliveries[id]["state"] in ("CREATED", "SCHEDULED"):
                model.deliveries[id]["state"] = (
                    "UNASSIGNED" if row["dispatch_at"] <= now else "SCHEDULED"
                )
        new = {
            id: row
            for id, row in self.stores.rows("driver_offers").items()
            if id not in model.offers
        }
        assert len({row["driver_id"] for row in new.values()}) == len(new), (
            "a driver is asked twice in a run"
        )
        if self.stores.mode == "cascade":
            assert len({row["delivery_id"] for row in new.values()}) == len(new), (
                "a cascade asks one at a time"
            )
        for row in new.values():
            assert model.deliveries[row["delivery_id"]]["state"] == "UNASSIGNED"
            assert model.may_be_asked(row["driver_id"], row["delivery_id"]), row
            assert row["sent_at"] == now < row["expires_at"] <= row["hard_deadline"]
        for id, row in new.items():
            model.offers[id] = self._seen(row)
            model.deliveries[row["delivery_id"]]["state"] = "OFFERING"
        self._no_delivery_waits_beside_a_free_driver()

    def _no_delivery_waits_beside_a_free_driver(self) -> None:
        """No delivery waits for which a driver could be asked who was never asked about it."""
        known = {(offer["driver"], offer["delivery"]) for offer in self.model.offers.values()}
        for id, delivery in self.model.deliveries.items():
            free = [d for d in DRIVERS if (d, id) not in known and self.model.may_be_asked(d, id)]
            assert delivery["state"] != "UNASSIGNED" or not free, (
                f"delivery {id} waits, driver {free} is free"
            )

    @rule()
    def sweep_reassignment(self) -> None:
        self.stores.sweep("reassignment")
        for id, row in self.stores.rows("deliveries").items():
            if row["episode"] > self.model.deliveries[id]["episode"]:
                assert self.model.deliveries[id]["state"] in TO_PICKUP
                self.model.take_away(id)
        for id, row in self.stores.rows("drivers").items():
            if row["cooldown_until"]:
                who = self.model.drivers[id]
                who["rests_until"] = max(who["rests_until"], row["cooldown_until"])

    @rule()
    def sweep_availability(self) -> None:
        self.stores.sweep("availability")
        for id, row in self.stores.rows("drivers").items():
            assert row["duty"] not in AWAY or not self.model.held(id)
            assert row["duty"] not in ("BREAK_PENDING", "ENDING_SHIFT") or self.model.held(id)
            assert row["duty"] == self.model.drivers[id]["duty"] or row["duty"] in AWAY
            self.model.drivers[id]["duty"] = row["duty"]

    @rule()
    def sweep_escalation(self) -> None:
        self.stores.sweep("escalation")
        for id, row in self.stores.rows("unassigned_orders").items():
            if row["state"] == "OPEN":
                age = self.model.now - row["opened_at"]
                assert row["level"] >= max(
                    self.levels.get(id, 0), sum(age >= limit for limit in AGES)
                )
                self.levels[id] = row["level"]
        for id, row in self.stores.rows("deliveries").items():
            if row["state"] == "UNFULFILLED" != self.model.deliveries[id]["state"]:
                assert self.model.deliveries[id]["state"] in SEEKING
                self.model.deliveries[id]["state"] = "UNFULFILLED"
                assert not self.model.pending(delivery=id), (
                    "nobody is being asked when a search is given up"
                )

    @rule()
    def attack(self) -> None:
        """Try every attack on the database: it is refused by name, or finds no victim."""
        for what in ATTACKS:
            self.stores.attack(what)

    @invariant()
    def all_three_agree(self) -> None:
        counts.add("stateful steps")
        self.stores.agree()
        said = {
            id: (r["state"], r["episode"], r["driver_id"])
            for id, r in self.stores.rows("deliveries").items()
        }
        assert said == {
            id: (d["state"], d["episode"], d["driver"]) for id, d in self.model.deliveries.items()
        }
        assert {
            id: self._seen(row) for id, row in self.stores.rows("driver_offers").items()
        } == self.model.offers
        duties = {id: row["duty"] for id, row in self.stores.rows("drivers").items()}
        assert duties == {id: driver["duty"] for id, driver in self.model.drivers.items()}

    def teardown(self) -> None:
        counts.add("stateful examples")
        self.stores.close()

    def _go_to(self, instant: datetime) -> None:
        self.model.now = max(self.model.now, instant)
        self.stores.go_to(instant)

    def _answer(self, name: str, offer: int, driver: int, **args: str) -> str:
        return self.stores.act(
            name, actor=f"driver:{driver}", offer_id=offer, driver_id=driver, args=args
        )[0]

    def _offer(self, which: int, wrong: bool) -> tuple[int, int]:
        id = _pick(sorted(self.model.offers), which)
        driver = self.model.offers[id]["driver"]
        return id, driver % len(DRIVERS) + 1 if wrong else driver

    def _asked(self, which: int) -> tuple[int, int]:
        id = _pick(self.model.pending(), which)
        return id, self.model.offers[id]["driver"]

    def _in(self, *states: str) -> list[int]:
        return sorted(
            id for id, delivery in self.model.deliveries.items() if delivery["state"] in states
        )

    def _with_driver(self) -> list[int]:
        return sorted(id for id, delivery in self.model.deliveries.items() if delivery["driver"])

    @staticmethod
    def _seen(row: Row) -> Row:
        """Return an offer's row as the model keeps it."""
        names = {
            "delivery": "delivery_id",
            "driver": "driver_id",
            "expires": "expires_at",
            "deadline": "hard_deadline",
        }
        same = {name: row[name] for name in ("state", "cause", "episode")}
        return same | {ours: row[theirs] for ours, theirs in names.items()}


def _pick(of: Sequence[int], which: int) -> int:
    return of[which % len(of)]


WALK = (  # every rule, with the corner cases that chance seldom finds
    ("begin", "broadcast", 1),
    ("accept", 0, True),
    ("accept_at_once", 0),
    ("accept", 1, False),
    ("create", 3),
    ("sweep_offers",),
    ("attack",),
    ("at_a_deadline", 0, 0, "sweep"),
    ("wait", 60),
    ("sweep_offers",),
    ("create", 5),
    ("sweep_offers",),
    ("at_a_deadline", 0, 1, "accept"),
    ("take_away", 0),
    ("sweep_offers",),
    ("at_a_deadline", 0, 0, "accept"),
    ("sweep_offers",),
    ("wait", 300),
    ("create", 2),
    ("sweep_offers",),
    ("hand_over", 1, 2),
    ("accept_by", 2),
    ("request_duty", 4, "break"),
    ("sweep_availability",),
    ("request_duty", 4, "resume"),
    ("request_duty", 3, "end-shift"),
    ("sweep_escalation",),
    ("sweep_reassignment",),
    ("attack",),
    ("step", 0, "pickup"),
    ("step", 0, "deliver"),
    ("cancel", 1),
    ("wait", 300),
    ("sweep_reassignment",),
    ("sweep_availability",),
    ("request_duty", 3, "start-shift"),
    ("sweep_offers",),
    ("attack",),
)


def walk() -> None:
    """Run the steps of WALK; compare the model and both stores after each."""
    machine = OperationMachine()
    try:
        for name, *said in WALK:
            getattr(machine, name)(*said)
            machine.all_three_agree()
    finally:
        machine.teardown()
