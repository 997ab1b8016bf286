"""One city in both stores: the same reads, the same decisions, the same tables afterwards."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dispatchkit.domain.feature import Event
from dispatchkit.domain.hours import LOOK_BACK
from dispatchkit.domain.tables import TABLES
from dispatchkit.flows.live import act, catalog
from dispatchkit.flows.live.gather import bounds, gather, queries
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.kernel.flags import Flag
from tests import databases
from tests.contract.both import events, refusals, table

GONE = 999_999_999


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Return the settings that hold where no file says otherwise."""
    monkeypatch.chdir(tmp_path)
    return catalog.settings()


def assert_same_tables(memory, postgres):
    for name in TABLES:
        assert_frame_equal(table(memory, name), table(postgres, name), check_dtypes=False)


@pytest.mark.parametrize("feature", catalog.FEATURES)
def test_feature_reads_return_the_same_frames(pair, feature, now):
    memory, postgres = pair
    found = catalog.feature(feature)
    named = queries(found.sql)
    ours, theirs = memory.read(dict(named), bounds(now)), postgres.read(dict(named), bounds(now))
    for name in named:
        assert_frame_equal(ours[name], theirs[name])
    assert any(frame.height for frame in ours.values())
    flag = Flag(name=name)
    assert (
        gather(memory, found, flag, now).inputs_sha256
        == gather(postgres, found, flag, now).inputs_sha256
    )


def test_act_reads_return_the_same_frames(pair):
    memory, postgres = pair
    named = queries(act.SQL)
    asked = {name: (where, named[name]) for name, where in act.NEIGHBOURS.items()}
    offers = (
        databases.sample_frames()["driver_offers"]
        .sort("state", "id")
        .unique("state", keep="first")
        .sort("id")
    )
    rows = 0
    for offer in offers.iter_rows(named=True):
        args = {
            "delivery": offer["delivery_id"],
            "driver": offer["driver_id"],
            "order": offer["delivery_id"] % 10_000_000,
            "since": databases.NOW - LOOK_BACK,
        }
        root = ("delivery", offer["delivery_id"])
        with (
            memory.acting(root, drivers=[], actor="test") as one,
            postgres.acting(root, drivers=[], actor="test") as other,
        ):
            ours, theirs = one.read(asked, args), other.read(asked, args)
        for name in asked:
            assert_frame_equal(ours[name], theirs[name])
            rows += ours[name].height
    assert rows > 10


def test_three_cycles_of_sweeps_leave_the_same_tables(pair, settings, now):
    memory, postgres = pair
    applied = dict.fromkeys(catalog.FEATURES, 0)
    for minutes in (0, 4, 16):  # at the last a shift is over
        memory.now = now + timedelta(minutes=minutes)
        postgres = type(postgres)(postgres.engine, postgres.waits, now=memory.now)
        for name in catalog.FEATURES:
            ours, theirs = (sweep(store, settings, name, Options()) for store in (memory, postgres))
            assert canonical([c.shown(name) for c in ours.changes]) == canonical(
                [c.shown(name) for c in theirs.changes]
            )
            assert (ours.outcome.applied, ours.outcome.stale, ours.outcome.poisoned) == (
                theirs.outcome.applied,
                theirs.outcome.stale,
                theirs.outcome.poisoned,
            )
            assert ours.outcome.applied == len(ours.changes)
            applied[name] += ours.outcome.applied
    assert min(applied.values()) > 0, applied
    assert_same_tables(memory, postgres)
    assert sorted(map(canonical, events(memory))) == sorted(map(canonical, events(postgres)))


def test_acts_answer_and_write_the_same(pair, settings):
    memory, postgres = pair
    for store in pair:
        sweep(store, settings, "offers", Options())
    pending = table(memory, "driver_offers").filter(pl.col("state") == "PENDING").sort("id")
    assigned = (
        databases.sample_frames()["deliveries"].filter(pl.col("state") == "ASSIGNED").sort("id")
    )
    offer, other, third = (pending.row(n, named=True) for n in range(3))
    asked = [
        Event(name="accept", actor="driver:1", offer_id=offer["id"], driver_id=offer["driver_id"]),
        Event(name="accept", actor="driver:1", offer_id=offer["id"], driver_id=offer["driver_id"]),
        Event(name="accept", actor="driver:1", offer_id=offer["id"], driver_id=other["driver_id"]),
        Event(name="accept", actor="driver:1", offer_id=1, driver_id=offer["driver_id"]),
        Event(
            name="decline",
            actor="driver:2",
            offer_id=other["id"],
            driver_id=other["driver_id"],
            args={"reason": "TOO_FAR"},
        ),
        Event(
            name="reassign",
            actor="ops",
            delivery_id=assigned["id"][0],
            args={"to": None, "reason": "test"},
        ),
        Event(name="reassign", actor="ops", delivery_id=GONE, args={"to": None, "reason": "test"}),
        *(
            Event(name=name, actor="driver:3", driver_id=third["driver_id"])
            for name in ("break", "resume", "end-shift")
        ),
        Event(name="reinstate", actor="ops", driver_id=third["driver_id"] + GONE),
    ]
    codes = []
    for event in asked:
        ours, theirs = (act.act(store, settings, event).document() for store in (memory, postgres))
        assert canonical(ours) == canonical(theirs)
        codes.append(ours["code"])
    assert codes[:5] == ["OK", "OK_REPLAY", "NOT_FOUND", "NOT_FOUND", "OK"], codes
    assert_same_tables(memory, postgres)
    assert sorted(map(canonical, events(memory))) == sorted(map(canonical, events(postgres)))
    assert refusals(memory) == refusals(postgres) != []
