"""Quoted times compared with actual ones."""

from __future__ import annotations

from dispatchkit.measure import etas
from tests.unit.measure.small_dataset import after, at, delivered, marts, order, scope, tables


def quote(number: int, minutes: float, **more):
    return {
        "delivery_id": number,
        "quoted_at": at("12:00"),
        "eta_at": after("12:00", minutes),
        **more,
    }


EVENING = at("18:00")


def measured(jobs, quotes, as_of=EVENING):
    return etas.measure(marts(tables(jobs, eta_quotes=quotes), as_of), scope(as_of))


def test_accuracy_includes_exactly_five_minutes():
    jobs = [delivered(n, "12:00", 30) for n in (1, 2, 3, 4)]
    quotes = [quote(1, 25), quote(2, 35), quote(3, 24.98), quote(4, 35.02)]
    close = measured(jobs, quotes).metric("eta_accuracy_placement")
    assert (close.numerator, close.denominator) == (2, 4)
    late = measured(jobs, quotes).metric("eta_late_placement")
    assert (late.numerator, late.denominator) == (1, 4)


def test_unfulfilled_is_miss_early_cancel_excluded():
    jobs = [delivered(1, "12:00", 30),
            order(2, "12:00", state="UNFULFILLED", ended_at=at("12:45"), ended_while="UNASSIGNED"),
            order(3, "12:00", state="CANCELLED", ended_at=at("12:10"), ended_while="OFFERING"),
            order(4, "12:00", state="CANCELLED", ended_at=at("12:50"), ended_while="OFFERING")]  # fmt: skip
    close = measured(jobs, [quote(n, 30) for n in (1, 2, 3, 4)]).metric("eta_accuracy_placement")
    assert (close.numerator, close.denominator, close.excluded_count) == (1, 3, 1)


def test_running_order_is_open_until_five_minutes_late():
    running = [order(1, "12:00", state="PICKED_UP", driver_id=1, slot=1, assigned_at=at("12:05"))]
    early = measured(running, [quote(1, 30)], as_of=at("12:34")).metric("eta_accuracy_placement")
    assert (early.denominator, early.open) == (0, 1)
    late = measured(running, [quote(1, 30)], as_of=at("12:36")).metric("eta_accuracy_placement")
    assert (late.numerator, late.denominator, late.open) == (0, 1, 0)


def test_first_quote_counts_later_are_revisions():
    revised = [quote(1, 50), quote(1, 30, quoted_at=at("12:10")), quote(1, 30, event="pickup")]
    section = measured([delivered(1, "12:00", 30)], revised)
    assert section.metric("eta_accuracy_placement").value == 0
    assert section.metric("eta_accuracy_pickup").value == 1
    rows = section.table("events").frame.select("event", "quotes", "revisions").rows()
    assert rows == [("placement", 1, 1), ("pickup", 1, 0)]


def test_coverage_excludes_quotes_without_interval():
    jobs = [delivered(n, "12:00", 30) for n in range(1, 13)]
    quotes = [
        quote(n, 30, low_at=after("12:00", 25), high_at=after("12:00", 35 if n > 3 else 29))
        for n in range(1, 12)
    ]
    covered = measured(jobs, [*quotes, quote(12, 30)]).metric("eta_coverage_placement")
    assert (covered.numerator, covered.denominator, covered.excluded_count) == (8, 11, 1)


def test_without_quotes_accuracy_shows_reason():
    section = measured([delivered(1, "12:00", 30)], [])
    assert section.metric("eta_accuracy_accept").summary() == (
        "n/a = 0 / 0; excluded 0; open 0; no quotes at accept were imported"
    )
