"""The result of a push reaches its offer: it is marked as delivered, or it ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Timer
from typing import Any

import pytest
from sqlalchemy import Engine

from dispatchkit.config import Database, Settings
from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store import connect
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.unit.senders.gateway import gateway

NOW = databases.NOW
SOON = NOW + timedelta(seconds=2)
ASKED = """SELECT f.id, f.driver_id, f.delivery_id FROM dk.driver_offers f
  JOIN dk.outbox o ON o.row_id = f.id
  AND o.event = 'offer_created' ORDER BY o.id"""


@pytest.fixture
def offers(sample_db) -> list[tuple[int, int, int]]:
    """Return the new offers as (offer, driver, delivery), in the order of their events."""
    sweep(PostgresStore(sample_db, now=NOW), catalog.settings(), "offers", Options())
    with sample_db.connect() as connection:
        found = [tuple(row) for row in connection.exec_driver_sql(ASKED)]
    assert len(found) >= 5
    return found


def push(engine: Engine, url: str, now: datetime, **more: Any) -> Mapping[str, int]:
    """Run the outbox with one push sender; `down_after` belongs to the outbox, the rest to the
    sender.
    """
    way = {
        "kind": "webhook",
        "url": url,
        "timeout": "1s",
        "push": True,
        "events": ["offer_created"],
    }
    outbox = {"down_after": more.pop("down_after", 3)}
    given = Settings(tables={"senders": {"push": way | more}, "outbox": outbox})
    return sweep(PostgresStore(engine, now=now), given, "outbox", Options()).job_counts


def rows(engine: Engine, table: str, ids: list[int], *columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT {', '.join(columns)} FROM dk.{table} WHERE id = ANY(%s) ORDER BY id"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query, (ids,))]


def states(
    engine: Engine, offers: list[tuple[int, int, int]], *columns: str
) -> list[tuple[Any, ...]]:
    return [rows(engine, "driver_offers", [offer], "state", *columns)[0] for offer, _, _ in offers]


def test_accepted_push_marks_offer_delivered(sample_db, offers):
    with gateway() as there:
        assert push(sample_db, there.url, SOON)["push delivered"] == len(offers)
    assert states(sample_db, offers, "delivered_at") == [("PENDING", SOON)] * len(offers)


def test_other_senders_do_not_mark_offers_delivered(sample_db, offers):
    with gateway(410) as there:
        push(sample_db, there.url, SOON, push=False)
    assert states(sample_db, offers, "delivered_at") == [("PENDING", None)] * len(offers)


@pytest.fixture
def impatient(sample_db) -> Engine:
    """Return an engine on the city that waits for a lock less than half a second."""
    return connect.engine(databases.url(sample_db), Database(lock_timeout=timedelta(seconds=0.4)))


HOLD = "SELECT FROM dk.deliveries WHERE id = %s FOR UPDATE"


def test_briefly_locked_offer_is_marked_in_same_pass(sample_db, offers, impatient):
    with gateway() as there, sample_db.connect() as other:
        other.exec_driver_sql(HOLD, offers[0][2:])
        release = Timer(0.8, other.rollback)
        release.start()
        assert push(impatient, there.url, SOON)["push delivered"] == len(offers)
        release.join()
    assert states(sample_db, offers, "delivered_at") == [("PENDING", SOON)] * len(offers)
    assert len(there.posts) == len(offers)


def test_unrecorded_push_is_sent_again_with_its_key(sample_db, offers, impatient):
    later = SOON + timedelta(seconds=3)
    with gateway() as there:
        with sample_db.begin() as other:
            other.exec_driver_sql(HOLD, offers[0][2:])
            done = push(impatient, there.url, SOON)
            assert (done["push waiting"], done["push delivered"]) == (1, len(offers) - 1)
        assert states(sample_db, offers[:1], "delivered_at") == [("PENDING", None)]
        assert push(impatient, there.url, later)["push delivered"] == 1
    assert states(sample_db, offers[:1], "delivered_at") == [("PENDING", later)]
    assert there.keys.count(there.keys[0]) == 2
    assert len(set(there.keys)) == len(offers)


def test_refused_push_makes_offer_undeliverable(sample_db, offers):
    (_, driver, delivery), *others = offers
    with gateway(410) as there:
        push(sample_db, there.url, SOON)
    assert states(sample_db, offers[:1], "cause") == [("UNDELIVERABLE", "PUSH_REFUSED")]
    assert {state for (state,) in states(sample_db, others)} == {"PENDING"}
    assert rows(sample_db, "deliveries", [delivery], "state") == [("UNASSIGNED",)]
    assert rows(sample_db, "drivers", [driver], "timeouts")[0][0] == 0, (
        "a lost push is not the driver's silence"
    )


def test_unacknowledged_offer_becomes_undeliverable(sample_db, offers):
    with gateway(always=503) as there:
        push(sample_db, there.url, SOON)
        assert {state for (state,) in states(sample_db, offers)} == {"PENDING"}, (
            "there is time left"
        )
        posts = len(there.posts)
        push(sample_db, there.url, NOW + timedelta(seconds=10))
        assert len(there.posts) <= posts + 3, "the gateway is known to be down"
    assert set(states(sample_db, offers, "cause")) == {("UNDELIVERABLE", "NO_ACKNOWLEDGEMENT")}
    with sample_db.connect() as connection:
        assert connection.exec_driver_sql(
            "SELECT DISTINCT state FROM dk.sendings"
        ).scalars().all() == ["REFUSED"]


def test_offer_waiting_behind_event_is_not_timed_out(sample_db, offers):
    with gateway(always=503) as there:
        push(sample_db, there.url, NOW + timedelta(seconds=10), events=["*"], down_after=1000)
    assert "offer_created" not in there.events, (
        "each waits behind the event that its delivery is offering"
    )
    assert set(states(sample_db, offers, "cause")) == {("UNDELIVERABLE", "NO_ACKNOWLEDGEMENT")}


def test_run_that_comes_late_still_tries_once(sample_db, offers):
    with gateway() as there:
        push(sample_db, there.url, NOW + timedelta(seconds=20))
    assert {state for (state,) in states(sample_db, offers)} == {"PENDING"}
    assert len(there.posts) == len(offers)


def test_answered_offer_keeps_its_answer(sample_db, offers):
    offer, driver, _ = offers[0]
    said = Event(
        name="decline",
        actor=f"driver:{driver}",
        offer_id=offer,
        driver_id=driver,
        args={"reason": "TOO_FAR"},
    )
    act(PostgresStore(sample_db, now=SOON), catalog.settings(), said)
    with gateway(410) as there:
        push(sample_db, there.url, NOW + timedelta(seconds=3))
    assert states(sample_db, offers[:1]) == [("DECLINED",)]
    with sample_db.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM dk.refusals").scalar_one() == 0
