"""What a store promises the corridor: the same suite on memory and on Postgres."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.kernel.errors import DispatchError, TryLater
from dispatchkit.store.contract import RunRequest
from dispatchkit.store.memory import MemoryStore
from tests import databases
from tests.contract.both import TICKET, Either, apply, events, refusals, row, table, written

DRIVERS = tuple(databases.sample_frames()["drivers"]["id"][:12])
GONE = 999_999_999


def asks(driver: int, **said: Any) -> Change:
    """A harmless change of a driver: one more offer went unanswered."""
    made = Change(
        entity="driver",
        id=driver,
        version=1,
        event="driver_counted",
        after={"timeouts": 7},
        reason="test",
        at=databases.NOW,
        root=("driver", driver),
        payload={"timeouts": 7},
    )
    return replace(made, **said)


def illegal(driver: int) -> Change:
    """A step that no machine allows: whoever is on duty does not become a delivery's state."""
    return asks(driver, after={"duty": "DELIVERED"})


def suspicion(id: int = GONE) -> Change:
    """The birth of a reassignment case for the first delivery that is under way and has none."""
    cases = databases.sample_frames()["reassignment_cases"]["delivery_id"].implode()
    under_way = (pl.col("state") == "ASSIGNED") & ~pl.col("id").is_in(cases)
    delivery = (
        databases.sample_frames()["deliveries"].filter(under_way).sort("id").row(0, named=True)
    )
    return Change(
        entity="case",
        id=id,
        version=0,
        event="reassignment_suspected",
        after={
            "delivery_id": delivery["id"],
            "driver_id": delivery["driver_id"],
            "episode": delivery["episode"],
            "trigger": "NOT_MOVING",
            "state": "SUSPECTED",
            "suspected_at": databases.NOW,
        },
        reason="test",
        at=databases.NOW,
        root=("delivery", delivery["id"]),
    )


def test_a_change_is_applied_once_and_raises_the_version_by_one(store):
    before = row(store, "drivers", DRIVERS[0])
    outcome = apply(store, asks(DRIVERS[0]))
    assert (outcome.decided, outcome.applied) == (1, 1)
    assert row(store, "drivers", DRIVERS[0]) == before | {"timeouts": 7, "version": 2}


def test_every_applied_change_leaves_one_event_with_its_payload(store):
    apply(store, asks(DRIVERS[0]), asks(DRIVERS[1], event="driver_warned", payload={}))
    assert events(store) == [
        ("driver_counted", "driver", DRIVERS[0], {"driverId": DRIVERS[0], "timeouts": 7}, True),
        ("driver_warned", "driver", DRIVERS[1], {"driverId": DRIVERS[1]}, True),
    ]


def test_a_decision_on_a_version_that_has_moved_is_stale_and_changes_nothing(store):
    apply(store, asks(DRIVERS[0]))
    before = table(store, "drivers")
    outcome = apply(store, asks(DRIVERS[0], after={"timeouts": 8}), asks(DRIVERS[1]))
    assert [(s.entity, s.id, s.version, s.why) for s in outcome.stale] == [
        ("driver", DRIVERS[0], 1, f"driver {DRIVERS[0]} is at version 2")
    ]
    assert (outcome.decided, outcome.applied) == (2, 1), "what is not stale goes through"
    assert row(store, "drivers", DRIVERS[0]) == before.row(
        by_predicate=pl.col("id") == DRIVERS[0], named=True
    )


def test_a_row_that_was_only_read_makes_a_decision_stale_too(store):
    apply(store, asks(DRIVERS[1]))
    outcome = apply(store, asks(DRIVERS[0], expects=(("driver", DRIVERS[1], 1),)))
    assert [s.why for s in outcome.stale] == [f"driver {DRIVERS[1]} is at version 2"]
    assert row(store, "drivers", DRIVERS[0])["version"] == 1


def test_a_decision_about_a_row_that_is_gone_is_stale(store):
    outcome = apply(store, asks(GONE, root=("driver", DRIVERS[0])))
    assert [s.why for s in outcome.stale] == [f"driver {GONE} is gone"]


def test_a_born_row_has_version_one_and_the_defaults_of_its_table(store):
    outcome = apply(store, suspicion())
    born = row(store, "reassignment_cases", GONE)
    assert outcome.applied == 1
    assert (born["version"], born["state"], born["closed_at"]) == (1, "SUSPECTED", None)


