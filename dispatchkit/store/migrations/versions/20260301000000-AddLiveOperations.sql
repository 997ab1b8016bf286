-- name: up
-- What live operations need beside the plan's tables: boost and planned shift ends, the ladder's notes, tickets, and the
-- parameters of each run.
SET ROLE dk_audit;
-- Columns that came after rows were audited, with the value such rows got: an older image plus these is the row.
CREATE TABLE IF NOT EXISTS dk_aud.added (tbl text, name text, was jsonb, PRIMARY KEY (tbl, name));
GRANT SELECT ON dk_aud.added TO dk_verify;
INSERT INTO dk_aud.added VALUES ('driver_offers', 'boost_cents', '0'), ('driver_availability_history', 'shift_end', 'null'),
  ('deliveries', 'liable', 'null'), ('unassigned_orders', 'level_due_at', 'null'), ('unassigned_orders', 'level_at', 'null'),
  ('unassigned_orders', 'acked_at', 'null'), ('unassigned_orders', 'snoozed_until', 'null'), ('unassigned_orders', 'reminders', '0'),
  ('unassigned_orders', 'reminded_at', 'null'), ('unassigned_orders', 'cause', 'null') ON CONFLICT DO NOTHING;
SET ROLE dk_owner;

-- A downgrade that takes columns away leaves their values in dk_kept; the next upgrade puts them back, unseen by triggers:
-- the rows are what they were.
CREATE FUNCTION dk.keep_columns(tbl text, cols text[]) RETURNS void LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  EXECUTE format('CREATE TABLE dk_kept.%I AS SELECT id, %s FROM dk.%I', tbl || '_columns', array_to_string(cols, ', '), tbl);
END $$;
CREATE FUNCTION dk.restore_columns(tbl text, cols text[]) RETURNS void LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$
DECLARE sets text; t text; BEGIN
  IF to_regclass('dk_kept.' || quote_ident(tbl || '_columns')) IS NULL THEN RETURN; END IF;
  SELECT string_agg(format('%1$I = k.%1$I', c), ', ') INTO sets FROM unnest(cols) c;
  EXECUTE format('ALTER TABLE dk.%I DISABLE TRIGGER USER', tbl);
  EXECUTE format('UPDATE dk.%I t SET %s FROM dk_kept.%I k WHERE k.id = t.id', tbl, sets, tbl || '_columns');
  FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = ('dk.' || quote_ident(tbl))::regclass AND NOT tgisinternal LOOP
    EXECUTE format('ALTER TABLE dk.%I ENABLE ALWAYS TRIGGER %I', tbl, t); END LOOP;
  EXECUTE format('DROP TABLE dk_kept.%I', tbl || '_columns');
END $$;

ALTER TABLE dk.driver_offers ADD COLUMN boost_cents bigint NOT NULL DEFAULT 0 CHECK (boost_cents >= 0),
  ADD CONSTRAINT boost_is_part_of_pay CHECK (boost_cents <= pay_cents);
ALTER TABLE dk.driver_availability_history ADD COLUMN shift_end timestamptz;
CREATE INDEX duties_of_driver ON dk.driver_availability_history (driver_id, until);
ALTER TABLE dk.deliveries ADD COLUMN liable text;
CREATE INDEX deliveries_of_driver ON dk.deliveries (driver_id, ended_at);
ALTER TABLE dk.unassigned_orders ADD COLUMN level_due_at timestamptz, ADD COLUMN level_at timestamptz, ADD COLUMN acked_at timestamptz,
  ADD COLUMN snoozed_until timestamptz, ADD COLUMN reminders bigint NOT NULL DEFAULT 0 CHECK (reminders >= 0), ADD COLUMN reminded_at timestamptz,
  ADD COLUMN cause text;
ALTER TABLE dk.sweep_runs ADD COLUMN params jsonb;
SELECT dk.restore_columns('driver_offers', '{boost_cents}'), dk.restore_columns('driver_availability_history', '{shift_end}'),
  dk.restore_columns('deliveries', '{liable}'),
  dk.restore_columns('unassigned_orders', '{level_due_at,level_at,acked_at,snoozed_until,reminders,reminded_at,cause}');
DO $$ BEGIN  -- runs have a run_id, no id
  IF to_regclass('dk_kept.sweep_run_params') IS NOT NULL THEN
    ALTER TABLE dk.sweep_runs DISABLE TRIGGER USER;
    UPDATE dk.sweep_runs r SET params = k.params FROM dk_kept.sweep_run_params k WHERE k.run_id = r.run_id;
    ALTER TABLE dk.sweep_runs ENABLE ALWAYS TRIGGER a_frozen;
    DROP TABLE dk_kept.sweep_run_params;
  END IF;
END $$;
DROP TRIGGER a_guard ON dk.driver_offers;
SELECT dk.watch('driver_offers', 'state',
  '{id,delivery_id,driver_id,episode,attempt,ask,mode,pay_cents,boost_cents,distance_m,payload,payload_sha256,sent_at,expires_at,hard_deadline}');
DROP TRIGGER a_guard ON dk.driver_availability_history;
SELECT dk.watch('driver_availability_history', 'duty', '{id,driver_id,duty,since,shift_end}');

