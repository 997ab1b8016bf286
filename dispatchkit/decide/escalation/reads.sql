-- name: episodes
-- Open searches and how far each has climbed.
SELECT id, delivery_id, episode, state, opened_at, closed_at, level, level_due_at, level_at, acked_at, snoozed_until,
       reminders, reminded_at, cause, version
FROM unassigned_orders
WHERE state = 'OPEN'
ORDER BY id

-- name: deliveries
-- Deliveries that seek a driver, with the places and times that slack is made of.
SELECT d.id, d.order_id, d.replaces, d.state, d.episode, d.attempt, d.priority, d.driver_id,
       d.driver_unknown, d.slot, d.created_at, d.dispatch_at, d.assigned_at, d.started_at,
       d.arrived_pickup_at, d.picked_up_at, d.arrived_dropoff_at, d.ended_at, d.ended_by, d.ended_while,
       d.liable, d.lock_until, d.version,
       o.ready_at, o.promised_at, m.lat AS pickup_lat, m.lon AS pickup_lon, o.dropoff_lat, o.dropoff_lon, false AS outside
FROM deliveries AS d
JOIN orders AS o ON o.id = d.order_id
JOIN merchants AS m ON m.id = o.merchant_id
WHERE d.state IN ('UNASSIGNED', 'OFFERING')
ORDER BY d.id

-- name: offers
-- Every offer so far for a delivery that seeks a driver: how its rounds ended, and who has a pending
-- one. Nobody reads the text of the terms here, and it is long.
SELECT id, delivery_id, driver_id, episode, attempt, ask, state, cause, mode, pay_cents, boost_cents, distance_m,
       '' AS payload, payload_sha256, sent_at, expires_at, hard_deadline, delivered_at, viewed_at, responded_at, late, version
FROM driver_offers
WHERE delivery_id IN (SELECT id FROM deliveries WHERE state IN ('UNASSIGNED', 'OFFERING'))
ORDER BY id

-- name: releases
-- Why a delivery that seeks a driver was taken from the one it had.
SELECT id, delivery_id, driver_id, episode, trigger
FROM reassignment_cases
WHERE released_at IS NOT NULL AND delivery_id IN (SELECT id FROM deliveries WHERE state IN ('UNASSIGNED', 'OFFERING'))
ORDER BY id

-- name: tickets
-- Open tickets, and the state of the search that each belongs to.
SELECT t.id, t.delivery_id, t.episode, t.level, t.cause, t.state, t.opened_at, t.due_at, t.closed_at, t.closed_by,
       t.version, e.state AS search, false AS outside
FROM support_tickets AS t
LEFT JOIN unassigned_orders AS e ON e.delivery_id = t.delivery_id AND e.episode = t.episode
WHERE t.state = 'OPEN'
ORDER BY t.id

-- name: stranded
-- Deliveries whose goods are with a suspended driver.
SELECT d.id, d.episode, r.duty_since AS since, false AS outside
FROM deliveries AS d
JOIN drivers AS r ON r.id = d.driver_id
WHERE d.state IN ('PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RETURNING') AND r.duty = 'SUSPENDED'
ORDER BY d.id

-- name: exhausted
-- Deliveries not picked up that no sweep may take from another driver, though this one is suspect too.
SELECT d.id, d.episode, max(c.closed_at) AS since, false AS outside
FROM deliveries AS d
JOIN reassignment_cases AS c ON c.delivery_id = d.id
WHERE d.state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP') AND c.state = 'EXHAUSTED'
GROUP BY d.id, d.episode
ORDER BY d.id

-- name: stuck
-- Deliveries under suspicion that nobody has taken over, though the grace of their driver is over.
SELECT d.id, d.episode, c.grace_until AS since, false AS outside
FROM deliveries AS d
JOIN reassignment_cases AS c ON c.delivery_id = d.id AND c.episode = d.episode
WHERE d.state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP') AND c.state IN ('SUSPECTED', 'GRACE') AND c.grace_until <= :now
ORDER BY d.id

-- name: notified
-- Tickets about a delivery with a driver, closed ones too: the person who closed one knows of it.
SELECT id
FROM support_tickets
WHERE cause IN ('DRIVER_SUSPENDED', 'ATTEMPTS_USED_UP', 'NOBODY_TO_TAKE_OVER')
  AND delivery_id IN (SELECT id FROM deliveries WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING'))
ORDER BY id

-- name: drivers
-- Drivers on duty: they may get the next offers.
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
-- Deliveries that occupy a driver's slot.
SELECT id, driver_id
FROM deliveries
WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')
ORDER BY id

-- name: pending
-- Offers that wait for an answer: their drivers get no other offer.
SELECT id, driver_id
FROM driver_offers
WHERE state = 'PENDING'
ORDER BY id
