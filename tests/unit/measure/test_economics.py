"""The ledger of three orders and an idle driver, to the cent."""

from __future__ import annotations

from dispatchkit.measure import economics
from tests.unit.measure.small_dataset import at, delivered, marts, order, scope, tables


def cost(kind: str, cents: int, number: int | None = 1, **more):
    return {
        "delivery_id": number,
        "driver_id": 1,
        "at": at("12:30"),
        "kind": kind,
        "amount_cents": cents,
        **more,
    }


def income(side: str, kind: str, cents: int, number: int = 1, **more):
    return {
        "delivery_id": number,
        "at": at("12:30"),
        "side": side,
        "kind": kind,
        "amount_cents": cents,
        **more,
    }


def measured(costs=None, revenue=None):
    jobs = [delivered(1, "12:00", 20), delivered(2, "12:10", 25),
            order(3, "12:20", state="UNFULFILLED", ended_at=at("13:00"), ended_while="UNASSIGNED")]  # fmt: skip
    ledger = {
        "delivery_costs": [cost("piece_pay", 500), cost("piece_pay", 500, 2), cost("guarantee_topup", 101),
                           cost("guarantee_topup", 99, 2), cost("idle_topup", 300, None), cost("payment_fee", 31),
                           cost("payment_fee", 30, 2), *(costs or [])],
        "delivery_revenue": [income("revenue", "delivery_fee", 400), income("revenue", "merchant_commission", 700),
                             income("revenue", "delivery_fee", 400, 2), income("revenue", "price_uplift", 50, 2),
                             income("contra", "refund", 120, 2), income("pass_through", "tip", 999), *(revenue or [])],
    }  # fmt: skip
    return economics.measure(marts(tables(jobs, **ledger)), scope())


def test_bridge_adds_up_to_cent():
    bridge = dict(measured().table("bridge").frame.iter_rows())
    assert bridge == {
        "revenue": 1550, "refunds, credits, promotions": -120, "driver pay": -1000, "top-ups on orders": -200,
        "idle top-ups": -300, "other variable cost": -61, "contribution": -131,
    }  # fmt: skip


def test_contribution_per_order_excludes_idle_pay():
    per_order, margin = (
        measured().metric("contribution_per_order"),
        measured().metric("contribution_margin"),
    )
    assert (per_order.numerator, per_order.denominator) == (169, 3)
    assert (margin.numerator, margin.denominator) == (-131, 1430)
    assert measured().metric("contribution_per_delivered").denominator == 2


def test_tips_are_neither_revenue_nor_cost():
    before, after = measured(), measured(revenue=[income("pass_through", "tip", 5000, 2)])
    assert before.table("bridge").frame.equals(after.table("bridge").frame)


def test_correction_is_opposite_line():
    fixed = measured(costs=[cost("piece_pay", 500, 2, direction=-1), cost("piece_pay", 450, 2)])
    assert dict(fixed.table("bridge").frame.iter_rows())["driver pay"] == -950


def test_ledger_that_does_not_add_up_is_fault():
    sound = measured()
    assert sound.faults == []
    lost = measured(
        costs=[cost("guarantee_topup", 70, None)]
    )  # a top-up on an order that names no order
    assert [check.holds for check in lost.checks] == [False, True, True]
    assert "off by" in lost.faults[0]


def test_test_orders_are_excluded_and_counted():
    jobs = [delivered(1, "12:00", 20), delivered(2, "12:00", 20, source="test")]
    lines = [income("revenue", "delivery_fee", 400), income("revenue", "delivery_fee", 400, 2)]
    section = economics.measure(marts(tables(jobs, delivery_revenue=lines)), scope())
    revenue = section.metric("net_revenue_per_order")
    assert (revenue.numerator, revenue.denominator, revenue.excluded_count) == (400, 1, 1)


def test_without_ledger_money_is_not_available():
    section = economics.measure(marts(tables([delivered(1, "12:00", 20)])), scope())
    assert section.metric("contribution_per_order").value_text == "n/a"
