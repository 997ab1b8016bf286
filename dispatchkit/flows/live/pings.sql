-- name: driver
-- Whether there is such a driver.
SELECT id FROM drivers WHERE id = :driver

-- name: last
-- Where the driver was at that instant, or last before it.
SELECT id, at, lat, lon FROM driver_locations WHERE driver_id = :driver AND at <= :at ORDER BY at DESC, id DESC LIMIT 1
