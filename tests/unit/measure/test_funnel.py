"""The funnel over days small enough to count by hand."""

from __future__ import annotations

import pytest

from dispatchkit.measure import funnel, offers, service
from tests.unit.measure.small_dataset import after, at, delivered, marts, order, scope, tables


def a_day():
    """Ten orders: 5 delivered, 1 unfulfilled, 3 cancelled (searching, assigned, early), 1 running."""
    return [
        *(delivered(n, "12:00", minutes) for n, minutes in enumerate((20, 30, 35, 45, 60), 1)),
        order(6, "12:00", state="UNFULFILLED", ended_at=at("12:45"), ended_while="UNASSIGNED"),
        order(
            7,
            "12:00",
            state="CANCELLED",
            ended_at=at("12:20"),
            ended_while="OFFERING",
            ended_by="customer",
        ),
        order(
            8,
            "12:00",
            state="CANCELLED",
            ended_at=at("12:20"),
            ended_while="ASSIGNED",
            assigned_at=at("12:05"),
        ),
        order(
            9,
            "12:00",
            state="CANCELLED",
            ended_at=at("12:02"),
            ended_while="SCHEDULED",
            dispatch_at=at("12:10"),
        ),
        order(10, "12:00", state="ASSIGNED", driver_id=1, slot=1, assigned_at=at("12:15")),
    ]


def test_stages_count_every_order_once():
    stages = funnel.measure(marts(tables(a_day())), scope()).table("stages").frame
    counted = dict(stages.select("stage", "orders").iter_rows())
    assert counted == {
        "created": 10, "dispatchable": 9, "offered": 0, "first offer accepted": 0,
        "assigned": 7, "picked up": 5, "delivered": 5,
    }  # fmt: skip


def test_never_served_counts_excluded_and_open_orders():
    result = funnel.measure(marts(tables(a_day())), scope()).metric("unassigned_never_served")
    assert (result.numerator, result.denominator, result.excluded_count, result.open) == (
        2,
        8,
        1,
        1,
    )


def test_outcomes_add_up_to_orders_created():
    ends = funnel.measure(marts(tables(a_day())), scope()).table("ends").frame
    assert ends["orders"].sum() == 10
    assert ends["never_served"].sum() == 2


def test_on_time_counts_undelivered_orders_as_late():
    result = service.measure(marts(tables(a_day())), scope())
    assert (
        result.metric("on_time_all_orders").summary().startswith("0.3333 [")
    )  # 3 of 9: all but the early cancel
    assert (
        result.metric("on_time_delivered_only").numerator,
        result.metric("on_time_delivered_only").denominator,
    ) == (
        3,
        5,
    )


def test_median_over_all_orders_is_longer():
    result = service.measure(marts(tables(a_day())), scope())
    assert result.metric("click_to_door_median_delivered_only").value == 35
    everyone = result.metric("click_to_door_median_all_orders")
    assert (everyone.value, everyone.denominator, everyone.open) == (45, 8, 1)
    p90 = result.metric("click_to_door_p90_all_orders")
    assert p90.value is None
    assert "never arrived" in p90.missing_reason


def test_duration_without_start_is_not_available():
    result = service.measure(marts(tables(a_day())), scope()).metric(
        "ready_to_door_median_delivered_only"
    )
    assert result.value_text == "n/a"
    assert not result.failed


def test_ever_late_counts_searches_over_ten_minutes():
    result = funnel.measure(marts(tables(a_day())), scope()).metric("unassigned_ever_late")
    # 5 delivered after 2 minutes, order 8 after 5, order 10 after 15, order 6 never (45 min), order
    # 7 gave up at 20
    assert (result.numerator, result.denominator) == (3, 9)


def test_mean_unassigned_is_waiting_time_per_day():
    result = funnel.measure(marts(tables(a_day())), scope()).metric("mean_unassigned_orders")
    assert result.numerator == 60 * (5 * 2 + 45 + 20 + 5 + 15)
    assert result.denominator == 24 * 3600


def test_replacement_delivery_decides_outcome():
    first = order(
        1, "12:00", state="FAILED", driver_id=1, assigned_at=at("12:05"), ended_at=at("12:30")
    )
    retried = {**order(1, "12:00")[1], "id": 2, "replaces": 1, "state": "DELIVERED", "driver_id": 1,
               "assigned_at": at("12:31"), "ended_at": at("12:50")}  # fmt: skip
    frames = tables([first], deliveries=[first[1], retried])
    stages = funnel.measure(marts(frames), scope()).table("stages").frame
    assert dict(stages.select("stage", "orders").iter_rows())["delivered"] == 1
    assert stages["orders"][0] == 1


