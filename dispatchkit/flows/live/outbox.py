"""Events that left with a decision go out: to every sender that wants them, in the order of their root, once for a key.

Each sender is served by itself, so that a dead gateway stops no other. Crash safe: what left and was not marked leaves
again with the same key, and a file finds the key in itself.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime, timedelta

from dispatchkit.config import Settings
from dispatchkit.domain.feature import Event
from dispatchkit.flows.live.act import act
from dispatchkit.kernel.errors import Refused, TryLater, Usage, shown
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.stable_random import uniform
from dispatchkit.senders.message import Message, Receipt, Sender
from dispatchkit.senders.opening import open_sender
from dispatchkit.senders.params import Outbox, SenderConfig, sender_configs
from dispatchkit.store import outbox as store_outbox
from dispatchkit.store.contract import Store
from dispatchkit.store.outbox import SendResult, Subscription, UnsentEvent
from dispatchkit.store.postgres import PostgresStore

ACTOR = "system:outbox"
LEAST_PAUSE = timedelta(seconds=0.25)  # between two passes of a run
TELLINGS = 3  # of one offer whose delivery somebody holds; each waits for the lock as long as the database lets it
REFUSED, SILENT = "PUSH_REFUSED", "NO_ACKNOWLEDGEMENT"  # why an offer never reached its driver


def run(store: Store, settings: Settings, now: datetime, *, dry_run: bool) -> Mapping[str, int]:
    """Send what is unsent and return, by sender, how many events were delivered, wait, were refused or given up.

    deferred: how many are due and were not started before the run's deadline.

    Without any sender nothing is closed: a forgotten configuration must not lose an event. The caller holds the lock.
    """
    if not isinstance(store, PostgresStore):
        raise Usage("only a database has an outbox to send from")
    params, found = settings.params("outbox", Outbox), sender_configs(settings)
    if not found:
        return {"unsent_without_sender": store_outbox.unsettled(store)}
    takers = [_taker(way) for way in found]
    if dry_run:
        return {f"{taker.name} due": store_outbox.due(store, taker) for taker in takers}
    senders = [
        open_sender(way, params) for way in found
    ]  # a secret that is missing stops the run before its first event
    stop = threading.Event()
    with ThreadPoolExecutor(len(found)) as pool:
        deliveries = [
            Delivery(store, settings, way, sender, params, stop)
            for way, sender in zip(found, senders, strict=True)
        ]
        try:
            jobs = [pool.submit(delivery.run) for delivery in deliveries]
            wait(jobs)
        except (
            BaseException
        ):  # interrupted or terminated: what is under way is marked, nothing more is begun
            stop.set()
            raise
    done: dict[str, int] = {}
    for way, job in zip(found, jobs, strict=True):
        done |= {f"{way.name} {what}": number for what, number in sorted(job.result().items())}
    done["closed"] = store_outbox.settle(store, takers)
    failpoint("outbox closed")
    cut = [taker for taker, delivery in zip(takers, deliveries, strict=True) if delivery.cut]
    deferred = sum(store_outbox.due(store, taker) for taker in cut)
    return done | ({"deferred": deferred} if deferred else {})


def retry(
    store: PostgresStore,
    settings: Settings,
    sender: str,
    *,
    dry_run: bool = False,
    max_changes: int | None = None,
) -> int:
    """Make due again what was given up on at a sender; return how many events.

    Raises Usage for an unknown sender, Refused when they are more than `max_changes`; then none is.
    """
    known = [way.name for way in sender_configs(settings)]
    if sender not in known:
        raise Usage(
            f"no [senders.{shown(sender)}] in the configuration; known: {', '.join(known) or 'none'}"
        )
    if (
        max_changes is not None
        and (failed := store_outbox.retry(store, sender, dry_run=True)) > max_changes
    ):
        raise Refused(
            f"{failed} events would be due again, --max-changes is {max_changes}; nothing done"
        )
    return store_outbox.retry(store, sender, dry_run=dry_run)


def backoff(
    params: Outbox, sender: str, key: str, attempts: int, asked: timedelta = timedelta()
) -> timedelta:
    """Return how long to wait after so many tries: doubling, half of it drawn by key, within first_wait and max_wait.

    A receiver that asks for more gets it, but never more than max_wait.
    """
    whole = min(params.first_wait * (1 << min(attempts - 1, 20)), params.max_wait)
    drawn = whole * (0.5 + 0.5 * uniform(0, "outbox", sender, key, attempts))
    return min(max(drawn, asked), params.max_wait)


class Delivery:
    """One sender's part of a run."""

    def __init__(
        self,
        store: PostgresStore,
        settings: Settings,
        way: SenderConfig,
        sender: Sender,
        params: Outbox,
        stop: threading.Event,
    ) -> None:
        self._store, self._settings, self._way = store, settings, way
        self._sender, self._params, self._stop = sender, params, stop
        self.cut = False  # the deadline left events that were not looked at
        self._done: Counter[str] = Counter()
        self._failures = 0  # in a row

    def run(self) -> Counter[str]:
        """Serve the sender until nothing is due soon; return what became of how many events."""
        patience = (
            timedelta() if self._store.now_given else self._params.patience
        )  # a given clock never moves
        end = min(time.monotonic() + patience.total_seconds(), self._store.until)
        waits = {"give_up": self._params.give_up, "push_ack": self._params.push_ack}
        try:
            with store_outbox.serving(self._store, _taker(self._way), **waits) as box:
                while True:
                    self._pass(box)
                    soonest = box.soonest()
                    if soonest is None:
                        break
                    pause = max(soonest, LEAST_PAUSE).total_seconds()
                    if time.monotonic() + pause > end or self._stop.wait(pause):
                        break
                    self._failures = 0
        finally:
            self._sender.close()
        return self._done

    def _pass(self, box: store_outbox.OutboxReader) -> None:
        """Go through everything unsent once. What must wait holds back its root's later events at this sender."""
        after, waiting = 0, set[tuple[str, int]]()
        marks: list[SendResult] = []
        while page := box.unsent(after, self._params.batch):
            failpoint("outbox read")
            if self._over() or (self._down and not self._way.push):
                break
            for event in page:
                if self._over():
                    break
                if not event.wanted:
                    continue
                mark = self._judge(event, event.root in waiting)
                if mark is None or mark.state == "WAITING":
                    waiting.add(event.root)
                if mark is not None:
                    marks.append(mark)
                if len(marks) >= self._sender.max_unconfirmed:
                    self._mark(box, marks)
            after = page[-1].id
        self._mark(box, marks)

    def _over(self) -> bool:
        """Return whether nothing more may be begun, and remember if that was for want of time."""
        self.cut = self.cut or time.monotonic() >= self._store.until
        return self.cut or self._stop.is_set()

    def _mark(self, box: store_outbox.OutboxReader, marks: list[SendResult]) -> None:
        """Mark what has left, or that nothing is safe yet, and empty the list."""
        if not marks:
            return
        if fault := self._sender.flush():
            marks[:] = [
                self._again(mark.id, mark.key, 1, Receipt("RETRY", fault)) for mark in marks
            ]
        failpoint("outbox sent")
        box.mark(marks)
        failpoint("outbox marked")
        self._done.update(mark.state.lower() for mark in marks)
        marks.clear()

    def _judge(self, event: UnsentEvent, held_back: bool) -> SendResult | None:
        """Return what becomes of an event now, None if it is not its turn."""
        if event.stale and (event.attempts or held_back or self._down):
            return self._withdrawn(event, SILENT)
        if held_back or not event.due or self._down:
            return None
        receipt = self._sender.send(_message(event))
        if receipt.outcome == "RETRY":
            self._failures += 1
            if event.stale:
                return self._withdrawn(event, SILENT, receipt.reason)
            if event.spent:
                return SendResult(event.id, event.key, "FAILED", said=receipt.reason)
            return self._again(event.id, event.key, event.attempts + 1, receipt)
        self._failures = 0
        if receipt.outcome == "REFUSED":
            return (
                self._withdrawn(event, REFUSED, receipt.reason)
                if event.offer_id
                else _over(event, receipt)
            )
        if event.offer_id and not self._tell(
            event, "delivered", {}
        ):  # without this receipt the driver's silence would never count
            return self._again(
                event.id, event.key, event.attempts + 1, Receipt("RETRY", "offer locked")
            )
        return _over(event, receipt)

    @property
    def _down(self) -> bool:
        return self._failures >= self._params.down_after

    def _again(self, id_: int, key: str, attempts: int, receipt: Receipt) -> SendResult:
        pause = backoff(self._params, self._way.name, key, attempts, receipt.wait)
        return SendResult(id_, key, "WAITING", pause, receipt.reason)

    def _withdrawn(self, event: UnsentEvent, reason: str, said: str = "") -> SendResult | None:
        """End an offer that did not reach its driver: a state, not silence. Locked by somebody: the next pass."""
        told = self._tell(event, "undeliverable", {"reason": reason})
        return SendResult(event.id, event.key, "REFUSED", said=said or reason) if told else None

    def _tell(self, event: UnsentEvent, name: str, args: Mapping[str, str]) -> bool:
        """Tell the offer what became of its push; return whether it could be told."""
        told = Event(
            name=name, actor=ACTOR, offer_id=event.offer_id, driver_id=event.driver_id, args=args
        )
        for again in range(TELLINGS):
            if again and self._over():
                break
            with suppress(TryLater):
                act(self._store, self._settings, told)
                return True
        return False


def _taker(way: SenderConfig) -> Subscription:
    return Subscription(name=way.name, events=way.events, push=way.push)


def _message(event: UnsentEvent) -> Message:
    return Message(
        id=event.id,
        event=event.event,
        key=event.key,
        root=event.root,
        at=event.at,
        payload=event.payload,
    )


def _over(event: UnsentEvent, receipt: Receipt) -> SendResult:
    return SendResult(event.id, event.key, receipt.outcome, said=receipt.reason)
