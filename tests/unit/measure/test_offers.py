"""What may count, what was foretold, and what boosts brought: from offers through the real marts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatchkit.domain.states import DECLINE_REASONS
from dispatchkit.measure import offers
from tests.unit.measure.miniature import Row, at, delivered, marts, scope, tables

TIMES = {"sent_at": at("12:00"), "expires_at": at("12:00:30"), "hard_deadline": at("12:00:32")}


def offer(state: str, **more: Any) -> Row:
    answered = None if state == "PENDING" else at("12:00:20")
    told = {name: more.pop(name) for name in ("pickup_s", "held") if name in more}
    payload = json.dumps(told, separators=(",", ":"))
    return (
        {
            "delivery_id": 1,
            "driver_id": 1,
            "state": state,
            "responded_at": answered,
            "payload": payload,
        }
        | TIMES
        | more
    )


def found(*sent: Row, deliveries: int = 1) -> Any:
    jobs = [delivered(n, "12:00", 20) for n in range(1, deliveries + 1)]
    return offers.measure(marts(tables(jobs, driver_offers=list(sent))), scope())


def rows(section: Any, table: str) -> list[dict[str, Any]]:
    return list(section.table(table).frame.iter_rows(named=True))


def test_the_mart_knows_which_declines_count_as_the_vocabulary_says():
    sent = [offer("DECLINED", cause=reason) for reason in DECLINE_REASONS]
    counted = {row["reason"]: row["countable"] for row in rows(found(*sent), "answers")}
    assert counted == DECLINE_REASONS


def test_only_what_may_count_is_counted_and_the_rest_is_named():
    section = found(
        *(offer("ACCEPTED", delivery_id=n) for n in range(1, 4)),
        offer("DECLINED", cause="TOO_FAR"),
        offer("DECLINED", cause="UNSAFE_AREA"),
        offer("EXPIRED"),
        offer("EXPIRED", delivered_at=at("12:00:02")),
        offer("ACCEPTED", delivery_id=4, mode="forced"),
        offer("UNDELIVERABLE", cause="PUSH_REFUSED"),
        deliveries=4,
    )
    fair = section.metric("countable_acceptance")
    assert (fair.numerator, fair.denominator) == (3, 5)
    assert {e.reason: e.count for e in fair.excluded if e.count} == {
        "forced, not asked": 1,
        "undeliverable": 1,
        "declined for a reason that does not count": 1,
        "expired unseen": 1,
    }
    assert fair.denominator + fair.excluded_count == 9


def test_an_acceptance_that_nobody_asked_for_counts_for_nobody():
    [row] = rows(found(offer("ACCEPTED", mode="forced")), "answers")
    assert row["countable"] is False


def test_the_estimate_is_held_against_the_answers_by_tenths():
    """First asks are foretold at 89.8 %, second ones at 73.3 %."""
    sent = [offer("ACCEPTED" if n < 9 else "DECLINED", delivery_id=n + 1) for n in range(10)]
    sent += [offer("ACCEPTED", delivery_id=10, attempt=2)]
    section = found(*sent, deliveries=10)
    low, high = rows(section, "reliability")
    assert (high["chance"], high["offers"], high["accepted"], high["share"]) == (
        "80 to 90 %",
        10,
        9,
        0.9,
    )
    assert high["foretold"] == pytest.approx(0.898, abs=0.001)
    assert high["low"] < high["foretold"] < high["high"]
    assert (low["chance"], low["offers"], low["accepted"]) == ("70 to 80 %", 1, 1)
    assert low["foretold"] == pytest.approx(0.733, abs=0.001)
    apart = (10 * abs(high["foretold"] - 0.9) + abs(low["foretold"] - 1)) / 11
    assert section.metric("acceptance_gap").value == pytest.approx(apart)


def test_a_long_way_and_a_full_bag_were_foretold_from_what_the_driver_was_told():
    near, far = (
        rows(found(offer("ACCEPTED", **told)), "reliability")[0]["foretold"]
        for told in ({"pickup_s": 60, "held": 0}, {"pickup_s": 1500, "held": 1})
    )
    assert far < 0.5 < near


def test_refusals_of_the_same_round_were_not_known_when_it_was_sent():
    wave = [
        offer(state, driver_id=n) for n, state in enumerate(("DECLINED", "DECLINED", "ACCEPTED"), 1)
    ]
    drivers = [{"id": n} for n in (1, 2, 3)]
    frames = tables([delivered(1, "12:00", 20)], driver_offers=wave, drivers=drivers)
    assert marts(frames)["mart_offers"]["refused"].to_list() == [0, 0, 0]


def test_what_a_boost_brought_is_beside_what_it_cost():
    plain = [offer("DECLINED", delivery_id=n, distance_m=2000) for n in range(1, 5)]
    again = [
        offer(
            "ACCEPTED" if n < 4 else "DECLINED",
            delivery_id=n,
            attempt=2,
            distance_m=2000,
            boost_cents=100,
        )
        for n in range(1, 5)
    ]
    without, boosted = rows(found(*plain, *again, deliveries=4), "boosts")
    assert (
        without["boost_cents"],
        without["accepted"],
        without["paid_cents"],
        without["saved_min"],
    ) == (0, 0, 0, None)
    assert (boosted["offers"], boosted["accepted"], boosted["share"]) == (4, 3, 0.75)
    assert boosted["paid_cents"] == 300
    assert boosted["unboosted"] == pytest.approx(4 * 0.7334, abs=0.001)
    assert boosted["extra"] == pytest.approx(3 - boosted["unboosted"])
    assert boosted["extra_cents"] == pytest.approx(300 / boosted["extra"])
    assert boosted["saved_min"] == pytest.approx(boosted["extra"] / 3)  # a refusal took 20 s


def test_a_boost_that_brought_nothing_has_no_price_for_what_it_brought():
    [row] = rows(found(offer("DECLINED", boost_cents=100)), "boosts")
    assert (row["extra_cents"], row["paid_cents"]) == (None, 0) and row["extra"] < 0


def test_without_offers_the_tables_are_empty_and_the_gap_is_not_available():
    section = found()
    assert [rows(section, name) for name in ("answers", "reliability", "boosts")] == [[], [], []]
    assert section.metric("acceptance_gap").line().startswith("n/a")
