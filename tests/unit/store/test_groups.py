"""How a run is shared among workers: no row in two shares, every decision in one, in its order."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from dispatchkit.domain.changes import Change
from dispatchkit.store.groups import WriteGroup, groups, shares
from tests import databases

ROWS = st.integers(1, 12)


def decided(root: int, drivers: list[int], seen: list[int]) -> list[Change]:
    """Return changes of one delivery that write some drivers and rely on others."""
    return [
        Change(
            entity="driver",
            id=driver,
            version=1,
            event="driver_counted",
            after={"timeouts": root},
            reason="test",
            at=databases.NOW,
            root=("delivery", root),
            expects=tuple(("driver", other, 1) for other in seen),
        )
        for driver in drivers
    ]


@st.composite
def write_groups(draw: st.DrawFn) -> list[WriteGroup]:
    roots = draw(st.lists(st.integers(1, 99), unique=True, max_size=20))
    drivers = st.lists(ROWS, unique=True, min_size=1, max_size=2)
    found = [decided(root, draw(drivers), draw(st.lists(ROWS, max_size=1))) for root in roots]
    return groups([change for changes in found for change in changes], "test")


@given(write_groups(), st.integers(1, 5))
def test_shares_keep_order_and_have_no_common_row(whole, workers):
    found = shares(whole, workers)
    place = {group.root: i for i, group in enumerate(whole)}
    assert len(found) <= workers
    assert sorted((g.root for share in found for g in share), key=place.__getitem__) == [
        g.root for g in whole
    ]
    for share in found:
        assert [place[g.root] for g in share] == sorted(place[g.root] for g in share)
    touched = [set().union(*(g.keys for g in share)) for share in found]
    assert all(one.isdisjoint(other) for one, other in combinations(touched, 2))


def test_unconnected_groups_are_shared_evenly():
    whole = groups(
        [change for root in range(1, 101) for change in decided(root, [root], [])], "test"
    )
    assert [len(share) for share in shares(whole, 4)] == [25, 25, 25, 25]


def test_groups_connected_through_rows_stay_with_one_worker():
    chain = [change for root in range(1, 50) for change in decided(root, [root], [root + 1])]
    assert [len(share) for share in shares(groups(chain, "test"), 2)] == [49]
