"""Several clients create the same delivery at one time: one inserts it, the others get a replay."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.store.postgres import PostgresStore
from tests import databases

CLERKS, ORDERS = 4, 5


def test_concurrent_creates_insert_one_delivery(sample_db, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, together = catalog.settings(), Barrier(CLERKS)
    over = databases.sample_frames()["deliveries"].filter(state="CANCELLED").sort("id").head(ORDERS)
    assert over.height == ORDERS

    def ask(_clerk: int) -> list[str]:
        store, codes = PostgresStore(sample_db, now=databases.NOW), []
        for order, replaces in over.select("order_id", "id").iter_rows():
            together.wait(30)
            event = Event(name="create", actor="ops", args={"order": order, "replaces": replaces})
            codes.append(act(store, settings, event).answer.code)
        return codes

    with ThreadPoolExecutor(CLERKS) as pool:
        answers = list(zip(*pool.map(ask, range(CLERKS)), strict=True))
    assert [Counter(codes) for codes in answers] == [
        Counter({"OK": 1, "OK_REPLAY": CLERKS - 1})
    ] * ORDERS
    with sample_db.connect() as connection:
        query = "SELECT replaces FROM dk.deliveries WHERE replaces IS NOT NULL ORDER BY replaces"
        assert connection.exec_driver_sql(query).scalars().all() == over["id"].to_list()
