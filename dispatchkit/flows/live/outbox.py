"""Sends the events of decisions to every sender that subscribes, in the order of their root.

Each sender is served by itself, so that one dead gateway does not stop the others. An event that
was sent but not marked before a crash is sent again with the same key: a receiver drops the
repetition, and a file finds the key in itself.
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
from dispatchkit.domain.codes import ChangeReason
from dispatchkit.domain.feature import Event
from dispatchkit.flows.live.act import act
from dispatchkit.kernel.errors import Refused, TryLater, Usage, shown
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.stable_random import uniform
from dispatchkit.senders.message import Message, Receipt, Sender
from dispatchkit.senders.opening import open_sender
from dispatchkit.senders.params import Outbox, SenderConfig, sender_configs
from dispatchkit.store.contract import Store
from dispatchkit.store.outbox import OutboxReader, SendResult, Subscription, UnsentEvent

ACTOR = "system:outbox"
LEAST_PAUSE = timedelta(seconds=0.25)  # between two passes of a run
LOCK_TRIES = 3  # per offer; each waits for the delivery's lock as long as the database allows
# Why an offer never reached its driver.
REFUSED, SILENT = ChangeReason.PUSH_REFUSED, ChangeReason.NO_ACKNOWLEDGEMENT


def run(store: Store, settings: Settings, now: datetime, *, dry_run: bool) -> Mapping[str, int]:
    """Send what is unsent; return, by sender, how many events are in each state afterwards.

    deferred: how many are due and were not started before the run's deadline.

    Without any sender nothing is closed: a forgotten configuration must not lose an event. The
    caller holds the lock of the sweep. Raises Usage for a store without an outbox.
    """
    outbox, configs = store.outbox, sender_configs(settings)
    if not configs:
        return {"unsent_without_sender": outbox.unsettled()}
    subscriptions = [_subscription(config) for config in configs]
    if dry_run:
        return {f"{s.name} due": outbox.due(s) for s in subscriptions}

    params = settings.params("outbox", Outbox)
    # All senders are opened first: a missing secret stops the run before it sends anything.
    senders = [open_sender(config, params) for config in configs]
    stop = threading.Event()
    sendings = [
        Sending(store, settings, config, sender, params, stop)
        for config, sender in zip(configs, senders, strict=True)
    ]
    with ThreadPoolExecutor(len(sendings)) as pool:
        try:
            jobs = [pool.submit(sending.run) for sending in sendings]
            wait(jobs)
        except BaseException:
            # Interrupted or terminated: what was sent is still marked, nothing more is started.
            stop.set()
            raise
    counts: dict[str, int] = {}
    for config, job in zip(configs, jobs, strict=True):
        counts |= {f"{config.name} {state}": n for state, n in sorted(job.result().items())}
    counts["closed"] = outbox.settle(subscriptions)
    failpoint("outbox closed")
    deferred = sum(
        outbox.due(subscription)
        for subscription, sending in zip(subscriptions, sendings, strict=True)
        if sending.out_of_time
    )
    return counts | ({"deferred": deferred} if deferred else {})


def retry(
    store: Store,
    settings: Settings,
    sender: str,
    *,
    dry_run: bool = False,
    max_changes: int | None = None,
) -> int:
    """Make the failed events of a sender due again; return how many.

    Raises Usage for an unknown sender, Refused when they are more than `max_changes`; then none is.
    """
    known = [config.name for config in sender_configs(settings)]
    if sender not in known:
        raise Usage(
            f"no [senders.{shown(sender)}] in the configuration; "
            f"known: {', '.join(known) or 'none'}"
        )
    if max_changes is not None:
        failed = store.outbox.retry(sender, dry_run=True)
        if failed > max_changes:
            raise Refused(
                f"{failed} events would be due again, --max-changes is {max_changes}; nothing done"
            )
    return store.outbox.retry(sender, dry_run=dry_run)


def backoff(
    params: Outbox, sender: str, key: str, attempts: int, requested: timedelta = timedelta()
) -> timedelta:
    """Return how long to wait before the next try, between first_wait and max_wait.

    The wait doubles with each of the `attempts`; half of it is random by key, so that many events
    do not return at once. requested: the wait that the receiver asked for, kept up to max_wait.
    """
    longest = min(params.first_wait * (1 << min(attempts - 1, 20)), params.max_wait)
    drawn = longest * (0.5 + 0.5 * uniform(0, "outbox", sender, key, attempts))
    return min(max(drawn, requested), params.max_wait)


class Sending:
    """One sender's part of a run."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        config: SenderConfig,
        sender: Sender,
        params: Outbox,
        stop: threading.Event,
    ) -> None:
        self._store, self._settings, self._config = store, settings, config
        self._sender, self._params, self._stop = sender, params, stop
        self.out_of_time = False  # the deadline came before all events were looked at
        self._counts: Counter[str] = Counter()
        self._failures = 0  # in a row

    def run(self) -> Counter[str]:
        """Serve the sender until nothing is due soon; return how many events reached each state."""
        # A clock that is given never moves: to wait for a later try would be in vain.
        patience = timedelta() if self._store.now_given else self._params.patience
        end = min(time.monotonic() + patience.total_seconds(), self._store.until)
        serving = self._store.outbox.serving(
            _subscription(self._config),
            give_up=self._params.give_up,
            push_ack=self._params.push_ack,
        )
        try:
            with serving as outbox:
                while True:
                    self._pass(outbox)
                    soonest = outbox.soonest()
                    if soonest is None:
                        break
                    pause = max(soonest, LEAST_PAUSE).total_seconds()
                    if time.monotonic() + pause > end or self._stop.wait(pause):
                        break
                    self._failures = 0
        finally:
            self._sender.close()
        return self._counts

    def _pass(self, outbox: OutboxReader) -> None:
        """Go through all unsent events once.

        An event that must wait holds back the later events of its root at this sender.
        """
        after, waiting = 0, set[tuple[str, int]]()
        results: list[SendResult] = []
        while page := outbox.unsent(after, self._params.batch):
            failpoint("outbox read")
            if self._must_stop() or (self._down and not self._config.push):
                break
            for event in page:
                if self._must_stop():
                    break
                if not event.wanted:
                    continue
                result = self._send(event, event.root in waiting)
                if result is None or result.state == "WAITING":
                    waiting.add(event.root)
                if result is not None:
                    results.append(result)
                if len(results) >= self._sender.max_unconfirmed:
                    self._mark(outbox, results)
            after = page[-1].id
        self._mark(outbox, results)

    def _must_stop(self) -> bool:
        """Return whether nothing more may be started; remember if time ran out."""
        self.out_of_time = self.out_of_time or time.monotonic() >= self._store.until
        return self.out_of_time or self._stop.is_set()

    def _mark(self, outbox: OutboxReader, results: list[SendResult]) -> None:
        """Write the results and empty the list; if the sender cannot confirm them, all wait."""
        if not results:
            return
        if fault := self._sender.flush():
            results[:] = [
                self._wait(result.id, result.key, 1, Receipt("RETRY", fault)) for result in results
            ]
        failpoint("outbox sent")
        outbox.mark(results)
        failpoint("outbox marked")
        self._counts.update(result.state.lower() for result in results)
        results.clear()

    def _send(self, event: UnsentEvent, held_back: bool) -> SendResult | None:
        """Send an event if it may go now; return its result, None if it is not its turn.

        held_back: an earlier event of the same root waits.
        """
        if event.stale and (event.attempts or held_back or self._down):
            return self._withdraw(event, SILENT)
        if held_back or not event.due or self._down:
            return None
        receipt = self._sender.send(_message(event))
        if receipt.outcome == "RETRY":
            self._failures += 1
            if event.stale:
                return self._withdraw(event, SILENT, receipt.reason)
            if event.spent:
                return SendResult(event.id, event.key, "FAILED", said=receipt.reason)
            return self._wait(event.id, event.key, event.attempts + 1, receipt)
        self._failures = 0
        if receipt.outcome == "REFUSED" and event.offer_id:
            return self._withdraw(event, REFUSED, receipt.reason)
        # Only a delivered offer can time out, so its delivery is recorded before the event closes.
        delivered = receipt.outcome != "REFUSED" and event.offer_id
        if delivered and not self._act(event, "delivered", {}):
            receipt = Receipt("RETRY", "offer locked")
            return self._wait(event.id, event.key, event.attempts + 1, receipt)
        return SendResult(event.id, event.key, receipt.outcome, said=receipt.reason)

    @property
    def _down(self) -> bool:
        return self._failures >= self._params.down_after

    def _wait(self, id_: int, key: str, attempts: int, receipt: Receipt) -> SendResult:
        pause = backoff(self._params, self._config.name, key, attempts, receipt.wait)
        return SendResult(id_, key, "WAITING", pause, receipt.reason)

    def _withdraw(self, event: UnsentEvent, reason: str, response: str = "") -> SendResult | None:
        """End an offer that did not reach its driver, who must not count as silent.

        Returns None while its delivery is locked: the next pass tries again.
        """
        if not self._act(event, "undeliverable", {"reason": reason}):
            return None
        return SendResult(event.id, event.key, "REFUSED", said=response or reason)

    def _act(self, event: UnsentEvent, name: str, args: Mapping[str, str]) -> bool:
        """Record on the offer what became of its push; return False if it stayed locked."""
        push_event = Event(
            name=name, actor=ACTOR, offer_id=event.offer_id, driver_id=event.driver_id, args=args
        )
        for attempt in range(LOCK_TRIES):
            if attempt and self._must_stop():
                break
            with suppress(TryLater):
                act(self._store, self._settings, push_event)
                return True
        return False


def _subscription(config: SenderConfig) -> Subscription:
    return Subscription(name=config.name, events=config.events, push=config.push)


def _message(event: UnsentEvent) -> Message:
    return Message(
        id=event.id,
        event=event.event,
        key=event.key,
        root=event.root,
        at=event.at,
        payload=event.payload,
    )
