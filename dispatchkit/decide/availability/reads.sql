-- name: drivers
-- Drivers who are not off duty.
SELECT id, duty, duty_since, break_until, shift_end, timeouts, version
FROM drivers
WHERE duty <> 'OFF_DUTY'
ORDER BY id

-- name: duties
-- Their duties of the last two days, the present one included.
SELECT h.id, h.driver_id, h.duty, h.since, h.until, h.reason, h.version
FROM driver_availability_history AS h
JOIN drivers AS v ON v.id = h.driver_id
WHERE v.duty <> 'OFF_DUTY' AND (h.until IS NULL OR h.until >= :now - INTERVAL '48 hours')
ORDER BY h.id

-- name: held
-- Deliveries that occupy a driver's slot.
SELECT id, driver_id
FROM deliveries
WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')
ORDER BY id

-- name: pending
-- Offers that wait for an answer.
SELECT id, driver_id
FROM driver_offers
WHERE state = 'PENDING'
ORDER BY id

-- name: ended
-- Deliveries that drivers finished in their present duty.
SELECT d.id, d.driver_id, d.ended_at AS at
FROM deliveries AS d
JOIN drivers AS v ON v.id = d.driver_id
WHERE v.duty IN ('ON_DUTY', 'BREAK_PENDING', 'ENDING_SHIFT') AND d.ended_at >= v.duty_since AND d.ended_at <= :now
ORDER BY d.id

-- name: lost
-- Deliveries that were taken from them a short while ago.
SELECT c.id, c.driver_id, c.released_at AS at
FROM reassignment_cases AS c
WHERE c.released_at >= :recent AND c.released_at <= :now
ORDER BY c.id

-- name: cancelled
-- Deliveries that were cancelled a short while ago under a driver who had accepted them.
SELECT o.id, o.driver_id, d.ended_at AS at
FROM deliveries AS d
JOIN driver_offers AS o ON o.delivery_id = d.id AND o.episode = d.episode
WHERE d.state = 'CANCELLED' AND d.ended_at >= :recent AND d.ended_at <= :now AND o.state = 'ACCEPTED'
ORDER BY o.id
