"""Each event goes to every sender that wants it, in order and once; failures stay visible."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dispatchkit.config import Settings
from dispatchkit.domain.tables import TABLES
from dispatchkit.flows.data.database import check_database
from dispatchkit.flows.explain import listings as shows
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.outbox import backoff
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.errors import DatabaseUnavailable, TryLater, Usage
from dispatchkit.senders.params import Outbox
from dispatchkit.store.contract import RunRequest
from dispatchkit.store.memory import MemoryStore
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.unit.senders.gateway import gateway

NOW = databases.NOW
TELL = (
    "INSERT INTO dk.outbox (event, root, root_id, row_id, payload) "
    "VALUES (%s, 'delivery', %s, 1, '{}') RETURNING id"
)
SECOND = """INSERT INTO dk.sendings SELECT 'record', (SELECT max(id)
  FROM dk.outbox), key, state, 1, now(), now()
  FROM dk.sendings"""


def settings(outbox: Mapping[str, Any] | None = None, **senders: Mapping[str, Any]) -> Settings:
    return Settings(tables={"senders": senders, "outbox": {"patience": "0s", **(outbox or {})}})


def hook(url: str, **more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "timeout": "1s", **more}


def a_file(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "file", "path": str(tmp_path / "events.jsonl"), **more}


def written(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [{**message, "id": int(message["id"])} for message in map(json.loads, lines)]


def tell(engine: Engine, *events: tuple[str, int]) -> list[int]:
    """Put (event, delivery) into the outbox, as an act would; return their ids."""
    with engine.begin() as connection:
        return [connection.exec_driver_sql(TELL, event).scalar_one() for event in events]


def send(
    engine: Engine, given: Settings, now: datetime | None = NOW, **options: Any
) -> Mapping[str, int]:
    return sweep(PostgresStore(engine, now=now), given, "outbox", Options(**options)).job_counts


def sendings(
    engine: Engine, columns: str = "outbox_id, sender, state, attempts"
) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.exec_driver_sql(
                f"SELECT {columns} FROM dk.sendings ORDER BY outbox_id, sender"
            )
        ]


def still_open(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(
            connection.exec_driver_sql(
                "SELECT id FROM dk.outbox WHERE sent_at IS NULL ORDER BY id"
            ).scalars()
        )


def test_each_sender_gets_subscribed_events_once_in_order(database, tmp_path):
    ids = tell(
        database,
        ("offer_created", 1),
        ("delivery_assigned", 1),
        ("offer_created", 2),
        ("offerXcreated", 3),
    )
    with gateway() as there:
        given = settings(push=hook(there.url, events=["offer_*"]), record=a_file(tmp_path))
        assert send(database, given) == {"push delivered": 2, "record delivered": 4, "closed": 4}
        assert send(database, given) == {"closed": 0}
    assert there.events == ["offer_created", "offer_created"]
    assert there.keys == [f"outbox-{ids[0]}", f"outbox-{ids[2]}"]
    assert [line["id"] for line in written(tmp_path)] == ids
    assert still_open(database) == []


def test_sweep_event_key_is_its_decision_id(sample_db, tmp_path):
    sweep(PostgresStore(sample_db, now=NOW), catalog.settings(), "offers", Options())
    send(sample_db, settings(record=a_file(tmp_path)))
    with sample_db.connect() as connection:
        decided = set(
            connection.exec_driver_sql(
                "SELECT encode(decision_id, 'hex') FROM dk.decisions"
            ).scalars()
        )
    assert {line["key"] for line in written(tmp_path)} == decided
    assert len(decided) > 20


def test_what_leaves_names_no_person_and_no_place(sample_db, tmp_path):
    for name in catalog.FEATURES:
        sweep(PostgresStore(sample_db, now=NOW), catalog.settings(), name, Options())
    send(sample_db, settings(record=a_file(tmp_path)))
    personal = {
        name
        for schema in TABLES.values()
        for name, column in schema.columns().items()
        if column.position
    }
    assert {"lat", "dropoff_lon"} <= personal
    named = {key for line in written(tmp_path) for key in re.findall(r'"(\w+)":', json.dumps(line))}
    assert "deliveryId" in named
    assert named & personal == set()


def test_unwanted_event_closes_only_with_known_senders(database):
    ids = tell(database, ("offer_created", 1), ("delivery_assigned", 1))
    assert send(database, settings()) == {"unsent_without_sender": 2}
    assert still_open(database) == ids
    with gateway() as there:
        assert send(database, settings(push=hook(there.url, events=["offer_rejected"]))) == {
            "closed": 2
        }
    assert (still_open(database), there.posts) == ([], [])
    assert set(shows.listing(PostgresStore(database), catalog.settings(), "outbox")["state"]) == {
        "UNWANTED"
    }


def test_failed_event_blocks_only_its_root_and_sender(database, tmp_path):
    ids = tell(database, ("a", 1), ("b", 2), ("a", 1), ("b", 2), ("a", 3))
    with gateway(503) as there:
        given = settings(push=hook(there.url), record=a_file(tmp_path))
        first = send(database, given)
        assert first == {"push delivered": 3, "push waiting": 1, "record delivered": 5, "closed": 3}
        assert there.events == ["a", "b", "b", "a"]
        assert still_open(database) == [ids[0], ids[2]]
        assert send(database, given, NOW + timedelta(minutes=1)) == {
            "push delivered": 2,
            "closed": 2,
        }
    assert there.keys[4:] == [f"outbox-{ids[0]}", f"outbox-{ids[2]}"]
    assert there.keys.count(f"outbox-{ids[0]}") == 2, "a retry has the key of the first try"


@pytest.mark.parametrize("told", ["hang", "reset", 500])
def test_dead_gateway_does_not_stop_other_senders(database, tmp_path, told):
    ids = tell(database, *(("a", n) for n in range(1, 9)))
    with gateway(always=told) as there:
        given = settings(
            {"down_after": 3}, push=hook(there.url, timeout="1s"), record=a_file(tmp_path)
        )
        began = time.monotonic()
        assert send(database, given) == {"push waiting": 3, "record delivered": 8, "closed": 0}
        assert time.monotonic() - began < 6
        assert len(there.posts) == 3
    assert [line["id"] for line in written(tmp_path)] == ids
    states = {(sender, state) for _, sender, state, _ in sendings(database)}
    assert states == {("push", "WAITING"), ("record", "DELIVERED")}


def test_unwritable_file_does_not_stop_other_senders(database, tmp_path):
    tell(database, ("a", 1))
    broken = {"kind": "file", "path": str(tmp_path / "missing" / "x.jsonl")}
    assert send(database, settings(broken=broken, record=a_file(tmp_path))) == {
        "broken waiting": 1,
        "record delivered": 1,
        "closed": 0,
    }
    assert sendings(database, "said")[0] == ("No such file or directory",)


def test_retry_after_is_respected_within_bounds(database):
    tell(database, ("a", 1), ("a", 2))
    with gateway((429, {"Retry-After": "120"}), (503, {"Retry-After": "86400"})) as there:
        given = settings({"max_wait": "10min"}, push=hook(there.url))
        send(database, given)
        waits = [wait.total_seconds() for (wait,) in sendings(database, "next_at - tried_at")]
        assert waits == [120, 600]
        assert send(database, given, NOW + timedelta(seconds=119)) == {"closed": 0}
        assert send(database, given, NOW + timedelta(seconds=120)) == {
            "push delivered": 1,
            "closed": 1,
        }


def test_permanent_refusal_is_reported_and_not_retried(database):
    tell(database, ("a", 1), ("a", 1))
    with gateway(410) as there:
        given = settings(push=hook(there.url))
        assert send(database, given) == {"push delivered": 1, "push refused": 1, "closed": 2}
        assert send(database, given, NOW + timedelta(days=1)) == {"closed": 0}
    assert len(there.posts) == 2
    found = database_findings(database, NOW)
    assert found == [
        "sender push: 1 events were refused for good within a day; see `show outbox --state "
        "REFUSED`"
    ]
    assert database_findings(database, NOW + timedelta(days=2)) == []


def database_findings(engine: Engine, now: datetime) -> list[str]:
    found = check_database(databases.url(engine), Path("nowhere"), now)["findings"]
    return [finding for finding in found if finding.startswith("sender ")]


def test_long_failing_sender_is_finding(database):
    tell(database, ("a", 1), ("a", 2))
    with gateway(500, 503) as there:
        assert send(database, settings(push=hook(there.url))) == {"push waiting": 2, "closed": 0}
    assert database_findings(database, NOW + timedelta(minutes=15)) == []
    assert database_findings(database, NOW + timedelta(minutes=16)) == [
        "sender push: 2 events tried in vain for over 15 minutes, last HTTP 503"
    ]


def test_abandoned_event_stays_visible_until_retried(database, tmp_path):
    ids = tell(database, ("a", 1), ("b", 1))
    with gateway(500, 500) as there:
        given = settings({"give_up": "1h"}, push=hook(there.url))
        assert send(database, given) == {"push waiting": 1, "closed": 0}
        late = NOW + timedelta(hours=1)
        assert send(database, given, late) == {"push delivered": 1, "push failed": 1, "closed": 1}
        assert there.events == ["a", "a", "b"], "what is given up on holds nobody back"
        assert still_open(database) == ids[:1]
        assert send(database, given, late + timedelta(days=9)) == {"closed": 0}
        assert database_findings(database, late + timedelta(days=9)) == [
            "sender push: 1 events were given up on; see `show outbox --state FAILED`"
        ]
        listed = shows.listing(
            PostgresStore(database), catalog.settings(), "outbox", state="FAILED"
        )
        assert listed.select("id", "sender", "attempts", "last_response").rows() == [
            (ids[0], "push", 2, "HTTP 500")
        ]


def test_run_waits_for_retry_due_soon(database):
    tell(database, ("a", 1), ("b", 1))
    with gateway(503, 503) as there:
        given = settings({"patience": "5s", "first_wait": "1s"}, push=hook(there.url))
        assert send(database, given, None) == {"push delivered": 2, "push waiting": 2, "closed": 2}
    assert there.events == ["a", "a", "a", "b"]
    assert [row[2:] for row in sendings(database)] == [("DELIVERED", 3), ("DELIVERED", 1)]


def test_event_that_commits_late_is_not_lost(database, tmp_path):
    given = settings(record=a_file(tmp_path))
    with database.connect() as late:
        slow = late.exec_driver_sql(TELL, ("a", 1)).scalar_one()
        (fast,) = tell(database, ("b", 2))
        assert slow < fast
        assert send(database, given) == {"record delivered": 1, "closed": 1}
        late.commit()
    assert send(database, given) == {"record delivered": 1, "closed": 1}
    assert [line["id"] for line in written(tmp_path)] == [fast, slow]


def test_second_run_meanwhile_leaves_with_try_later(database, tmp_path):
    tell(database, ("a", 1))
    store = PostgresStore(database, now=NOW)
    with store.sweeping(RunRequest(sweep="outbox")), pytest.raises(TryLater):
        send(database, settings(record=a_file(tmp_path)))
    assert written(tmp_path) == []
    with (
        database.connect() as other
    ):  # a run whose ledger connection was lost, while its sender is still at work
        other.exec_driver_sql("SELECT pg_advisory_lock(1684733953, hashtext('outbox record'))")
        with pytest.raises(TryLater, match="record"):
            send(database, settings(record=a_file(tmp_path)))
    assert written(tmp_path) == []


def test_dry_run_counts_and_touches_nothing(database, tmp_path):
    tell(database, ("a", 1), ("b", 1))
    with gateway() as there:
        given = settings(push=hook(there.url, events=["b"]), record=a_file(tmp_path))
        assert send(database, given, dry_run=True) == {"push due": 1, "record due": 2}
    assert (there.posts, written(tmp_path), sendings(database), len(still_open(database))) == (
        [],
        [],
        [],
        2,
    )


def test_next_run_sends_rest_after_deadline(database, tmp_path):
    ids = tell(database, *(("a", n) for n in range(1, 31)))
    with gateway(always="slow") as there:
        given = settings(push=hook(there.url), record=a_file(tmp_path))
        began = time.monotonic()
        swept = sweep(
            PostgresStore(database, now=NOW),
            given,
            "outbox",
            Options(deadline=timedelta(seconds=1)),
        )
        assert time.monotonic() - began < 4
        sent = len(there.posts)
        assert 0 < sent < len(ids)
        assert swept.job_counts == {
            "push delivered": sent,
            "record delivered": 30,
            "closed": sent,
            "deferred": 30 - sent,
        }
        assert (swept.outcome.busy, ended(database)) == (30 - sent, [("PARTIAL", 30 - sent, None)])
        there.always = None
        assert send(database, given) == {"push delivered": 30 - sent, "closed": 30 - sent}
    assert there.keys == [f"outbox-{id_}" for id_ in ids]
    assert ended(database)[1:] == [("OK", 0, None)]


def test_run_skips_retry_after_its_deadline(database):
    tell(database, ("a", 1))
    with gateway(503) as there:
        given = settings(
            {"patience": "20s", "first_wait": "8s", "max_wait": "8s"}, push=hook(there.url)
        )
        began = time.monotonic()
        assert send(database, given, None, deadline=timedelta(seconds=2)) == {
            "push waiting": 1,
            "closed": 0,
        }
        assert time.monotonic() - began < 3
    assert [status for status, *_ in ended(database)] == ["OK"], (
        "what is not due yet is not left over"
    )


def ended(engine: Engine) -> list[tuple[Any, ...]]:
    """Return the runs of the ledger as (status, busy, inputs), oldest first."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT status, busy, inputs_sha256 FROM dk.sweep_runs ORDER BY started_at"
        )
        return [tuple(row) for row in found]


