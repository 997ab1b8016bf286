-- name: held
-- Active deliveries with their drivers, places and times.
SELECT d.id, d.driver_id, d.state, d.version, d.arrived_pickup_at, d.picked_up_at, o.ready_at, o.promised_at,
       m.lat AS pickup_lat, m.lon AS pickup_lon, o.dropoff_lat, o.dropoff_lon
FROM deliveries AS d
JOIN orders AS o ON o.id = d.order_id
JOIN merchants AS m ON m.id = o.merchant_id
WHERE d.driver_id IS NOT NULL
  AND d.state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF',
                  'RESCUE', 'RETURNING')
ORDER BY d.driver_id, d.id;

-- name: carriers
-- Drivers who hold an active delivery.
SELECT id, vehicle, max_stack
FROM drivers
WHERE id IN (
    SELECT driver_id FROM deliveries
    WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF',
                    'RESCUE', 'RETURNING'))
ORDER BY id;

-- name: pings
-- The last recent ping of each driver who holds an active delivery.
SELECT DISTINCT ON (driver_id) driver_id, id, at, lat, lon
FROM driver_locations
WHERE at >= :recent AND at <= :now
  AND driver_id IN (
    SELECT driver_id FROM deliveries
    WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF',
                    'RESCUE', 'RETURNING'))
ORDER BY driver_id, at DESC, id DESC;

-- name: plans
-- Plans that stand, and the empty rows of drivers who hold an active delivery.
SELECT id, driver_id, state, planned_at, stops, distance_m, duration_s, engine, inputs_sha256, version
FROM route_optimization_data
WHERE state = 'PLANNED'
   OR driver_id IN (
    SELECT driver_id FROM deliveries
    WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF',
                    'RESCUE', 'RETURNING'))
ORDER BY id;
