"""SQL that breaks each invariant, as a superuser with every trigger off, to prove that checks can fail."""

# ruff: noqa: E501 - one case a line reads best

from __future__ import annotations

from collections.abc import Mapping

TRIGGERS_OFF = """DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('dk'::regnamespace, 'dk_aud'::regnamespace) LOOP
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', t); END LOOP; END $$;"""
ONE_DECISION = (
    "(SELECT decision_id FROM dk.decisions WHERE outcome = 'APPLIED' ORDER BY decision_id LIMIT 1)"
)
ONE_ACTIVE = "(SELECT min(id) FROM dk.deliveries WHERE active)"
ONE_OFFERING = "(SELECT min(id) FROM dk.deliveries WHERE state = 'OFFERING')"
LONG_CHAIN = "(SELECT min(chain) FROM dk_aud.head WHERE seq >= 3)"
RUN = (
    "INSERT INTO dk.sweep_runs (run_id, sweep, slot, as_of, status, finished_at) "
    "VALUES (gen_random_uuid(), 'offers', '2026-01-01', now(), '{status}', {finished});"
)

# One event retired by hand: its link stays, its body is gone. Then the link is touched.
RETIRE = f"""INSERT INTO dk_aud.archive VALUES ('x', repeat('0', 64), 1, now(), 'x', now());
    INSERT INTO dk_aud.retired SELECT chain, seq, tbl, row_id, row_version, op, run_id, NULL, at, epoch, txid, prev, hash, 'x'
      FROM dk_aud.delivery_audit_logs WHERE chain = {LONG_CHAIN} AND seq = 2;
    DELETE FROM dk_aud.delivery_audit_logs e USING dk_aud.retired r WHERE (e.chain, e.seq) = (r.chain, r.seq);"""

