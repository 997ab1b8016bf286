"""The interface of a store, tested on memory and on Postgres."""

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
from tests.contract.both import REQUEST, Either, apply, events, refusals, row, table, written

DRIVERS = tuple(databases.sample_frames()["drivers"]["id"][:12])
GONE = 999_999_999


def count_timeout(driver: int, **columns: Any) -> Change:
    """Return a harmless change of a driver: one more offer was not answered."""
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
    return replace(made, **columns)


def illegal(driver: int) -> Change:
    """Return a change that no state machine allows."""
    return count_timeout(driver, after={"duty": "DELIVERED"})


def suspicion(id: int = GONE) -> Change:
    """Return the insert of a case for the first assigned delivery without one."""
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


def test_change_raises_version_by_one(store):
    before = row(store, "drivers", DRIVERS[0])
    outcome = apply(store, count_timeout(DRIVERS[0]))
    assert (outcome.decided, outcome.applied) == (1, 1)
    assert row(store, "drivers", DRIVERS[0]) == before | {"timeouts": 7, "version": 2}


def test_applied_change_leaves_one_event(store):
    apply(
        store,
        count_timeout(DRIVERS[0]),
        count_timeout(DRIVERS[1], event="driver_warned", payload={}),
    )
    assert events(store) == [
        (
            "driver_counted",
            "driver",
            DRIVERS[0],
            {"driverId": str(DRIVERS[0]), "timeouts": 7},
            True,
        ),
        ("driver_warned", "driver", DRIVERS[1], {"driverId": str(DRIVERS[1])}, True),
    ]


def test_decision_on_old_version_is_stale(store):
    apply(store, count_timeout(DRIVERS[0]))
    before = table(store, "drivers")
    outcome = apply(
        store, count_timeout(DRIVERS[0], after={"timeouts": 8}), count_timeout(DRIVERS[1])
    )
    assert [(s.entity, s.id, s.version, s.why) for s in outcome.stale] == [
        ("driver", DRIVERS[0], 1, f"driver {DRIVERS[0]} is at version 2")
    ]
    assert (outcome.decided, outcome.applied) == (2, 1), "what is not stale goes through"
    assert row(store, "drivers", DRIVERS[0]) == before.row(
        by_predicate=pl.col("id") == DRIVERS[0], named=True
    )


def test_changed_expected_row_makes_decision_stale(store):
    apply(store, count_timeout(DRIVERS[1]))
    outcome = apply(store, count_timeout(DRIVERS[0], expects=(("driver", DRIVERS[1], 1),)))
    assert [s.why for s in outcome.stale] == [f"driver {DRIVERS[1]} is at version 2"]
    assert row(store, "drivers", DRIVERS[0])["version"] == 1


def test_decision_about_missing_row_is_stale(store):
    outcome = apply(store, count_timeout(GONE, root=("driver", DRIVERS[0])))
    assert [s.why for s in outcome.stale] == [f"driver {GONE} is gone"]


def test_inserted_row_has_version_one_and_defaults(store):
    outcome = apply(store, suspicion())
    inserted = row(store, "reassignment_cases", GONE)
    assert outcome.applied == 1
    assert (inserted["version"], inserted["state"], inserted["closed_at"]) == (1, "SUSPECTED", None)


def test_insert_of_existing_row_is_stale(store):
    apply(store, suspicion())
    outcome = apply(store, replace(suspicion(), event="reassignment_doubted"))
    assert [s.why for s in outcome.stale] == [f"case {GONE} is there already"]


@pytest.mark.parametrize(
    "make", [lambda: count_timeout(DRIVERS[0]), suspicion], ids=["a step", "a birth"]
)
def test_same_decision_again_counts_as_already_applied(store, make):
    first, second = apply(store, make()), apply(store, make())
    assert (first.applied, first.already) == (1, 0)
    assert (second.decided, second.applied, second.already, second.stale) == (0, 0, 1, [])
    assert len(events(store)) == 1


def test_row_changed_twice_takes_both_steps(store):
    steps = count_timeout(DRIVERS[0]), count_timeout(DRIVERS[0], version=2, after={"timeouts": 8})
    assert apply(store, *steps).applied == 2
    assert (
        row(store, "drivers", DRIVERS[0])["timeouts"],
        row(store, "drivers", DRIVERS[0])["version"],
    ) == (8, 3)


def test_one_stale_change_makes_its_group_stale(store):
    apply(store, count_timeout(DRIVERS[1]))
    root = ("driver", DRIVERS[0])
    outcome = apply(
        store,
        count_timeout(DRIVERS[0]),
        count_timeout(DRIVERS[1], root=root, after={"timeouts": 9}),
    )
    assert (outcome.applied, sorted(s.id for s in outcome.stale)) == (0, sorted(DRIVERS[:2]))
    assert row(store, "drivers", DRIVERS[0])["version"] == 1


