"""A sweep of many due rows, beside the bare UPDATE of the same rows on the same server.

The server is durable here, as an operation's is: every COMMIT waits for the disk, for us and for
the rival.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Engine

from dispatchkit.config import Database
from dispatchkit.domain.changes import Change
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep, uncollected
from dispatchkit.store import connect
from dispatchkit.store.contract import RunRequest
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.benchmarks import due

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
DUE = int(os.environ.get("DISPATCHKIT_BENCH_DUE", "100000"))
BATCH = 500  # changes a transaction, ours and the rival's
GUARDED = ("driver_offers", "drivers", "deliveries")
RECORDED = """
WITH u AS ({update} RETURNING t.id, t.version, row_to_json(t) AS image, sha256(int8send(t.id)) AS
  hash),
  a AS (INSERT INTO dk_aud.delivery_audit_logs
    SELECT id, 1000 * length('{entity}') + version, '{entity}', id, version, 'U', image, 'bench',
      'bench', 'bench',
      'bench', now(), 1, pg_current_xact_id(), hash, hash FROM u),
  d AS (INSERT INTO dk.decisions (decision_id, run_id, entity, row_id, row_version, event, reason,
    outcome)
    SELECT sha256('{entity}' || hash), CAST(repeat('0', 32) AS uuid), '{entity}', id, version,
      'bench', 'bench',
      'APPLIED' FROM u)
INSERT INTO dk.outbox (event, root, root_id, row_id, decision_id, payload)
  SELECT 'bench', 'delivery', id, id, sha256('{entity}' || hash), jsonb_build_object('{entity}Id',
    id) FROM u"""


@pytest.fixture(scope="module")
def filled() -> Iterator[Engine]:
    with durable(), databases.fresh("empty", sound=False) as engine:
        due.fill(engine, DUE)
        yield engine


@contextmanager
def durable() -> Iterator[None]:
    """Let the tests' server wait for its disk, which it else does not."""
    with psycopg.connect(databases.server(), autocommit=True) as connection:
        before = {
            name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            for name in databases.DURABLE
        }
        for name in databases.DURABLE:
            connection.execute(f"ALTER SYSTEM SET {name} = on")
        connection.execute("SELECT pg_reload_conf()")
        yield
        for name, value in before.items():
            connection.execute(f"ALTER SYSTEM SET {name} = {value[0] if value else 'connection'}")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def copy(engine: Engine) -> Iterator[Engine]:
    """Yield a copy of a database, flushed to disk, so that nobody pays for the making of it."""
    name = f"{engine.url.database}_copy"
    with psycopg.connect(databases.server(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{engine.url.database}"'.encode())
        connection.execute("CHECKPOINT")
        try:
            yield connect.engine(databases.to_database(databases.server(), name))
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def ours(engine: Engine, changes: Sequence[Change], workers: int) -> float:
    """Return the seconds of the sweep's own write, with trail, decisions, events and counters."""
    store = PostgresStore(engine, Database(batch=BATCH, workers=workers), now=databases.NOW)
    with uncollected(), store.sweeping(RunRequest(sweep="offers")) as run:
        assert run is not None
        begin = time.perf_counter()
        outcome = run.apply(changes, inputs_sha256="")
        took = time.perf_counter() - begin
    assert outcome.applied == len(changes)
    return took


def bare(
    engine: Engine, changes: Sequence[Change], *, guards: bool = False, records: bool = False
) -> float:
    """Return the seconds that UPDATEs of the same rows take, ids in hand; no trail, and the guards
    only if asked.

    records: with a row for the trail, the decision and the outbox each, made by the server from
    what it has just written, unlinked and unlocked: what any design pays that keeps the three.
    """
    ids: dict[str, list[int]] = defaultdict(list)
    for change in changes:
        ids[change.entity].append(change.id)
    rest = next(change.after["cooldown_until"] for change in changes if change.entity == "driver")
    bump = "" if guards else ", version = version + 1"
    statements = {
        "offer": f"UPDATE dk.driver_offers t SET state = 'EXPIRED', responded_at = %s{bump} "
        "WHERE id = ANY(%s)",
        "driver": f"UPDATE dk.drivers t SET timeouts = timeouts + 1, cooldown_until = %s{bump} "
        "WHERE id = ANY(%s)",
        "delivery": "UPDATE dk.deliveries t SET state = 'UNASSIGNED', attempt = attempt + 1"
        f"{bump} WHERE %s IS NOT NULL AND id = ANY(%s)",
    }
    if records:
        statements = {
            entity: RECORDED.format(update=update, entity=entity)
            for entity, update in statements.items()
        }
    step = BATCH // 3  # rows of each table: a batch is as many changes as ours
    with psycopg.connect(databases.url(engine)) as connection:
        for table in GUARDED:
            for trigger in ("z_audit_i", "z_audit_u", "z_audit_d") if guards else ("USER",):
                connection.execute(f"ALTER TABLE dk.{table} DISABLE TRIGGER {trigger}".encode())
        connection.execute("ALTER TABLE dk.decisions DROP CONSTRAINT decisions_run_id_fkey")
        connection.commit()
        if not records:
            connection.execute("SET ROLE dk_app")
        begin = time.perf_counter()
        for first in range(0, len(ids["offer"]), step):
            for entity, statement in statements.items():
                at = rest if entity == "driver" else databases.NOW
                connection.execute(statement.encode(), (at, ids[entity][first : first + step]))
            connection.commit()
        return time.perf_counter() - begin


def test_sweep_beside_bare_update(filled: Engine) -> None:
    began = time.perf_counter()
    store = PostgresStore(filled, now=databases.NOW)
    changes = sweep(store, catalog.settings(), "offers", Options(dry_run=True)).changes
    decided = time.perf_counter() - began
    assert len(changes) == 3 * DUE, "an offer, its driver and its delivery each"
    ways: dict[str, Callable[[Engine], float]] = {
        "bare": lambda engine: bare(engine, changes, guards=False),
        "guarded": lambda engine: bare(engine, changes, guards=True),
        "recorded": lambda engine: bare(engine, changes, guards=True, records=True),
        "one": lambda engine: ours(engine, changes, 1),
        "two": lambda engine: ours(engine, changes, 2),
    }
    took: dict[str, list[float]] = defaultdict(list)
    for way in (*ways, *reversed(ways)):
        with copy(filled) as engine:
            took[way].append(ways[way](engine))
    rate = {way: len(changes) / statistics.mean(seconds) for way, seconds in took.items()}
    one, two, bare_, guarded, recorded = (
        rate[way] for way in ("one", "two", "bare", "guarded", "recorded")
    )
    lines = (
        f"sweep of {DUE:,} due offers: read and decided in {decided:.1f} s; {len(changes):,} rows "
        "written, audited, "
        f"{BATCH} a batch: {one:,.0f} rows/s by 1 worker, {two:,.0f} by 2 ({two / one:.2f}x)",
        f"bare UPDATE of the same rows on one connection: {guarded:,.0f} rows/s with the guards, "
        f"{bare_:,.0f} without",
        f"the guarded one with the three records that ours keeps, unlinked: {recorded:,.0f} "
        "rows/s; "
        f"of it 1 worker {one / recorded:.2f}x, 2 workers {two / recorded:.2f}x",
        f"of the bare one, with and without guards: 1 worker {one / guarded:.2f}x and "
        f"{one / bare_:.2f}x, "
        f"2 workers {two / guarded:.2f}x and {two / bare_:.2f}x",
    )
    print("", *lines, sep="\n", flush=True)
