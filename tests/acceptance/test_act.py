"""What people do, by the real command line: every answer has its code and its exit."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.store.postgres import PostgresStore
from tests import databases

SOON = ("--now", rfc3339(databases.NOW + timedelta(seconds=5)))
LATE = ("--now", rfc3339(databases.NOW + timedelta(hours=1)))
MISSING = 999_999_999


@pytest.fixture
def offers(sample_db, tmp_path, monkeypatch):
    """Return the pending offers after the offers sweep, as (offer, driver, delivery)."""
    monkeypatch.chdir(tmp_path)
    sweep(PostgresStore(sample_db, now=databases.NOW), catalog.settings(), "offers", Options())
    with sample_db.connect() as on:
        found = on.exec_driver_sql(
            "SELECT id, driver_id, delivery_id FROM dk.driver_offers WHERE state = 'PENDING' ORDER BY id"
        )
        return [tuple(row) for row in found]


def said(ran) -> tuple[int, str]:
    """Return a command's exit and the code in its document."""
    assert ran.stdout, ran.stderr
    return ran.exit, json.loads(ran.stdout)["code"]


def state(made, delivery: int) -> tuple[str, int | None]:
    """Return a delivery's state and driver."""
    with made.connect() as on:
        query = "SELECT state, driver_id FROM dk.deliveries WHERE id = %s"
        return tuple(on.exec_driver_sql(query, (delivery,)).one())


def test_a_driver_accepts_and_the_same_accept_again_has_the_same_answer(cli, sample_db, offers):
    offer, driver, delivery = offers[0]
    words = ("--json", "act", "offer", "accept", offer, "--driver", driver, *SOON)
    assert cli(*words[1:], "--dry-run", db=sample_db).stderr == "dry run, nothing written\n"
    dry = cli(*words, "--dry-run", db=sample_db)
    assert (said(dry), state(sample_db, delivery)[0]) == ((0, "OK"), "OFFERING")
    first = cli(*words, db=sample_db)
    assert said(first) == (0, "OK")
    assert json.loads(first.stdout)["changes"] == json.loads(dry.stdout)["changes"]
    assert state(sample_db, delivery) == ("ASSIGNED", driver)
    again = cli(*words, db=sample_db)
    assert (said(again), json.loads(again.stdout)["changes"]) == ((0, "OK_REPLAY"), [])


def test_word_of_a_push_is_noted_and_one_that_failed_ends_the_offer(cli, sample_db, offers):
    (seen, by, _), (lost, whom, delivery) = offers[:2]
    for word in ("viewed", "delivered"):
        ran = cli("--json", "act", "offer", word, seen, "--driver", by, *SOON, db=sample_db)
        assert said(ran) == (0, {"viewed": "OK", "delivered": "OK_REPLAY"}[word])
    words = ("--json", "act", "offer", "undeliverable", lost, "--driver", whom, *SOON)
    assert said(cli(*words, "--reason", "NO_ACKNOWLEDGEMENT", db=sample_db)) == (0, "OK")
    assert state(sample_db, delivery) == ("UNASSIGNED", None)
    assert said(
        cli("--json", "act", "offer", "accept", lost, "--driver", whom, *SOON, db=sample_db)
    ) == (3, "OFFER_REVOKED")
    assert cli(*words, "--reason", "no signal in the cellar", db=sample_db).exit == 2


