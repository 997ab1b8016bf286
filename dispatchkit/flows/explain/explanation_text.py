"""The answers of `why` and `why-not` as sentences; each rule's code follows its meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dispatchkit.domain.codes import Rule

Document = Mapping[str, Any]
MEANING: Mapping[
    str, str
] = {  # of the rules by which a delivery makes no offer, or none to a certain driver
    Rule.HELD_BY_FLAG: "the rollout leaves this delivery out",
    Rule.NOT_DUE: "its search for a driver is not due yet",
    Rule.NOT_SEEKING: "it needs no driver now",
    Rule.GOODS_DISPUTED: "a former driver reports having its goods",
    Rule.ROUND_UNDER_WAY: "a pending offer has not been answered yet",
    Rule.ATTEMPTS_USED_UP: "this search has used all its attempts",
    Rule.PICKUP_UNKNOWN: "the position of the pickup is unknown",
    Rule.NO_FREE_DRIVER_IN_REACH: "no free driver is within reach",
    Rule.OUTSIDE_RADIUS: "too far from the pickup for now",
    Rule.SHIFT_ENDS_BEFORE_PICKUP: "the shift ends before the pickup",
    Rule.ASKED_BEFORE: "already had an offer in this search",
    Rule.NOT_IMPROVED: "declined before, and the offer is no better now",
    Rule.TAKEN_THIS_RUN: "another delivery has precedence",
    Rule.NOT_ON_DUTY: "not on duty",
    Rule.OFFER_PENDING: "has a pending offer for another delivery",
    Rule.STACK_FULL: "already has the maximum number of deliveries",
    Rule.NO_RECENT_PING: "no recent position",
    Rule.TIMED_OUT: "too many offers in a row without an answer",
    Rule.COOLDOWN: "in a cooldown",
    Rule.NO_WAY: "no route leads to the pickup",
    Rule.OTHERS_SOONER: "another driver is expected there sooner",
    Rule.WITH_ANOTHER: "it went to another driver",
}


def why(document: Document) -> list[str]:
    """Return sentences on the delivery's state, how it came about, the next step, and the past."""
    if "ending" in document:
        present = [_ending(document)]
        if "assignment" in document:
            present += _assignment(document)[1:]
    elif "search" in document:
        present = _search(document)
    elif "assignment" in document:
        present = _assignment(document)
    else:
        present = [f"Delivery {document['delivery_id']} is {document['state']}."]
    return [*present, *_past(document)]


def why_not(document: Document) -> list[str]:
    """Return sentences on whether a driver would get the delivery, the rule against it, and the past."""
    delivery, driver = document["delivery_id"], document["driver_id"]
    rule = document["rule"]
    if rule is not None:
        text = [f"Delivery {delivery} is not for driver {driver}: {meaning(rule)}."]
    elif document.get("chosen_expected_s") is None:
        text = [f"Delivery {delivery} is with driver {driver}."]
    else:
        text = [f"Delivery {delivery} would be offered to driver {driver} now."]
    if document.get("relaxation"):
        text.append(f"What would change it: {document['relaxation']}.")
    if document.get("expected_s") is not None:
        chosen = document["chosen_driver_id"]
        compared = ""
        if chosen is not None and chosen != driver:
            compared = f"; driver {chosen}: {document['chosen_expected_s']} s"
        text.append(
            f"{document['travel_s']} s to the pickup; {document['expected_s']} s with the stops "
            f"already accepted and the expected cost of a decline{compared}."
        )
    return [*text, *_past(document, "to this driver ")]


def meaning(rule: str) -> str:
    """Return a rule in plain words with its code; IS_CANCELLED becomes "it is CANCELLED"."""
    return f"{MEANING[rule]} ({rule})" if rule in MEANING else rule.replace("IS_", "it is ")


def _ending(document: Document) -> str:
    """Return when, by whom and in which state the delivery ended, and who is liable."""
    ending = document["ending"]
    text = f"Delivery {document['delivery_id']} ended {document['state']}"
    if ending["ended_at"]:
        text += f" at {_seconds(ending['ended_at'])}"
    if ending["ended_by"]:
        text += f", by {ending['ended_by']}"
    if ending["ended_while"]:
        text += f", while {ending['ended_while']}"
    return f"{text}; liable: {ending['liable']}." if ending["liable"] else f"{text}."


