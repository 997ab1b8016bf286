"""Why a delivery asks nobody at this instant, and what would change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.propose import Choice
from dispatchkit.decide.offers.send import Explanation

TAKEN = "TAKEN_THIS_RUN"


def unserved(choice: Choice, kept_out: Mapping[str, int], params: Params) -> Explanation:
    """Return the binding rule and the smallest relaxation: a wider radius if that brings somebody, else the rule that
    keeps out the soonest driver.

    choice: surveyed as far as the widest radius. kept_out: how many drivers in all each rule made unfit to be asked.
    """
    seeker = choice.seeker
    rules = [rule or TAKEN for _, rule in choice.judged]
    rule, relax = _binding(choice, params)
    return {
        "delivery_id": seeker.delivery.id,
        "attempts": seeker.rounds,
        "waited_s": int(seeker.waited.total_seconds()),
        "radius_m": seeker.radius_m(params),
        "level": seeker.level,
        "rejected_by_rule": dict(sorted(Counter(rules).items())),
        "unavailable_by_rule": dict(kept_out),
        "rule": rule,
        "relaxation": relax,
    }


def _binding(choice: Choice, params: Params) -> tuple[str, str | None]:
    if stopped := stops_search(choice, params):
        return stopped
    if not choice.judged:
        return "NO_FREE_DRIVER_IN_REACH", None
    outside = [candidate.way for candidate, rule in choice.judged if rule == "OUTSIDE_RADIUS"]
    if outside:
        nearest = min(outside, key=lambda way: (way.straight_m, way.driver.id))
        return "OUTSIDE_RADIUS", f"radius {nearest.straight_m} m reaches driver {nearest.driver.id}"
    candidate, rule = choice.judged[0]
    return rule or TAKEN, f"without it driver {candidate.way.driver.id} would be asked"


def stops_search(choice: Choice, params: Params) -> tuple[str, str] | None:
    """Return the rule and the relaxation of a delivery that asks nobody whoever is there, or None."""
    seeker = choice.seeker
    if seeker.rounds >= params.max_attempts:
        return "ATTEMPTS_USED_UP", f"max_attempts above {seeker.rounds}"
    if seeker.delivery.pickup is None:
        return "PICKUP_UNKNOWN", f"the position of merchant {seeker.delivery.merchant_id}"
    return None
