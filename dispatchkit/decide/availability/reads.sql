-- name: drivers
-- Drivers who are not off duty.
SELECT id, vehicle, duty, duty_since, break_until, shift_end, max_stack, zone_id, timeouts,
       cooldown_until, version
FROM drivers
WHERE duty <> 'OFF_DUTY'
ORDER BY id

-- name: duties
-- Their duties as far back as hours are counted, the present one included.
SELECT h.id, h.driver_id, h.duty, h.since, h.until, h.reason, h.shift_end, h.version
FROM driver_availability_history AS h
JOIN drivers AS driver ON driver.id = h.driver_id
WHERE driver.duty <> 'OFF_DUTY' AND (h.until IS NULL OR h.until >= :since)
ORDER BY h.id

-- name: held
-- Deliveries that occupy a driver's slot.
SELECT id, driver_id
FROM deliveries
WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP',
                'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')
ORDER BY id

-- name: pending
-- Offers that wait for an answer.
SELECT id, driver_id
FROM driver_offers
WHERE state = 'PENDING'
ORDER BY id

-- name: ended
-- Deliveries that drivers finished in their present duty.
-- Bounded by :since as well, so that the index is used and not the whole table.
SELECT d.id, d.driver_id, d.ended_at AS at
FROM deliveries AS d
JOIN drivers AS driver ON driver.id = d.driver_id
WHERE driver.duty IN ('ON_DUTY', 'BREAK_PENDING', 'ENDING_SHIFT')
  AND d.ended_at >= driver.duty_since AND d.ended_at >= :since AND d.ended_at <= :now
ORDER BY d.id

-- name: lost
-- Deliveries that were taken from drivers in their present duty.
SELECT c.id, c.driver_id, c.released_at AS at
FROM reassignment_cases AS c
JOIN drivers AS driver ON driver.id = c.driver_id
WHERE driver.duty IN ('ON_DUTY', 'BREAK_PENDING', 'ENDING_SHIFT')
  AND c.released_at >= driver.duty_since AND c.released_at <= :now
ORDER BY c.id

-- name: cancelled
-- Deliveries that were cancelled in their present duty, while they had them. The cancellation began a
-- new episode, so the accepted offer belongs to the one before.
SELECT o.id, o.driver_id, d.ended_at AS at
FROM deliveries AS d
JOIN driver_offers AS o ON o.delivery_id = d.id
JOIN drivers AS driver ON driver.id = o.driver_id
WHERE driver.duty IN ('ON_DUTY', 'BREAK_PENDING', 'ENDING_SHIFT')
  AND d.ended_at >= driver.duty_since AND d.ended_at >= :since AND d.ended_at <= :now
  AND d.state = 'CANCELLED' AND d.ended_while IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP')
  AND o.state = 'ACCEPTED' AND o.episode = d.episode - 1
ORDER BY o.id
