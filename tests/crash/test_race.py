"""Rivals who accept at the same time: one of them wins each delivery, whatever the order of arrival."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine, text

from dispatchkit.flows import catalog
from dispatchkit.flows.act import act
from dispatchkit.kernel.feature import Event
from dispatchkit.store.postgres import PostgresStore
from tests import databases

RIVALS = 4
IDLE = """SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM dk.drivers r WHERE duty = 'ON_DUTY'
  AND NOT EXISTS (SELECT FROM dk.driver_offers o WHERE o.driver_id = r.id AND o.state = 'PENDING')
  AND NOT EXISTS (SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active)"""
OPEN = "SELECT *, row_number() OVER (ORDER BY id) - 1 AS n FROM dk.deliveries WHERE state = 'UNASSIGNED'"
RIVAL_OFFERS = f"""
  INSERT INTO dk.driver_offers (id, delivery_id, driver_id, episode, attempt, ask, mode, pay_cents, distance_m,
    payload, payload_sha256, sent_at, expires_at, hard_deadline, version)
  SELECT 10^12 + i.n, d.id, i.id, d.episode, d.attempt + 1, 1 + mod(i.n, {RIVALS}), 'broadcast', 500, 900,
    '{{}}', 'x', t.now, t.now + interval '1 min', t.now + interval '2 min', 1
  FROM ({IDLE}) i JOIN ({OPEN}) d ON d.n = i.n / {RIVALS}, (SELECT CAST(:now AS timestamptz) AS now) t
  RETURNING delivery_id"""


def broadcast(made: Engine) -> dict[int, list[tuple[int, int]]]:
    """Offer open deliveries to RIVALS idle drivers each; return delivery -> [(offer, driver)]."""
    with made.begin() as on:
        on.exec_driver_sql("SET ROLE dk_app")
        asked = on.execute(text(RIVAL_OFFERS), {"now": databases.NOW}).scalars().all()
        on.exec_driver_sql("UPDATE dk.deliveries SET state = 'OFFERING' WHERE id = ANY(%s)", (list(asked),))
        found = on.exec_driver_sql(
            "SELECT delivery_id, id, driver_id FROM dk.driver_offers WHERE id >= 10^12 ORDER BY id"
        )
        rivals: dict[int, list[tuple[int, int]]] = {}
        for delivery, offer, driver in found:
            rivals.setdefault(delivery, []).append((offer, driver))
    return {delivery: offers for delivery, offers in rivals.items() if len(offers) == RIVALS}


@pytest.mark.parametrize("round_", range(3))
def test_of_rivals_who_accept_at_the_same_time_exactly_one_wins(city, round_):
    settings, asked = catalog.settings(), broadcast(city)
    assert len(asked) >= 2
    together = Barrier(RIVALS)

    def accept(rival: int) -> list[str]:
        store, codes = PostgresStore(city, now=databases.NOW + timedelta(seconds=5)), []
        for offers in asked.values():
            offer, driver = offers[(rival + round_) % RIVALS]
            together.wait(30)
            codes.append(
                act(
                    store, settings, Event(name="accept", actor=f"driver:{driver}", offer_id=offer, driver_id=driver)
                ).answer.code
            )
        return codes

    with ThreadPoolExecutor(RIVALS) as pool:
        answers = list(zip(*pool.map(accept, range(RIVALS)), strict=True))
    assert [Counter(codes) for codes in answers] == [Counter({"OK": 1, "LOST_RACE": RIVALS - 1})] * len(asked)
    with city.connect() as on:
        won = on.exec_driver_sql(
            "SELECT delivery_id FROM dk.driver_offers o JOIN dk.deliveries d USING (driver_id) "
            "WHERE d.id = o.delivery_id AND d.state = 'ASSIGNED' AND o.state = 'ACCEPTED' AND d.id = ANY(%s)",
            (list(asked),),
        )
        assert sorted(won.scalars()) == sorted(asked)
