"""A whole day on the in-memory store: what loading, a cycle of sweeps and one act cost there."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import polars as pl
import pytest

from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.simulation import Scenario, days, world
from dispatchkit.store.memory import MemoryStore

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
ORDERS = int(os.environ.get("DISPATCHKIT_BENCH_ORDERS", "12000"))
CYCLES = 4
ACTS = 20


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def test_day_in_memory() -> None:
    plan = Scenario(orders=ORDERS, days=1, seed=1)
    frames = {**world(plan), **next(iter(days(plan)))}
    settings = catalog.settings()

    begin = time.perf_counter()
    store = MemoryStore(frames, plan.as_of)
    loading = time.perf_counter() - begin
    rows = sum(frame.height for frame in frames.values())
    print(f"\nmemory: {rows:,} rows loaded in {loading:.2f} s", flush=True)

    for cycle in range(CYCLES):
        store.now = plan.as_of + cycle * timedelta(seconds=30)
        took = {
            name: _seconds(partial(sweep, store, settings, name, Options()))
            for name in catalog.FEATURES
        }
        each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in took.items())
        print(f"cycle {cycle + 1}: {sum(took.values()):.2f} s ({each})", flush=True)

    pending = store.frame("driver_offers").filter(pl.col("state") == "PENDING").head(ACTS)
    declines = [
        Event(
            name="decline",
            actor="driver",
            offer_id=offer["id"],
            driver_id=offer["driver_id"],
            args={"reason": "TOO_FAR"},
        )
        for offer in pending.iter_rows(named=True)
    ]
    acts = [_seconds(partial(act, store, settings, event)) for event in declines]
    print(f"act: {statistics.median(acts) * 1000:.0f} ms (median of {len(acts)})", flush=True)
