"""`db check` reports due work that no sweep does, and costs the live tables little."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from dispatchkit.config import Settings
from dispatchkit.flows.data.database import check_database
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.errors import TryLater
from dispatchkit.kernel.sql import bind, parse
from dispatchkit.store import check
from dispatchkit.store.contract import RunRequest
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.unit.senders.gateway import gateway

DUE, TRAIL = (
    parse(Path(check.__file__).with_name(name).read_text("utf-8"))
    for name in ("due.sql", "audit.sql")
)
TELL = (
    "INSERT INTO dk.outbox (event, root, root_id, row_id, payload, at) "
    "VALUES ('a', 'delivery', %s, 1, '{}', %s)"
)
NOBODY = Settings(tables={"senders": {}})


def findings(engine: Engine, at: datetime) -> list[str]:
    found: list[str] = check_database(databases.url(engine), Path("nowhere"), at)["findings"]
    return found


def ran(engine: Engine, name: str, at: datetime) -> None:
    """Enter a finished run that reasoned at an instant and found nothing to do."""
    with PostgresStore(engine, now=at).sweeping(RunRequest(sweep=name)):
        pass


def one(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).scalar_one()


def test_unstarted_assignment_is_due_until_case_opens(sample_db, now):
    def oldest(minutes: int) -> datetime | None:
        return check.silences(sample_db, ["reassignment"], now + timedelta(minutes=minutes))[1][
            0
        ].oldest_due

    cases = "SELECT {} FROM dk.reassignment_cases WHERE state = 'GRACE'"
    lost = f"dk.deliveries WHERE state = 'ASSIGNED' AND id NOT IN ({cases.format('delivery_id')})"
    assert oldest(20) == one(sample_db, f"SELECT min(assigned_at) + interval '5 min' FROM {lost}")
    assert any(
        "sweep reassignment fell silent" in found
        for found in findings(sample_db, now + timedelta(minutes=25))
    )
    with sample_db.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO dk.reassignment_cases "
            "(id, delivery_id, driver_id, episode, trigger, state, suspected_at, grace_until, "
            "version) "
            "SELECT 900000 + id, id, driver_id, episode, 'NO_START', 'GRACE', %s, %s, 1 "
            f"FROM {lost}",
            (now, now + timedelta(minutes=15)),
        )
    assert oldest(20) == one(sample_db, cases.format("min(grace_until)"))


def test_run_in_future_hides_no_silence(sample_db, now):
    later = now + timedelta(minutes=20)
    ran(sample_db, "offers", now + timedelta(days=300))
    assert any("sweep offers fell silent" in found for found in findings(sample_db, later))
    ran(sample_db, "offers", now + timedelta(minutes=19))
    assert not any("sweep offers fell silent" in found for found in findings(sample_db, later))


@pytest.mark.parametrize("sent_before", [False, True])
def test_events_without_sender_become_finding(database, now, tmp_path, sent_before):
    record = Settings(
        tables={"senders": {"record": {"kind": "file", "path": str(tmp_path / "events.jsonl")}}}
    )

    def told_and_swept(settings: Settings, minutes: int) -> list[str]:
        with database.begin() as connection:
            connection.exec_driver_sql(TELL, (minutes, now))
        sweep(
            PostgresStore(database, now=now + timedelta(minutes=minutes)),
            settings,
            "outbox",
            Options(),
        )
        return findings(database, now + timedelta(minutes=minutes))

    if sent_before:
        assert told_and_swept(record, 1) == []
    assert told_and_swept(NOBODY, 15) == []
    lost = told_and_swept(NOBODY, 16)
    assert [text.split(":")[0] for text in lost] == [
        "no sender takes events any more"
    ] * sent_before
    assert told_and_swept(record, 17) == []


def test_events_of_failing_gateway_have_sender(database, now):
    with database.begin() as connection:
        for delivery in range(1, 9):
            connection.exec_driver_sql(TELL, (delivery, now))
    with gateway(always=500) as there:
        push = {"kind": "webhook", "url": there.url, "timeout": "1s"}
        given = Settings(
            tables={"senders": {"push": push}, "outbox": {"patience": "0s", "down_after": 3}}
        )
        for minutes in (0, 16):
            sweep(
                PostgresStore(database, now=now + timedelta(minutes=minutes)),
                given,
                "outbox",
                Options(),
            )
    found = findings(database, now + timedelta(minutes=16))
    assert [text.split(":")[0] for text in found] == ["sender push"]


def test_second_concurrent_check_exits_try_later(database, now):
    with database.begin() as other:
        other.exec_driver_sql("SELECT pg_advisory_xact_lock(1684733953, hashtext('db check'))")
        with pytest.raises(TryLater, match="another check"):
            findings(database, now)
    assert findings(database, now) == findings(database, now) == []


@pytest.mark.parametrize("name", catalog.SWEEPS)
def test_due_queries_use_indexes(sample_db, now, name):
    plan = explained(sample_db, DUE[name])
    assert not re.findall(
        r"Seq Scan on (?:deliveries|driver_offers|reassignment_cases|outbox|sendings)\b", plan
    ), plan


@pytest.mark.parametrize("name", ["retirable", "retirable_count"])
def test_newest_seal_decides_what_may_be_archived(sample_db, now, name):
    plan = explained(sample_db, bind(TRAIL[name], {"before": now, "most": 10}))
    assert "Index Scan Backward using seal_pkey" in plan, plan


def explained(engine: Engine, query: str) -> str:
    """Return the plan where nothing may be walked through that an index leads into."""
    with engine.connect() as connection:
        for way in ("seqscan", "indexonlyscan"):
            connection.exec_driver_sql(f"SET enable_{way} = off")
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {query}").scalars())
