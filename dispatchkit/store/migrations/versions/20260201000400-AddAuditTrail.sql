-- name: up
-- delivery_audit_logs (ADR-028): one event per row version, hash-chained per delivery (per driver for drivers).
-- A downgrade stops the capture but leaves the trail where it is, so this part may find it in place.
CREATE SCHEMA IF NOT EXISTS dk_aud AUTHORIZATION dk_audit;
GRANT USAGE ON SCHEMA dk_aud TO dk_owner, dk_verify;
SET ROLE dk_audit;
-- image: the row as it then stood (null: gone); what it was before is the image of the version before. json keeps the very
-- text that was hashed.
CREATE TABLE IF NOT EXISTS dk_aud.delivery_audit_logs (
  chain bigint, seq bigint, tbl text NOT NULL, row_id bigint NOT NULL, row_version bigint NOT NULL, op text NOT NULL CHECK (op IN ('I', 'U', 'D', 'B')),
  image json, login text NOT NULL, actor text, run_id text, reason text, at timestamptz NOT NULL, epoch int NOT NULL, txid xid8 NOT NULL,
  prev bytea NOT NULL, hash bytea NOT NULL, PRIMARY KEY (chain, seq), UNIQUE (tbl, row_id, row_version));
CREATE INDEX IF NOT EXISTS audit_by_txid ON dk_aud.delivery_audit_logs (epoch, txid);
CREATE TABLE IF NOT EXISTS dk_aud.head (chain bigint PRIMARY KEY, seq bigint NOT NULL, hash bytea NOT NULL) WITH (fillfactor = 70);
CREATE TABLE IF NOT EXISTS dk_aud.epoch (one boolean PRIMARY KEY DEFAULT true CHECK (one), n int NOT NULL DEFAULT 1);
INSERT INTO dk_aud.epoch DEFAULT VALUES ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS dk_aud.seal (
  epoch int, n bigint, lo xid8 NOT NULL, hi xid8 NOT NULL, events bigint NOT NULL, root bytea NOT NULL, prev bytea NOT NULL, digest bytea NOT NULL,
  PRIMARY KEY (epoch, n));

