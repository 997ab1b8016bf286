"""Driver rows: exposure, engagement, evidence."""

from __future__ import annotations

import pytest

from dispatchkit.measure import drivers
from dispatchkit.measure.metric import wilson
from dispatchkit.measure.scores import WEIGHTS
from tests.unit.measure.small_dataset import after, at, delivered, marts, order, scope, tables

SHIFT = {"duty": "ON_DUTY", "since": at("10:00"), "until": at("20:00")}


def duty(*numbers: int):
    return [{"driver_id": n, **SHIFT} for n in numbers]


def measured(jobs, **more):
    return drivers.measure(marts(tables(jobs, **more)), scope())


def rows(section):
    return {row["driver_id"]: row for row in section.table("drivers").frame.iter_rows(named=True)}


def many(driver: int, good: int, bad: int, first: int = 1):
    done = [delivered(first + i, "12:00", 20, driver_id=driver) for i in range(good)]
    failed = [
        order(first + good + i, "12:00", state="FAILED", driver_id=driver, assigned_at=at("12:02"),
              ended_at=at("13:00"), ended_by="driver")
        for i in range(bad)
    ]  # fmt: skip
    return [*done, *failed]


def test_driver_without_events_has_row():
    section = measured(
        [], drivers=[{"id": n} for n in (1, 2)], driver_availability_history=duty(1, 2)
    )
    assert [row["tag"] for row in rows(section).values()] == ["insufficient", "insufficient"]
    assert section.metric("drivers_tracked").value == 1


def test_engaged_time_counts_overlaps_once():
    jobs = [delivered(1, "12:00", 62), delivered(2, "12:30", 62), delivered(3, "15:00", 32)]
    section = measured(jobs, driver_availability_history=duty(1))
    row = rows(section)[1]
    assert row["engaged_h"] == pytest.approx(2.0)  # 12:02 to 13:32, and 15:02 to 15:32
    assert row["utilisation"] == pytest.approx(0.2)


def test_stacked_deliveries_share_engaged_time():
    made = marts(tables([delivered(1, "12:00", 62), delivered(2, "12:30", 62)]))["mart_deliveries"]
    # alone 12:02-12:32 and 13:02-13:32, both 12:32-13:02
    assert made["engaged_s"].to_list() == [2700, 2700]


def test_cautious_score_is_mean_of_lower_bounds():
    section = measured(many(1, 18, 2), driver_availability_history=duty(1))
    row = rows(section)[1]
    assert (row["completion"], row["completion_n"], row["tag"]) == (0.9, 20, "")
    low = {
        "completion": wilson(18, 20)[0],
        "dropoff": wilson(18, 18)[0],
        "steadiness": wilson(20, 20)[0],
    }
    expected = sum(WEIGHTS[name] * low[name] for name in low) / sum(WEIGHTS[name] for name in low)
    assert round(low["completion"], 3) == 0.699
    assert row["cautious_score"] == pytest.approx(100 * expected)


def test_below_twenty_deliveries_driver_has_no_rank():
    row = rows(measured(many(1, 19, 0), driver_availability_history=duty(1)))[1]
    assert (row["tag"], row["rank"], row["completion"]) == ("insufficient", None, 1.0)


def test_cancellation_by_customer_does_not_count():
    jobs = [*many(1, 3, 0), order(9, "12:00", state="CANCELLED", ended_by="customer", ended_while="ASSIGNED",
                                  assigned_at=at("12:02"), ended_at=at("12:05"))]  # fmt: skip
    assert rows(measured(jobs, driver_availability_history=duty(1)))[1]["completion"] == 1.0


def test_release_counts_unless_merchant_was_slow():
    jobs = [
        *many(1, 3, 0),
        delivered(8, "12:00", 40, driver_id=2),
        delivered(9, "12:00", 40, driver_id=2),
    ]
    cases = [
        {"delivery_id": n, "driver_id": 1, "state": "SUCCEEDED", "trigger": trigger, "suspected_at": at("12:10"),
         "confirmed_at": at("12:15")}
        for n, trigger in ((8, "NO_START"), (9, "MERCHANT_WAIT"))
    ]  # fmt: skip
    pair = {"drivers": [{"id": 1}, {"id": 2}], "driver_availability_history": duty(1, 2)}
    row = rows(measured(jobs, reassignment_cases=cases, **pair))[1]
    assert (row["completion"], row["completion_n"], row["steadiness"]) == (0.75, 4, 0.75)


@pytest.mark.parametrize(("offers", "gini"), [((4, 4), 0.0), ((8, 0), 0.5)])
def test_offer_gini(offers, gini):
    sent = [
        {"delivery_id": 1, "driver_id": driver, "state": "EXPIRED", "sent_at": at("12:00"),
         "expires_at": after("12:00", 1), "hard_deadline": after("12:00", 1), "responded_at": after("12:00", 1)}
        for driver, n in zip((1, 2), offers, strict=True)
        for _ in range(n)
    ]  # fmt: skip
    pair = {"drivers": [{"id": 1}, {"id": 2}], "driver_availability_history": duty(1, 2)}
    section = measured([delivered(1, "12:00", 20)], driver_offers=sent, **pair)
    assert section.metric("offer_gini").value == pytest.approx(gini)


def test_evenness_compares_offers_and_hours():
    sent = [
        {"delivery_id": 1, "driver_id": driver, "state": "EXPIRED", "sent_at": at("12:00"),
         "expires_at": after("12:00", 1), "hard_deadline": after("12:00", 1), "responded_at": after("12:00", 1)}
        for driver, n in ((1, 3), (2, 1))
        for _ in range(n)
    ]  # fmt: skip
    pair = {"drivers": [{"id": 1}, {"id": 2}], "driver_availability_history": duty(1, 2)}
    table = (
        measured([delivered(1, "12:00", 20)], driver_offers=sent, **pair).table("evenness").frame
    )
    assert table.select("drivers", "hours_share", "offers_share").rows() == [
        (1, 0.5, 0.25),
        (1, 0.5, 0.75),
    ]


def test_earnings_per_hour_exclude_fees():
    costs = [{"delivery_id": 1, "driver_id": 1, "at": at("12:30"), "kind": kind, "amount_cents": cents}
             for kind, cents in (("piece_pay", 800), ("guarantee_topup", 200), ("payment_fee", 50))]  # fmt: skip
    section = measured(
        [delivered(1, "12:00", 20)], delivery_costs=costs, driver_availability_history=duty(1)
    )
    assert rows(section)[1]["earned_per_h"] == pytest.approx(100)
