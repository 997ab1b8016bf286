"""The chance of a yes: the published figures come out, and each effect has its sign."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from dispatchkit.domain.acceptance import Acceptance
from dispatchkit.kernel.errors import BadConfig

USUAL = Acceptance()


@pytest.mark.parametrize(("refusals", "declined"), [(0, 0.102), (1, 0.267), (2, 0.380), (3, 0.464)])
def test_an_order_that_was_refused_is_refused_more_easily(refusals, declined):
    assert 1 - USUAL.p_accept(float(refusals), 5.0, 0.0, 0.0) == pytest.approx(declined, abs=0.0005)


def test_a_far_pickup_or_a_full_bag_puts_a_driver_off_and_a_boost_draws_him():
    plain = USUAL.p_accept(0.0, 5.0, 0.0, 0.0)
    assert USUAL.p_accept(0.0, 15.0, 0.0, 0.0) < USUAL.p_accept(0.0, 6.0, 0.0, 0.0) < plain
    assert USUAL.p_accept(0.0, 5.0, 1.0, 0.0) < plain < USUAL.p_accept(0.0, 5.0, 0.0, 1.0)


def test_without_effects_all_drivers_are_alike():
    flat = Acceptance(decline_per_minute=0.0, decline_stacked=0.0, decline_per_boost=0.0)
    assert flat.p_accept(1.0, 40.0, 2.0, 9.0) == flat.p_accept(1.0, 5.0, 0.0, 0.0)


def test_one_offer_and_a_column_of_offers_are_judged_alike():
    model = Acceptance(usual_way=timedelta(minutes=4))
    rows = [(0.0, 3.0, 0.0, 0.0), (2.0, 11.0, 1.0, 0.4)]
    frame = pl.DataFrame(rows, schema=["k", "way", "held", "boost"], orient="row")
    column = model.p_accept(*(pl.col(name) for name in frame.columns))
    assert frame.select(p=column)["p"].to_list() == pytest.approx(
        [model.p_accept(*row) for row in rows]
    )


def test_a_reluctance_that_is_none_is_refused_by_name():
    with pytest.raises(BadConfig, match="decline_b"):
        Acceptance(decline_b=0.0)