-- What is hashed of an event besides its predecessor's hash: a line of JSON, then the image.
CREATE OR REPLACE FUNCTION dk_aud.body(chain bigint, seq bigint, tbl text, row_id bigint, row_version bigint, op text, login text, actor text,
    run_id text, reason text, at timestamptz, image json) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT json_build_array(chain, seq, tbl, row_id, row_version, op, login, actor, run_id, reason,
    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'))::text || E'\n' || coalesce(image::text, '') $$;
-- link(start, body) OVER (PARTITION BY chain ORDER BY seq): sha256(previous hash || body), so a whole statement is chained at once.
CREATE OR REPLACE FUNCTION dk_aud.link_step(state bytea, start bytea, body text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN sha256(coalesce(state, start) || convert_to(body, 'UTF8')); END $$;
CREATE OR REPLACE AGGREGATE dk_aud.link(bytea, text) (SFUNC = dk_aud.link_step, STYPE = bytea);

-- The statement that appends events: `source` yields (chain, row_id, row_version, image). Heads are locked in chain order.
CREATE OR REPLACE FUNCTION dk_aud.append_sql(tbl text, op text, source text) RETURNS text LANGUAGE sql IMMUTABLE AS $fn$
  SELECT format($q$
    WITH changed AS MATERIALIZED (SELECT s.*, row_number() OVER (PARTITION BY s.chain ORDER BY s.row_id) AS k FROM (%3$s) s),
    heads AS MATERIALIZED (SELECT h.chain, h.seq, h.hash FROM head h WHERE h.chain IN (SELECT chain FROM changed) ORDER BY h.chain FOR NO KEY UPDATE),
    told AS MATERIALIZED (SELECT clock_timestamp() AS at, session_user::text AS login, nullif(current_setting('dk.actor', true), '') AS actor,
      nullif(current_setting('dk.run_id', true), '') AS run_id, nullif(current_setting('dk.reason', true), '') AS reason, (SELECT n FROM epoch) AS epoch),
    bodied AS MATERIALIZED (
      SELECT c.*, coalesce(h.seq, 0) + c.k AS seq, coalesce(h.hash, '\x00') AS start, t.*,
        dk_aud.body(c.chain, coalesce(h.seq, 0) + c.k, %1$L, c.row_id, c.row_version, %2$L, t.login, t.actor, t.run_id, t.reason, t.at, c.image) AS body
      FROM changed c CROSS JOIN told t LEFT JOIN heads h USING (chain)),
    linked AS MATERIALIZED (SELECT b.*, dk_aud.link(b.start, b.body) OVER (PARTITION BY b.chain ORDER BY b.k) AS hash FROM bodied b),
    written AS (
      INSERT INTO delivery_audit_logs SELECT l.chain, l.seq, %1$L, l.row_id, l.row_version, %2$L, l.image, l.login, l.actor, l.run_id, l.reason, l.at, l.epoch,
        pg_current_xact_id(), coalesce(lag(l.hash) OVER (PARTITION BY l.chain ORDER BY l.k), l.start), l.hash FROM linked l)
    INSERT INTO head SELECT DISTINCT ON (l.chain) l.chain, l.seq, l.hash FROM linked l ORDER BY l.chain, l.seq DESC
    ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash $q$, tbl, op, source) $fn$;

-- Writes the capture function of one table. `chain` names the column that chains its events, `sign` -1 for chains of drivers.
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

-- Rows that exist without an image of their present version (written before the trail, or while it was down) get a baseline event.
CREATE OR REPLACE FUNCTION dk_aud.baseline(tbl text, chain text, sign int) RETURNS void LANGUAGE plpgsql
    SET search_path = dk_aud, pg_temp SET TimeZone = 'UTC' SET extra_float_digits = 1 AS $$ BEGIN
  EXECUTE append_sql(tbl, 'B', format('SELECT n.%1$I * %2$s AS chain, n.id AS row_id, n.version AS row_version, row_to_json(n) AS image FROM dk.%3$I n
    WHERE NOT EXISTS (SELECT FROM delivery_audit_logs e WHERE (e.tbl, e.row_id, e.row_version) = (%3$L, n.id, n.version))', chain, sign, tbl));
END $$;

CREATE OR REPLACE FUNCTION dk_aud.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'audit is append-only' USING ERRCODE = 'DK010'; END $$;
CREATE OR REPLACE TRIGGER ro BEFORE UPDATE OR DELETE ON dk_aud.delivery_audit_logs FOR EACH ROW EXECUTE FUNCTION dk_aud.refuse();
CREATE OR REPLACE TRIGGER ro_t BEFORE TRUNCATE ON dk_aud.delivery_audit_logs FOR EACH STATEMENT EXECUTE FUNCTION dk_aud.refuse();
ALTER TABLE dk_aud.delivery_audit_logs ENABLE ALWAYS TRIGGER ro;
ALTER TABLE dk_aud.delivery_audit_logs ENABLE ALWAYS TRIGGER ro_t;

-- A seal orders all chains: a digest over every event below the oldest transaction still in flight.
CREATE OR REPLACE FUNCTION dk_aud.root(p_epoch int, lo xid8, hi xid8, OUT events bigint, OUT root bytea) LANGUAGE sql STABLE SET search_path = dk_aud, pg_temp AS $$
  SELECT count(*), sha256(coalesce(string_agg(hash, ''::bytea ORDER BY chain, seq), '')) FROM delivery_audit_logs e
   WHERE e.epoch = p_epoch AND txid >= lo AND txid < hi $$;
CREATE OR REPLACE FUNCTION dk_aud.make_seal() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = dk_aud, pg_temp AS $$
DECLARE l seal; s seal; BEGIN
  PERFORM pg_advisory_xact_lock(1684733953);
  SELECT * INTO l FROM seal x ORDER BY x.epoch DESC, x.n DESC LIMIT 1;
  SELECT n INTO s.epoch FROM epoch;
  s.n := CASE WHEN l.epoch = s.epoch THEN l.n + 1 ELSE 1 END;
  s.lo := CASE WHEN l.epoch = s.epoch THEN l.hi ELSE '0' END;
  s.hi := pg_snapshot_xmin(pg_current_snapshot());
  s.prev := coalesce(l.digest, '\x00');
  SELECT * INTO s.events, s.root FROM root(s.epoch, s.lo, s.hi);
  s.digest := sha256(s.prev || s.root || convert_to(concat_ws('|', s.epoch, s.n, s.lo, s.hi, s.events), 'UTF8'));
  INSERT INTO seal VALUES (s.*);
  RETURN concat_ws(' ', s.epoch, s.n, s.events, encode(s.digest, 'hex'));
END $$;
REVOKE ALL ON FUNCTION dk_aud.make_seal() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dk_aud.make_seal() TO dk_verify;
GRANT SELECT ON dk_aud.delivery_audit_logs, dk_aud.head, dk_aud.seal, dk_aud.epoch TO dk_verify;
SELECT dk_aud.make_capture('deliveries', 'id', 1), dk_aud.make_capture('driver_offers', 'delivery_id', 1), dk_aud.make_capture('unassigned_orders', 'delivery_id', 1),
  dk_aud.make_capture('reassignment_cases', 'delivery_id', 1), dk_aud.make_capture('drivers', 'id', -1), dk_aud.make_capture('driver_availability_history', 'driver_id', -1);
SET ROLE dk_owner;

CREATE FUNCTION dk.audit(tbl text) RETURNS void LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  EXECUTE format('CREATE TRIGGER z_audit_i AFTER INSERT ON dk.%1$I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION dk_aud.capture_%1$s()', tbl);
  EXECUTE format('CREATE TRIGGER z_audit_u AFTER UPDATE ON dk.%1$I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION dk_aud.capture_%1$s()', tbl);
  EXECUTE format('CREATE TRIGGER z_audit_d AFTER DELETE ON dk.%1$I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION dk_aud.capture_%1$s()', tbl);
  EXECUTE format('ALTER TABLE dk.%1$I ENABLE ALWAYS TRIGGER z_audit_i, ENABLE ALWAYS TRIGGER z_audit_u, ENABLE ALWAYS TRIGGER z_audit_d', tbl);
  EXECUTE format('GRANT SELECT ON dk.%1$I TO dk_audit', tbl);
END $$;
SELECT dk.audit(t) FROM unnest('{deliveries,driver_offers,unassigned_orders,reassignment_cases,drivers,driver_availability_history}'::text[]) t;
SET ROLE dk_audit;
SELECT dk_aud.baseline('drivers', 'id', -1), dk_aud.baseline('driver_availability_history', 'driver_id', -1);
SELECT dk_aud.baseline('deliveries', 'id', 1), dk_aud.baseline('driver_offers', 'delivery_id', 1), dk_aud.baseline('unassigned_orders', 'delivery_id', 1), dk_aud.baseline('reassignment_cases', 'delivery_id', 1);
RESET ROLE;

-- name: down
-- Capture ends; the trail stays in dk_aud, because an audit log is not undone by a downgrade.
SET ROLE dk_owner;
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY '{deliveries,driver_offers,unassigned_orders,reassignment_cases,drivers,driver_availability_history}'::text[] LOOP
    EXECUTE format('DROP TRIGGER z_audit_i ON dk.%1$I; DROP TRIGGER z_audit_u ON dk.%1$I; DROP TRIGGER z_audit_d ON dk.%1$I; REVOKE SELECT ON dk.%1$I FROM dk_audit', t); END LOOP;
END $$;
DROP FUNCTION dk.audit;
SET ROLE dk_audit;
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY '{deliveries,driver_offers,unassigned_orders,reassignment_cases,drivers,driver_availability_history}'::text[] LOOP
    EXECUTE format('DROP FUNCTION dk_aud.capture_%s', t); END LOOP;
END $$;
RESET ROLE;
