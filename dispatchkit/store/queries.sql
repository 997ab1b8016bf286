-- name: take_lock
-- Take a sweep's advisory lock and a shared lock of the schema; return the server process that holds them.
-- ours: true if taken, false if another run holds the sweep's lock, null while a migration holds the schema's.
SELECT CASE WHEN NOT pg_try_advisory_lock_shared(1684733952) THEN NULL WHEN pg_try_advisory_lock(1684733953, hashtext(:sweep)) THEN true
  ELSE NOT pg_advisory_unlock_shared(1684733952) END AS ours, pg_backend_pid() AS process

-- name: drop_lock
-- Release a sweep's advisory lock and the shared lock of the schema.
SELECT pg_advisory_unlock(1684733953, hashtext(:sweep)), pg_advisory_unlock_shared(1684733952)

-- name: limit_idle_time
-- Milliseconds that this connection may be idle between two transactions before the server ends it.
SELECT set_config('idle_session_timeout', CAST(:idle_ms AS text), false)

-- name: hold_lock
-- Count 1 if this connection holds the sweep's lock; for a worker, if its leader's connection does.
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 1684733953 AND objid::bigint = hashtext(:sweep)::bigint & 4294967295 AND objsubid = 2
  AND pid = coalesce(CAST(:leader AS int), pg_backend_pid()) AND granted

-- name: set_clock
-- Set this connection's clock to the operator's --now.
SELECT set_config('dk.now', :now, false)

-- name: clock
-- The instant that a run or an act uses as its current time.
SELECT dk.clock()

-- name: clock_mode
-- Whether --now may be given for writes.
SELECT clock FROM dk.meta

-- name: abandon_runs
-- Mark dead runs: one that is still RUNNING while this run holds the sweep's lock has died.
UPDATE dk.sweep_runs SET status = 'ABANDONED', finished_at = clock_timestamp() WHERE sweep = :sweep AND status = 'RUNNING'

-- name: begin_run
-- Insert a run into the ledger. A unique index refuses a second run of a slot that is done.
INSERT INTO dk.sweep_runs (run_id, sweep, slot, as_of, now_given, seed, config_sha256, code_version, params)
VALUES (CAST(:run AS uuid), :sweep, :slot, :now, :now_given, :seed, :config, :code, CAST(:params AS jsonb))

-- name: note_inputs
-- Note the digest of the inputs, and how many changes the sweep's flag held back.
UPDATE dk.sweep_runs SET inputs_sha256 = :inputs, held = :held WHERE run_id = CAST(:run AS uuid)

-- name: count_outcome
-- Add one batch to the run's counters, in the transaction of the batch; no row if the run is over.
UPDATE dk.sweep_runs SET decided = decided + :decided, applied = applied + :applied, stale = stale + :stale,
  already = already + :already, poison = poison + :poison WHERE run_id = CAST(:run AS uuid) AND status = 'RUNNING'

-- name: end_run
-- Close a run; no row if it was closed before.
UPDATE dk.sweep_runs SET status = :status, finished_at = clock_timestamp(), busy = :busy
WHERE run_id = CAST(:run AS uuid) AND status = 'RUNNING'

-- name: describe_to_audit
-- Set what the audit triggers write beside each event of this transaction.
SELECT set_config('dk.run_id', :run, true), set_config('dk.reason', :reason, true)

-- name: describe_actor
-- Set the actor that the caller names; triggers record the login beside it.
SELECT set_config('dk.actor', :actor, true)

-- name: lock_missing_row
-- Lock a row that does not exist yet by its name, until the transaction ends.
SELECT pg_advisory_xact_lock(1684733954, hashtext(:row))

-- name: assigned_driver
-- The driver of a delivery; read after the delivery is locked.
SELECT driver_id FROM dk.deliveries WHERE id = :id AND driver_id IS NOT NULL

-- name: lock_pending
-- Lock a delivery's pending offers, after the delivery itself.
SELECT id FROM dk.driver_offers WHERE delivery_id = :id AND state = 'PENDING' ORDER BY id FOR NO KEY UPDATE

-- name: decisions_applied
-- The decisions that were applied earlier to these versions of rows.
SELECT k.decision_id FROM unnest(CAST(:id AS bigint[]), CAST(:version AS bigint[])) AS s(id, version)
JOIN dk.decisions AS k ON k.outcome = 'APPLIED' AND (k.row_id, k.row_version) = (s.id, s.version)

-- name: write_decisions
-- One row for each decision, applied or not. No ON CONFLICT on purpose: a repeat is a bug and must fail.
INSERT INTO dk.decisions (decision_id, run_id, entity, row_id, row_version, event, reason, outcome, sqlstate, why)
SELECT s.did, CAST(:run AS uuid), s.entity, s.id, s.version, s.event, s.reason, :outcome, :sqlstate, CAST(s.why AS jsonb)
FROM unnest(CAST(:did AS bytea[]), CAST(:entity AS text[]), CAST(:id AS bigint[]), CAST(:version AS bigint[]),
  CAST(:event AS text[]), CAST(:reason AS text[]), CAST(:why AS text[])) AS s(did, entity, id, version, event, reason, why)

-- name: write_outbox
-- One event for each change; receivers recognise repeats by decision_id.
INSERT INTO dk.outbox (event, root, root_id, row_id, decision_id, payload)
SELECT s.event, s.root, s.root_id, s.id, s.did, s.payload
FROM ROWS FROM (unnest(CAST(:event AS text[]), CAST(:root AS text[]), CAST(:root_id AS bigint[]), CAST(:id AS bigint[]), CAST(:did AS bytea[])),
  jsonb_array_elements(CAST(:payload AS jsonb))) AS s(event, root, root_id, id, did, payload)

-- name: write_refusal
-- Record a refused act: the actor, the event, the state of the row and the rule that refused.
INSERT INTO dk.refusals (actor, event, root, root_id, code, was, offer_id) VALUES (:actor, :event, :root, :id, :code, :was, :offer)

-- name: write_ping
-- Insert a driver's position; if one is known for that instant, the first one stays.
INSERT INTO dk.driver_locations (id, driver_id, at, lat, lon) SELECT :id, :driver, :at, :lat, :lon
WHERE NOT EXISTS (SELECT FROM dk.driver_locations WHERE driver_id = :driver AND at = :at) ON CONFLICT (id) DO NOTHING

-- name: snapshot
-- The instant, the snapshot and the database of an export.
SELECT clock_timestamp() AS as_of, CAST(pg_current_snapshot() AS text) AS snapshot, database_id FROM dk.meta
