-- name: up
-- Retention of the audit trail (old bodies leave for archive files, every link stays), who read it, and personal data that
-- can be erased. What lies in dk_aud and dk_pii stays where it is on a downgrade, so this may find it in place.
SET ROLE dk_audit;
ALTER TABLE dk_aud.seal ADD COLUMN IF NOT EXISTS made_at timestamptz;
-- Files that hold the bodies of retired events.
CREATE TABLE IF NOT EXISTS dk_aud.archive (
  name text PRIMARY KEY, sha256 text NOT NULL UNIQUE CHECK (sha256 ~ '^[0-9a-f]{64}$'), events bigint NOT NULL CHECK (events > 0),
  before timestamptz NOT NULL, login text NOT NULL, made_at timestamptz NOT NULL);
-- What stays of an event whose body has left: its place, its link, and what the invariants ask for.
CREATE TABLE IF NOT EXISTS dk_aud.retired (
  chain bigint, seq bigint, tbl text NOT NULL, row_id bigint NOT NULL, row_version bigint NOT NULL, op text NOT NULL, run_id text, level bigint,
  at timestamptz NOT NULL, epoch int NOT NULL, txid xid8 NOT NULL, prev bytea NOT NULL, hash bytea NOT NULL, archive text NOT NULL REFERENCES dk_aud.archive,
  PRIMARY KEY (chain, seq), UNIQUE (tbl, row_id, row_version));
CREATE INDEX IF NOT EXISTS retired_by_txid ON dk_aud.retired (epoch, txid);
CREATE INDEX IF NOT EXISTS retired_by_archive ON dk_aud.retired (archive);
-- Who looked at whose trail, and whose data was erased: by id, never by name.
CREATE TABLE IF NOT EXISTS dk_aud.readings (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), login text NOT NULL DEFAULT session_user,
  what text NOT NULL, chain bigint);
CREATE TABLE IF NOT EXISTS dk_aud.erasures (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), login text NOT NULL DEFAULT session_user,
  kind text NOT NULL CHECK (kind IN ('customer', 'driver')), subject bigint NOT NULL CHECK (subject > 0), removed bigint NOT NULL CHECK (removed >= 0));
-- All links, with or without a body.
CREATE VIEW dk_aud.trail AS
  SELECT chain, seq, tbl, row_id, row_version, op, run_id, (image->>'level')::bigint AS level, at, epoch, txid, prev, hash FROM dk_aud.delivery_audit_logs
  UNION ALL SELECT chain, seq, tbl, row_id, row_version, op, run_id, level, at, epoch, txid, prev, hash FROM dk_aud.retired;

-- Append-only, but for one thing: an event may go when its link stands in `retired`, hash for hash.
CREATE OR REPLACE FUNCTION dk_aud.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = dk_aud, pg_temp AS $$ BEGIN
  IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'delivery_audit_logs' THEN
    IF EXISTS (SELECT FROM retired r WHERE (r.chain, r.seq, r.hash) = (OLD.chain, OLD.seq, OLD.hash)) THEN RETURN OLD; END IF;
  END IF;
  RAISE EXCEPTION 'audit is append-only' USING ERRCODE = 'DK010'; END $$;
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY '{seal,archive,retired,readings,erasures}'::text[] LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER ro BEFORE UPDATE OR DELETE ON dk_aud.%I FOR EACH ROW EXECUTE FUNCTION dk_aud.refuse()', t);
    EXECUTE format('CREATE OR REPLACE TRIGGER ro_t BEFORE TRUNCATE ON dk_aud.%I FOR EACH STATEMENT EXECUTE FUNCTION dk_aud.refuse()', t);
    EXECUTE format('ALTER TABLE dk_aud.%I ENABLE ALWAYS TRIGGER ro, ENABLE ALWAYS TRIGGER ro_t', t); END LOOP;
END $$;

