-- name: up
-- What every write pays for its trail and its decisions, made less: events, hashes and promises stay as they were. And a run
-- may not reason ahead of the database clock.
SET ROLE dk_audit;
-- The hash before the last one, so that one UPDATE of the heads tells everything that their new events need.
ALTER TABLE dk_aud.head ADD COLUMN IF NOT EXISTS prev bytea;

-- The statement that appends events to chains that have a head, one event a chain: what is left over (a second event of a
-- chain, a chain without a head) is for `append_sql`. The UPDATE locks a head and links to what it then finds there, so a
-- rival who came first is seen. `quick` spells the line of JSON that `body` builds, its unchanging end only once.
CREATE FUNCTION dk_aud.quick_sql(tbl text, op text, source text) RETURNS text LANGUAGE sql IMMUTABLE AS $fn$
  SELECT format($q$
    WITH told AS MATERIALIZED (SELECT t.*, substr(json_build_array(%2$L, t.login, t.actor, t.run_id, t.reason,
        to_char(t.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'))::text, 2) || E'\n' AS tail
      FROM (SELECT clock_timestamp() AS at, session_user::text AS login, nullif(current_setting('dk.actor', true), '') AS actor,
        nullif(current_setting('dk.run_id', true), '') AS run_id, nullif(current_setting('dk.reason', true), '') AS reason,
        (SELECT n FROM epoch) AS epoch, pg_current_xact_id() AS txid) t),
    changed AS MATERIALIZED (SELECT DISTINCT ON (s.chain) s.* FROM (%3$s) s ORDER BY s.chain, s.row_id),
    linked AS (
      UPDATE head h SET seq = h.seq + 1, prev = h.hash, hash = sha256(h.hash || convert_to(concat('[', h.chain, ', ', h.seq + 1, %4$L,
          c.row_id, ', ', c.row_version, ', ', t.tail, c.image), 'UTF8'))
      FROM changed c CROSS JOIN told t WHERE h.chain = c.chain
      RETURNING h.chain, h.seq, h.prev, h.hash, c.row_id, c.row_version, c.image)
    INSERT INTO delivery_audit_logs SELECT l.chain, l.seq, %1$L, l.row_id, l.row_version, %2$L, l.image, t.login, t.actor, t.run_id, t.reason, t.at, t.epoch,
      t.txid, l.prev, l.hash FROM linked l CROSS JOIN told t $q$, tbl, op, source, format(', "%s", ', tbl)) $fn$;

-- Rows of a statement are chained in one pass where their chains have heads; the rest, and what is born with its chain, as before.
CREATE OR REPLACE FUNCTION dk_aud.make_capture(tbl text, chain text, sign int) RETURNS void LANGUAGE plpgsql SET search_path = dk_aud, pg_temp AS $$
DECLARE rows text := format('SELECT n.%I * %s AS chain, n.id AS row_id, n.version AS row_version, row_to_json(n) AS image FROM new_rows n', chain, sign);
  rest text := format('%s WHERE NOT EXISTS (SELECT FROM delivery_audit_logs e WHERE (e.tbl, e.row_id, e.row_version) = (%L, n.id, n.version))', rows, tbl);
BEGIN
  EXECUTE format($fn$
    CREATE OR REPLACE FUNCTION dk_aud.capture_%1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
      SET search_path = dk_aud, pg_temp SET TimeZone = 'UTC' SET extra_float_digits = 1 AS $c$ DECLARE chained bigint; BEGIN
      IF TG_OP = 'INSERT' THEN %2$s;
      ELSIF TG_OP = 'UPDATE' THEN %3$s;
        GET DIAGNOSTICS chained = ROW_COUNT;
        IF chained < (SELECT count(*) FROM new_rows) THEN %4$s; END IF;
      ELSE %5$s;
      END IF;
      RETURN NULL; END $c$ $fn$, tbl,
    append_sql(tbl, 'I', rows), quick_sql(tbl, 'U', rows), append_sql(tbl, 'U', rest),
    append_sql(tbl, 'D', format('SELECT o.%I * %s AS chain, o.id AS row_id, o.version + 1 AS row_version, NULL::json AS image FROM old_rows o', chain, sign)));
  EXECUTE format('REVOKE ALL ON FUNCTION dk_aud.capture_%1$s() FROM PUBLIC; GRANT EXECUTE ON FUNCTION dk_aud.capture_%1$s() TO dk_owner', tbl);
END $$;
SELECT dk_aud.make_capture('deliveries', 'id', 1), dk_aud.make_capture('driver_offers', 'delivery_id', 1), dk_aud.make_capture('unassigned_orders', 'delivery_id', 1),
  dk_aud.make_capture('reassignment_cases', 'delivery_id', 1), dk_aud.make_capture('support_tickets', 'delivery_id', 1), dk_aud.make_capture('drivers', 'id', -1),
  dk_aud.make_capture('driver_availability_history', 'driver_id', -1), dk_aud.make_capture('route_optimization_data', 'driver_id', -1);
SET ROLE dk_owner;
-- decision_id_once said what decision_subject_once says, since the id is made from the row and its version; and with the run
-- first, the primary key also finds the decisions of a run.
DROP INDEX dk.decision_id_once, dk.decisions_of_run;
ALTER TABLE dk.decisions DROP CONSTRAINT decisions_pkey, ADD PRIMARY KEY (run_id, decision_id);
DROP INDEX dk.decision_subject_once;
CREATE UNIQUE INDEX decision_subject_once ON dk.decisions (row_id, row_version, entity) WHERE outcome = 'APPLIED';
CREATE FUNCTION dk.not_ahead() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  RAISE EXCEPTION 'a run as of % is ahead of the database clock', NEW.as_of USING ERRCODE = 'DK007'; END $$;
CREATE TRIGGER a_not_ahead BEFORE INSERT ON dk.sweep_runs FOR EACH ROW WHEN (NOT NEW.now_given AND NEW.as_of > clock_timestamp())
  EXECUTE FUNCTION dk.not_ahead();
ALTER TABLE dk.sweep_runs ENABLE ALWAYS TRIGGER a_not_ahead;
RESET ROLE;

-- name: down
-- Chains are written as before, and decisions found by their id again.
SET ROLE dk_owner;
DROP TRIGGER a_not_ahead ON dk.sweep_runs;
DROP FUNCTION dk.not_ahead;
DROP INDEX dk.decision_subject_once;
ALTER TABLE dk.decisions DROP CONSTRAINT decisions_pkey, ADD PRIMARY KEY (decision_id, run_id);
CREATE UNIQUE INDEX decision_id_once ON dk.decisions (decision_id) WHERE outcome = 'APPLIED';
CREATE UNIQUE INDEX decision_subject_once ON dk.decisions (entity, row_id, row_version) WHERE outcome = 'APPLIED';
CREATE INDEX decisions_of_run ON dk.decisions (run_id);
SET ROLE dk_audit;
CREATE OR REPLACE FUNCTION dk_aud.make_capture(tbl text, chain text, sign int) RETURNS void LANGUAGE plpgsql SET search_path = dk_aud, pg_temp AS $$ BEGIN
  EXECUTE format($fn$
    CREATE OR REPLACE FUNCTION dk_aud.capture_%1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
      SET search_path = dk_aud, pg_temp SET TimeZone = 'UTC' SET extra_float_digits = 1 AS $c$ BEGIN
      IF TG_OP = 'INSERT' THEN %2$s;
      ELSIF TG_OP = 'UPDATE' THEN %3$s;
      ELSE %4$s;
      END IF;
      RETURN NULL; END $c$ $fn$, tbl,
    append_sql(tbl, 'I', format('SELECT n.%I * %s AS chain, n.id AS row_id, n.version AS row_version, row_to_json(n) AS image FROM new_rows n', chain, sign)),
    append_sql(tbl, 'U', format('SELECT n.%I * %s AS chain, n.id AS row_id, n.version AS row_version, row_to_json(n) AS image FROM new_rows n', chain, sign)),
    append_sql(tbl, 'D', format('SELECT o.%I * %s AS chain, o.id AS row_id, o.version + 1 AS row_version, NULL::json AS image FROM old_rows o', chain, sign)));
  EXECUTE format('REVOKE ALL ON FUNCTION dk_aud.capture_%1$s() FROM PUBLIC; GRANT EXECUTE ON FUNCTION dk_aud.capture_%1$s() TO dk_owner', tbl);
END $$;
SELECT dk_aud.make_capture('deliveries', 'id', 1), dk_aud.make_capture('driver_offers', 'delivery_id', 1), dk_aud.make_capture('unassigned_orders', 'delivery_id', 1),
  dk_aud.make_capture('reassignment_cases', 'delivery_id', 1), dk_aud.make_capture('support_tickets', 'delivery_id', 1), dk_aud.make_capture('drivers', 'id', -1),
  dk_aud.make_capture('driver_availability_history', 'driver_id', -1), dk_aud.make_capture('route_optimization_data', 'driver_id', -1);
DROP FUNCTION dk_aud.quick_sql;
RESET ROLE;