def _assignment(document: Document) -> list[str]:
    """Return how the driver got the delivery, and what may take it away."""
    assignment, driver = document["assignment"], document["driver_id"]
    step, decision = assignment["step"] or {}, assignment["decision"]
    since = f" since {_seconds(assignment['since'])}" if assignment["since"] else ""
    text = [
        f"Delivery {document['delivery_id']} is {document['state']}, with driver {driver}{since}."
    ]
    by = step.get("actor") or step.get("login")
    if assignment["offer_id"]:
        text.append(f"Driver {driver} accepted offer {assignment['offer_id']}.")
    elif by:
        reason = f": {step['reason']}" if step.get("reason") else ""
        text.append(f"Assigned by {by}{reason}.")
    else:
        text.append("The audit trail no longer holds the assignment.")
    if decision:
        text.append(_choice(decision))
    if case := document.get("suspicion"):
        grace = f", grace until {_seconds(case['grace_until'])}" if case["grace_until"] else ""
        since = _seconds(case["suspected_at"])
        text.append(f"Under suspicion since {since} ({case['trigger']}){grace}.")
    if assignment["lock_until"] and assignment["lock_until"] > document["now"]:
        text.append(f"Locked against sweeps until {_seconds(assignment['lock_until'])}.")
    return text


def _search(document: Document) -> list[str]:
    """Return how long the search has lasted, who has an offer, and what a sweep would do now."""
    search = document["search"]
    episode, next_ = search["episode"], search["next"]
    about = f"Delivery {document['delivery_id']} is {document['state']}:"
    if episode:
        text = [
            f"{about} searching for a driver since {_seconds(episode['opened_at'])}, "
            f"episode {episode['episode']}, level {episode['level']}, "
            f"{search['attempts']} attempts without an acceptance."
        ]
    else:
        text = [f"{about} the search for a driver starts at {_seconds(search['due_at'])}."]
    for offer in search["pending_offers"]:
        choice = f" {_choice(offer['decision'])}" if offer["decision"] else ""
        until = _seconds(offer["expires_at"])
        text.append(f"Driver {offer['driver_id']} has an offer until {until}.{choice}")
    if "driver_id" in next_:
        text.append(
            f"A sweep now would make an offer to driver {next_['driver_id']}. {_choice(next_)}"
        )
    else:
        other = " other" if search["pending_offers"] else ""
        relaxation = ""
        if next_.get("relaxation"):
            relaxation = f" What would change it: {next_['relaxation']}."
        text.append(
            f"A sweep now would make no{other} offer: {meaning(next_['rule'])}.{relaxation}"
        )
    return text


def _choice(decision: Document) -> str:
    """Return why this driver was chosen: out of how many, and how far ahead of the next."""
    reasons = decision.get("why") or {}
    if "expected_s" not in reasons:
        return f"Rule: {decision['rule']}."
    text = (
        f"The soonest at the pickup ({reasons['expected_s']} s) of {reasons['candidates']} "
        f"drivers within {reasons['radius_m']} m"
    )
    runner_up = reasons["runner_up_driver_id"]
    return (
        f"{text}, {reasons['margin_s']} s before driver {runner_up}." if runner_up else f"{text}."
    )


def _past(document: Document, recipient: str = "") -> list[str]:
    """Return a sentence each on earlier offers, releases and refused acts; the latest is named."""
    text = []
    if document["offers"]:
        counts = Counter(offer["state"] for offer in document["offers"])
        states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        text.append(f"Offers {recipient}so far: {states}.")
    if releases := document["releases"]:
        last = releases[-1]
        times = f"{len(releases)} times, last" if len(releases) > 1 else "once,"
        text.append(
            f"Released {times} from driver {last['driver_id']} ({last['trigger']}), "
            f"by {last['actor']}."
        )
    if refused := document.get("refused_acts"):
        last = refused[-1]
        text.append(
            f"Refused acts: {len(refused)}, last {last['event']} by {last['actor']} "
            f"({last['code']})."
        )
    return text


def _seconds(instant: str) -> str:
    """Return an instant to the second."""
    return f"{instant[:19]}Z"
