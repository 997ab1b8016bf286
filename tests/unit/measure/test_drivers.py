"""Driver rows: exposure, engagement, evidence."""

from __future__ import annotations

import pytest

from dispatchkit.measure import drivers
from dispatchkit.measure.metric import wilson
from dispatchkit.measure.scores import WEIGHTS
from tests.unit.measure.miniature import after, at, delivered, marts, order, scope, tables

SHIFT = {"duty": "ON_DUTY", "since": at("10:00"), "until": at("20:00")}


def duty(*numbers: int):
    return [{"driver_id": n, **SHIFT} for n in numbers]


def found(jobs, **more):
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


def test_everyone_with_an_available_minute_has_a_row_even_without_an_event():
    section = found([], drivers=[{"id": n} for n in (1, 2)], driver_availability_history=duty(1, 2))
    assert [row["tag"] for row in rows(section).values()] == ["insufficient", "insufficient"]
    assert section.metric("drivers_tracked").value == 1


def test_engaged_time_counts_overlapping_deliveries_once():
    jobs = [delivered(1, "12:00", 62), delivered(2, "12:30", 62), delivered(3, "15:00", 32)]
    section = found(jobs, driver_availability_history=duty(1))
    row = rows(section)[1]
    assert row["engaged_h"] == pytest.approx(2.0)  # 12:02 to 13:32, and 15:02 to 15:32
    assert row["utilisation"] == pytest.approx(0.2)


def test_a_stack_shares_the_clock_and_the_shares_sum_to_it():
    made = marts(tables([delivered(1, "12:00", 62), delivered(2, "12:30", 62)]))["mart_deliveries"]
    # alone 12:02-12:32 and 13:02-13:32, both 12:32-13:02
    assert made["engaged_s"].to_list() == [2700, 2700]


def test_eighteen_of_twenty_completed_is_ranked_by_its_lower_bound():
    section = found(many(1, 18, 2), driver_availability_history=duty(1))
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


def test_below_twenty_deliveries_a_driver_is_shown_and_not_ranked():
    row = rows(found(many(1, 19, 0), driver_availability_history=duty(1)))[1]
    assert (row["tag"], row["rank"], row["completion"]) == ("insufficient", None, 1.0)


def test_a_customer_who_cancels_is_not_the_drivers_fault():
    jobs = [*many(1, 3, 0), order(9, "12:00", state="CANCELLED", ended_by="customer", ended_while="ASSIGNED",
                                  assigned_at=at("12:02"), ended_at=at("12:05"))]  # fmt: skip
    assert rows(found(jobs, driver_availability_history=duty(1)))[1]["completion"] == 1.0


def test_a_released_delivery_counts_against_the_driver_who_stalled_unless_the_merchant_was_slow():
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
    row = rows(found(jobs, reassignment_cases=cases, **pair))[1]
    assert (row["completion"], row["completion_n"], row["steadiness"]) == (0.75, 4, 0.75)


@pytest.mark.parametrize(("offers", "gini"), [((4, 4), 0.0), ((8, 0), 0.5)])
def test_the_gini_of_offers_is_nought_when_alike_and_a_half_when_one_of_two_gets_all(offers, gini):
    sent = [
        {"delivery_id": 1, "driver_id": driver, "state": "EXPIRED", "sent_at": at("12:00"),
         "expires_at": after("12:00", 1), "hard_deadline": after("12:00", 1), "responded_at": after("12:00", 1)}
        for driver, n in zip((1, 2), offers, strict=True)
        for _ in range(n)
    ]  # fmt: skip
    pair = {"drivers": [{"id": 1}, {"id": 2}], "driver_availability_history": duty(1, 2)}
    section = found([delivered(1, "12:00", 20)], driver_offers=sent, **pair)
    assert section.metric("offer_gini").value == pytest.approx(gini)


def test_shares_of_offers_stand_beside_shares_of_hours_from_the_least_asked_to_the_most():
    sent = [
        {"delivery_id": 1, "driver_id": driver, "state": "EXPIRED", "sent_at": at("12:00"),
         "expires_at": after("12:00", 1), "hard_deadline": after("12:00", 1), "responded_at": after("12:00", 1)}
        for driver, n in ((1, 3), (2, 1))
        for _ in range(n)
    ]  # fmt: skip
    pair = {"drivers": [{"id": 1}, {"id": 2}], "driver_availability_history": duty(1, 2)}
    table = found([delivered(1, "12:00", 20)], driver_offers=sent, **pair).table("evenness").frame
    assert table.select("drivers", "hours_share", "offers_share").rows() == [
        (1, 0.5, 0.25),
        (1, 0.5, 0.75),
    ]


def test_earnings_per_available_hour_leave_tips_out():
    costs = [{"delivery_id": 1, "driver_id": 1, "at": at("12:30"), "kind": kind, "amount_cents": cents}
             for kind, cents in (("piece_pay", 800), ("guarantee_topup", 200), ("payment_fee", 50))]  # fmt: skip
    section = found(
        [delivered(1, "12:00", 20)], delivery_costs=costs, driver_availability_history=duty(1)
    )
    assert rows(section)[1]["earned_per_h"] == pytest.approx(100)
