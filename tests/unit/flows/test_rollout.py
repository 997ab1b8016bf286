"""A rollout percentage decides who takes part before anything is decided for them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatchkit.config import Settings
from dispatchkit.flows import catalog
from dispatchkit.flows.gather import gather
from dispatchkit.flows.sweep import Options, sweep
from dispatchkit.kernel.flags import Flag
from dispatchkit.store.memory import MemoryStore
from tests import databases

LATER = databases.NOW + timedelta(minutes=40)  # by then every sweep has something to do for many


def _swept(name: str, percent: float, *, enabled: bool = True):
    store = MemoryStore(databases.city_frames(), LATER)
    flags = {name: {"enabled": enabled, "percent": percent}}
    return sweep(store, Settings({"flags": flags}), name, Options(dry_run=True))


@pytest.mark.parametrize("name", catalog.FEATURES)
def test_a_flag_that_is_off_holds_every_unit_and_decides_nothing(name):
    swept = _swept(name, 100.0, enabled=False)
    assert (swept.changes, _swept(name, 0.0).changes) == ([], [])
    assert swept.held > 0
    assert _swept(name, 100.0).held == 0


@pytest.mark.parametrize("name", catalog.FEATURES)
def test_half_a_rollout_changes_only_units_inside_it(name):
    flag = Flag(name=name, percent=50.0)
    swept = _swept(name, 50.0)
    everyone = _swept(name, 100.0).changes
    assert all(flag.admits(change.root[1]) for change in swept.changes)
    assert len(swept.changes) < len(everyone)
    assert bool(swept.changes) == any(flag.admits(change.root[1]) for change in everyone)


@pytest.mark.parametrize("name", catalog.FEATURES)
def test_held_units_are_left_out_before_anything_is_decided_so_they_claim_no_driver(name):
    store, feature = MemoryStore(databases.city_frames(), databases.NOW), catalog.feature(name)
    flag = Flag(name=name, percent=50.0)
    all_of_them = gather(store, feature, Flag(name=name), databases.NOW).frames
    half = gather(store, feature, flag, databases.NOW).frames
    for read, frame in all_of_them.items():
        column = feature.units.get(read)
        kept = [row for row in frame.iter_rows(named=True) if column is None or flag.admits(row[column])]
        assert half[read].to_dicts() == kept, read
