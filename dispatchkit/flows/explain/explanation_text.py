"""What `why` and `why-not` found out, said in a few plain sentences; the rule's own name stands behind its meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

Said = Mapping[str, Any]
MEANING = {  # of the rules by which a delivery asks nobody, or not a certain driver
    "HELD_BY_FLAG": "the rollout leaves this delivery out",
    "NOT_DUE": "its search is not due yet",
    "NOT_SEEKING": "it seeks nobody",
    "GOODS_DISPUTED": "a driver says that he has its goods",
    "ROUND_UNDER_WAY": "an offer waits for its answer",
    "ATTEMPTS_USED_UP": "this search has had all its rounds",
    "PICKUP_UNKNOWN": "nobody knows where the pickup is",
    "NO_FREE_DRIVER_IN_REACH": "no free driver is in reach",
    "OUTSIDE_RADIUS": "too far from the pickup for now",
    "SHIFT_ENDS_BEFORE_PICKUP": "the shift ends before the pickup",
    "ASKED_BEFORE": "already asked in this search",
    "NOT_IMPROVED": "refused before, and the offer is no better now",
    "TAKEN_THIS_RUN": "another delivery asks first",
    "NOT_ON_DUTY": "not on duty",
    "OFFER_PENDING": "being asked about another delivery",
    "STACK_FULL": "as many deliveries in hand as may be",
    "NO_RECENT_PING": "not heard of lately",
    "TIMED_OUT": "silent too often in a row",
    "COOLDOWN": "resting for now",
    "NO_WAY": "no way leads to the pickup",
    "OTHERS_SOONER": "another is expected there sooner",
    "WITH_ANOTHER": "it went to another driver",
}


def why(said: Said) -> list[str]:
    """Return what holds a delivery where it is: its state, how it came there, what would come next, what was before."""
    if "ended" in said:
        now = [_end(said), *(_assignment(said)[1:] if "assigned" in said else ())]
    elif "seeking" in said:
        now = _search(said)
    elif "assigned" in said:
        now = _assignment(said)
    else:
        now = [f"Delivery {said['delivery']} is {said['state']}."]
    return [*now, *_before(said)]


def why_not(said: Said) -> list[str]:
    """Return whether a driver would be asked, or what bars him, what would change that, and what was before."""
    delivery, driver, rule = said["delivery"], said["driver"], said["rule"]
    if rule is None:
        settled = said.get("chosen_expected_s") is None
        told = [
            f"Delivery {delivery} {'is with' if settled else 'would be offered now to'} driver {driver}."
        ]
    else:
        told = [f"Delivery {delivery} is not for driver {driver}: {meaning(rule)}."]
    if said.get("relax"):
        told.append(f"What would change it: {said['relax']}.")
    if said.get("expected_s") is not None:
        chosen = said["chosen"] if said["chosen"] != driver else None
        told.append(
            f"His way to the pickup takes {said['travel_s']} s, {said['expected_s']} s with what he holds and the "
            f"chance of a no"
            + (f"; driver {chosen}: {said['chosen_expected_s']} s." if chosen else ".")
        )
    return [*told, *_before(said, "to him ")]


def meaning(rule: str) -> str:
    """Return a rule in plain words with its name behind; a state such as IS_CANCELLED says itself."""
    return f"{MEANING[rule]} ({rule})" if rule in MEANING else rule.replace("IS_", "it is ")


def _end(said: Said) -> str:
    ended = said["ended"]
    told = f"Delivery {said['delivery']} ended {said['state']}"
    told += f" at {_at(ended['ended_at'])}" if ended["ended_at"] else ""
    told += f", by {ended['ended_by']}" if ended["ended_by"] else ""
    told += f", while {ended['ended_while']}" if ended["ended_while"] else ""
    return told + (f"; {ended['liable']} answers for it." if ended["liable"] else ".")


def _assignment(said: Said) -> list[str]:
    given = said["assigned"]
    step, decision, driver = given["step"] or {}, given["decision"], said["driver"]
    since = f" since {_at(given['since'])}" if given["since"] else ""
    told = [f"Delivery {said['delivery']} is {said['state']}, with driver {driver}{since}."]
    by = step.get("actor") or step.get("login")
    if given["offer"]:
        told.append(f"Driver {driver} accepted offer {given['offer']}.")
    elif by:
        told.append(
            f"It was given by {by}" + (f": {step['reason']}." if step.get("reason") else ".")
        )
    else:
        told.append("How it came to him is older than the trail.")
    if decision:
        told.append(_choice(decision))
    if doubt := said.get("suspicion"):
        grace = f", grace until {_at(doubt['grace_until'])}" if doubt["grace_until"] else ""
        told.append(
            f"Under suspicion since {_at(doubt['suspected_at'])}, for {doubt['trigger']}{grace}."
        )
    if given["lock_until"] and given["lock_until"] > said["now"]:
        told.append(f"Sweeps leave it there until {_at(given['lock_until'])}.")
    return told


def _search(said: Said) -> list[str]:
    seeking = said["seeking"]
    search, coming = seeking["search"], seeking["next"]
    if search:
        told = [
            f"Delivery {said['delivery']} is {said['state']}: it has sought a driver since {_at(search['opened_at'])}, "
            f"search {search['episode']}, level {search['level']}, {seeking['attempts']} rounds without a yes."
        ]
    else:
        told = [
            f"Delivery {said['delivery']} is {said['state']}: a driver is sought from {_at(seeking['due'])} on."
        ]
    for asked in seeking["asking"]:
        chosen = f" {_choice(asked['decision'])}" if asked["decision"] else ""
        told.append(f"Driver {asked['driver']} is being asked until {_at(asked['until'])}.{chosen}")
    if "driver" in coming:
        told.append(f"A sweep now would ask driver {coming['driver']}. {_choice(coming)}")
    else:
        relax = f" What would change it: {coming['relax']}." if coming.get("relax") else ""
        told.append(
            f"A sweep now would ask nobody{' else' * bool(seeking['asking'])}: {meaning(coming['rule'])}.{relax}"
        )
    return told


def _choice(decision: Said) -> str:
    """Return why it was this driver: out of how many, and how far ahead of the next."""
    known = decision.get("why") or {}
    if "expected_s" not in known:
        return f"Rule: {decision['rule']}."
    told = f"Of {known['candidates']} within {known['radius_m']} m soonest at the pickup ({known['expected_s']} s)"
    return told + (
        f", {known['margin_s']} s before driver {known['runner_up']}."
        if known["runner_up"]
        else "."
    )


def _before(said: Said, whom: str = "") -> list[str]:
    """Return who was asked, from whom it was taken and what was refused, a line each, the latest one by name."""
    told = []
    if said["asked"]:
        counts = Counter(offer["state"] for offer in said["asked"])
        told.append(
            f"Offers {whom}so far: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}."
        )
    if said["released"]:
        last = said["released"][-1]
        count = f"{len(said['released'])} times, last" if len(said["released"]) > 1 else "once,"
        told.append(
            f"Taken away {count} from driver {last['driver_id']} for {last['trigger']}, by {last['actor']}."
        )
    if said.get("refused"):
        last = said["refused"][-1]
        told.append(
            f"Refused acts: {len(said['refused'])}, last {last['event']} by {last['actor']} ({last['code']})."
        )
    return told


def _at(instant: str) -> str:
    """Return an instant to the second."""
    return f"{instant[:19]}Z"
