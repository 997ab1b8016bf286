"""A rollout admits its share of units, always the same ones, and more as the percentage rises."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dispatchkit.kernel.flags import Flag

UNITS = range(1, 20_001)
PINNED = [11, 25, 26]  # first 8 bytes of `printf offers:11 | sha256sum`, modulo 10000, below 2000


def inside(name: str, percent: float) -> set[int]:
    flag = Flag(name=name, percent=percent)
    return {unit for unit in UNITS if flag.admits(unit)}


@pytest.mark.parametrize("percent", [1.0, 10.0, 50.0, 99.0])
def test_share_inside_is_percentage(percent):
    share = len(inside("offers", percent)) / len(UNITS)
    spread = (percent / 100 * (1 - percent / 100) / len(UNITS)) ** 0.5
    assert abs(share - percent / 100) < 4 * spread


def test_raising_percentage_only_adds_units():
    steps = [inside("offers", percent) for percent in (0, 0.01, 5, 5.01, 50, 100)]
    assert all(small <= large for small, large in pairwise(steps))
    assert steps[0] == set()
    assert steps[-1] == set(UNITS)


def test_two_flags_admit_independently():
    both = len(inside("offers", 50) & inside("routes", 50)) / len(UNITS)
    assert abs(both - 0.25) < 0.015


def test_disabled_flag_admits_no_unit():
    assert not any(Flag(name="offers", enabled=False).admits(unit) for unit in range(100))


def test_membership_is_pinned_across_upgrades():
    assert (
        sorted(unit for unit in range(1, 41) if Flag(name="offers", percent=20).admits(unit))
        == PINNED
    )
