"""Raw SQL that bypasses the program, as the application's role; the database must refuse all of it.

Each statement finds its own victims; without any it does nothing.
"""

# ruff: noqa: E501 - one case a line reads best

from __future__ import annotations

from collections.abc import Mapping

OFFER_TO = """INSERT INTO dk.driver_offers (id, delivery_id, driver_id, episode, attempt, ask, state, mode, pay_cents, boost_cents, distance_m, payload, payload_sha256, sent_at, expires_at, hard_deadline, version)
  SELECT 999, o.delivery_id, {driver}, {episode}, o.attempt, 9, 'PENDING', o.mode, o.pay_cents, o.boost_cents, o.distance_m, o.payload, o.payload_sha256, o.sent_at, o.expires_at, o.hard_deadline, 1
  FROM dk.driver_offers o JOIN dk.deliveries d ON d.id = o.delivery_id WHERE {where} ORDER BY o.id LIMIT 1"""
IN_FORCE = "SELECT FROM dk.driver_offers o WHERE (o.state, o.delivery_id, o.episode) = ('ACCEPTED', d.id, d.episode)"

ONE_PENDING = "id = (SELECT min(id) FROM dk.driver_offers WHERE state = 'PENDING')"
ONE_WON = f"id = (SELECT min(d.id) FROM dk.deliveries d WHERE d.state = 'ASSIGNED' AND EXISTS ({IN_FORCE}))"
ONE_SEEKING = "id = (SELECT min(id) FROM dk.deliveries WHERE state IN ('UNASSIGNED', 'OFFERING'))"
OTHER = "(SELECT max(r.id) FROM dk.drivers r WHERE r.id <> d.driver_id)"
AT = "set_config('dk.now', CAST({instant} AS text), true) <> ''"  # in a WHERE: at an instant of the victim's own
ON_TIME, TOO_LATE = (
    AT.format(instant="sent_at"),
    AT.format(instant="hard_deadline + interval '1 min'"),
)

ATTACKS: Mapping[str, tuple[str, str]] = {  # what -> (SQL on one victim, SQLSTATE)
    "accepts for a driver who has not got the delivery": (f"UPDATE dk.driver_offers SET state = 'ACCEPTED', responded_at = sent_at WHERE {ONE_PENDING} AND {ON_TIME}", "DK006"),
    "accepts at the very deadline": (f"UPDATE dk.driver_offers SET state = 'ACCEPTED', responded_at = hard_deadline WHERE {ONE_PENDING}", "23514"),
    "expires before the deadline": (f"UPDATE dk.driver_offers SET state = 'EXPIRED', responded_at = hard_deadline - interval '1 us' WHERE {ONE_PENDING}", "23514"),
    "expires at a deadline to come": (f"UPDATE dk.driver_offers SET state = 'EXPIRED', responded_at = hard_deadline WHERE {ONE_PENDING} AND {ON_TIME}", "DK014"),
    "accepts too late, dated back": (f"UPDATE dk.driver_offers SET state = 'ACCEPTED', responded_at = sent_at WHERE {ONE_PENDING} AND {TOO_LATE}", "DK014"),
    "revives an offer": ("UPDATE dk.driver_offers SET state = 'PENDING', responded_at = NULL WHERE id = (SELECT min(id) FROM dk.driver_offers WHERE state <> 'PENDING')", "DK003"),
    "accepts what has ended": ("UPDATE dk.driver_offers SET state = 'ACCEPTED', cause = NULL WHERE id = (SELECT min(id) FROM dk.driver_offers WHERE state NOT IN ('PENDING', 'ACCEPTED'))", "DK003"),
    "takes a delivery from who accepted it": (f"UPDATE dk.deliveries d SET driver_id = {OTHER}, slot = 3 WHERE {ONE_WON}", "DK006"),
    "undoes an acceptance": (f"UPDATE dk.deliveries SET state = 'UNASSIGNED', driver_id = NULL, slot = NULL WHERE {ONE_WON}", "DK006"),
    "gives a delivery to who is at home": (f"UPDATE dk.deliveries SET state = 'ASSIGNED', driver_id = r.id, slot = 1 FROM (SELECT min(id) AS id FROM dk.drivers WHERE duty IN ('OFF_DUTY', 'ON_BREAK', 'FORCED_OFF', 'SUSPENDED')) r WHERE r.id IS NOT NULL AND dk.deliveries.{ONE_SEEKING}", "DK013"),
    "loads a driver beyond the allowed stack": ("UPDATE dk.deliveries SET slot = 3 WHERE id = (SELECT min(d.id) FROM dk.deliveries d JOIN dk.drivers r ON r.id = d.driver_id WHERE d.active AND r.max_stack < 3)", "DK013"),
    "skips to the end": ("UPDATE dk.deliveries SET state = 'DELIVERED' WHERE id = (SELECT min(id) FROM dk.deliveries WHERE state IN ('UNASSIGNED', 'OFFERING'))", "DK003"),
    "asks about a delivery that seeks nobody": (OFFER_TO.format(driver="(SELECT max(id) FROM dk.drivers)", episode="o.episode", where="d.state NOT IN ('UNASSIGNED', 'OFFERING')"), "DK004"),
    "asks for an episode that is over": (OFFER_TO.format(driver="(SELECT max(id) FROM dk.drivers)", episode="o.episode", where="o.episode < d.episode"), "DK004"),
    "asks a driver twice at once": (OFFER_TO.format(driver="o.driver_id", episode="o.episode", where="o.state = 'PENDING'"), "23505"),
    "raises the pay": ("UPDATE dk.driver_offers SET pay_cents = pay_cents + 1 WHERE id = (SELECT min(id) FROM dk.driver_offers)", "DK002"),
    "skips a version": ("UPDATE dk.drivers SET version = version + 2 WHERE id = (SELECT min(id) FROM dk.drivers)", "DK001"),
    "sends a driver with work home": ("UPDATE dk.drivers SET duty = 'OFF_DUTY' WHERE id = (SELECT min(r.id) FROM dk.drivers r WHERE duty = 'ON_DUTY' AND EXISTS (SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active))", "DK009"),
    "lowers a level": ("UPDATE dk.unassigned_orders SET level = level - 1 WHERE id = (SELECT min(id) FROM dk.unassigned_orders WHERE state = 'OPEN' AND level > 0)", "DK008"),
    "deletes a row": ("DELETE FROM dk.driver_offers", "42501"),
    "edits the trail": ("UPDATE dk_aud.delivery_audit_logs SET reason = 'x'", "42501"),
}  # fmt: skip
