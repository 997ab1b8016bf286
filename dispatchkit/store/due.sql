-- name: availability
-- Breaks that ended without a BREAK_EXPIRED row, shifts past their planned end, and drivers without
-- a delivery who wait for a break or for the end of the shift.
SELECT min(due) FROM (
  SELECT r.break_until AS due FROM dk.drivers r WHERE r.duty = 'ON_BREAK' AND r.break_until <= dk.clock() AND NOT EXISTS (
    SELECT FROM dk.driver_availability_history h WHERE h.driver_id = r.id AND h.until IS NULL AND h.reason = 'BREAK_EXPIRED')
  UNION ALL SELECT shift_end FROM dk.drivers WHERE duty IN ('ON_DUTY', 'BREAK_PENDING', 'ON_BREAK', 'FORCED_OFF') AND shift_end <= dk.clock()
  UNION ALL SELECT r.duty_since FROM dk.drivers r WHERE r.duty IN ('BREAK_PENDING', 'ENDING_SHIFT')
    AND NOT EXISTS (SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active)) x

-- name: offers
-- Pending offers past their deadline, and deliveries whose search for a driver should have begun.
SELECT min(due) FROM (SELECT hard_deadline AS due FROM dk.driver_offers WHERE state = 'PENDING' AND hard_deadline <= dk.clock()
  UNION ALL SELECT dispatch_at FROM dk.deliveries WHERE state IN ('CREATED', 'SCHEDULED') AND dispatch_at <= dk.clock()) x

-- name: reassignment
-- Cases past their grace, and assignments without a case whose driver did not start within 5 minutes
-- (the default of `no_start`): the sweep itself opens cases, so there are none when it does not run.
SELECT min(due) FROM (SELECT grace_until AS due FROM dk.reassignment_cases WHERE state = 'GRACE'
  UNION ALL SELECT d.assigned_at + interval '5 minutes' FROM dk.deliveries d WHERE d.state = 'ASSIGNED' AND NOT EXISTS (
    SELECT FROM dk.reassignment_cases c WHERE c.delivery_id = d.id AND c.state IN ('SUSPECTED', 'GRACE', 'CONFIRMED'))) x WHERE due <= dk.clock()

-- name: escalation
-- Open searches past the age of their next level, by the thresholds of the last run, else the defaults.
SELECT min(due) FROM (
  SELECT u.opened_at + make_interval(secs => coalesce(CAST(r.params -> 'params' ->> next.age AS float8), next.seconds)) AS due
  FROM dk.unassigned_orders u
  JOIN (VALUES (0, 'age_1', 180), (1, 'age_2', 360), (2, 'age_3', 600), (3, 'age_4', 1200), (4, 'unfulfilled', 2700)) next (level, age, seconds) USING (level)
  LEFT JOIN (SELECT params FROM dk.sweep_runs WHERE sweep = 'escalation' ORDER BY started_at DESC LIMIT 1) r ON true
  WHERE u.state = 'OPEN') x WHERE due <= dk.clock()

-- name: routes
-- Assignments of drivers who have no planned route.
SELECT min(d.assigned_at) FROM dk.deliveries d WHERE d.active
  AND NOT EXISTS (SELECT FROM dk.route_optimization_data r WHERE r.driver_id = d.driver_id AND r.state = 'PLANNED')

-- name: outbox
-- Events that were never given to a sender.
SELECT min(o.at) FROM dk.outbox o WHERE o.sent_at IS NULL AND NOT EXISTS (SELECT FROM dk.sendings s WHERE s.outbox_id = o.id)

-- name: audit
-- Audit events without a seal.
SELECT min(at) FROM dk_aud.unsealed

-- name: last_ok
-- The last finished run of each sweep, and the latest `now` that one used.
-- A run with --now in the future is left out: it does not prove that cron works.
SELECT sweep, max(finished_at) AS last_ok, max(as_of) AS last_as_of FROM dk.sweep_runs WHERE status = 'OK' AND as_of <= dk.clock() GROUP BY sweep

-- name: senders_gone
-- Whether events were given to senders earlier and none waits for another try.
-- Every run tries what a sender wants, so events that are left have no sender any more. In a database
-- that never had a sender, events are kept on purpose.
SELECT EXISTS (SELECT FROM dk.sendings) AND NOT EXISTS (SELECT FROM dk.sendings WHERE state = 'WAITING')

-- name: take_lock
-- Take the lock of `db check` until the transaction ends; false if another check holds it.
SELECT pg_try_advisory_xact_lock(1684733953, hashtext('db check'))
