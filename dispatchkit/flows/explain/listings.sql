-- name: deliveries
-- Deliveries, the newest first.
SELECT d.id, d.state, d.driver_id, d.episode, d.attempt, d.priority, o.placed_at, o.ready_at, o.promised_at, d.version
FROM deliveries AS d JOIN orders AS o ON o.id = d.order_id ORDER BY d.created_at DESC, d.id DESC

-- name: offers
-- Offers, the newest first.
SELECT id, delivery_id, driver_id, state, cause, pay_cents, sent_at, expires_at, responded_at, late, version
FROM driver_offers ORDER BY sent_at DESC, id DESC

-- name: drivers
-- Drivers with their active deliveries, whether an offer is pending, and whether the last two positions are equal.
SELECT d.id, d.vehicle, d.duty AS state, d.duty_since, d.break_until, d.shift_end, d.max_stack, d.timeouts, d.cooldown_until, d.version,
  (SELECT count(*) FROM deliveries AS c WHERE c.driver_id = d.id
     AND c.state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')) AS held,
  EXISTS (SELECT FROM driver_offers AS o WHERE o.driver_id = d.id AND o.state = 'PENDING') AS asked, p.pinged_at, p.same_place
FROM drivers AS d LEFT JOIN LATERAL (
  SELECT max(at) AS pinged_at, count(*) = 2 AND count(DISTINCT lat) = 1 AND count(DISTINCT lon) = 1 AS same_place
  FROM (SELECT at, lat, lon FROM driver_locations WHERE driver_id = d.id AND at <= :now ORDER BY at DESC, id DESC LIMIT 2) AS l) AS p ON true
ORDER BY d.id

-- name: tickets
-- Tickets for people, the newest first.
SELECT id, delivery_id, episode, level, cause, state, due_at, opened_at, closed_at, closed_by, version
FROM support_tickets ORDER BY opened_at DESC, id DESC

-- name: cases
-- Reassignment cases, the newest first.
SELECT id, delivery_id, driver_id, trigger, state, suspected_at, grace_until, released_at, new_driver_id, actor, version
FROM reassignment_cases ORDER BY suspected_at DESC, id DESC

-- name: routes
-- Routes of the drivers at work.
SELECT id, state, planned_at, distance_m, duration_s, engine, stops, version FROM route_optimization_data ORDER BY id

-- name: outbox
-- Events, the newest first, one row per sender that received it; UNWANTED: no sender subscribes to it.
SELECT o.id, o.event, o.root, o.root_id, s.sender, coalesce(s.state, CASE WHEN o.sent_at IS NULL THEN 'UNSENT' ELSE 'UNWANTED' END) AS state,
  s.attempts, s.tried_at, s.next_at, s.said AS last_response, o.at, o.sent_at, CAST(o.payload AS text) AS payload
FROM outbox AS o LEFT JOIN sendings AS s ON s.outbox_id = o.id ORDER BY o.id DESC, s.sender

-- name: runs
-- Runs of sweeps, the newest first.
-- took_s: seconds so far while it runs. inputs_sha256, config_sha256: the first digits, enough to compare two runs.
SELECT CAST(run_id AS text) AS id, sweep, status AS state, slot, as_of, now_given, started_at, finished_at,
  CAST(round(extract(epoch FROM coalesce(finished_at, clock_timestamp()) - started_at), 3) AS float8) AS took_s,
  decided, applied, stale, already AS already_applied, busy, poison, held AS held_by_flag, seed,
  left(inputs_sha256, 12) AS inputs_sha256, left(config_sha256, 12) AS config_sha256, code_version,
  CAST(params AS text) AS params
FROM sweep_runs ORDER BY started_at DESC

-- name: refusals
-- Refused acts with the rule's code, the newest first.
SELECT id, at, actor, event, root, root_id, offer_id, was AS state_before, code FROM refusals ORDER BY id DESC

-- name: one_delivery
-- One delivery with its order.
SELECT d.*, o.placed_at, o.ready_at, o.promised_at, o.merchant_id, o.items, o.goods_cents, o.fee_cents
FROM deliveries AS d JOIN orders AS o ON o.id = d.order_id WHERE d.id = :delivery

-- name: its_offers
-- Offers of one delivery.
SELECT id, driver_id, episode, attempt, state, cause, sent_at, expires_at, responded_at FROM driver_offers WHERE delivery_id = :delivery ORDER BY sent_at, id

-- name: its_cases
-- Reassignment cases of one delivery.
SELECT id, driver_id, episode, trigger, state, suspected_at, released_at, new_driver_id FROM reassignment_cases WHERE delivery_id = :delivery ORDER BY suspected_at, id

-- name: its_searches
-- Searches for a driver of one delivery, and the ladder level each reached.
SELECT episode, state, opened_at, closed_at, level, level_due_at, level_at, cause, reminders, acked_at, snoozed_until
FROM unassigned_orders WHERE delivery_id = :delivery ORDER BY episode

-- name: its_tickets
-- Tickets of one delivery.
SELECT id, episode, level, cause, state, due_at, opened_at, closed_at, closed_by FROM support_tickets WHERE delivery_id = :delivery ORDER BY opened_at, id
