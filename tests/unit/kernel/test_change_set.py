"""A group of changes keeps versions in line and lets no illegal step out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.kernel.errors import IllegalTransition
from tests.builders import NOW


@dataclass(frozen=True)
class Job:
    id: int
    state: str
    attempt: int
    version: int


def group() -> ChangeSet:
    return ChangeSet(("delivery", 1), NOW)


def test_second_update_starts_from_first_update():
    told, job = group(), Job(1, "OFFERING", 0, 5)
    told.change(
        "delivery", job, "delivery_unassigned", "ROUND_OVER", {"state": "UNASSIGNED", "attempt": 1}
    )
    told.change("delivery", job, "delivery_offering", "DRIVER_FOUND", {"state": "OFFERING"})
    assert [(c.version, c.before) for c in told.changes] == [
        (5, {"state": "OFFERING", "attempt": 0}),
        (6, {"state": "UNASSIGNED"}),
    ]
    assert (told.value("delivery", job, "attempt"), told.value("delivery", job, "state")) == (
        1,
        "OFFERING",
    )


def test_insert_expects_version_0_and_update_version_1():
    told, episode = group(), Job(9, "OPEN", 0, 1)
    told.insert("episode", 9, "episode_opened", "DISPATCH_DUE", {"state": "OPEN"})
    told.change("episode", episode, "episode_closed", "OPS", {"state": "ASSIGNED"})
    assert [(c.version, c.before) for c in told.changes] == [(0, {}), (1, {"state": "OPEN"})]


@pytest.mark.parametrize(
    ("was", "becomes"), [("DELIVERED", "UNASSIGNED"), ("UNASSIGNED", "UNASSIGNED")]
)
def test_illegal_step_is_refused_at_once(was, becomes):
    with pytest.raises(IllegalTransition, match=f'"{was}" may not become "{becomes}"'):
        group().change("delivery", Job(1, was, 0, 1), "x", "x", {"state": becomes})


def test_row_cannot_be_inserted_in_later_state():
    with pytest.raises(IllegalTransition):
        group().insert("offer", 1, "offer_created", "x", {"state": "ACCEPTED"})