def test_the_same_birth_from_another_decision_is_stale(store):
    apply(store, suspicion())
    outcome = apply(store, replace(suspicion(), event="reassignment_doubted"))
    assert [s.why for s in outcome.stale] == [f"case {GONE} is there already"]


@pytest.mark.parametrize("make", [lambda: asks(DRIVERS[0]), suspicion], ids=["a step", "a birth"])
def test_the_same_decision_again_is_already_applied_and_not_decided_anew(store, make):
    first, second = apply(store, make()), apply(store, make())
    assert (first.applied, first.already) == (1, 0)
    assert (second.decided, second.applied, second.already, second.stale) == (0, 0, 1, [])
    assert len(events(store)) == 1


def test_a_row_changed_twice_in_a_group_passes_through_both_steps(store):
    steps = asks(DRIVERS[0]), asks(DRIVERS[0], version=2, after={"timeouts": 8})
    assert apply(store, *steps).applied == 2
    assert (
        row(store, "drivers", DRIVERS[0])["timeouts"],
        row(store, "drivers", DRIVERS[0])["version"],
    ) == (8, 3)


def test_a_group_with_one_stale_change_is_stale_whole(store):
    apply(store, asks(DRIVERS[1]))
    root = ("driver", DRIVERS[0])
    outcome = apply(store, asks(DRIVERS[0]), asks(DRIVERS[1], root=root, after={"timeouts": 9}))
    assert (outcome.applied, sorted(s.id for s in outcome.stale)) == (0, sorted(DRIVERS[:2]))
    assert row(store, "drivers", DRIVERS[0])["version"] == 1


def test_a_group_with_one_refused_change_is_refused_whole_and_the_rest_goes_through(store):
    root = ("driver", DRIVERS[4])
    bad = asks(DRIVERS[4]), replace(illegal(DRIVERS[5]), root=root)
    outcome = apply(store, *(asks(d) for d in DRIVERS[:4]), *bad, *(asks(d) for d in DRIVERS[6:]))
    assert (outcome.applied, outcome.poison, outcome.decided) == (10, 2, 12)
    assert [p.id for p in outcome.poisoned] == list(DRIVERS[4:6])
    versions = [row(store, "drivers", d)["version"] for d in DRIVERS]
    assert versions == [2, 2, 2, 2, 1, 1, 2, 2, 2, 2, 2, 2]


ROOTS = [("delivery", int(id)) for id in databases.sample_frames()["deliveries"]["id"][:2]]


@pytest.mark.parametrize(
    "second",
    [
        asks(DRIVERS[0], root=ROOTS[1], after={"timeouts": 8}),
        asks(DRIVERS[1], root=ROOTS[1], expects=(("driver", DRIVERS[0], 1),)),
    ],
    ids=["it writes the row", "it relies on the row"],
)
def test_two_decisions_of_one_run_about_one_row_are_judged_in_turn(store, second):
    outcome = apply(store, asks(DRIVERS[0], root=ROOTS[0]), second)
    assert (outcome.decided, outcome.applied) == (2, 1)
    assert [s.why for s in outcome.stale] == [f"driver {DRIVERS[0]} is at version 2"]
    assert row(store, "drivers", DRIVERS[0])["timeouts"] == 7


def test_a_decision_may_build_on_one_of_another_root_in_the_same_run(store):
    outcome = apply(
        store, asks(DRIVERS[0], root=ROOTS[0]), asks(DRIVERS[0], root=ROOTS[1], version=2)
    )
    assert (outcome.applied, outcome.stale) == (2, [])
    assert row(store, "drivers", DRIVERS[0])["version"] == 3


def test_a_refused_birth_leaves_no_row_and_no_event(store):
    outcome = apply(store, replace(suspicion(), after={**suspicion().after, "state": "CLEARED"}))
    assert (outcome.applied, outcome.poison, events(store)) == (0, 1, [])
    assert GONE not in set(table(store, "reassignment_cases")["id"])


def test_a_slot_is_done_once_and_another_slot_is_another_run(store):
    ticket = RunRequest(sweep="offers", slot=databases.NOW)
    assert apply(store, asks(DRIVERS[0]), ticket=ticket).applied == 1
    with store.sweeping(ticket) as again:
        assert again is None
    with store.sweeping(replace(ticket, sweep="routes")) as other:
        assert other is not None


