"""What a search learns as it goes on: whom not to ask again, when to pay more, how wide to look, who will say yes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatchkit.decide.offers.model import Params
from dispatchkit.kernel.errors import BadConfig
from tests.builders import (
    NOW,
    Rows,
    Tables,
    a_delivery,
    a_driver,
    an_episode,
    an_offer,
    minutes,
    seconds,
    tables,
)
from tests.unit.decide.offers.rounds import after, asked, offer, run, said


def second_episode(*offers: Rows, **delivery: Any) -> Tables:
    """Delivery 1 seeks for the second time; driver 7 is at the pickup."""
    return tables(a_delivery(1, episode=2, **delivery), a_driver(7), *offers)


def refused(ago: float = 20, *, told: dict[str, Any] | None = None, **columns: Any) -> Rows:
    """Driver 7 declined it in the first episode, so many minutes ago."""
    columns = {"state": "DECLINED", "cause": "TOO_FAR", **columns}
    return an_offer(
        5,
        driver=7,
        sent=minutes(ago + 1),
        answered=minutes(ago),
        payload=json.dumps(told or {}),
        **columns,
    )


AGAIN: dict[str, tuple[Rows, bool]] = {
    "for a little more than before": (refused(pay_cents=1025 - 99), False),
    "for 1.00 more": (refused(pay_cents=1025 - 100), True),
    "for 1.00 more, but just now": (refused(9.9, pay_cents=1025 - 100), False),
    "for 1.00 more after ten minutes to the second": (refused(10, pay_cents=1025 - 100), True),
    "from a spot three minutes nearer": (refused(told={"pickup_s": 180}), True),
    "from a spot hardly nearer": (refused(told={"pickup_s": 179}), False),
    "though the old offer cannot be read": (refused(told={"pickup_s": "far"}), False),
    "having let it run out, on the same terms": (refused(state="EXPIRED", cause=None), False),
    "having only lost the race for it": (refused(state="REVOKED", cause="TAKEN_BY_OTHER"), True),
    "having never got the push": (refused(state="UNDELIVERABLE", cause="PUSH_REFUSED"), True),
}


@pytest.mark.parametrize("why", AGAIN)
def test_a_driver_is_asked_again_in_a_later_episode_only_for_a_better_offer(why):
    before, again = AGAIN[why]
    town = second_episode(before)
    assert asked(run(town)) == ([(1, 7)] if again else [])
    if again:
        assert (offer(run(town)).after["ask"], offer(run(town)).after["attempt"]) == (2, 1)
    else:
        assert said(town)[0]["rule"] == "NOT_IMPROVED"


def test_the_last_refusal_is_the_one_to_beat():
    first = an_offer(
        4, driver=7, state="DECLINED", sent=minutes(50), answered=minutes(49), pay_cents=900
    )
    assert (
        asked(
            run(
                tables(
                    a_delivery(1, episode=3), a_driver(7), first, refused(episode=2, pay_cents=1000)
                )
            )
        )
        == []
    )


def declined_rounds(n: int, *, episode: int = 1, state: str = "DECLINED") -> list[Rows]:
    """So many rounds in which another driver refused."""
    return [
        an_offer(50 + i, driver=80 + i, attempt=i, episode=episode, state=state, sent=minutes(9))
        for i in range(1, n + 1)
    ]


@pytest.mark.parametrize(
    ("rounds", "boost"), [(0, 0), (2, 0), (3, 100), (4, 200), (5, 300), (7, 300)]
)
def test_after_rounds_that_nobody_wanted_the_offer_pays_more_step_by_step(rounds, boost):
    town = tables(a_delivery(1, attempt=rounds), a_driver(7), *declined_rounds(rounds))
    made = offer(run(town)).after
    assert (made.get("boost_cents", 0), made["pay_cents"]) == (boost, 1025 + boost)
    told = json.loads(str(made["payload"]))
    assert (told["boost_cents"], told["estimated_earning_cents"]) == (boost, 1025 + boost)


@pytest.mark.parametrize("state", ["REVOKED", "UNDELIVERABLE"])
def test_a_round_that_nobody_refused_raises_no_pay(state):
    town = tables(a_delivery(1, attempt=5), a_driver(7), *declined_rounds(5, state=state))
    assert offer(run(town)).after.get("boost_cents", 0) == 0


def test_a_new_episode_begins_without_boost():
    town = tables(a_delivery(1, episode=2), a_driver(7), *declined_rounds(5))
    assert offer(run(town)).after.get("boost_cents", 0) == 0


def test_silence_that_ends_in_this_very_run_counts_as_unwanted():
    out = an_offer(60, driver=70, attempt=3, sent=minutes(1))
    town = tables(a_delivery(1, state="OFFERING", attempt=2), a_driver(7), *declined_rounds(2), out)
    assert offer(run(town)).after.get("boost_cents", 0) == 100


def escalated(level: int, *, at: tuple[float, float] = (0, 0)) -> Tables:
    town = tables(a_delivery(1), a_driver(7, at=at))
    [episode] = an_episode(1, opened=minutes(2), level=level)
    return {**town, "unassigned_orders": tables([episode])["unassigned_orders"]}


@pytest.mark.parametrize(
    ("level", "boost", "reaches"), [(0, 0, False), (1, 100, True), (3, 100, True)]
)
def test_an_escalated_search_looks_one_step_wider_and_may_pay_more(level, boost, reaches):
    assert offer(run(escalated(level))).after.get("boost_cents", 0) == boost
    assert bool(asked(run(escalated(level, at=(2900, 0))))) is reaches
    assert not asked(run(escalated(level, at=(3100, 0))))


def test_boost_can_be_switched_off():
    town = tables(a_delivery(1, attempt=7), a_driver(7), *declined_rounds(7))
    assert offer(run(town, boost_step_cents=0, boost_max_cents=0)).after.get("boost_cents", 0) == 0


def test_who_is_likelier_to_accept_may_be_asked_before_who_is_nearer():
    """A driver with a full bag is near, but a refusal costs a timeout: with a long one the idle driver goes first."""
    busy = [*a_driver(7, at=(100, 0)), *a_delivery(2, state="PICKED_UP", driver=7)]
    town = tables(a_delivery(1), busy, a_driver(8, at=(150, 0)))
    near: dict[str, Any] = {"stack_detour": seconds(0), "decline_stacked": 2.0}
    made = offer(run(town, timeout=seconds(100), **near))
    assert (made.after["driver_id"], made.why["runner_up_driver_id"]) == (8, 7)
    assert made.why["cost_s"] > made.why["runner_up_cost_s"] and made.why["margin_s"] > 0
    assert offer(run(town, timeout=seconds(2), **near)).after["driver_id"] == 7


def test_the_chance_of_a_yes_is_logged_and_falls_with_each_refusal():
    chances = []
    for n in range(3):
        town = tables(a_delivery(1, attempt=n), a_driver(7), *declined_rounds(n))
        chances.append(offer(run(town, usual_way=seconds(0))).why["p_accept"])
    assert chances == [
        0.8984,
        0.7334,
        0.6195,
    ]  # no with 10.2, 26.7 and 38.0 %: the fit to Meituan's counts


def test_a_sweep_after_hours_of_outage_closes_every_offer_once_and_begins_one_round_each():
    deliveries = [a_delivery(n, state="OFFERING", due=minutes(130)) for n in range(1, 21)]
    sent: dict[str, Any] = {"sent": minutes(120), "delivered_at": NOW - minutes(119)}
    offers = [an_offer(n, delivery=n, driver=100 + n, **sent) for n in range(1, 21)]
    town = tables(
        *deliveries,
        *offers,
        *(a_driver(100 + n) for n in range(1, 21)),
        *(a_driver(n) for n in range(1, 6)),
    )
    changes = run(town)
    assert sum(c.event == "offer_expired" for c in changes) == 20
    assert {c.after["timeouts"] for c in changes if c.event == "driver_cooled_down"} == {
        1
    }  # one silence, however late
    assert len(asked(changes)) == 5
    assert {c.after["attempt"] for c in changes if c.event == "delivery_unassigned"} == {1}
    after(town)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"boost_step_cents": 400}, "boost_step_cents.*boost_max_cents"),
        ({"wave_gap": seconds(0)}, "wave_gap"),
        ({"wave_size": 0}, "wave_size"),
        ({"decline_per_minute": 9.0}, "decline_per_minute"),
        ({"reoffer_nearer": minutes(-1)}, "reoffer_nearer"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings, match):
    with pytest.raises(BadConfig, match=match):
        Params(**settings)
