"""Drivers accept at the same time: one of them wins each delivery, through the program and past it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import psycopg
import pytest
from sqlalchemy import Engine

from dispatchkit.config import Database
from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import TryLater
from dispatchkit.store import connect, intake
from dispatchkit.store.check import offenders
from dispatchkit.store.postgres import PostgresStore
from tests import counts, databases
from tests.builders import NOW, Row, a_delivery, a_driver, an_offer, tables
from tests.crash.servers import wait_until

NAMED = set(
    "OK OK_REPLAY NOT_FOUND DELIVERY_CANCELLED ILLEGAL_TRANSITION CUSTODY_RESTORED CUSTODY_CONFLICT".split()
)
THEN = NOW + timedelta(seconds=5)
Accept = Callable[[int, int, int], str]  # (delivery, offer, driver) -> how it ended


@dataclass(frozen=True)
class Contest:
    """Deliveries that are each offered to `rivals` drivers at once; a driver gets one offer."""

    deliveries: int
    rivals: int

    def offers(self, delivery: int) -> list[tuple[int, int]]:
        """Return (offer, driver) of every offer of a delivery."""
        first = (delivery - 1) * self.rivals + 1
        return [(id_, id_) for id_ in range(first, first + self.rivals)]

    def rows(self) -> Iterator[list[Row]]:
        for delivery in range(1, self.deliveries + 1):
            yield a_delivery(delivery, state="OFFERING")
            for offer, driver in self.offers(delivery):
                yield a_driver(driver, at=None)
                yield an_offer(offer, delivery=delivery, driver=driver, mode="broadcast")


@contextmanager
def held(contest: Contest, *, sound: bool = True) -> Iterator[Engine]:
    """Yield a database in which the contest is about to begin."""
    with databases.fresh("empty", sound=sound) as engine:
        intake.insert(engine, tables(*contest.rows()))
        yield engine


@contextmanager
def releasing(together: Barrier) -> Iterator[None]:
    """Abort the barrier if a client fails, so that no other waits for it."""
    try:
        yield
    except BaseException:
        together.abort()
        raise


def fought(contest: Contest, client: Callable[[], Accept]) -> list[Counter[str]]:
    """Return the codes of the answers to each delivery; all of its drivers answer at the same time."""
    together = Barrier(contest.rivals)

    def answers(rival: int) -> list[str]:
        accept, found = client(), []
        for delivery in range(1, contest.deliveries + 1):
            offer, driver = contest.offers(delivery)[(rival + delivery) % contest.rivals]
            together.wait(60)
            with releasing(together):
                found.append(accept(delivery, offer, driver))
        return found

    with ThreadPoolExecutor(contest.rivals) as pool:
        return [
            Counter(codes) for codes in zip(*pool.map(answers, range(contest.rivals)), strict=True)
        ]


def broken(engine: Engine, *names: str) -> list[str]:
    return [found.name for found, number in offenders(engine) if number and found.name in names]


def in_force(engine: Engine) -> int:
    """Return how many deliveries are with the driver whose acceptance counts."""
    with engine.connect() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(DISTINCT d.id) FROM dk.driver_offers o JOIN dk.deliveries d "
                "ON d.id = o.delivery_id "
                "WHERE (o.state, o.episode, o.driver_id, d.state) = ('ACCEPTED', d.episode, "
                "d.driver_id, 'ASSIGNED')"
            ).scalar_one()
        )


CONTESTS = [
    pytest.param(Contest(16, 4), id="short"),
    pytest.param(
        Contest(400, 16), id="full", marks=[pytest.mark.nightly, pytest.mark.timeout(1200)]
    ),
]


@pytest.mark.parametrize("contest", CONTESTS)
def test_exactly_one_concurrent_accept_wins(contest):
    settings = catalog.settings()
    with held(contest) as engine:

        def client() -> Accept:
            store = PostgresStore(engine, now=THEN)

            def accept(_delivery: int, offer: int, driver: int) -> str:
                event = Event(
                    name="accept", actor=f"driver:{driver}", offer_id=offer, driver_id=driver
                )
                while True:
                    try:
                        return act(store, settings, event).answer.code
                    except TryLater:  # on a busy machine a queue of rivals outlasts lock_timeout; exit 75 says: again
                        counts.add("accepts told to try later")

            return accept

        ended = fought(contest, client)
        assert ended == [Counter({"OK": 1, "LOST_RACE": contest.rivals - 1})] * contest.deliveries
        assert in_force(engine) == contest.deliveries
    counts.add("accepts that raced", contest.deliveries * contest.rivals)
    counts.add("double accepts", sum(codes["OK"] - 1 for codes in ended))


BLOCKED_BY_ME = "SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
YES = "UPDATE dk.driver_offers SET state = 'ACCEPTED', responded_at = %(then)s WHERE id = %(offer)s"
TAKE = (
    "UPDATE dk.deliveries SET state = 'ASSIGNED', driver_id = %(driver)s, slot = 1, assigned_at = "
    "%(then)s "
    "WHERE id = %(delivery)s"
)
WAYS = {  # what a client that goes past the program might send, and what its losers are told
    "the offer first": ((YES, TAKE), {"23505"}),
    "the delivery first": ((TAKE, YES), {"23505"}),
    "the offer alone": ((YES,), {"DK006", "23505"}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("contest", CONTESTS)
def test_database_refuses_concurrent_raw_accepts(contest, way):
    statements, codes = WAYS[way]
    with held(
        contest, sound=False
    ) as engine:  # raw SQL leaves the rivals' offers open, which is not what is tried here

        def client() -> Accept:
            connection = psycopg.connect(
                databases.url(engine), options=f"-c deadlock_timeout=50ms -c dk.now={rfc3339(THEN)}"
            )
            connection.execute("SET ROLE dk_app")
            connection.commit()

            def accept(delivery: int, offer: int, driver: int) -> str:
                values = {"delivery": delivery, "offer": offer, "driver": driver, "then": THEN}
                try:
                    with connection.transaction():
                        for statement in statements:
                            connection.execute(statement, values)
                except psycopg.Error as fault:
                    return fault.sqlstate or "lost"
                return "OK"

            return accept

        ended = fought(contest, client)
        won = [found["OK"] for found in ended]
        refused = {code for found in ended for code in found if code != "OK"}
        assert refused <= codes, refused
        assert broken(engine, "I1", "I2", "I3") == []
        assert in_force(engine) == (contest.deliveries if len(statements) == 2 else 0)
    assert set(won) == {1 if len(statements) == 2 else 0}
    counts.add("raw accepts that raced", contest.deliveries * contest.rivals)


def test_concurrent_acts_get_known_answers():
    """Pick-up, two cancellations and a release at the same time leave no half-written delivery."""
    settings, ids = catalog.settings(), range(1, 17)
    acts = [
        Event(name="pickup", actor="driver"),
        Event(name="cancel", actor="customer", args={"by": "customer"}),
        Event(name="cancel", actor="merchant", args={"by": "merchant"}),
        Event(name="reassign", actor="ops", args={"to": None, "reason": "FLAT_TYRE"}),
    ]
    together = Barrier(len(acts))
    with databases.fresh("empty") as engine:
        open_ = [a_delivery(id) for id in ids if id % 2]
        carried = [a_delivery(id, state="ASSIGNED", driver=id) for id in ids if id % 2 == 0]
        intake.insert(engine, tables(*(a_driver(id) for id in ids), *open_, *carried))

        def ask(asked: Event) -> list[str]:
            codes = []
            for id in ids:
                event = replace(
                    asked, delivery_id=id, driver_id=id if asked.name == "pickup" else None
                )
                together.wait(60)
                with releasing(together):
                    codes.append(act(PostgresStore(engine, now=THEN), settings, event).answer.code)
            return codes

        with ThreadPoolExecutor(len(acts)) as pool:
            answers = {code for codes in pool.map(ask, acts) for code in codes}
    assert answers <= NAMED, answers - NAMED
    counts.add("acts that raced on one delivery", len(acts) * len(ids))


def test_accept_that_waited_past_deadline_is_refused(database):
    """The clock is read after the locks: waiting for a lock uses up the time of an offer.

    However slow the machine is, `now` lies after the release of the lock. Only how early the act
    began to wait depends on the machine, and no assertion needs that.
    """
    sent = datetime.now(UTC)
    expires, deadline = sent + timedelta(seconds=2), sent + timedelta(seconds=3)
    offer = an_offer(1, sent_at=sent, expires_at=expires, hard_deadline=deadline)
    intake.insert(database, tables(a_driver(1), a_delivery(1, state="OFFERING"), offer))
    patient = connect.engine(databases.url(database), Database(lock_timeout=timedelta(minutes=2)))
    store = PostgresStore(patient)
    event = Event(name="accept", actor="driver:1", offer_id=1, driver_id=1)
    with (
        psycopg.connect(databases.url(database), autocommit=True) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        with other.transaction():
            other.execute("SELECT FROM dk.deliveries WHERE id = 1 FOR UPDATE")
            future = pool.submit(act, store, catalog.settings(), event)
            wait_until(lambda: future.done() or other.execute(BLOCKED_BY_ME).fetchone() is not None)
            assert not future.done(), "the act must wait for the delivery"
            other.execute("SELECT pg_sleep_until(%s)", (deadline,))
            released = other.execute("SELECT clock_timestamp()").fetchone()
        acted = future.result()
    assert released is not None and acted.now >= released[0]
    assert acted.answer.code == "OFFER_EXPIRED"