def offer(state: str, **more):
    answered = None if state == "PENDING" else at("12:00:20")
    times = {"sent_at": at("12:00"), "expires_at": at("12:00:30"), "hard_deadline": at("12:00:32")}
    return {
        "delivery_id": 1,
        "driver_id": 1,
        "state": state,
        "responded_at": answered,
        **times,
        **more,
    }


def test_acceptance_and_willingness_of_same_offers():
    sent = [
        *(offer("ACCEPTED") for _ in range(12)),
        *(offer("DECLINED", cause="TOO_FAR") for _ in range(3)),
        *(offer("EXPIRED") for _ in range(5)),
        offer("REVOKED", cause="TAKEN_BY_OTHER"),
        offer("UNDELIVERABLE"),
        offer("PENDING"),
    ]
    result = offers.measure(marts(tables([delivered(1, "12:00", 20)], driver_offers=sent)), scope())
    assert (
        result.metric("offer_acceptance").numerator,
        result.metric("offer_acceptance").denominator,
    ) == (12, 20)
    assert result.metric("offer_acceptance").open == 1
    assert {e.reason: e.count for e in result.metric("offer_acceptance").excluded} == {
        "forced assignment": 0, "revoked: TAKEN_BY_OTHER": 1, "undeliverable": 1,
    }  # fmt: skip
    willing = result.metric("offer_willingness")
    assert (willing.numerator, willing.denominator, willing.excluded_count, willing.failed) == (
        12,
        15,
        7,
        False,
    )
    assert result.table("answers").frame["offers"].sum() == 23


def test_first_offer_acceptance_uses_round_one_only():
    second = [
        offer("DECLINED"), offer("ACCEPTED", attempt=2),
        offer("ACCEPTED", delivery_id=2), offer("REVOKED", delivery_id=3, cause="OPS"),
    ]  # fmt: skip
    jobs = [delivered(n, "12:00", 20) for n in (1, 2, 3, 4)]
    result = offers.measure(marts(tables(jobs, driver_offers=second)), scope()).metric(
        "first_offer_acceptance"
    )
    assert (result.numerator, result.denominator, result.excluded_count) == (1, 2, 1)


def test_without_offers_acceptance_is_not_available():
    result = offers.measure(marts(tables([delivered(1, "12:00", 20)])), scope()).metric(
        "offer_acceptance"
    )
    assert result.summary() == "n/a = 0 / 0; excluded 0; open 0; no offers were imported"


def test_auto_reassignment_counts_deadline_and_cancellations():
    jobs = [delivered(1, "12:00", 59), delivered(2, "12:00", 61),
            order(3, "12:00", state="CANCELLED", ended_while="UNASSIGNED", ended_by="customer", ended_at=at("12:40")),
            delivered(4, "12:00", 30), delivered(5, "12:00", 100, promised_at=after("12:00", 90))]  # fmt: skip
    states = ("SUCCEEDED", "SUCCEEDED", "ABORTED", "SUCCEEDED", "SUCCEEDED")
    cases = [
        {"delivery_id": n, "driver_id": 1, "state": state, "suspected_at": at("12:10"), "confirmed_at": at("12:15"),
         "trigger": "OPS" if n == 4 else "NO_START"}
        for n, state in enumerate(states, 1)
    ]  # fmt: skip
    result = offers.measure(marts(tables(jobs, reassignment_cases=cases)), scope()).metric(
        "auto_reassignment"
    )
    assert (result.numerator, result.denominator, result.excluded_count) == (2, 4, 1)


def test_without_assignment_times_waiting_is_not_available():
    section = funnel.measure(marts(tables([delivered(1, "12:00", 20, assigned_at=None)])), scope())
    assert section.metric("mean_unassigned_orders").value is None
    assert section.metric("unassigned_ever_late").value is None
    assert "may list no others" in section.notes[0]


@pytest.mark.parametrize(
    ("promises", "said"),
    [((None, None), "2 of 2 orders carry no promise: on time is then 40 min after placement"),
     ((None, 35), "1 of 2 orders carry no promise: on time is then 40 min after placement"), ((35, 35), "")],
)  # fmt: skip
def test_on_time_remark_counts_orders_without_promise(promises, said):
    orders = [
        delivered(n, "12:00", 30, promised_at=minutes and after("12:00", minutes))
        for n, minutes in enumerate(promises, 1)
    ]
    result = service.measure(marts(tables(orders)), scope())
    assert result.metric("on_time_all_orders").remark == said
