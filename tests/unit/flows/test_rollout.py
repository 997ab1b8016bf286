"""A rollout percentage decides who takes part before anything is decided for them."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from dispatchkit.config import Settings
from dispatchkit.domain.feature import OUTSIDE
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.gather import gather
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.flags import Flag
from dispatchkit.store.memory import MemoryStore
from tests import databases

ENDS = {  # outside a rollout too what was begun is brought to its end, and what is due is seen to be due
    "offers": {"offer_expired", "driver_cooled_down", "offer_revoked", "delivery_unassigned"}
    | {"delivery_scheduled", "delivery_dispatchable", "episode_opened"},
    "reassignment": {"reassignment_aborted"},
}
LATER = databases.NOW + timedelta(minutes=40)  # by then every sweep has something to do for many


def _swept(name: str, percent: float, *, enabled: bool = True, at: datetime | None = None):
    store = MemoryStore(
        databases.sample_frames(), at or (databases.NOW if name == "offers" else LATER)
    )
    flags = {name: {"enabled": enabled, "percent": percent}}
    return sweep(store, Settings({"flags": flags}), name, Options(dry_run=True))


def begun(swept) -> list[str]:
    """Return what a run does beyond bringing to its end what was begun."""
    return [
        change.event for change in swept.changes if change.event not in ENDS.get(swept.sweep, ())
    ]


@pytest.mark.parametrize("name", catalog.FEATURES)
def test_a_flag_that_is_off_holds_every_unit_and_begins_nothing(name):
    swept = _swept(name, 100.0, enabled=False)
    assert (begun(swept), begun(_swept(name, 0.0))) == ([], [])
    assert swept.held_by_flag > 0
    assert _swept(name, 100.0).held_by_flag == 0
    assert begun(_swept(name, 100.0)) != []


def test_offers_that_are_out_when_the_flag_goes_off_run_out_as_they_do_inside():
    off, on = _swept("offers", 100.0, enabled=False, at=LATER), _swept("offers", 100.0, at=LATER)
    pending = databases.sample_frames()["driver_offers"].filter(pl.col("state") == "PENDING")
    expired = [change.id for change in off.changes if change.event == "offer_expired"]
    assert sorted(expired) == sorted(pending["id"]) != []
    assert [c for c in on.changes if c.event in ENDS["offers"]] == off.changes
    assert {c.id for c in off.changes if c.event == "delivery_unassigned"} == set(
        pending["delivery_id"]
    )
    assert [c for c in off.changes if c.event == "episode_opened"], (
        "a person and the ladder see what is due"
    )


@pytest.mark.parametrize("name", catalog.FEATURES)
def test_half_a_rollout_begins_only_inside_it(name):
    flag = Flag(name=name, percent=50.0)
    swept = _swept(name, 50.0)
    everyone = _swept(name, 100.0)
    outside = [c.event for c in swept.changes if not flag.admits(c.root[1])]
    assert set(outside) <= ENDS.get(name, set())
    assert len(swept.changes) < len(everyone.changes)
    assert bool(begun(swept)) == any(flag.admits(change.root[1]) for change in everyone.changes)


@pytest.mark.parametrize("name", catalog.FEATURES)
def test_held_units_are_left_out_or_marked_before_anything_is_decided_so_they_claim_no_driver(name):
    store, feature = MemoryStore(databases.sample_frames(), databases.NOW), catalog.feature(name)
    flag = Flag(name=name, percent=50.0)
    all_of_them = gather(store, feature, Flag(name=name), databases.NOW).frames
    half = gather(store, feature, flag, databases.NOW).frames
    for read, frame in all_of_them.items():
        column = feature.units.get(read)
        kept = [
            row for row in frame.iter_rows(named=True) if column is None or flag.admits(row[column])
        ]
        found = half[read].filter(~pl.col(OUTSIDE)) if OUTSIDE in frame.columns else half[read]
        assert found.to_dicts() == kept, read
