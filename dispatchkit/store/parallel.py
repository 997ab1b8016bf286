"""Several connections that write one run. Each has a share that touches no row of another's, so none waits for another.

There is one lock and one line in the ledger. Every batch proves that the leader still holds the lock, and counts
itself in the ledger while the run is open there: when the leader dies, the batches that its workers have open are
undone, and no more begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from dispatchkit.store.contract import Outcome, Stale
from dispatchkit.store.groups import WriteGroup, shares
from dispatchkit.store.write import Clock, Writer

Hire = Callable[[], AbstractContextManager[Writer]]


def write(
    leader: Writer, hire: Hire, workers: int, whole: Sequence[WriteGroup], batch: int, clock: Clock
) -> Outcome:
    """Return what became of all groups, written by the leader and at most `workers` - 1 beside it; one fails, all stop.

    The outcome is the same whatever the number of workers, and told in the order of the groups.
    """
    count = sum(len(group.changes) for group in whole)
    mine, *others = shares(whole, max(1, min(workers, count // batch)))

    def work(share: list[WriteGroup]) -> Outcome:
        try:
            with hire() as worker:
                return worker.apply(share, batch, clock)
        except BaseException:
            clock.stop()
            raise

    total = Outcome()
    with ThreadPoolExecutor(max(1, len(others)), "worker") as pool:
        beside = [pool.submit(work, share) for share in others]
        try:
            total.add(leader.apply(mine, batch, clock))
        except BaseException:
            clock.stop()  # what the others have begun they finish; then we go
            raise
    for done in beside:
        total.add(done.result())
    _in_order(total, whole)
    return total


def _in_order(outcome: Outcome, whole: Sequence[WriteGroup]) -> None:
    if not outcome.stale and not outcome.poisoned:
        return
    changes = (change for group in whole for change in group.changes)
    place = {(c.entity, c.id, c.version): i for i, c in enumerate(changes)}

    def key(found: Stale) -> int:
        return place[found.entity, found.id, found.version]

    outcome.stale.sort(key=key)
    outcome.poisoned.sort(key=key)
