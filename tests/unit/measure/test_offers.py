"""Countable offers, predicted acceptance and the gain of boosts, through the real marts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatchkit.domain.states import DECLINE_REASONS
from dispatchkit.measure import offers
from tests.unit.measure.small_dataset import Row, at, delivered, marts, scope, tables

TIMES = {"sent_at": at("12:00"), "expires_at": at("12:00:30"), "hard_deadline": at("12:00:32")}


def offer(state: str, **more: Any) -> Row:
    answered = None if state == "PENDING" else at("12:00:20")
    features = {name: more.pop(name) for name in ("pickup_s", "held") if name in more}
    payload = json.dumps(features, separators=(",", ":"))
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


def measured(*sent: Row, deliveries: int = 1) -> Any:
    jobs = [delivered(n, "12:00", 20) for n in range(1, deliveries + 1)]
    return offers.measure(marts(tables(jobs, driver_offers=list(sent))), scope())


def rows(section: Any, table: str) -> list[dict[str, Any]]:
    return list(section.table(table).frame.iter_rows(named=True))


def test_mart_counts_declines_like_vocabulary():
    sent = [offer("DECLINED", cause=reason) for reason in DECLINE_REASONS]
    counted = {row["reason"]: row["countable"] for row in rows(measured(*sent), "answers")}
    assert counted == DECLINE_REASONS


def test_countable_acceptance_names_its_exclusions():
    section = measured(
        *(offer("ACCEPTED", delivery_id=n) for n in range(1, 4)),
        offer("DECLINED", cause="TOO_FAR"),
        offer("DECLINED", cause="UNSAFE_AREA"),
        offer("EXPIRED"),
        offer("EXPIRED", delivered_at=at("12:00:02")),
        offer("ACCEPTED", delivery_id=4, mode="forced"),
        offer("UNDELIVERABLE", cause="PUSH_REFUSED"),
        deliveries=4,
    )
    countable = section.metric("countable_acceptance")
    assert (countable.numerator, countable.denominator) == (3, 5)
    assert {e.reason: e.count for e in countable.excluded if e.count} == {
        "forced assignment": 1,
        "undeliverable": 1,
        "declined for a reason that does not count": 1,
        "expired unseen": 1,
    }
    assert countable.denominator + countable.excluded_count == 9


def test_forced_assignment_is_not_countable():
    [row] = rows(measured(offer("ACCEPTED", mode="forced")), "answers")
    assert row["countable"] is False


def test_calibration_compares_predicted_and_actual_by_tenths():
    """First offers are predicted at 89.8 %, second ones at 73.3 %."""
    sent = [offer("ACCEPTED" if n < 9 else "DECLINED", delivery_id=n + 1) for n in range(10)]
    sent += [offer("ACCEPTED", delivery_id=10, attempt=2)]
    section = measured(*sent, deliveries=10)
    low, high = rows(section, "calibration")
    assert (high["predicted_range"], high["offers"], high["accepted"], high["share"]) == (
        "80 to 90 %",
        10,
        9,
        0.9,
    )
    assert high["predicted"] == pytest.approx(0.898, abs=0.001)
    assert high["low"] < high["predicted"] < high["high"]
    assert (low["predicted_range"], low["offers"], low["accepted"]) == ("70 to 80 %", 1, 1)
    assert low["predicted"] == pytest.approx(0.733, abs=0.001)
    error = (10 * abs(high["predicted"] - 0.9) + abs(low["predicted"] - 1)) / 11
    assert section.metric("acceptance_calibration_error").value == pytest.approx(error)


def test_prediction_falls_with_travel_time_and_deliveries_in_hand():
    near, far = (
        rows(measured(offer("ACCEPTED", **features)), "calibration")[0]["predicted"]
        for features in ({"pickup_s": 60, "held": 0}, {"pickup_s": 1500, "held": 1})
    )
    assert far < 0.5 < near


def test_refusals_of_same_round_are_not_counted():
    one_round = [
        offer(state, driver_id=n) for n, state in enumerate(("DECLINED", "DECLINED", "ACCEPTED"), 1)
    ]
    drivers = [{"id": n} for n in (1, 2, 3)]
    frames = tables([delivered(1, "12:00", 20)], driver_offers=one_round, drivers=drivers)
    assert marts(frames)["mart_offers"]["refused_before"].to_list() == [0, 0, 0]


def test_boost_table_shows_gain_and_cost():
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
    without, boosted = rows(measured(*plain, *again, deliveries=4), "boosts")
    assert (
        without["boost_cents"],
        without["accepted"],
        without["paid_cents"],
        without["saved_min"],
    ) == (0, 0, 0, None)
    assert (boosted["offers"], boosted["accepted"], boosted["share"]) == (4, 3, 0.75)
    assert boosted["paid_cents"] == 300
    assert boosted["predicted_without_boost"] == pytest.approx(4 * 0.7334, abs=0.001)
    assert boosted["extra_accepted"] == pytest.approx(3 - boosted["predicted_without_boost"])
    assert boosted["cost_per_extra_cents"] == pytest.approx(300 / boosted["extra_accepted"])
    assert boosted["saved_min"] == pytest.approx(
        boosted["extra_accepted"] / 3
    )  # a refusal took 20 s


def test_boost_without_gain_has_no_cost_per_extra():
    [row] = rows(measured(offer("DECLINED", boost_cents=100)), "boosts")
    assert (row["cost_per_extra_cents"], row["paid_cents"]) == (None, 0) and row[
        "extra_accepted"
    ] < 0


def test_without_offers_tables_are_empty():
    section = measured()
    assert [rows(section, name) for name in ("answers", "calibration", "boosts")] == [[], [], []]
    assert section.metric("acceptance_calibration_error").summary().startswith("n/a")
