-- name: up
-- What the plan takes for granted: people, places, orders, deliveries, pings; and what every write needs: clock,
-- transitions as data, run ledger, decisions, outbox, refusals.
DO $$ DECLARE r text; BEGIN
  FOREACH r IN ARRAY '{dk_owner,dk_audit,dk_app,dk_import,dk_verify,dk_export,dk_privacy}'::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', r); END IF;
    -- From Postgres 16 on, whoever creates a role is its member but may not become it without this grant.
    IF NOT pg_has_role(current_user, r, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
      EXECUTE format('GRANT %I TO %I', r, current_user); END IF;
  END LOOP;
END $$;
CREATE SCHEMA dk AUTHORIZATION dk_owner;
CREATE SCHEMA IF NOT EXISTS dk_kept AUTHORIZATION dk_owner;  -- where a downgrade leaves the rows for the next upgrade
GRANT USAGE ON SCHEMA dk TO dk_app, dk_import, dk_verify, dk_export, dk_audit;
SET ROLE dk_owner;

CREATE TABLE dk.meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  database_id text NOT NULL DEFAULT gen_random_uuid()::text,
  clock text NOT NULL DEFAULT 'open' CHECK (clock IN ('open', 'strict')),
  schema_sha256 text
);
CREATE FUNCTION dk.clock() RETURNS timestamptz LANGUAGE sql VOLATILE SET search_path = dk, pg_temp AS $$
  SELECT CASE WHEN (SELECT clock FROM meta) = 'open'
    THEN coalesce(nullif(current_setting('dk.now', true), '')::timestamptz, clock_timestamp())
    ELSE clock_timestamp() END $$;

-- A downgrade copies its rows to dk_kept; the next upgrade takes them back, column by common column.
CREATE FUNCTION dk.keep(tbl text) RETURNS void LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  EXECUTE format('CREATE TABLE dk_kept.%1$I AS TABLE dk.%1$I', tbl);
END $$;
CREATE FUNCTION dk.restore(tbl text) RETURNS void LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$
DECLARE cols text; seq text; BEGIN
  IF to_regclass('dk_kept.' || quote_ident(tbl)) IS NULL THEN RETURN; END IF;
  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO cols
    FROM pg_attribute a JOIN pg_attribute k ON k.attname = a.attname AND k.attrelid = ('dk_kept.' || quote_ident(tbl))::regclass
   WHERE a.attrelid = ('dk.' || quote_ident(tbl))::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
  EXECUTE format('INSERT INTO dk.%1$I (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM dk_kept.%1$I', tbl, cols);
  SELECT pg_get_serial_sequence('dk.' || quote_ident(tbl), a.attname) INTO seq
    FROM pg_attribute a WHERE a.attrelid = ('dk.' || quote_ident(tbl))::regclass AND a.attidentity <> '';
  IF seq IS NOT NULL THEN EXECUTE format('SELECT setval(%L, (SELECT coalesce(max(id), 1) FROM dk.%I))', seq, tbl); END IF;
  EXECUTE format('DROP TABLE dk_kept.%I', tbl);
END $$;

CREATE TABLE dk.transitions (tbl text, src text, dst text, PRIMARY KEY (tbl, src, dst));  -- src '' = birth

-- Puts the version and transition guard on a table: a trigger written for its state column and its frozen columns,
-- because a generic one over jsonb costs half the write.
CREATE FUNCTION dk.watch(tbl text, state text, frozen text[]) RETURNS void LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$
DECLARE olds text; news text; BEGIN
  SELECT string_agg(format('OLD.%I', f), ', '), string_agg(format('NEW.%I', f), ', ') INTO olds, news FROM unnest(frozen) f;
  EXECUTE format($fn$
    CREATE OR REPLACE FUNCTION dk.guard_%1$s() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $g$
    DECLARE was text := ''; BEGIN
      IF TG_OP = 'INSERT' THEN
        NEW.version := 1;
        IF current_user = 'dk_import' THEN RETURN NEW; END IF;
      ELSE
        IF NEW.version NOT IN (OLD.version, OLD.version + 1) THEN
          RAISE EXCEPTION '%1$s %% is at version %%', OLD.id, OLD.version USING ERRCODE = 'DK001'; END IF;
        NEW.version := OLD.version + 1;
        was := OLD.%2$I;
        IF (%3$s) IS DISTINCT FROM (%4$s) THEN
          RAISE EXCEPTION '%1$s %%: a frozen column changed', OLD.id USING ERRCODE = 'DK002'; END IF;
      END IF;
      IF was <> NEW.%2$I AND NOT EXISTS (SELECT FROM transitions t WHERE (t.tbl, t.src, t.dst) = ('%1$s', was, NEW.%2$I)) THEN
        RAISE EXCEPTION '%1$s %%: "%%" may not become "%%"', NEW.id, was, NEW.%2$I USING ERRCODE = 'DK003'; END IF;
      RETURN NEW;
    END $g$ $fn$, tbl, state, olds, news);
  EXECUTE format('CREATE TRIGGER a_guard BEFORE INSERT OR UPDATE ON dk.%1$I FOR EACH ROW EXECUTE FUNCTION dk.guard_%1$s()', tbl);
  EXECUTE format('ALTER TABLE dk.%I ENABLE ALWAYS TRIGGER a_guard', tbl);
