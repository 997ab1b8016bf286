-- name: I1
-- more than one accepted offer for one delivery and episode
SELECT count(*) FROM (SELECT FROM dk.driver_offers WHERE state = 'ACCEPTED' GROUP BY delivery_id, episode HAVING count(*) > 1) x

-- name: I2
-- two active deliveries in one slot of a driver, or a slot above the driver's max_stack
SELECT (SELECT count(*) FROM (SELECT FROM dk.deliveries WHERE active GROUP BY driver_id, slot HAVING count(*) > 1) x)
  + (SELECT count(*) FROM dk.deliveries d JOIN dk.drivers r ON r.id = d.driver_id WHERE d.active AND d.slot > r.max_stack)

-- name: I3
-- accepted offer of the current episode whose delivery is with another driver or none
SELECT count(*) FROM dk.driver_offers o JOIN dk.deliveries d ON d.id = o.delivery_id AND d.episode = o.episode
WHERE o.state = 'ACCEPTED' AND d.driver_id IS DISTINCT FROM o.driver_id

-- name: I4
-- a row whose version is not the number of its audit events since its baseline, or that is gone without a last event D
SELECT count(*) FROM ({versions}) x

-- name: I5
-- a row that differs from its newest audit image
SELECT count(*) FROM ({images}) x

-- name: I6
-- a break in an audit chain: gap, wrong predecessor, hash that does not recompute, head that is not the last event
SELECT (SELECT count(*) FROM ({links}) x) + (SELECT count(*) FROM ({heads}) x)

-- name: I7
-- two applied decisions for one version of a row
SELECT count(*) FROM (SELECT FROM dk.decisions WHERE outcome = 'APPLIED' GROUP BY entity, row_id, row_version HAVING count(*) > 1) x

-- name: I8
-- an applied decision without exactly one audit event at the next version with its run
SELECT count(*) FROM dk.decisions k WHERE outcome = 'APPLIED' AND 1 <> (SELECT count(*) FROM dk_aud.trail e
  WHERE (e.tbl, e.row_id, e.row_version, e.run_id) = ({table_of}, k.row_id, k.row_version + 1, k.run_id::text))

-- name: I9
-- an audit event of a run without an applied decision
SELECT count(*) FROM dk_aud.trail e WHERE e.run_id IS NOT NULL AND NOT EXISTS (SELECT FROM dk.decisions k
  WHERE k.outcome = 'APPLIED' AND ({table_of}, k.row_id, k.row_version + 1, k.run_id::text) = (e.tbl, e.row_id, e.row_version, e.run_id))

-- name: I10
-- an applied decision without its outbox event, or an event whose decision was not applied
SELECT (SELECT count(*) FROM dk.decisions k WHERE outcome = 'APPLIED' AND NOT EXISTS (SELECT FROM dk.outbox o WHERE o.decision_id = k.decision_id))
  + (SELECT count(*) FROM dk.outbox o WHERE o.decision_id IS NOT NULL AND NOT EXISTS (SELECT FROM dk.decisions k WHERE k.decision_id = o.decision_id AND k.outcome = 'APPLIED'))

-- name: I11
-- an offer expired before its deadline or accepted at or after it
SELECT count(*) FROM dk.driver_offers WHERE (state = 'EXPIRED' AND responded_at < hard_deadline) OR (state = 'ACCEPTED' AND responded_at >= hard_deadline)

-- name: I12
-- a pending offer of an old episode, or whose delivery is not open
SELECT count(*) FROM dk.driver_offers o JOIN dk.deliveries d ON d.id = o.delivery_id
WHERE o.state = 'PENDING' AND (o.episode <> d.episode OR d.state NOT IN ('UNASSIGNED', 'OFFERING'))

-- name: I13
-- a run whose counters differ from its decisions, or two finished runs of one slot
SELECT (SELECT count(*) FROM dk.sweep_runs r, LATERAL (SELECT count(*) FILTER (WHERE outcome = 'APPLIED') AS applied, count(*) FILTER (WHERE outcome = 'STALE') AS stale,
    count(*) FILTER (WHERE outcome = 'POISON') AS poison FROM dk.decisions k WHERE k.run_id = r.run_id) k WHERE (r.applied, r.stale, r.poison) IS DISTINCT FROM (k.applied, k.stale, k.poison))
  + (SELECT count(*) FROM (SELECT FROM dk.sweep_runs WHERE slot IS NOT NULL AND status = 'OK' GROUP BY sweep, slot HAVING count(*) > 1) x)

-- name: I14
-- a seal that does not recompute, or that lost events
SELECT count(*) FROM ({seals}) x

-- name: I15
-- an escalation level that an episode reached twice, or one lower than before
SELECT (SELECT count(*) FROM (SELECT level, lag(level) OVER (PARTITION BY row_id ORDER BY row_version) AS before
    FROM dk_aud.trail WHERE tbl = 'unassigned_orders' AND op <> 'D') x WHERE level < before)
  + (SELECT count(*) FROM (SELECT FROM dk.outbox WHERE event = 'unassigned_order_escalated' GROUP BY row_id, payload->>'level' HAVING count(*) > 1) x)

-- name: I16
-- an audit image, a decision or an event with a key that names a person or a place
SELECT (SELECT count(*) FROM dk_aud.delivery_audit_logs WHERE image::text ~* {personal})
  + (SELECT count(*) FROM dk.decisions WHERE why::text ~* {personal}) + (SELECT count(*) FROM dk.outbox WHERE payload::text ~* {personal})

-- name: I17
-- a run still RUNNING while nobody holds its sweep's lock
SELECT count(*) FROM dk.sweep_runs WHERE status = 'RUNNING' AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 1684733953
  AND objid::bigint = hashtext(sweep)::bigint & 4294967295 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND granted)

-- name: I18
-- an active delivery with a driver who is off duty or rests
SELECT count(*) FROM dk.deliveries d JOIN dk.drivers r ON r.id = d.driver_id WHERE d.active AND r.duty IN ('OFF_DUTY', 'ON_BREAK', 'FORCED_OFF')

-- name: I19
-- OFFERING without a pending offer of this episode, or a pending offer whose delivery is not OFFERING
SELECT (SELECT count(*) FROM dk.deliveries d WHERE d.state = 'OFFERING' AND NOT EXISTS (SELECT FROM dk.driver_offers o WHERE o.delivery_id = d.id AND o.episode = d.episode AND o.state = 'PENDING'))
  + (SELECT count(*) FROM dk.driver_offers o JOIN dk.deliveries d ON d.id = o.delivery_id WHERE o.state = 'PENDING' AND d.state <> 'OFFERING')

-- name: I20
-- an open search beside a delivery that is not open, or a delivery that is open without one
SELECT count(*) FROM dk.deliveries d FULL JOIN (SELECT * FROM dk.unassigned_orders WHERE state = 'OPEN') u ON u.delivery_id = d.id
WHERE (d.state IN ('UNASSIGNED', 'OFFERING')) IS DISTINCT FROM (u.id IS NOT NULL) OR (u.id IS NOT NULL AND u.episode <> d.episode)
