-- name: deliveries
-- Deliveries that may need a driver now, with pickup and drop-off. `outside` is filled in afterwards: the database does not know the rollout.
SELECT d.id, d.order_id, d.replaces, d.state, d.episode, d.attempt, d.priority, d.driver_id,
       d.driver_unknown, d.slot, d.created_at, d.dispatch_at, d.assigned_at, d.started_at,
       d.arrived_pickup_at, d.picked_up_at, d.arrived_dropoff_at, d.ended_at, d.ended_by, d.ended_while,
       d.liable, d.lock_until, d.version,
       o.ready_at, o.merchant_id, m.lat AS pickup_lat, m.lon AS pickup_lon, o.dropoff_lat, o.dropoff_lon,
       t.id IS NOT NULL AS disputed, false AS outside
FROM deliveries AS d
JOIN orders AS o ON o.id = d.order_id
JOIN merchants AS m ON m.id = o.merchant_id
LEFT JOIN (SELECT id, delivery_id, episode FROM support_tickets WHERE state = 'OPEN' AND cause = 'CUSTODY_CONFLICT') AS t
  ON t.delivery_id = d.id AND t.episode = d.episode
WHERE d.state IN ('CREATED', 'UNASSIGNED', 'OFFERING') OR (d.state = 'SCHEDULED' AND d.dispatch_at <= :now)
ORDER BY d.id

-- name: offers
-- Every offer so far for an open delivery. The text of the terms is long and not needed: it stays empty.
SELECT id, delivery_id, driver_id, episode, attempt, ask, state, cause, mode, pay_cents, boost_cents, distance_m,
       '' AS payload, payload_sha256, sent_at, expires_at, hard_deadline, delivered_at, viewed_at, responded_at, late, version
FROM driver_offers
WHERE delivery_id IN (SELECT id FROM deliveries WHERE state IN ('UNASSIGNED', 'OFFERING'))
ORDER BY id

-- name: refusals
-- Offers for an open delivery that were declined or not answered in an earlier episode, with their terms.
SELECT f.id, f.delivery_id, f.driver_id, f.episode, f.attempt, f.ask, f.state, f.cause, f.mode, f.pay_cents, f.boost_cents,
       f.distance_m, f.payload, f.payload_sha256, f.sent_at, f.expires_at, f.hard_deadline, f.delivered_at, f.viewed_at,
       f.responded_at, f.late, f.version
FROM driver_offers AS f
JOIN deliveries AS d ON d.id = f.delivery_id
WHERE d.state IN ('UNASSIGNED', 'OFFERING') AND f.episode < d.episode AND f.state IN ('DECLINED', 'EXPIRED')
ORDER BY f.id

-- name: episodes
-- Since when each open delivery has been seeking a driver, and how far that has been escalated.
SELECT id, delivery_id, episode, state, opened_at, closed_at, level, level_due_at, level_at, acked_at, snoozed_until,
       reminders, reminded_at, cause, version
FROM unassigned_orders
WHERE state = 'OPEN'
ORDER BY id

-- name: drivers
-- Drivers on duty.
SELECT id, vehicle, duty, duty_since, break_until, shift_end, max_stack, zone_id, timeouts, cooldown_until, version
FROM drivers
WHERE duty = 'ON_DUTY'
ORDER BY id

-- name: pings
-- The last position of each driver, if it is recent.
SELECT DISTINCT ON (driver_id) driver_id, at, id, lat, lon
FROM driver_locations
WHERE at >= :recent AND at <= :now
ORDER BY driver_id, at DESC, id DESC

-- name: held
-- Deliveries that occupy a driver's slot, which and since when.
SELECT id, driver_id, slot, assigned_at
FROM deliveries
WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')
ORDER BY id

-- name: released
-- Drivers from whom an open delivery was taken: they are not asked about it again.
SELECT id, delivery_id, driver_id
FROM reassignment_cases
WHERE released_at IS NOT NULL AND delivery_id IN (SELECT id FROM deliveries WHERE state IN ('UNASSIGNED', 'OFFERING'))
ORDER BY id
