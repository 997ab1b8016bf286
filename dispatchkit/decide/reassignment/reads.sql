-- name: assigned
-- Deliveries with a driver, not yet picked up.
SELECT d.id, d.order_id, d.replaces, d.state, d.episode, d.attempt, d.priority, d.driver_id,
       d.driver_unknown, d.slot, d.created_at, d.dispatch_at, d.assigned_at, d.started_at,
       d.arrived_pickup_at, d.picked_up_at, d.arrived_dropoff_at, d.ended_at, d.ended_by, d.ended_while,
       d.liable, d.lock_until, d.version,
       o.ready_at, o.promised_at, m.lat AS pickup_lat, m.lon AS pickup_lon, o.dropoff_lat, o.dropoff_lon, false AS outside
FROM deliveries AS d
JOIN orders AS o ON o.id = d.order_id
JOIN merchants AS m ON m.id = o.merchant_id
WHERE d.state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP')
ORDER BY d.id

-- name: sought
-- Deliveries that seek a driver, for the preview of an assignment.
SELECT d.id, d.order_id, d.replaces, d.state, d.episode, d.attempt, d.priority, d.driver_id,
       d.driver_unknown, d.slot, d.created_at, d.dispatch_at, d.assigned_at, d.started_at,
       d.arrived_pickup_at, d.picked_up_at, d.arrived_dropoff_at, d.ended_at, d.ended_by, d.ended_while,
       d.liable, d.lock_until, d.version,
       o.ready_at, o.promised_at, m.lat AS pickup_lat, m.lon AS pickup_lon, o.dropoff_lat, o.dropoff_lon
FROM deliveries AS d
JOIN orders AS o ON o.id = d.order_id
JOIN merchants AS m ON m.id = o.merchant_id
WHERE d.state IN ('UNASSIGNED', 'OFFERING')
ORDER BY d.id

-- name: followed
-- Deliveries with an open case, in whatever state they are now. Restored: a driver who had lost it turned out to have the goods.
SELECT d.id, d.order_id, d.replaces, d.state, d.episode, d.attempt, d.priority, d.driver_id,
       d.driver_unknown, d.slot, d.created_at, d.dispatch_at, d.assigned_at, d.started_at,
       d.arrived_pickup_at, d.picked_up_at, d.arrived_dropoff_at, d.ended_at, d.ended_by, d.ended_while,
       d.liable, d.lock_until, d.version,
       o.ready_at, o.promised_at, m.lat AS pickup_lat, m.lon AS pickup_lon, o.dropoff_lat, o.dropoff_lon,
       e.id IS NOT NULL AS restored, false AS outside
FROM deliveries AS d
JOIN orders AS o ON o.id = d.order_id
JOIN merchants AS m ON m.id = o.merchant_id
LEFT JOIN (SELECT id, delivery_id FROM unassigned_orders WHERE state = 'CUSTODY') AS e ON e.delivery_id = d.id
WHERE d.id IN (SELECT delivery_id FROM reassignment_cases WHERE state IN ('SUSPECTED', 'GRACE', 'CONFIRMED', 'RELEASED', 'REOFFERING', 'REASSIGNED'))
ORDER BY d.id

-- name: cases
-- Open cases.
SELECT id, delivery_id, driver_id, episode, trigger, state, suspected_at, grace_until, confirmed_at, released_at,
       closed_at, pickup_distance_m, new_driver_id, actor, version
FROM reassignment_cases
WHERE state IN ('SUSPECTED', 'GRACE', 'CONFIRMED', 'RELEASED', 'REOFFERING', 'REASSIGNED')
ORDER BY id

-- name: history
-- Every case so far of a delivery not yet picked up: its number and its releases.
SELECT id, delivery_id, driver_id, released_at
FROM reassignment_cases
WHERE delivery_id IN (SELECT id FROM deliveries WHERE state IN ('UNASSIGNED', 'ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP'))
ORDER BY id

-- name: refusals
-- Who declined a delivery not yet picked up, in any episode, or let the offer expire.
SELECT f.id, f.delivery_id, f.driver_id
FROM driver_offers AS f
JOIN (
  SELECT id FROM deliveries WHERE state = 'UNASSIGNED'
  UNION ALL SELECT id FROM deliveries WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP')
) AS d ON d.id = f.delivery_id
WHERE f.state IN ('DECLINED', 'EXPIRED')
ORDER BY f.id

-- name: drivers
-- Drivers on duty: those who could take over.
SELECT id, vehicle, duty, duty_since, break_until, shift_end, max_stack, zone_id, timeouts, cooldown_until, version
FROM drivers
WHERE duty = 'ON_DUTY'
ORDER BY id

-- name: carriers
-- Drivers with a delivery not yet picked up, on duty or not.
SELECT id, vehicle, duty, duty_since, break_until, shift_end, max_stack, zone_id, timeouts, cooldown_until, version
FROM drivers
WHERE id IN (SELECT driver_id FROM deliveries WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP'))
ORDER BY id

-- name: pings
-- The last position of each driver, if it is recent.
SELECT DISTINCT ON (driver_id) driver_id, at, id, lat, lon
FROM driver_locations
WHERE at >= :recent AND at <= :now
ORDER BY driver_id, at DESC, id DESC

-- name: trail
-- Recent positions of drivers with a delivery not yet picked up.
SELECT driver_id, at, id, lat, lon
FROM driver_locations
WHERE at >= :recent AND at <= :now
  AND driver_id IN (SELECT driver_id FROM deliveries WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP'))
ORDER BY driver_id, at, id

-- name: held
-- Deliveries that occupy a driver's slot.
SELECT id, driver_id
FROM deliveries
WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')
ORDER BY id

-- name: finished
-- Deliveries that ended lately: until then their driver had another delivery.
SELECT id, driver_id, ended_at
FROM deliveries
WHERE ended_at >= :recent AND ended_at <= :now AND driver_id IS NOT NULL
ORDER BY id

-- name: pending
-- Offers that wait for an answer: their drivers get no other.
SELECT id, driver_id
FROM driver_offers
WHERE state = 'PENDING'
ORDER BY id

-- name: agreed
-- The accepted offers behind the assignments: what pickup the driver agreed to.
SELECT id, delivery_id, driver_id, episode, payload
FROM driver_offers
WHERE state = 'ACCEPTED'
  AND delivery_id IN (SELECT id FROM deliveries WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP'))
ORDER BY id