BREAKS: Mapping[str, Mapping[str, str]] = {
    "I1": {
        "two accepted offers of an episode": """DROP INDEX dk.offer_one_accepted;
            UPDATE dk.driver_offers b SET state = 'ACCEPTED', delivery_id = a.delivery_id, episode = a.episode
            FROM (SELECT * FROM dk.driver_offers WHERE state = 'ACCEPTED' ORDER BY id LIMIT 1) a
            WHERE b.id = (SELECT min(id) FROM dk.driver_offers WHERE state = 'DECLINED')"""
    },
    "I2": {
        "two deliveries in a slot": f"""DROP INDEX dk.delivery_one_per_slot;
            UPDATE dk.deliveries b SET driver_id = a.driver_id, slot = a.slot
            FROM (SELECT * FROM dk.deliveries WHERE id = {ONE_ACTIVE}) a
            WHERE b.id = (SELECT max(id) FROM dk.deliveries WHERE active)""",
        "a slot above max_stack": f"UPDATE dk.deliveries SET slot = 3 WHERE id = {ONE_ACTIVE}",
    },
    "I3": {
        "the delivery is with another driver": """UPDATE dk.deliveries d SET driver_id =
            (SELECT max(r.id) FROM dk.drivers r WHERE r.id <> d.driver_id)
            WHERE id = (SELECT min(o.delivery_id) FROM dk.driver_offers o JOIN dk.deliveries x ON x.id = o.delivery_id
              AND x.episode = o.episode AND x.state = 'DELIVERED' WHERE o.state = 'ACCEPTED')"""
    },
    "I4": {
        "a version that nobody wrote": "UPDATE dk.drivers SET version = version + 1 WHERE id = (SELECT min(id) FROM dk.drivers)",
        "a retired link gone": RETIRE + "DELETE FROM dk_aud.retired",
        "a row gone without a trace": "DELETE FROM dk.driver_offers WHERE id = (SELECT min(id) FROM dk.driver_offers)",
    },
    "I5": {"a value changed in silence": "UPDATE dk.drivers SET timeouts = timeouts + 1"},
    "I6": {
        "an edited event": f"UPDATE dk_aud.delivery_audit_logs SET reason = 'x' WHERE chain = {LONG_CHAIN} AND seq = 2",
        "a missing event": f"DELETE FROM dk_aud.delivery_audit_logs WHERE chain = {LONG_CHAIN} AND seq = 2",
        "a chain cut short": f"DELETE FROM dk_aud.delivery_audit_logs e USING dk_aud.head h WHERE h.chain = {LONG_CHAIN} AND (e.chain, e.seq) = (h.chain, h.seq)",
        "a retired link edited": RETIRE + "UPDATE dk_aud.retired SET hash = prev",
        "an event both here and retired": RETIRE.rpartition("DELETE")[0],
        "a whole chain gone": f"DELETE FROM dk_aud.delivery_audit_logs WHERE chain = {LONG_CHAIN}",
    },
    "I7": {
        "one version decided twice": f"""DROP INDEX dk.decision_subject_once;
            INSERT INTO dk.decisions SELECT decision_id || '\\x00', run_id, entity, row_id, row_version, event, reason, outcome
            FROM dk.decisions WHERE decision_id = {ONE_DECISION}"""
    },
    "I8": {
        "a decision without its event": f"UPDATE dk.decisions SET row_version = row_version + 50 WHERE decision_id = {ONE_DECISION}"
    },
    "I9": {
        "an event without its decision": "UPDATE dk_aud.delivery_audit_logs SET run_id = 'nobody' WHERE run_id IS NOT NULL"
    },
    "I10": {
        "a decision without outbox event": f"DELETE FROM dk.outbox WHERE decision_id = {ONE_DECISION}",
        "an event of a decision not applied": f"UPDATE dk.decisions SET outcome = 'STALE' WHERE decision_id = {ONE_DECISION}",
    },
    "I11": {
        "expired early": """ALTER TABLE dk.driver_offers DROP CONSTRAINT offer_expired_after_deadline;
            UPDATE dk.driver_offers SET responded_at = hard_deadline - interval '1 us' WHERE state = 'EXPIRED'""",
        "accepted late": """ALTER TABLE dk.driver_offers DROP CONSTRAINT offer_accepted_in_time;
            UPDATE dk.driver_offers SET responded_at = hard_deadline WHERE state = 'ACCEPTED'""",
    },
    "I12": {
        "an offer for a closed delivery": f"UPDATE dk.deliveries SET state = 'CANCELLED' WHERE id = {ONE_OFFERING}",
        "an offer of an old episode": f"UPDATE dk.deliveries SET episode = episode + 1 WHERE id = {ONE_OFFERING}",
    },
    "I13": {
        "a miscounted run": "UPDATE dk.sweep_runs SET applied = applied + 1, decided = decided + 1",
        "a slot done twice": "DROP INDEX dk.sweep_run_slot;"
        + RUN.format(status="OK", finished="now()") * 2,
    },
    "I14": {
        "an edited seal": "SELECT dk_aud.make_seal(); UPDATE dk_aud.seal SET events = events + 1",
        "a sealed link gone": f"SELECT dk_aud.make_seal(); {RETIRE} DELETE FROM dk_aud.retired",
        "a sealed event gone": f"SELECT dk_aud.make_seal(); DELETE FROM dk_aud.delivery_audit_logs WHERE chain = {LONG_CHAIN}",
    },
    "I15": {
        "a level announced twice": """INSERT INTO dk.outbox (event, root, root_id, row_id, payload)
            SELECT 'unassigned_order_escalated', 'delivery', 1, 1, '{"level": 2}' FROM generate_series(1, 2)""",
        "a level that fell": """UPDATE dk_aud.delivery_audit_logs SET image = (image::jsonb || '{"level": 4}')::json
            WHERE tbl = 'unassigned_orders' AND row_version = 1;
            INSERT INTO dk_aud.delivery_audit_logs SELECT chain, seq + 1000, tbl, row_id, 2, 'U', (image::jsonb || '{"level": 3}')::json, login, actor,
              run_id, reason, at, epoch, txid, prev, hash FROM dk_aud.delivery_audit_logs WHERE tbl = 'unassigned_orders' AND row_version = 1 LIMIT 1""",
    },
    "I20": {
        "an open delivery that nobody searches for": "UPDATE dk.unassigned_orders SET state = 'CANCELLED', closed_at = now() WHERE state = 'OPEN'",
        "a search beside a delivery that has ended": f"UPDATE dk.deliveries SET state = 'CANCELLED' WHERE id = {ONE_OFFERING}",
    },
    "I16": {
        "a phone in an event": 'UPDATE dk.outbox SET payload = payload || \'{"phone": "+1 555 0100"}\' WHERE id = (SELECT min(id) FROM dk.outbox)',
        "a position in a decision": f"UPDATE dk.decisions SET why = '{{\"pickup_lat\": 1.5}}' WHERE decision_id = {ONE_DECISION}",
        "a phone in an offer's payload, text within an image": """UPDATE dk_aud.delivery_audit_logs
            SET image = (image::jsonb || '{"payload": "{\\"phone\\": \\"+1 555 0100\\"}"}')::json WHERE tbl = 'driver_offers' AND op = 'I'""",
        "a position in the stops of a plan, text within an image": """UPDATE dk_aud.delivery_audit_logs
            SET image = (image::jsonb || '{"stops": "[{\\"lat\\": 1.5}]"}')::json WHERE tbl = 'route_optimization_data' AND op = 'I'""",
        "a name in an image": 'UPDATE dk_aud.delivery_audit_logs SET image = \'{"name": "x"}\' WHERE seq = 1 AND chain = (SELECT min(chain) FROM dk_aud.head)',
    },
    "I17": {"a run that died": RUN.format(status="RUNNING", finished="NULL")},
    "I18": {
        "work in the hands of somebody at home": "UPDATE dk.drivers SET duty = 'OFF_DUTY' WHERE id IN (SELECT driver_id FROM dk.deliveries WHERE active)"
    },
    "I19": {
        "OFFERING without an offer": "UPDATE dk.driver_offers SET state = 'REVOKED', responded_at = now() WHERE state = 'PENDING'",
        "an offer beside UNASSIGNED": f"UPDATE dk.deliveries SET state = 'UNASSIGNED' WHERE id = {ONE_OFFERING}",
    },
}
