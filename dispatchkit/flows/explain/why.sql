-- name: delivery
-- The delivery's present row.
SELECT d.id, d.state, d.driver_id, d.episode, d.attempt, d.priority, d.dispatch_at, d.assigned_at, d.lock_until, d.ended_at, d.ended_by, d.ended_while, d.liable,
  o.ready_at, o.promised_at
FROM dk.deliveries AS d JOIN dk.orders AS o ON o.id = d.order_id WHERE d.id = :delivery

-- name: steps
-- Every version of the delivery's row and who wrote it; archived versions are left out.
SELECT row_version, image->>'state' AS state, CAST(image->>'driver_id' AS bigint) AS driver_id, actor, login, run_id, reason, at
FROM dk_aud.delivery_audit_logs WHERE chain = :delivery AND tbl = 'deliveries' ORDER BY row_version

-- name: decisions
-- Decisions of sweeps on the delivery and its offers, each with its run.
SELECT encode(k.decision_id, 'hex') AS decision_id, k.entity, k.row_id, k.row_version, k.event, k.reason, CAST(k.why AS text) AS why, r.sweep,
  CAST(r.run_id AS text) AS run_id, r.as_of, r.seed, r.code_version, r.config_sha256, r.inputs_sha256, CAST(r.params AS text) AS params
FROM (SELECT * FROM dk.decisions WHERE outcome = 'APPLIED' AND entity = 'delivery' AND row_id = :delivery
  UNION ALL SELECT k.* FROM dk.driver_offers AS f JOIN dk.decisions AS k ON k.outcome = 'APPLIED' AND k.entity = 'offer' AND k.row_id = f.id
    WHERE f.delivery_id = :delivery) AS k
JOIN dk.sweep_runs AS r ON r.run_id = k.run_id ORDER BY k.at, k.entity, k.row_id, k.row_version

-- name: offers
-- Every offer of the delivery with its result.
SELECT id, driver_id, episode, attempt, mode, state, cause, pay_cents, boost_cents, sent_at, expires_at, delivered_at, responded_at, late
FROM dk.driver_offers WHERE delivery_id = :delivery ORDER BY sent_at, id

-- name: episode
-- The open search for a driver.
SELECT episode, opened_at, level, level_at, cause, acked_at, snoozed_until FROM dk.unassigned_orders WHERE delivery_id = :delivery AND state = 'OPEN'

-- name: releases
-- Every release from a driver, and why.
SELECT driver_id, episode, trigger, actor, released_at, state, new_driver_id FROM dk.reassignment_cases
WHERE delivery_id = :delivery AND released_at IS NOT NULL ORDER BY released_at, id

-- name: suspicion
-- The open case against the present driver: it ends with a release, or when the driver shows progress.
SELECT state, trigger, suspected_at, grace_until FROM dk.reassignment_cases
WHERE delivery_id = :delivery AND state IN ('SUSPECTED', 'GRACE', 'CONFIRMED')

-- name: refusals
-- Refused acts on the delivery.
SELECT at, actor, event, offer_id, was AS state_before, code FROM dk.refusals WHERE root = 'delivery' AND root_id = :delivery ORDER BY id

-- name: driver
-- Whether there is such a driver.
SELECT id FROM drivers WHERE id = :driver