-- Moves the links of archived events to `retired`. Only what a seal covers, is older than `before`, and is not the newest
-- of its row may go; one event that may not, and none goes.
CREATE FUNCTION dk_aud.retire(p_name text, p_sha256 text, p_before timestamptz, p_chain bigint[], p_seq bigint[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = dk_aud, pg_temp AS $$
DECLARE moved bigint; BEGIN
  INSERT INTO archive VALUES (p_name, p_sha256, cardinality(p_chain), p_before, session_user, clock_timestamp());
  INSERT INTO retired SELECT e.chain, e.seq, e.tbl, e.row_id, e.row_version, e.op, e.run_id, (e.image->>'level')::bigint, e.at, e.epoch, e.txid, e.prev, e.hash, p_name
    FROM unnest(p_chain, p_seq) AS k(chain, seq) JOIN delivery_audit_logs e USING (chain, seq)
   WHERE e.at < p_before AND e.txid < (SELECT max(s.hi) FROM seal s WHERE s.epoch = e.epoch)
     AND EXISTS (SELECT FROM delivery_audit_logs n WHERE (n.tbl, n.row_id) = (e.tbl, e.row_id) AND n.row_version > e.row_version);
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(p_chain) THEN
    RAISE EXCEPTION '% of % events may not be retired', cardinality(p_chain) - moved, cardinality(p_chain) USING ERRCODE = 'DK012'; END IF;
  DELETE FROM delivery_audit_logs e USING unnest(p_chain, p_seq) AS k(chain, seq) WHERE (e.chain, e.seq) = (k.chain, k.seq);
  RETURN moved;
END $$;

-- Seals cover links, so they hold whether a body is here or in an archive.
CREATE OR REPLACE FUNCTION dk_aud.root(p_epoch int, lo xid8, hi xid8, OUT events bigint, OUT root bytea) LANGUAGE sql STABLE SET search_path = dk_aud, pg_temp AS $$
  SELECT count(*), sha256(coalesce(string_agg(hash, ''::bytea ORDER BY chain, seq), '')) FROM trail e
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
  s.made_at := clock_timestamp();
  SELECT * INTO s.events, s.root FROM root(s.epoch, s.lo, s.hi);
  s.digest := sha256(s.prev || s.root || convert_to(concat_ws('|', s.epoch, s.n, s.lo, s.hi, s.events), 'UTF8'));
  INSERT INTO seal VALUES (s.*);
  RETURN concat_ws(' ', s.epoch, s.n, s.events, encode(s.digest, 'hex'));
END $$;
REVOKE ALL ON FUNCTION dk_aud.retire(text, text, timestamptz, bigint[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dk_aud.retire(text, text, timestamptz, bigint[], bigint[]) TO dk_privacy;
GRANT USAGE ON SCHEMA dk_aud TO dk_privacy;
GRANT SELECT ON dk_aud.trail, dk_aud.retired, dk_aud.archive, dk_aud.readings, dk_aud.erasures TO dk_verify;
GRANT INSERT (what, chain) ON dk_aud.readings TO dk_verify;
GRANT SELECT, INSERT (kind, subject, removed) ON dk_aud.erasures TO dk_privacy;
RESET ROLE;

-- What names a person stands here and nowhere else; an audited row may keep a commitment, which says nothing once the salt
-- is gone.
CREATE SCHEMA IF NOT EXISTS dk_pii AUTHORIZATION dk_owner;
SET ROLE dk_owner;
CREATE TABLE IF NOT EXISTS dk_pii.subject (
  kind text CHECK (kind IN ('customer', 'driver')), id bigint CHECK (id > 0), salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
  name text, phone text, email text, address text, PRIMARY KEY (kind, id));
CREATE OR REPLACE FUNCTION dk_pii.commitment(salt bytea, value text) RETURNS bytea LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT sha256(salt || convert_to(value, 'UTF8')) $$;
GRANT USAGE ON SCHEMA dk, dk_pii TO dk_privacy;
GRANT SELECT, INSERT, UPDATE, DELETE ON dk_pii.subject TO dk_privacy;
GRANT SELECT ON dk.meta, dk.customers, dk.drivers, dk.orders, dk.deliveries TO dk_privacy;
GRANT SELECT, DELETE ON dk.driver_locations TO dk_privacy;
GRANT UPDATE (dropoff_lat, dropoff_lon) ON dk.orders TO dk_privacy;
GRANT SELECT, UPDATE (payload) ON dk.outbox TO dk_privacy;
RESET ROLE;

-- name: down
-- The trail as the step before knew it; what was archived, read and erased stays on record in dk_aud.
SET ROLE dk_owner;
REVOKE ALL ON dk.meta, dk.customers, dk.drivers, dk.orders, dk.deliveries, dk.driver_locations, dk.outbox FROM dk_privacy;
SET ROLE dk_audit;
DROP FUNCTION dk_aud.retire;
CREATE OR REPLACE FUNCTION dk_aud.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'audit is append-only' USING ERRCODE = 'DK010'; END $$;
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
DROP VIEW dk_aud.trail;
RESET ROLE;
