"""Every offer mode leaves the same rows in memory and in Postgres, and breaks no rule."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dispatchkit.config import Settings
from dispatchkit.domain.feature import Event
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.memory import MemoryStore
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.contract.both import Either, table

WRITTEN = ("deliveries", "driver_offers", "drivers", "unassigned_orders")


def swept(store: Either, mode: str, after: timedelta) -> int:
    """Run the offers sweep so long after the city's last instant; return how much it applied."""
    at = databases.NOW + after
    if isinstance(store, MemoryStore):
        store.now = at
    else:
        store = PostgresStore(store.engine, now=at)
    done = sweep(store, Settings({"offers": {"mode": mode, "wave_size": 2}}), "offers", Options())
    assert not done.outcome.stale and not done.outcome.poison
    return done.outcome.applied


@pytest.mark.parametrize("mode", ["cascade", "waves", "broadcast", "forced"])
def test_offer_modes_agree_and_second_run_changes_nothing(pair, mode):
    for seconds in (0, 20, 45):
        applied = [swept(store, mode, timedelta(seconds=seconds)) for store in pair]
        assert applied[0] == applied[1]
        assert [swept(store, mode, timedelta(seconds=seconds)) for store in pair] == [0, 0]
    for name in WRITTEN:
        assert_frame_equal(table(pair[0], name), table(pair[1], name))
    made = table(pair[0], "driver_offers").filter(pl.col("sent_at") >= databases.NOW)
    assert set(made["mode"]) == {mode}
    if mode == "forced":
        assert set(made["state"]) == {"ACCEPTED"}
    if mode == "waves":  # of 20 s later, while the first is pending
        overlapping = made.filter(pl.col("sent_at") == databases.NOW + timedelta(seconds=20))
        assert 2 in set(overlapping["attempt"])


def test_push_receipts_agree_in_both_stores(pair):
    for store in pair:
        swept(store, "broadcast", timedelta())
    pending = table(pair[0], "driver_offers").filter(pl.col("state") == "PENDING").sort("id")
    store_codes = []
    for store in pair:
        codes = []
        for offer in pending.head(6).iter_rows(named=True):
            for name in (
                "viewed",
                "delivered",
                "undeliverable",
                "decline",
                "undeliverable",
                "delivered",
            ):
                event = Event(
                    name=name,
                    actor="system:push",
                    driver_id=offer["driver_id"],
                    offer_id=offer["id"],
                    args={},
                )
                codes.append(act(store, Settings(), event).answer.code)
        for offer in pending.tail(6).iter_rows(named=True):
            event = Event(
                name="undeliverable",
                actor="system:push",
                driver_id=offer["driver_id"],
                offer_id=offer["id"],
            )
            codes += [act(store, Settings(), event).answer.code for _ in range(2)]
        store_codes.append(codes)
    assert store_codes[0] == store_codes[1]
    assert set(store_codes[0]) == {"OK", "OK_REPLAY", "ILLEGAL_TRANSITION"}
    for name in WRITTEN:
        assert_frame_equal(table(pair[0], name), table(pair[1], name))
