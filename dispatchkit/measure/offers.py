"""How often do drivers accept offers, and do reassigned deliveries arrive?

Rates; intervals as in measure/metric.py. Offers belong to the day of their deadline.

* `offer_acceptance`: accepted / accepted + declined + expired. Excluded: forced assignments, revoked
  and undeliverable offers, which asked nobody. Pending offers are open.
* `first_offer_acceptance`: deliveries accepted in round 1 / deliveries with an offer. Excluded: all
  offers of round 1 were revoked or undeliverable.
* `offer_willingness`: accepted / accepted + declined; expired offers are excluded by definition.
* `countable_acceptance`: accepted / offers that may count in a driver's score. Excluded by
  definition: declined for a reason that does not count, expired unseen.
* `acceptance_calibration_error` and two tables: see measure/acceptance_calibration.py.
* `auto_reassignment`: deliveries that arrived by the later of promise + 15 min and placement + 60 min /
  confirmed cases. Excluded: released by operations, merchant closed, lock or custody restored.
* `auto_reassignment_any_time`: the same without the deadline.
* `suspicions_cleared`: suspicions that proved unfounded / all cases by suspicion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from dispatchkit.domain.states import CaseTrigger
from dispatchkit.kernel.metrics import Exclusion, Metric, Section, Table
from dispatchkit.measure import acceptance_calibration as acceptance
from dispatchkit.measure.metric import Scope, need, rate

READS = {
    "mart_deliveries": (
        "dispatch_at offers round1_offers round1_accepted round1_open round1_withdrawn"
    ).split(),
    "mart_offers": sorted({"cause", "seen", "countable", "hard_deadline", *acceptance.READS}),
    "mart_cases": "state trigger confirmed_at suspected_at outcome ended_by delivered_at due_at".split(),
}
_state, _outcome = pl.col("state"), pl.col("outcome")


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return acceptance of the offers due in the window, and the outcome of reassigned deliveries."""
    need(marts, READS)
    offers = marts["mart_offers"].filter(scope.within("hard_deadline"))
    predicted = acceptance.with_prediction(offers)
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
            _first_offer(marts["mart_deliveries"], scope),
            _willingness(offers, scope),
            _countable(offers, scope),
            acceptance.calibration_error(predicted, scope),
            *_reassignment(marts["mart_cases"], scope),
        ),
        tables=(
            _answers(offers),
            acceptance.calibration(predicted),
            acceptance.boosts(predicted),
            _cases(marts["mart_cases"], scope),
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
        "Every offer whose deadline is in the window; these rows add up to all of them. Countable: may "
        "count in the driver's score."
    )
    return Table(
        name="answers", title="How offers ended", frame=frame, units={"offers": "count"}, note=note
    )


def _cases(cases: pl.DataFrame, scope: Scope) -> Table:
    frame = (
        cases.filter(scope.within("suspected_at"))
        .group_by("trigger", "state")
        .agg(cases=pl.len().cast(pl.Int64))
        .sort("trigger", "state")
    )
    return Table(name="cases", title="Reassignment cases", frame=frame, units={"cases": "count"})


def _not_asked(offers: pl.DataFrame) -> dict[str, pl.Expr]:
    """Return the exclusions of offers that asked no driver; revoked ones by their cause."""
    cause = pl.col("cause").fill_null("no cause")
    causes = offers.filter(_state == "REVOKED").select(cause.unique().sort()).to_series()
    return {
        "forced assignment": pl.col("mode") == "forced",
        **{f"revoked: {name}": (_state == "REVOKED") & (cause == name) for name in causes},
        "undeliverable": _state == "UNDELIVERABLE",
    }


NO_OFFERS = "no offers were imported"


def _accepted(name: str, offers: pl.DataFrame, scope: Scope, definition: str) -> Metric:
    """Return the accepted share of some offers by their deadline; pending offers are open."""
    return rate(
        name,
        offers,
        _state == "ACCEPTED",
        scope,
        by="offers by deadline",
        at="hard_deadline",
        excluded=_not_asked(offers),
        open_=_state == "PENDING",
        if_empty=NO_OFFERS,
        definition=definition,
    )


def _first_offer(deliveries: pl.DataFrame, scope: Scope) -> Metric:
    return rate(
        "first_offer_acceptance",
        deliveries.filter(scope.within("dispatch_at") & (pl.col("offers") > 0)),
        pl.col("round1_accepted") > 0,
        scope,
        by="deliveries with an offer, by dispatchable time",
        at="dispatch_at",
        excluded={"first round withdrawn": pl.col("round1_withdrawn") == pl.col("round1_offers")},
        open_=(pl.col("round1_open") > 0) & (pl.col("round1_accepted") == 0),
        if_empty=NO_OFFERS,
        definition="deliveries accepted in round 1 / deliveries with at least one offer",
    )


def _willingness(offers: pl.DataFrame, scope: Scope) -> Metric:
    """Return acceptance among answered offers; expired ones are excluded by definition."""
    expired = (_state == "EXPIRED") & (pl.col("mode") != "forced")
    definition = (
        "accepted / accepted + declined; ignores expired offers, so read it beside offer_acceptance"
    )
    answered = _accepted("offer_willingness", offers.filter(~expired), scope, definition)
    excluded = Exclusion("expired unanswered", offers.filter(expired).height, by_definition=True)
    return replace(answered, excluded=(*answered.excluded, excluded))


def _countable(offers: pl.DataFrame, scope: Scope) -> Metric:
    """Return acceptance among offers that may count in a driver's score; the rest is excluded."""
    answered = (pl.col("mode") != "forced") & _state.is_in(["ACCEPTED", "DECLINED", "EXPIRED"])
    not_counted = answered & ~pl.col("countable")
    definition = "accepted / answered or seen offers that may count in a driver's score"
    counted = _accepted("countable_acceptance", offers.filter(~not_counted), scope, definition)
    excluded = [
        Exclusion(reason, offers.filter(not_counted & (_state == state)).height, by_definition=True)
        for reason, state in (
            ("declined for a reason that does not count", "DECLINED"),
            ("expired unseen", "EXPIRED"),
        )
    ]
    return replace(counted, excluded=(*counted.excluded, *excluded))


def _reassignment(cases: pl.DataFrame, scope: Scope) -> tuple[Metric, ...]:
    confirmed = cases.filter(scope.within("confirmed_at"))
    excluded = {
        "released by ops": pl.col("trigger") == CaseTrigger.OPS.value,
        "merchant closed": (_outcome == "cancelled") & (pl.col("ended_by") == "merchant"),
        "manual lock or custody restored": (_state == "ABORTED") & (_outcome != "cancelled"),
    }
    by, if_empty = "cases by confirmation", "no case was confirmed"
    in_time = rate(
        "auto_reassignment",
        confirmed,
        pl.col("delivered_at") <= pl.col("due_at"),
        scope,
        by=by,
        at="confirmed_at",
        excluded=excluded,
        open_=(_outcome == "open") & (pl.col("due_at") > scope.as_of),
        if_empty=if_empty,
        definition="delivered by the later of promise + 15 min and placement + 60 min / all cases confirmed",
    )
    any_time = rate(
        "auto_reassignment_any_time",
        confirmed,
        _outcome == "delivered",
        scope,
        by=by,
        at="confirmed_at",
        excluded=excluded,
        open_=_outcome == "open",
        if_empty=if_empty,
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
        if_empty="no case was opened",
        definition="suspicions that proved unfounded / all cases; not a success of reassignment",
    )
    return in_time, any_time, cleared