def test_one_refused_change_refuses_only_its_group(store):
    root = ("driver", DRIVERS[4])
    bad = count_timeout(DRIVERS[4]), replace(illegal(DRIVERS[5]), root=root)
    outcome = apply(
        store,
        *(count_timeout(d) for d in DRIVERS[:4]),
        *bad,
        *(count_timeout(d) for d in DRIVERS[6:]),
    )
    assert (outcome.applied, outcome.poison, outcome.decided) == (10, 2, 12)
    assert [p.id for p in outcome.poisoned] == list(DRIVERS[4:6])
    versions = [row(store, "drivers", d)["version"] for d in DRIVERS]
    assert versions == [2, 2, 2, 2, 1, 1, 2, 2, 2, 2, 2, 2]


ROOTS = [("delivery", int(id)) for id in databases.sample_frames()["deliveries"]["id"][:2]]


@pytest.mark.parametrize(
    "second",
    [
        count_timeout(DRIVERS[0], root=ROOTS[1], after={"timeouts": 8}),
        count_timeout(DRIVERS[1], root=ROOTS[1], expects=(("driver", DRIVERS[0], 1),)),
    ],
    ids=["it writes the row", "it relies on the row"],
)
def test_second_decision_about_one_row_is_stale(store, second):
    outcome = apply(store, count_timeout(DRIVERS[0], root=ROOTS[0]), second)
    assert (outcome.decided, outcome.applied) == (2, 1)
    assert [s.why for s in outcome.stale] == [f"driver {DRIVERS[0]} is at version 2"]
    assert row(store, "drivers", DRIVERS[0])["timeouts"] == 7


def test_decision_may_build_on_another_root(store):
    outcome = apply(
        store,
        count_timeout(DRIVERS[0], root=ROOTS[0]),
        count_timeout(DRIVERS[0], root=ROOTS[1], version=2),
    )
    assert (outcome.applied, outcome.stale) == (2, [])
    assert row(store, "drivers", DRIVERS[0])["version"] == 3


def test_refused_insert_leaves_no_row_or_event(store):
    outcome = apply(store, replace(suspicion(), after={**suspicion().after, "state": "CLEARED"}))
    assert (outcome.applied, outcome.poison, events(store)) == (0, 1, [])
    assert GONE not in set(table(store, "reassignment_cases")["id"])


def test_slot_is_done_once_for_each_sweep(store):
    request = RunRequest(sweep="offers", slot=databases.NOW)
    assert apply(store, count_timeout(DRIVERS[0]), request=request).applied == 1
    with store.sweeping(request) as again:
        assert again is None
    with store.sweeping(replace(request, sweep="routes")) as other:
        assert other is not None


def test_slot_of_failed_run_is_repeated(store):
    request = RunRequest(sweep="offers", slot=databases.NOW)
    with pytest.raises(ZeroDivisionError), store.sweeping(request):
        raise ZeroDivisionError
    assert apply(store, count_timeout(DRIVERS[0]), request=request).applied == 1


def test_running_sweep_excludes_only_itself(store):
    with store.sweeping(RunRequest(sweep="offers")) as run:
        assert run is not None
        with pytest.raises(TryLater), store.sweeping(RunRequest(sweep="offers")):
            pass
        with store.sweeping(RunRequest(sweep="routes")) as other:
            assert other is not None
        assert written(run, [count_timeout(DRIVERS[0])]).applied == 1, (
            "the refused second run left the first its lock"
        )
    assert apply(store, count_timeout(DRIVERS[1])).applied == 1, "and the lock is free afterwards"


def test_run_uses_the_given_now(store, now):
    with store.sweeping(RunRequest(sweep="offers")) as run:
        assert run is not None
        assert (run.now, store.clock()) == (now, now)


def test_act_writes_events_without_decisions(store):
    with store.acting(("driver", DRIVERS[0]), drivers=[DRIVERS[0]], actor="driver:1") as acting:
        acting.write([count_timeout(DRIVERS[0])])
    assert row(store, "drivers", DRIVERS[0])["version"] == 2
    assert [(event[0], event[4]) for event in events(store)] == [("driver_counted", False)]


def test_act_that_breaks_a_rule_writes_nothing(store):
    with (
        pytest.raises(DispatchError),
        store.acting(("driver", DRIVERS[0]), drivers=[DRIVERS[0]], actor="ops") as acting,
    ):
        acting.write([count_timeout(DRIVERS[0]), illegal(DRIVERS[1])])
    assert row(store, "drivers", DRIVERS[0])["version"] == 1
    assert events(store) == []


def test_refused_act_records_actor_and_code(store):
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
    with store.sweeping(REQUEST) as run:
        assert run is not None
        run.apply([count_timeout(DRIVERS[0])], inputs_sha256="0" * 64, facts=facts)
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