-- A level never falls within an episode.
CREATE FUNCTION dk.level_rises() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  RAISE EXCEPTION 'episode %: level % may not fall to %', OLD.id, OLD.level, NEW.level USING ERRCODE = 'DK008'; END $$;
CREATE TRIGGER b_level BEFORE UPDATE OF level ON dk.unassigned_orders FOR EACH ROW WHEN (NEW.level < OLD.level) EXECUTE FUNCTION dk.level_rises();
ALTER TABLE dk.unassigned_orders ENABLE ALWAYS TRIGGER b_level;
-- Who goes off duty or rests holds nothing.
CREATE FUNCTION dk.holds_nothing() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  IF EXISTS (SELECT FROM deliveries WHERE driver_id = NEW.id
      AND state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')) THEN
    RAISE EXCEPTION 'driver % holds a delivery and may not be %', NEW.id, NEW.duty USING ERRCODE = 'DK009'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_holds BEFORE UPDATE OF duty ON dk.drivers FOR EACH ROW
  WHEN (NEW.duty <> OLD.duty AND NEW.duty IN ('OFF_DUTY', 'ON_BREAK', 'FORCED_OFF')) EXECUTE FUNCTION dk.holds_nothing();
ALTER TABLE dk.drivers ENABLE ALWAYS TRIGGER b_holds;

-- The other half of offer_pair, at COMMIT: no delivery leaves the driver whose acceptance stands, unless its episode is over.
CREATE FUNCTION dk.delivery_pair() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  IF EXISTS (SELECT FROM driver_offers o JOIN deliveries d ON d.id = o.delivery_id AND d.episode = o.episode
              WHERE d.id = NEW.id AND o.state = 'ACCEPTED' AND d.driver_id IS DISTINCT FROM o.driver_id) THEN
    RAISE EXCEPTION 'delivery % is not with the driver who accepted it', NEW.id USING ERRCODE = 'DK006'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER c_pair AFTER UPDATE OF driver_id, episode ON dk.deliveries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (OLD.driver_id IS DISTINCT FROM NEW.driver_id OR OLD.episode <> NEW.episode) EXECUTE FUNCTION dk.delivery_pair();
ALTER TABLE dk.deliveries ENABLE ALWAYS TRIGGER c_pair;

CREATE TABLE dk.support_tickets (
  id bigint PRIMARY KEY CHECK (id > 0), delivery_id bigint NOT NULL REFERENCES dk.deliveries, episode bigint NOT NULL CHECK (episode >= 1),
  level smallint NOT NULL CHECK (level BETWEEN 2 AND 4), cause text NOT NULL, state text NOT NULL, opened_at timestamptz NOT NULL, due_at timestamptz NOT NULL,
  closed_at timestamptz, closed_by text, version bigint NOT NULL,
  CONSTRAINT ticket_closed_iff_over CHECK ((state = 'OPEN') = (closed_at IS NULL)),
  CONSTRAINT ticket_once UNIQUE (delivery_id, episode, level, cause));
SELECT dk.restore('support_tickets');
CREATE INDEX tickets_open ON dk.support_tickets (opened_at, id) WHERE state = 'OPEN';
INSERT INTO dk.transitions VALUES ('support_tickets', '', 'OPEN'), ('support_tickets', 'OPEN', 'CLOSED');
SELECT dk.watch('support_tickets', 'state', '{id,delivery_id,episode,level,cause,opened_at,due_at}');
GRANT SELECT ON dk.support_tickets TO dk_app, dk_export, dk_verify;
GRANT INSERT, UPDATE ON dk.support_tickets TO dk_app;
GRANT SELECT, INSERT ON dk.support_tickets TO dk_import;
SET ROLE dk_audit;
SELECT dk_aud.make_capture('support_tickets', 'delivery_id', 1);
SET ROLE dk_owner;
SELECT dk.audit('support_tickets');
SET ROLE dk_audit;
SELECT dk_aud.baseline('support_tickets', 'delivery_id', 1);
RESET ROLE;

-- name: down
-- Tickets and the added columns go to dk_kept.
SET ROLE dk_owner;
SELECT dk.keep('support_tickets');
DROP TABLE dk.support_tickets;
DROP FUNCTION dk.guard_support_tickets;
DELETE FROM dk.transitions WHERE tbl = 'support_tickets';
SELECT dk.keep_columns('driver_offers', '{boost_cents}'), dk.keep_columns('driver_availability_history', '{shift_end}'),
  dk.keep_columns('deliveries', '{liable}'),
  dk.keep_columns('unassigned_orders', '{level_due_at,level_at,acked_at,snoozed_until,reminders,reminded_at,cause}');
CREATE TABLE dk_kept.sweep_run_params AS SELECT run_id, params FROM dk.sweep_runs WHERE params IS NOT NULL;
DROP TRIGGER b_level ON dk.unassigned_orders;
DROP TRIGGER b_holds ON dk.drivers;
DROP TRIGGER c_pair ON dk.deliveries;
DROP FUNCTION dk.level_rises, dk.holds_nothing, dk.delivery_pair;
DROP TRIGGER a_guard ON dk.driver_offers;
SELECT dk.watch('driver_offers', 'state',
  '{id,delivery_id,driver_id,episode,attempt,ask,mode,pay_cents,distance_m,payload,payload_sha256,sent_at,expires_at,hard_deadline}');
DROP TRIGGER a_guard ON dk.driver_availability_history;
SELECT dk.watch('driver_availability_history', 'duty', '{id,driver_id,duty,since}');
DROP INDEX dk.duties_of_driver, dk.deliveries_of_driver;
ALTER TABLE dk.driver_offers DROP COLUMN boost_cents;
ALTER TABLE dk.driver_availability_history DROP COLUMN shift_end;
ALTER TABLE dk.deliveries DROP COLUMN liable;
ALTER TABLE dk.unassigned_orders DROP COLUMN level_due_at, DROP COLUMN level_at, DROP COLUMN acked_at, DROP COLUMN snoozed_until, DROP COLUMN reminders,
  DROP COLUMN reminded_at, DROP COLUMN cause;
ALTER TABLE dk.sweep_runs DROP COLUMN params;
DROP FUNCTION dk.keep_columns, dk.restore_columns;
SET ROLE dk_audit;
DROP FUNCTION dk_aud.capture_support_tickets;
RESET ROLE;
