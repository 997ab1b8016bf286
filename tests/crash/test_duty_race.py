"""A driver accepts an offer, leaves and is swept at the same time: every loser gets a known answer."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

from sqlalchemy import Engine

from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.errors import TryLater
from dispatchkit.store import intake
from dispatchkit.store.postgres import PostgresStore
from tests import counts
from tests.builders import NOW, Row, a_delivery, a_driver, a_duty, an_offer, minutes, tables

DRIVERS = 12
THEN = NOW + timedelta(seconds=5)
ENDED = """SELECT o.state, d.state, r.duty, count(*) FROM dk.drivers r
  JOIN dk.driver_offers o ON o.driver_id = r.id
JOIN dk.deliveries d ON d.id = o.delivery_id GROUP BY 1, 2, 3 ORDER BY 1"""
UNMET = """SELECT count(*) FROM (SELECT since, lag(until) OVER (PARTITION BY driver_id
  ORDER BY since) AS ended
FROM dk.driver_availability_history) x WHERE since <> ended"""


def rows() -> list[Row]:
    """Return drivers with one offer each; the shift of every other one ends at this minute."""
    found: list[Row] = []
    for id in range(1, DRIVERS + 1):
        found += [*a_driver(id, shift_end=NOW if id % 2 else None), *a_duty(id, began=minutes(30))]
        found += [*a_delivery(id, state="OFFERING"), *an_offer(id, delivery=id, driver=id)]
    return found


def fetch_rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_concurrent_accept_break_and_sweep_stay_consistent(database):
    intake.insert(database, tables(rows()))
    settings, together = catalog.settings(), Barrier(4)

    def client(what: str) -> Counter[str]:
        store, codes = PostgresStore(database, now=THEN), Counter[str]()
        for driver in range(1, DRIVERS + 1):
            together.wait(60)
            codes[answer(store, what, driver)] += 1
        return codes

    def answer(store: PostgresStore, what: str, driver: int) -> str:
        while True:
            try:
                if what == "sweep":
                    outcome = sweep(store, settings, "availability", Options()).outcome
                    return "POISON" if outcome.poison else "SWEPT"
                offer = driver if what == "accept" else None
                return act(
                    store,
                    settings,
                    Event(name=what, actor="test", driver_id=driver, offer_id=offer),
                ).answer.code
            except TryLater:
                continue

    with ThreadPoolExecutor(4) as pool:
        accepts, breaks, ends, sweeps = pool.map(client, ("accept", "break", "end-shift", "sweep"))
    counts.add("drivers who accept, leave and are swept at once", DRIVERS)
    assert set(accepts) <= {"OK", "OFFER_REVOKED"}
    assert set(breaks) <= {"OK", "OK_PENDING", "OK_REPLAY", "ILLEGAL_TRANSITION"}
    assert set(ends) <= {"OK", "OK_PENDING", "OK_REPLAY"}
    assert sweeps == {"SWEPT": DRIVERS}
    ended = fetch_rows(database, ENDED)
    assert {row[:3] for row in ended} <= {
        ("ACCEPTED", "ASSIGNED", "ENDING_SHIFT"),
        ("REVOKED", "UNASSIGNED", "OFF_DUTY"),
    }
    assert sum(int(str(row[3])) for row in ended if row[0] == "ACCEPTED") == accepts["OK"]
    assert fetch_rows(database, UNMET) == [(0,)]
