"""Several connections write one run, each a share without a row in common with the others.

So no connection waits for another one. There is one lock and one ledger row: every batch checks
that the leader still holds the lock, and adds itself to the ledger while the run is open there.
When the leader dies, the open batches of its workers are rolled back and no further batch begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from dispatchkit.store.contract import Outcome, Stale
from dispatchkit.store.groups import WriteGroup, shares
from dispatchkit.store.write import Deadline, Writer

OpenWorker = Callable[[], AbstractContextManager[Writer]]


def write(
    leader: Writer,
    open_worker: OpenWorker,
    workers: int,
    groups: Sequence[WriteGroup],
    batch: int,
    deadline: Deadline,
) -> Outcome:
    """Return the outcome of all groups, the same and in the same order for any number of workers.

    workers: the leader included. batch: about how many changes one transaction carries; a run that
    is smaller is written by the leader alone. When one worker fails, all others stop after the
    batch they are in, and its error is raised.
    """
    changes = sum(len(group.changes) for group in groups)
    leader_share, *worker_shares = shares(groups, max(1, min(workers, changes // batch)))

    def write_share(share: list[WriteGroup]) -> Outcome:
        try:
            with open_worker() as worker:
                return worker.apply(share, batch, deadline)
        except BaseException:
            deadline.stop()
            raise

    total = Outcome()
    with ThreadPoolExecutor(max(1, len(worker_shares)), "worker") as pool:
        pending = [pool.submit(write_share, share) for share in worker_shares]
        try:
            total.add(leader.apply(leader_share, batch, deadline))
        except BaseException:
            # The pool waits here until every worker has finished the batch it is in.
            deadline.stop()
            raise
    for future in pending:
        total.add(future.result())
    _sort_as_decided(total, groups)
    return total


def _sort_as_decided(outcome: Outcome, groups: Sequence[WriteGroup]) -> None:
    """Sort the stale and poisoned changes of an outcome in the order of the groups."""
    if not outcome.stale and not outcome.poisoned:
        return
    changes = (change for group in groups for change in group.changes)
    position = {(c.entity, c.id, c.version): i for i, c in enumerate(changes)}

    def key(change: Stale) -> int:
        return position[change.entity, change.id, change.version]

    outcome.stale.sort(key=key)
    outcome.poisoned.sort(key=key)
