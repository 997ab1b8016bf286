"""Taking a delivery away from its driver: the steps that a sweep and a person share."""

from __future__ import annotations

from collections.abc import Sequence

from dispatchkit.decide.reassignment.follow import SUSPECT, step
from dispatchkit.decide.reassignment.model import Case, Job
from dispatchkit.kernel.group import Group, Said
from dispatchkit.kernel.search import open_search
from dispatchkit.kernel.states import CASE


def release(group: Group, delivery: Job, reason: str, said: Said) -> None:
    """Put a delivery back into the search, ahead of its like, and open its next episode."""
    group.change(
        "delivery",
        delivery,
        "delivery_released",
        reason,
        {
            "state": "UNASSIGNED",
            "episode": delivery.episode + 1,
            "attempt": 0,
            "priority": delivery.priority + 1,
            "driver_id": None,
            "slot": None,
            "assigned_at": None,
            "started_at": None,
            "arrived_pickup_at": None,
            "lock_until": None,
        },
        **said,
    )
    open_search(group, delivery.id, delivery.episode + 1, reason, group.at)


def close_others(group: Group, cases: Sequence[Case], reason: str) -> None:
    """Close the other open cases of a delivery that is taken away now: an earlier reassignment has relapsed.

    A case that no sweep has moved on since its delivery found a new driver passes the states it missed.
    """
    for case in cases:
        if group.value("case", case, "state") in SUSPECT:
            step(group, case, "ABORTED", reason)
            continue
        for state in ("REOFFERING", "REASSIGNED", "RELAPSED"):
            if CASE.allows(str(group.value("case", case, "state")), state):
                step(group, case, state, reason)
