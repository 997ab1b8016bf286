-- name: take_lock
-- Take a sweep's advisory lock and a share of the schema's, and tell whose server process holds them: ours, false if
-- another run holds the sweep's, null while a migration holds the schema's.
SELECT CASE WHEN NOT pg_try_advisory_lock_shared(1684733952) THEN NULL WHEN pg_try_advisory_lock(1684733953, hashtext(:sweep)) THEN true
  ELSE NOT pg_advisory_unlock_shared(1684733952) END AS ours, pg_backend_pid() AS process

-- name: drop_lock
-- Give a sweep's advisory lock back, and the share of the schema's.
SELECT pg_advisory_unlock(1684733953, hashtext(:sweep)), pg_advisory_unlock_shared(1684733952)

-- name: limit_idle_time
-- How long this connection may be silent between two transactions before the server ends it, in milliseconds.
SELECT set_config('idle_session_timeout', CAST(:idle_ms AS text), false)

-- name: hold_lock
-- Prove that this very connection holds the sweep's lock, or the leader's for a worker beside it.
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 1684733953 AND objid::bigint = hashtext(:sweep)::bigint & 4294967295 AND objsubid = 2
  AND pid = coalesce(CAST(:leader AS int), pg_backend_pid()) AND granted

-- name: set_clock
-- Let this connection reason at the operator's --now.
SELECT set_config('dk.now', :now, false)

-- name: clock
-- The one instant a run or an act reasons at.
SELECT dk.clock()

-- name: clock_mode
-- Whether --now may be given for writes.
SELECT clock FROM dk.meta

-- name: abandon_runs
-- Runs of this sweep that are still open while we hold its lock have died.
UPDATE dk.sweep_runs SET status = 'ABANDONED', finished_at = clock_timestamp() WHERE sweep = :sweep AND status = 'RUNNING'

-- name: begin_run
-- Enter a run in the ledger; a slot that is done refuses a second.
INSERT INTO dk.sweep_runs (run_id, sweep, slot, as_of, now_given, seed, config_sha256, code_version, params)
VALUES (CAST(:run AS uuid), :sweep, :slot, :now, :now_given, :seed, :config, :code, CAST(:params AS jsonb))

-- name: note_inputs
-- What the run decided on, and how many changes its flag held back.
UPDATE dk.sweep_runs SET inputs_sha256 = :inputs, held = :held WHERE run_id = CAST(:run AS uuid)

-- name: count_outcome
-- Add one batch to the run's counters, in that batch's transaction; a run that is over counts no more.
UPDATE dk.sweep_runs SET decided = decided + :decided, applied = applied + :applied, stale = stale + :stale,
  already = already + :already, poison = poison + :poison WHERE run_id = CAST(:run AS uuid) AND status = 'RUNNING'

-- name: end_run
-- Close a run, once.
UPDATE dk.sweep_runs SET status = :status, finished_at = clock_timestamp(), busy = :busy
WHERE run_id = CAST(:run AS uuid) AND status = 'RUNNING'

-- name: describe_to_audit
-- What the audit triggers write beside each event of this transaction.
SELECT set_config('dk.run_id', :run, true), set_config('dk.reason', :reason, true)

-- name: describe_actor
-- Who says to be acting; the login is recorded beside it by the database itself.
SELECT set_config('dk.actor', :actor, true)

-- name: lock_missing_row
-- Lock a row that is not there by its name, until the transaction ends.
SELECT pg_advisory_xact_lock(1684733954, hashtext(:row))

-- name: assigned_driver
-- Who holds a delivery, read after its lock.
SELECT driver_id FROM dk.deliveries WHERE id = :id AND driver_id IS NOT NULL

-- name: lock_pending
-- Lock a delivery's pending offers, after the delivery itself.
SELECT id FROM dk.driver_offers WHERE delivery_id = :id AND state = 'PENDING' ORDER BY id FOR NO KEY UPDATE

-- name: decisions_applied
-- Which decisions were applied to these versions of rows before.
SELECT k.decision_id FROM unnest(CAST(:id AS bigint[]), CAST(:version AS bigint[])) AS s(id, version)
JOIN dk.decisions AS k ON k.outcome = 'APPLIED' AND (k.row_id, k.row_version) = (s.id, s.version)

-- name: write_decisions
-- One row a decision, applied or not; no ON CONFLICT, on purpose: a repeat is a bug that must show.
INSERT INTO dk.decisions (decision_id, run_id, entity, row_id, row_version, event, reason, outcome, sqlstate, why)
SELECT s.did, CAST(:run AS uuid), s.entity, s.id, s.version, s.event, s.reason, :outcome, :sqlstate, CAST(s.why AS jsonb)
FROM unnest(CAST(:did AS bytea[]), CAST(:entity AS text[]), CAST(:id AS bigint[]), CAST(:version AS bigint[]),
  CAST(:event AS text[]), CAST(:reason AS text[]), CAST(:why AS text[])) AS s(did, entity, id, version, event, reason, why)

-- name: write_outbox
-- One event a change; receivers drop repeats by decision_id.
INSERT INTO dk.outbox (event, root, root_id, row_id, decision_id, payload)
SELECT s.event, s.root, s.root_id, s.id, s.did, s.payload
FROM ROWS FROM (unnest(CAST(:event AS text[]), CAST(:root AS text[]), CAST(:root_id AS bigint[]), CAST(:id AS bigint[]), CAST(:did AS bytea[])),
  jsonb_array_elements(CAST(:payload AS jsonb))) AS s(event, root, root_id, id, did, payload)

-- name: write_refusal
-- Who asked for what, in which state that was, and the rule that refused.
INSERT INTO dk.refusals (actor, event, root, root_id, code, was, offer_id) VALUES (:actor, :event, :root, :id, :code, :was, :offer)

-- name: write_ping
-- Where a driver was: one position an instant, the first that came.
INSERT INTO dk.driver_locations (id, driver_id, at, lat, lon) SELECT :id, :driver, :at, :lat, :lon
WHERE NOT EXISTS (SELECT FROM dk.driver_locations WHERE driver_id = :driver AND at = :at) ON CONFLICT (id) DO NOTHING

-- name: snapshot
-- The instant, snapshot and database an export belongs to.
SELECT clock_timestamp() AS as_of, CAST(pg_current_snapshot() AS text) AS snapshot, database_id FROM dk.meta
