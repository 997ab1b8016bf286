"""What drivers answered: acceptance in three readings, and what reassignment came to (semantics, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from dispatchkit.kernel.metrics import Exclusion, Metric, Section, Table
from dispatchkit.measure import asked
from dispatchkit.measure.metric import Scope, need, rate

READS = {
    "mart_deliveries": (
        "dispatch_at offers round1_offers round1_accepted round1_open round1_withdrawn"
    ).split(),
    "mart_offers": sorted({"cause", "seen", "countable", "hard_deadline", *asked.READS}),
    "mart_cases": "state trigger confirmed_at suspected_at outcome ended_by delivered_at due_at".split(),
}
_state, _outcome = pl.col("state"), pl.col("outcome")


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return acceptance of the offers that fell due in the window and the fate of reassigned deliveries."""
    need(marts, READS)
    offers = marts["mart_offers"].filter(scope.within("hard_deadline"))
    answered = asked.answered(offers)
    return Section(
        name="offers",
        title="Offers and reassignment",
        metrics=(
            _accepted(
                "offer_acceptance",
                offers,
                scope,
                "accepted / accepted + declined + expired (seen or not)",
            ),
            _first(marts["mart_deliveries"], scope),
            _willing(offers, scope),
            _countable(offers, scope),
            asked.gap(answered, scope),
            *_reassignment(marts["mart_cases"], scope),
        ),
        tables=(
            _answers(offers),
            asked.reliability(answered),
            asked.boosts(answered),
            _triggers(marts["mart_cases"], scope),
        ),
    )


def _answers(offers: pl.DataFrame) -> Table:
    seen = pl.when(_state == "EXPIRED").then(
        pl.when("seen").then(pl.lit("seen")).otherwise(pl.lit("unseen"))
    )
    frame = (
        offers.group_by("countable", answer=_state, reason=pl.coalesce("cause", seen, pl.lit("")))
        .agg(offers=pl.len().cast(pl.Int64))
        .sort("answer", "reason", "countable")
        .select("answer", "reason", "offers", "countable")
    )
    note = (
        "Every offer whose deadline fell in the window, so these rows add up to all of them. Countable: may enter the "
        "driver's score."
    )
    return Table(
        name="answers", title="How offers ended", frame=frame, units={"offers": "count"}, note=note
    )


def _triggers(cases: pl.DataFrame, scope: Scope) -> Table:
    frame = (
        cases.filter(scope.within("suspected_at"))
        .group_by("trigger", "state")
        .agg(cases=pl.len().cast(pl.Int64))
        .sort("trigger", "state")
    )
    return Table(name="cases", title="Reassignment cases", frame=frame, units={"cases": "count"})


def _left_out(offers: pl.DataFrame) -> dict[str, pl.Expr]:
    cause = pl.col("cause").fill_null("no cause")
    causes = offers.filter(_state == "REVOKED").select(cause.unique().sort()).to_series()
    return {
        "forced, not asked": pl.col("mode") == "forced",
        **{f"revoked: {word}": (_state == "REVOKED") & (cause == word) for word in causes},
        "undeliverable": _state == "UNDELIVERABLE",
    }


NO_OFFERS = "no offers were imported"


def _accepted(name: str, offers: pl.DataFrame, scope: Scope, definition: str) -> Metric:
    """Return the share of some offers that was accepted, by their deadline; pending ones are still open."""
    return rate(
        name,
        offers,
        _state == "ACCEPTED",
        scope,
        by="offers by deadline",
        at="hard_deadline",
        excluded=_left_out(offers),
        open_=_state == "PENDING",
        why=NO_OFFERS,
        definition=definition,
    )


def _first(deliveries: pl.DataFrame, scope: Scope) -> Metric:
    return rate(
        "first_offer_acceptance",
        deliveries.filter(scope.within("dispatch_at") & (pl.col("offers") > 0)),
        pl.col("round1_accepted") > 0,
        scope,
        by="deliveries with an offer, by dispatchable time",
        at="dispatch_at",
        excluded={"first round withdrawn": pl.col("round1_withdrawn") == pl.col("round1_offers")},
        open_=(pl.col("round1_open") > 0) & (pl.col("round1_accepted") == 0),
        why=NO_OFFERS,
        definition="deliveries accepted in round 1 / deliveries with at least one offer",
    )


def _willing(offers: pl.DataFrame, scope: Scope) -> Metric:
    """Return acceptance among answers; the unanswered are left out by definition, and counted."""
    silent = (_state == "EXPIRED") & (pl.col("mode") != "forced")
    definition = "accepted / accepted + declined; hides silence, so read it beside offer_acceptance"
    answered = _accepted("offer_willingness", offers.filter(~silent), scope, definition)
    unanswered = Exclusion("expired unanswered", offers.filter(silent).height, by_definition=True)
    return replace(answered, excluded=(*answered.excluded, unanswered))


def _countable(offers: pl.DataFrame, scope: Scope) -> Metric:
    """Return acceptance among what may count for or against a driver; the rest is left out by definition, counted."""
    asked_for = (pl.col("mode") != "forced") & _state.is_in(["ACCEPTED", "DECLINED", "EXPIRED"])
    excused = asked_for & ~pl.col("countable")
    definition = "accepted / answers and seen silences that may enter a driver's score"
    fair = _accepted("countable_acceptance", offers.filter(~excused), scope, definition)
    left_out = [
        Exclusion(word, offers.filter(excused & (_state == state)).height, by_definition=True)
        for word, state in (
            ("declined for a reason that does not count", "DECLINED"),
            ("expired unseen", "EXPIRED"),
        )
    ]
    return replace(fair, excluded=(*fair.excluded, *left_out))


def _reassignment(cases: pl.DataFrame, scope: Scope) -> tuple[Metric, ...]:
    confirmed = cases.filter(scope.within("confirmed_at"))
    left_out = {
        "released by ops": pl.col("trigger") == "OPS",
        "merchant closed": (_outcome == "cancelled") & (pl.col("ended_by") == "merchant"),
        "manual lock or custody restored": (_state == "ABORTED") & (_outcome != "cancelled"),
    }
    by, why = "cases by confirmation", "no case was confirmed"
    in_time = rate(
        "auto_reassignment",
        confirmed,
        pl.col("delivered_at") <= pl.col("due_at"),
        scope,
        by=by,
        at="confirmed_at",
        excluded=left_out,
        open_=(_outcome == "open") & (pl.col("due_at") > scope.as_of),
        why=why,
        definition="delivered by the later of promise + 15 min and placement + 60 min / all cases confirmed",
    )
    any_time = rate(
        "auto_reassignment_any_time",
        confirmed,
        _outcome == "delivered",
        scope,
        by=by,
        at="confirmed_at",
        excluded=left_out,
        open_=_outcome == "open",
        why=why,
        definition="delivered at any time / all cases confirmed",
    )
    cleared = rate(
        "suspicions_cleared",
        cases.filter(scope.within("suspected_at")),
        _state == "CLEARED",
        scope,
        by="cases by suspicion",
        at="suspected_at",
        open_=_state.is_in(["SUSPECTED", "GRACE"]),
        why="no case was opened",
        definition="suspicions that proved unfounded / all cases; not a success of reassignment",
    )
    return in_time, any_time, cleared