def test_a_slot_whose_run_failed_may_be_done_again(store):
    ticket = RunRequest(sweep="offers", slot=databases.NOW)
    with pytest.raises(ZeroDivisionError), store.sweeping(ticket):
        raise ZeroDivisionError
    assert apply(store, asks(DRIVERS[0]), ticket=ticket).applied == 1


def test_a_sweep_under_way_keeps_out_a_second_of_its_name_and_no_other(store):
    with store.sweeping(RunRequest(sweep="offers")) as run:
        assert run is not None
        with pytest.raises(TryLater), store.sweeping(RunRequest(sweep="offers")):
            pass
        with store.sweeping(RunRequest(sweep="routes")) as other:
            assert other is not None
        assert written(run, [asks(DRIVERS[0])]).applied == 1, (
            "the refused second run left the first its lock"
        )
    assert apply(store, asks(DRIVERS[1])).applied == 1, "and the lock is free afterwards"


def test_a_run_reasons_at_the_instant_it_was_given(store, now):
    with store.sweeping(RunRequest(sweep="offers")) as run:
        assert run is not None
        assert (run.now, store.clock()) == (now, now)


def test_an_act_writes_its_changes_with_events_but_no_decisions(store):
    with store.acting(("driver", DRIVERS[0]), drivers=[DRIVERS[0]], actor="driver:1") as acting:
        acting.write([asks(DRIVERS[0])])
    assert row(store, "drivers", DRIVERS[0])["version"] == 2
    assert [(event[0], event[4]) for event in events(store)] == [("driver_counted", False)]


def test_an_act_that_breaks_a_rule_writes_nothing(store):
    with (
        pytest.raises(DispatchError),
        store.acting(("driver", DRIVERS[0]), drivers=[DRIVERS[0]], actor="ops") as acting,
    ):
        acting.write([asks(DRIVERS[0]), illegal(DRIVERS[1])])
    assert row(store, "drivers", DRIVERS[0])["version"] == 1
    assert events(store) == []


def test_a_refused_act_is_recorded_with_its_actor_and_rule(store):
    with store.acting(("delivery", GONE), drivers=[], actor="driver:7") as acting:
        acting.refuse("accept", ("delivery", GONE), "NOT_FOUND")
    assert refusals(store) == [("driver:7", "accept", "delivery", GONE, "NOT_FOUND")]


def quote(id: int, **values: Any) -> Fact:
    """An ETA quote of the first delivery."""
    row: dict[str, Any] = {
        "id": id,
        "delivery_id": databases.sample_frames()["deliveries"]["id"][0],
        "event": "accept",
        "quoted_at": databases.NOW,
        "eta_at": databases.NOW,
        "model": "test",
    }
    return Fact("eta_quotes", row | values)


def run_of_quote(store: Either, id: int) -> str:
    """Return the id of the run that wrote a quote."""
    if isinstance(store, MemoryStore):
        return store.fact_runs["eta_quotes", id]
    with store.engine.connect() as on:
        found = on.exec_driver_sql("SELECT run_id FROM dk.eta_quotes WHERE id = %s", (id,))
        return str(found.scalar_one())


def append(store: Either, *facts: Fact) -> str:
    """Write facts in a run of their own, after one change, and return the run's id."""
    with store.sweeping(TICKET) as run:
        assert run is not None
        run.apply([asks(DRIVERS[0])], inputs_sha256="0" * 64, facts=facts)
        return run.id


def test_facts_are_appended_with_their_run(store):
    run = append(store, quote(GONE), quote(GONE - 1, low_at=databases.NOW))
    assert row(store, "drivers", DRIVERS[0])["timeouts"] == 7
    assert row(store, "eta_quotes", GONE)["model"] == "test"
    assert row(store, "eta_quotes", GONE - 1)["low_at"] == databases.NOW
    assert run_of_quote(store, GONE) == run
    append(store, quote(GONE, model="later"))  # the same id is the same fact
    assert row(store, "eta_quotes", GONE)["model"] == "test"
    assert run_of_quote(store, GONE) == run


@pytest.mark.parametrize(
    "wrong", [Fact("drivers", {"id": 1}), quote(GONE, colour=1), quote(GONE, delivery_id=GONE)]
)
def test_wrong_fact_stops_the_run(store, wrong):
    with pytest.raises(Exception, match=r"no facts|no column|delivery|foreign"):
        append(store, quote(GONE - 1), wrong)
    assert GONE - 1 not in table(store, "eta_quotes")["id"]