END $$;

CREATE TABLE dk.merchants (
  id bigint PRIMARY KEY CHECK (id > 0), label text NOT NULL, zone_id bigint,
  lat float8 CHECK (lat BETWEEN -90 AND 90), lon float8 CHECK (lon BETWEEN -180 AND 180),
  prep_s bigint CHECK (prep_s >= 0));
SELECT dk.restore('merchants');
CREATE TABLE dk.customers (id bigint PRIMARY KEY CHECK (id > 0), since timestamptz);
SELECT dk.restore('customers');
CREATE TABLE dk.drivers (
  id bigint PRIMARY KEY CHECK (id > 0), vehicle text NOT NULL, duty text NOT NULL, duty_since timestamptz, break_until timestamptz,
  shift_end timestamptz, max_stack smallint NOT NULL DEFAULT 2 CHECK (max_stack BETWEEN 1 AND 3), zone_id bigint,
  timeouts bigint NOT NULL DEFAULT 0 CHECK (timeouts >= 0), cooldown_until timestamptz, version bigint NOT NULL);
SELECT dk.restore('drivers');
CREATE INDEX drivers_at_work ON dk.drivers (id) WHERE duty <> 'OFF_DUTY';
CREATE TABLE dk.orders (
  id bigint PRIMARY KEY CHECK (id > 0), customer_id bigint NOT NULL REFERENCES dk.customers, merchant_id bigint NOT NULL REFERENCES dk.merchants,
  zone_id bigint, placed_at timestamptz NOT NULL, ready_at timestamptz, promised_at timestamptz,
  items bigint NOT NULL CHECK (items >= 0), goods_cents bigint NOT NULL CHECK (goods_cents >= 0), fee_cents bigint NOT NULL CHECK (fee_cents >= 0),
  dropoff_lat float8 CHECK (dropoff_lat BETWEEN -90 AND 90), dropoff_lon float8 CHECK (dropoff_lon BETWEEN -180 AND 180), source text NOT NULL);