def take_over(engine: Engine) -> None:
    """Do to the runs under way what a later run does that finds their lock free."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE dk.sweep_runs SET status = 'ABANDONED', finished_at = clock_timestamp()"
        )


def test_superseded_run_fails(database):
    sweeping = PostgresStore(database).sweeping(RunRequest(sweep="offers"))
    with (
        pytest.raises(
            DatabaseUnavailable, match="sweep offers lost its lock and a later run took over"
        ),
        sweeping,
    ):
        take_over(database)
    assert [status for status, *_ in ended(database)] == ["ABANDONED"]


def test_superseded_run_reports_its_failure(database):
    with (
        pytest.raises(ZeroDivisionError),
        PostgresStore(database).sweeping(RunRequest(sweep="offers")),
    ):
        take_over(database)
        raise ZeroDivisionError


def test_in_memory_there_is_nothing_to_send_from():
    with pytest.raises(Usage):
        sweep(MemoryStore({}, NOW), settings(), "outbox", Options())


@pytest.mark.parametrize(
    ("what", "query", "state"),
    [
        (
            "a delivered event made to wait",
            "UPDATE dk.sendings SET state = 'WAITING', next_at = now()",
            "DK011",
        ),
        ("a second row for a key", SECOND, "23505"),
        ("a row taken away", "DELETE FROM dk.sendings", "42501"),
        ("another key", "UPDATE dk.sendings SET key = 'x'", "42501"),
        ("a state that is none", "UPDATE dk.sendings SET state = 'LOST'", "DK011"),
    ],
)
def test_sent_keys_cannot_be_deleted(database, tmp_path, what, query, state):
    tell(database, ("a", 1))
    send(database, settings(record=a_file(tmp_path)))
    tell(database, ("b", 1))
    with database.connect() as connection:
        connection.exec_driver_sql("SET ROLE dk_app")
        with pytest.raises(DBAPIError) as refused:
            connection.exec_driver_sql(query)
    assert getattr(refused.value.orig, "sqlstate", None) == state, what


def test_retry_waits_double_and_are_deterministic():
    params = Outbox(first_wait=timedelta(seconds=2), max_wait=timedelta(minutes=10))
    for attempts in (1, 2, 5, 9, 10, 400):
        whole = min(2 * 2 ** (attempts - 1), 600)
        drawn = [backoff(params, "push", f"k{n}", attempts).total_seconds() for n in range(50)]
        assert all(whole / 2 <= wait <= whole for wait in drawn)
        assert len(set(drawn)) == 50, "all of a crowd do not come back at once"
        assert backoff(params, "push", "k7", attempts).total_seconds() == drawn[7]
