-- name: up
-- Seals cover ranges of transaction ids, and another server counts those from the start. So the trail knows the server it is
-- written on: the first event on another one begins an epoch, with ranges of its own.
SET ROLE dk_audit;
ALTER TABLE dk_aud.epoch ADD COLUMN IF NOT EXISTS cluster bigint NOT NULL DEFAULT (pg_control_system()).system_identifier;
-- The epoch of this server, begun if the trail comes from another one; of two who begin it the second finds the first's.
CREATE FUNCTION dk_aud.this_epoch() RETURNS int LANGUAGE plpgsql SET search_path = dk_aud, pg_temp AS $$
DECLARE here bigint := (pg_control_system()).system_identifier; found int; BEGIN
  SELECT n INTO found FROM epoch WHERE cluster = here;
  IF found IS NULL THEN
    UPDATE epoch SET n = n + 1, cluster = here WHERE cluster <> here;
    SELECT n INTO STRICT found FROM epoch WHERE cluster = here;
  END IF;
  RETURN found;
END $$;
REVOKE ALL ON FUNCTION dk_aud.this_epoch() FROM PUBLIC;
DO $$ DECLARE f record; changed int := 0; BEGIN  -- two that build captures, and the captures of eight tables
  FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'dk_aud'::regnamespace AND prosrc LIKE '%(SELECT n FROM epoch)%' LOOP
    EXECUTE replace(pg_get_functiondef(f.oid), '(SELECT n FROM epoch)', 'dk_aud.this_epoch()');
    changed := changed + 1; END LOOP;
  ASSERT changed = 10, format('%s functions tell the epoch, not 10', changed);
END $$;

-- Events that no seal covers. An epoch is `closed` when no more events can come to it.
CREATE VIEW dk_aud.unsealed AS
  SELECT e.chain, e.seq, e.at, e.epoch, e.txid, p.n < here.n OR here.cluster <> (SELECT system_identifier FROM pg_control_system()) AS closed
  FROM dk_aud.epoch here CROSS JOIN LATERAL generate_series(1, here.n) AS p(n)
  CROSS JOIN LATERAL (SELECT coalesce((SELECT s.hi FROM dk_aud.seal s WHERE s.epoch = p.n ORDER BY s.n DESC LIMIT 1), '0') AS hi) s
  JOIN dk_aud.delivery_audit_logs e ON e.epoch = p.n AND e.txid >= s.hi;
GRANT SELECT ON dk_aud.unsealed TO dk_verify;

-- One seal covers one epoch: what an earlier server left is sealed first, and whole, since nothing is in flight there.
CREATE OR REPLACE FUNCTION dk_aud.make_seal() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = dk_aud, pg_temp AS $$
DECLARE l seal; s seal; here int; BEGIN
  PERFORM pg_advisory_xact_lock(1684733953);
  here := this_epoch();
  SELECT * INTO l FROM seal x ORDER BY x.epoch DESC, x.n DESC LIMIT 1;
  s.epoch := coalesce((SELECT min(epoch) FROM unsealed WHERE closed), here);
  s.n := CASE WHEN l.epoch = s.epoch THEN l.n + 1 ELSE 1 END;
  s.lo := CASE WHEN l.epoch = s.epoch THEN l.hi ELSE '0' END;
  s.hi := CASE WHEN s.epoch < here THEN '18446744073709551615' ELSE pg_snapshot_xmin(pg_current_snapshot()) END;
  s.prev := coalesce(l.digest, '\x00');
  s.made_at := clock_timestamp();
  SELECT * INTO s.events, s.root FROM root(s.epoch, s.lo, s.hi);
  s.digest := sha256(s.prev || s.root || convert_to(concat_ws('|', s.epoch, s.n, s.lo, s.hi, s.events), 'UTF8'));
  INSERT INTO seal VALUES (s.*);
  RETURN concat_ws(' ', s.epoch, s.n, s.events, encode(s.digest, 'hex'));
END $$;
RESET ROLE;

-- name: down
-- The epoch is a number again that nothing raises.
SET ROLE dk_audit;
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
DROP VIEW dk_aud.unsealed;
DO $$ DECLARE f record; changed int := 0; BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'dk_aud'::regnamespace AND prosrc LIKE '%dk_aud.this_epoch()%' LOOP
    EXECUTE replace(pg_get_functiondef(f.oid), 'dk_aud.this_epoch()', '(SELECT n FROM epoch)');
    changed := changed + 1; END LOOP;
  ASSERT changed = 10, format('%s functions tell the epoch, not 10', changed);
END $$;
DROP FUNCTION dk_aud.this_epoch;
ALTER TABLE dk_aud.epoch DROP COLUMN cluster;
RESET ROLE;