SELECT dk.restore('orders');
CREATE INDEX orders_placed ON dk.orders (placed_at);
CREATE TABLE dk.deliveries (
  id bigint PRIMARY KEY CHECK (id > 0), order_id bigint NOT NULL REFERENCES dk.orders, replaces bigint REFERENCES dk.deliveries, state text NOT NULL,
  episode bigint NOT NULL DEFAULT 1 CHECK (episode >= 1), attempt bigint NOT NULL DEFAULT 0 CHECK (attempt >= 0), priority bigint NOT NULL DEFAULT 0 CHECK (priority >= 0),
  driver_id bigint REFERENCES dk.drivers, driver_unknown boolean NOT NULL DEFAULT false, slot smallint CHECK (slot BETWEEN 1 AND 3),
  created_at timestamptz NOT NULL, dispatch_at timestamptz NOT NULL, assigned_at timestamptz, started_at timestamptz, arrived_pickup_at timestamptz,
  picked_up_at timestamptz, arrived_dropoff_at timestamptz, ended_at timestamptz, ended_by text, ended_while text, lock_until timestamptz,
  version bigint NOT NULL,
  active boolean NOT NULL GENERATED ALWAYS AS (state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')) STORED,
  CONSTRAINT active_has_slot CHECK (state NOT IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING') OR slot IS NOT NULL),
  CONSTRAINT driver_when_carried CHECK ((driver_id IS NOT NULL) = (NOT driver_unknown AND state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING', 'DELIVERED', 'RETURNED', 'FAILED'))),
  CONSTRAINT unknown_driver_only_in_history CHECK (NOT driver_unknown OR state IN ('DELIVERED', 'RETURNED', 'FAILED')));
SELECT dk.restore('deliveries');
CREATE UNIQUE INDEX delivery_one_per_slot ON dk.deliveries (driver_id, slot) WHERE active;
CREATE INDEX deliveries_seeking ON dk.deliveries (dispatch_at, id) WHERE state IN ('CREATED', 'SCHEDULED', 'UNASSIGNED', 'OFFERING');
-- By states, as the reads ask: they also run in memory, where there is no generated column.
CREATE INDEX deliveries_active ON dk.deliveries (driver_id, id)
  WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING');
CREATE INDEX deliveries_order ON dk.deliveries (order_id);
CREATE TABLE dk.driver_locations (
  id bigint PRIMARY KEY CHECK (id > 0), driver_id bigint NOT NULL REFERENCES dk.drivers, at timestamptz NOT NULL,
  lat float8 NOT NULL CHECK (lat BETWEEN -90 AND 90), lon float8 NOT NULL CHECK (lon BETWEEN -180 AND 180));
SELECT dk.restore('driver_locations');
CREATE INDEX locations_by_time ON dk.driver_locations (at);
CREATE INDEX locations_by_driver ON dk.driver_locations (driver_id, at);

CREATE TABLE dk.sweep_runs (
  run_id uuid PRIMARY KEY, sweep text NOT NULL, slot timestamptz, as_of timestamptz NOT NULL, now_given boolean NOT NULL DEFAULT false, seed bigint,
  config_sha256 text, inputs_sha256 text, code_version text, status text NOT NULL DEFAULT 'RUNNING' CHECK (status IN ('RUNNING', 'OK', 'PARTIAL', 'FAILED', 'ABANDONED')),
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(), finished_at timestamptz,
  decided bigint NOT NULL DEFAULT 0, applied bigint NOT NULL DEFAULT 0, stale bigint NOT NULL DEFAULT 0, already bigint NOT NULL DEFAULT 0,
  busy bigint NOT NULL DEFAULT 0, poison bigint NOT NULL DEFAULT 0, held bigint NOT NULL DEFAULT 0,
  CHECK ((status = 'RUNNING') = (finished_at IS NULL)),
  CHECK (status <> 'OK' OR (decided = applied + stale + poison AND busy = 0)));
SELECT dk.restore('sweep_runs');
CREATE UNIQUE INDEX sweep_run_slot ON dk.sweep_runs (sweep, slot) WHERE slot IS NOT NULL AND status IN ('RUNNING', 'OK');
CREATE INDEX sweep_runs_newest ON dk.sweep_runs (sweep, started_at DESC);
CREATE FUNCTION dk.freeze_run() RETURNS trigger LANGUAGE plpgsql SET search_path = dk, pg_temp AS $$ BEGIN
  RAISE EXCEPTION 'run % is closed', OLD.run_id USING ERRCODE = 'DK005'; END $$;
CREATE TRIGGER a_frozen BEFORE UPDATE ON dk.sweep_runs FOR EACH ROW WHEN (OLD.status <> 'RUNNING') EXECUTE FUNCTION dk.freeze_run();
ALTER TABLE dk.sweep_runs ENABLE ALWAYS TRIGGER a_frozen;

CREATE TABLE dk.decisions (
  decision_id bytea NOT NULL, run_id uuid NOT NULL REFERENCES dk.sweep_runs, entity text NOT NULL, row_id bigint NOT NULL, row_version bigint NOT NULL,
  event text NOT NULL, reason text NOT NULL, outcome text NOT NULL CHECK (outcome IN ('APPLIED', 'STALE', 'POISON')), sqlstate text, why jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (decision_id, run_id));
SELECT dk.restore('decisions');
CREATE UNIQUE INDEX decision_id_once ON dk.decisions (decision_id) WHERE outcome = 'APPLIED';
CREATE UNIQUE INDEX decision_subject_once ON dk.decisions (entity, row_id, row_version) WHERE outcome = 'APPLIED';
CREATE INDEX decisions_of_run ON dk.decisions (run_id);
CREATE TABLE dk.outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event text NOT NULL, root text NOT NULL, root_id bigint NOT NULL, row_id bigint NOT NULL, decision_id bytea,
  payload jsonb NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(), txid xid8 NOT NULL DEFAULT pg_current_xact_id(), sent_at timestamptz);
SELECT dk.restore('outbox');
CREATE UNIQUE INDEX outbox_once ON dk.outbox (decision_id) WHERE decision_id IS NOT NULL;
CREATE INDEX outbox_unsent ON dk.outbox (id) WHERE sent_at IS NULL;
CREATE TABLE dk.refusals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), actor text NOT NULL, event text NOT NULL,
  root text NOT NULL, root_id bigint NOT NULL, code text NOT NULL);
SELECT dk.restore('refusals');

SELECT dk.restore('meta');
INSERT INTO dk.meta DEFAULT VALUES ON CONFLICT DO NOTHING;

INSERT INTO dk.transitions SELECT 'deliveries', src, unnest(string_to_array(dst, ' ')) FROM (VALUES
  ('', 'CREATED'),
  ('CREATED', 'SCHEDULED UNASSIGNED CANCELLED'),
  ('SCHEDULED', 'UNASSIGNED CANCELLED'),
  ('UNASSIGNED', 'OFFERING ASSIGNED PICKED_UP CANCELLED UNFULFILLED'),
  ('OFFERING', 'UNASSIGNED ASSIGNED PICKED_UP CANCELLED UNFULFILLED'),
  ('ASSIGNED', 'EN_ROUTE_PICKUP ARRIVED_PICKUP PICKED_UP EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED UNASSIGNED CANCELLED'),
  ('EN_ROUTE_PICKUP', 'ARRIVED_PICKUP PICKED_UP EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED UNASSIGNED CANCELLED'),
  ('ARRIVED_PICKUP', 'PICKED_UP EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED UNASSIGNED CANCELLED'),
  ('PICKED_UP', 'EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED RESCUE RETURNING FAILED'),
  ('EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF DELIVERED RESCUE RETURNING FAILED'),
  ('ARRIVED_DROPOFF', 'DELIVERED RESCUE RETURNING FAILED'),
  ('RESCUE', 'PICKED_UP RETURNING FAILED'),
  ('RETURNING', 'RETURNED FAILED')) v(src, dst);
INSERT INTO dk.transitions SELECT 'drivers', src, unnest(string_to_array(dst, ' ')) FROM (VALUES
  ('', 'OFF_DUTY ON_DUTY'),
  ('OFF_DUTY', 'ON_DUTY SUSPENDED'),
  ('ON_DUTY', 'ON_BREAK BREAK_PENDING OFF_DUTY ENDING_SHIFT FORCED_OFF SUSPENDED'),
  ('BREAK_PENDING', 'ON_BREAK ON_DUTY OFF_DUTY ENDING_SHIFT SUSPENDED'),
  ('ON_BREAK', 'ON_DUTY OFF_DUTY ENDING_SHIFT SUSPENDED'),
  ('ENDING_SHIFT', 'OFF_DUTY ON_DUTY FORCED_OFF SUSPENDED'),
  ('FORCED_OFF', 'ON_DUTY OFF_DUTY SUSPENDED'),
  ('SUSPENDED', 'OFF_DUTY')) v(src, dst);
SELECT dk.watch('drivers', 'duty', '{id}');
SELECT dk.watch('deliveries', 'state', '{id,order_id,created_at}');

GRANT SELECT ON ALL TABLES IN SCHEMA dk TO dk_app, dk_export, dk_verify;
GRANT SELECT ON dk.meta, dk.transitions TO dk_import, dk_audit;
GRANT INSERT, UPDATE ON dk.drivers, dk.deliveries, dk.sweep_runs TO dk_app;
GRANT INSERT ON dk.orders, dk.customers, dk.driver_locations, dk.decisions, dk.outbox, dk.refusals TO dk_app;
GRANT UPDATE (sent_at) ON dk.outbox TO dk_app;
GRANT SELECT, INSERT ON dk.merchants, dk.customers, dk.drivers, dk.orders, dk.deliveries, dk.driver_locations TO dk_import;
RESET ROLE;

-- name: down
-- The rows move to dk_kept; schema dk goes.
SET ROLE dk_owner;
SELECT dk.keep(t) FROM unnest('{merchants,customers,drivers,orders,deliveries,driver_locations,sweep_runs,decisions,outbox,refusals,meta}'::text[]) t;
RESET ROLE;
DROP SCHEMA dk CASCADE;
