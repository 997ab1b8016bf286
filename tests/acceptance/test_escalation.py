"""The ladder on Postgres, by the real command line: an outage, the acts of operations, and what is seen of both."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from dispatchkit.kernel.clock import rfc3339
from tests import databases

OUTAGE = timedelta(minutes=30)  # long enough for level 4, too short to give a search up


def at(after: timedelta) -> tuple[str, str]:
    return "--now", rfc3339(databases.NOW + after)


def rows(made: Any, query: str) -> list[Any]:
    with made.connect() as on:
        return [tuple(row) for row in on.exec_driver_sql(query)]


def code(ran: Any) -> tuple[int, str]:
    assert ran.stdout, ran.stderr
    return ran.exit, json.loads(ran.stdout)["code"]


def test_after_an_outage_one_sweep_tells_every_level_once_and_the_next_tells_none(cli, sample_db):
    swept = cli("--json", "sweep", "escalation", *at(OUTAGE), db=sample_db)
    assert swept.exit == 0, swept.stderr
    told = rows(
        sample_db,
        "SELECT payload->>'deliveryId', (payload->>'level')::int, (payload->>'notify')::bool, "
        "(payload->>'lagS')::float8 FROM dk.outbox WHERE event = 'unassigned_order_escalated' ORDER BY id",
    )
    searches = {delivery for delivery, _, _, _ in told}
    assert len(searches) == 9
    assert Counter(delivery for delivery, _, notify, _ in told if notify) == dict.fromkeys(
        searches, 1
    )
    assert all(
        count == 1
        for count in Counter((delivery, level) for delivery, level, _, _ in told).values()
    )
    assert {level for _, level, notify, _ in told if notify} == {4}
    assert max(lag for _, _, _, lag in told) > 20 * 60 > min(lag for _, _, _, lag in told) >= 0
    due = (
        "SELECT count(*), min(level), bool_and(level_due_at <= level_at) FROM dk.unassigned_orders"
    )
    ladder = rows(sample_db, f"{due} WHERE state = 'OPEN'")
    assert ladder == [(9, 4, True)]
    tickets = "SELECT level, count(*), count(DISTINCT delivery_id) FROM dk.support_tickets WHERE state = 'OPEN'"
    called = (2, 1, 1)  # the driver of a delivery has gone silent too, and nobody takes over
    assert rows(sample_db, f"{tickets} GROUP BY level ORDER BY level") == [called, (3, 9, 9)]
    again = cli("--json", "sweep", "escalation", *at(OUTAGE), db=sample_db)
    assert (again.exit, json.loads(again.stdout)["changes"]) == (0, [])


def test_at_the_end_a_search_is_given_up_once_its_offers_have_ended_and_the_tickets_wait(
    cli, sample_db
):
    [(ahead,)] = rows(sample_db, "SELECT count(*) FROM dk.deliveries WHERE state = 'SCHEDULED'")
    late = timedelta(hours=2)  # nobody has been seen for so long, so nobody is asked anew
    for name, after in (
        ("offers", late),
        ("escalation", late),
        ("escalation", late + timedelta(minutes=25)),
    ):
        swept = cli("--json", "sweep", name, *at(after), db=sample_db)
        assert swept.exit == 0, swept.stderr
    assert rows(sample_db, "SELECT count(*) FROM dk.unassigned_orders WHERE state = 'OPEN'") == [
        (0,)
    ]
    assert rows(sample_db, "SELECT count(*) FROM dk.driver_offers WHERE state = 'PENDING'") == [
        (0,)
    ]
    ended = "SELECT DISTINCT ended_by, ended_while FROM dk.deliveries WHERE state = 'UNFULFILLED' AND ended_at > %s"
    with sample_db.connect() as on:
        found = {
            tuple(row) for row in on.exec_driver_sql(ended, (databases.NOW + timedelta(hours=1),))
        }
    assert found == {("system", "UNASSIGNED")}
    tickets = json.loads(cli("--json", "show", "tickets", "--state", "OPEN", db=sample_db).stdout)
    assert Counter(ticket["level"] for ticket in tickets) == {3: 9 + ahead, 2: 1}
    asks = "SELECT event FROM dk.outbox WHERE (payload->>'notify')::bool"
    each = 9 + ahead
    heard = {"unassigned_order_escalated": each, "delivery_unfulfilled": each}
    assert Counter(event for (event,) in rows(sample_db, asks)) == heard


@pytest.fixture
def seeking(sample_db) -> int:
    """Return a delivery that seeks a driver and is being asked about to nobody."""
    [(delivery,)] = rows(sample_db, "SELECT min(id) FROM dk.deliveries WHERE state = 'UNASSIGNED'")
    return int(delivery)


def test_operations_raise_acknowledge_and_snooze_a_search(cli, sample_db, seeking):
    act = ("--json", "act", "delivery")
    soon = at(timedelta(seconds=5))
    dry = cli(*act, "escalate", seeking, "--level", 3, *soon, "--dry-run", db=sample_db)
    assert (code(dry), rows(sample_db, "SELECT count(*) FROM dk.outbox")) == ((0, "OK"), [(0,)])
    assert code(cli(*act, "escalate", seeking, "--level", 3, *soon, db=sample_db)) == (0, "OK")
    assert code(cli(*act, "escalate", seeking, "--level", 3, *soon, db=sample_db)) == (
        0,
        "OK_REPLAY",
    )
    assert code(cli(*act, "escalate", seeking, "--level", 2, *soon, db=sample_db)) == (
        3,
        "ILLEGAL_TRANSITION",
    )
    assert code(cli(*act, "ack", seeking, *soon, db=sample_db)) == (0, "OK")
    assert code(cli(*act, "snooze", seeking, "--minutes", 15, *soon, db=sample_db)) == (0, "OK")
    assert code(cli(*act, "escalate", 999_999_999, *soon, db=sample_db)) == (3, "NOT_FOUND")
    told = "SELECT level, level_at = acked_at, snoozed_until - acked_at FROM dk.unassigned_orders"
    assert rows(sample_db, f"{told} WHERE delivery_id = {seeking}") == [
        (3, True, timedelta(minutes=15))
    ]
    refused = rows(sample_db, "SELECT actor, event, root, code FROM dk.refusals ORDER BY id")
    assert refused == [
        ("ops", "escalate", "delivery", "ILLEGAL_TRANSITION"),
        ("ops", "escalate", "delivery", "NOT_FOUND"),
    ]


def test_a_ticket_is_closed_by_a_person_or_with_its_search(cli, sample_db, seeking):
    soon = at(timedelta(seconds=5))
    cli("act", "delivery", "escalate", seeking, "--level", 3, *soon, db=sample_db)
    [(ticket,)] = rows(sample_db, "SELECT id FROM dk.support_tickets WHERE state = 'OPEN'")
    driver = rows(
        sample_db,
        "SELECT min(id) FROM dk.drivers r WHERE duty = 'ON_DUTY' AND NOT EXISTS "
        "(SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active) AND NOT EXISTS "
        "(SELECT FROM dk.driver_offers o WHERE o.driver_id = r.id AND o.state = 'PENDING')",
    )[0][0]
    given = cli(
        "--json",
        "act",
        "delivery",
        "reassign",
        seeking,
        "--to",
        driver,
        "--reason",
        "RUSH",
        *soon,
        db=sample_db,
    )
    assert code(given) == (0, "OK")
    assert cli("sweep", "escalation", *soon, db=sample_db).exit == 0
    closed = f"SELECT state, closed_by FROM dk.support_tickets WHERE id = {ticket}"
    assert rows(sample_db, closed) == [("CLOSED", "system:escalation")]
    assert code(cli("--json", "act", "ticket", "close", ticket, *soon, db=sample_db)) == (
        0,
        "OK_REPLAY",
    )
    assert code(cli("--json", "act", "ticket", "close", 999_999_999, *soon, db=sample_db)) == (
        3,
        "NOT_FOUND",
    )


def test_the_queue_is_seen_by_slack_and_age_and_a_delivery_with_all_its_searches(
    cli, sample_db, seeking
):
    queue = json.loads(cli("--json", "show", "unassigned", *at(timedelta()), db=sample_db).stdout)
    assert len(queue) == 9
    assert [row["slack_s"] for row in queue] == sorted(row["slack_s"] for row in queue)
    assert all(
        {"age_s", "level", "due_at", "cause", "next_at", "next_by"} <= row.keys() for row in queue
    )
    one = json.loads(
        cli(
            "--json",
            "show",
            "unassigned",
            "--state",
            "OFFERING",
            "--limit",
            1,
            *at(timedelta()),
            db=sample_db,
        ).stdout
    )
    assert [row["state"] for row in one] == ["OFFERING"]
    wrong = cli("show", "unassigned", "--state", "DELIVERED", db=sample_db)
    assert (wrong.exit, "expected one of OFFERING, UNASSIGNED" in wrong.stderr) == (2, True)
    cli(
        "act",
        "delivery",
        "escalate",
        seeking,
        "--level",
        3,
        *at(timedelta(seconds=5)),
        db=sample_db,
    )
    shown = json.loads(cli("--json", "show", "delivery", seeking, db=sample_db).stdout)
    assert (shown["searches"][0]["level"], shown["tickets"][0]["level"]) == (3, 3)


def test_a_ladder_that_nobody_sweeps_is_found_silent(cli, sample_db):
    late = at(timedelta(minutes=20))
    checked = cli("db", "check", *late, db=sample_db)
    assert checked.exit == 3
    assert "sweep escalation fell silent" in checked.stderr
    cli("sweep", "escalation", *late, db=sample_db)
    after = cli("--json", "db", "check", *late, db=sample_db)
    [told] = [
        sweep for sweep in json.loads(after.stdout)["sweeps"] if sweep["sweep"] == "escalation"
    ]
    assert told["oldest_due"] is None