def test_a_decline_is_counted_with_its_reason_and_an_accept_afterwards_is_refused(
    cli, sample_db, offers
):
    offer, driver, delivery = offers[0]
    declined = cli(
        "--json",
        "act",
        "offer",
        "decline",
        offer,
        "--driver",
        driver,
        "--reason",
        "TOO_FAR",
        *SOON,
        db=sample_db,
    )
    assert said(declined) == (0, "OK")
    with sample_db.connect() as on:
        query = "SELECT state, cause FROM dk.driver_offers WHERE id = %s"
        assert tuple(on.exec_driver_sql(query, (offer,)).one()) == ("DECLINED", "TOO_FAR")
    refused = cli(
        "--json", "act", "offer", "accept", offer, "--driver", driver, *SOON, db=sample_db
    )
    assert said(refused) == (3, "ILLEGAL_TRANSITION")
    assert state(sample_db, delivery)[0] == "UNASSIGNED"


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("after the deadline", "OFFER_EXPIRED"),
        ("of somebody else", "NOT_FOUND"),
        ("that is not there", "NOT_FOUND"),
    ],
)
def test_an_offer_is_not_to_be_had_and_the_refusal_is_recorded(cli, sample_db, offers, case, code):
    (offer, driver, delivery), (_, stranger, _) = offers[:2]
    asked = {"of somebody else": (offer, stranger), "that is not there": (MISSING, driver)}.get(
        case, (offer, driver)
    )
    when = LATE if case == "after the deadline" else SOON
    ran = cli(
        "--json", "act", "offer", "accept", asked[0], "--driver", asked[1], *when, db=sample_db
    )
    assert said(ran) == (3, code)
    met = " (state PENDING)" if code == "OFFER_EXPIRED" else ""
    assert ran.stderr == f"dispatchkit: DK-REFUSED: accept refused: {code}{met}\n"
    assert json.loads(ran.stdout)["state_before"] == ("PENDING" if met else None), (
        "a stranger is not told how it stands"
    )
    assert state(sample_db, delivery)[0] == "OFFERING"
    with sample_db.connect() as on:
        told = on.exec_driver_sql("SELECT actor, event, code FROM dk.refusals").all()
    assert [tuple(row) for row in told] == [(f"driver:{asked[1]}", "accept", code)]


def test_a_reason_that_nobody_knows_is_a_usage_error_that_lists_them(cli, sample_db, offers):
    offer, driver, _ = offers[0]
    ran = cli(
        "act",
        "offer",
        "decline",
        offer,
        "--driver",
        driver,
        "--reason",
        "RAIN",
        *SOON,
        db=sample_db,
    )
    assert (ran.exit, ran.stdout) == (2, "")
    assert "'RAIN'" in ran.stderr and "TOO_FAR" in ran.stderr


def test_operations_hand_a_delivery_over_or_offer_it_anew(cli, sample_db, offers):
    with sample_db.connect() as on:
        one, other = on.exec_driver_sql(
            "SELECT id FROM dk.deliveries WHERE state = 'ASSIGNED' ORDER BY id LIMIT 2"
        ).scalars()
        idle = on.exec_driver_sql(
            "SELECT min(id) FROM dk.drivers r WHERE duty = 'ON_DUTY' AND NOT EXISTS "
            "(SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active) AND NOT EXISTS "
            "(SELECT FROM dk.driver_offers o WHERE o.driver_id = r.id AND o.state = 'PENDING')"
        ).scalar_one()
        carried = on.exec_driver_sql(
            "SELECT min(id) FROM dk.deliveries WHERE state IN ('PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF')"
        ).scalar_one()
    words = ("--json", "act", "delivery", "reassign")
    dry = cli(*words, one, "--to", idle, "--reason", "FLAT_TYRE", "--dry-run", *SOON, db=sample_db)
    told = json.loads(dry.stdout)["details"]
    assert (told["proposed"]["driver_id"], told["current"]["driver_id"], said(dry)) == (
        str(idle),
        str(state(sample_db, one)[1]),
        (0, "OK"),
    )
    people = cli(
        *words[1:], one, "--to", idle, "--reason", "FLAT_TYRE", "--dry-run", *SOON, db=sample_db
    )
    assert f"proposed driver_id={idle} pickup_at=" in people.stdout
    assert ("later than with the current driver" in people.stderr) == (
        (told["pickup_earlier_s"] or 0) < 0
    )
    assert not {"None", "True", "False", "[]"}.intersection(people.stdout.replace("=", " ").split())
    handed = cli(*words, one, "--to", idle, "--reason", "FLAT_TYRE", *SOON, db=sample_db)
    assert (said(handed), state(sample_db, one)) == ((0, "OK"), ("ASSIGNED", idle))
    released = cli(*words, other, "--reason", "FLAT_TYRE", *SOON, db=sample_db)
    assert (said(released), state(sample_db, other)) == ((0, "OK"), ("UNASSIGNED", None))
    assert said(cli(*words, carried, "--reason", "FLAT_TYRE", *SOON, db=sample_db)) == (
        3,
        "CUSTODY_CONFLICT",
    )
    assert said(cli(*words, MISSING, "--reason", "FLAT_TYRE", *SOON, db=sample_db)) == (
        3,
        "NOT_FOUND",
    )
    told = cli(
        "act", "delivery", "reassign", one, "--reason", "Ann's flat tyre", *SOON, db=sample_db
    )
    assert (told.exit, "Ann" in told.stdout + told.stderr) == (2, False), (
        "free text may name people"
    )
