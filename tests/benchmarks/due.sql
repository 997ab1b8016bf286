-- name: customers
-- One customer.
INSERT INTO dk.customers (id) VALUES (1)

-- name: merchants
-- One merchant.
INSERT INTO dk.merchants (id, label, lat, lon, prep_s) VALUES (1, 'one', 52.5, 13.4, 600)

-- name: drivers
-- A driver for each delivery, on duty.
INSERT INTO dk.drivers (id, vehicle, duty, duty_since, version)
SELECT i, 'bicycle', 'ON_DUTY', :born, 1 FROM generate_series(1, :count) AS i

-- name: duties
-- Since when.
INSERT INTO dk.driver_availability_history (id, driver_id, duty, since, version)
SELECT i, i, 'ON_DUTY', :born, 1 FROM generate_series(1, :count) AS i

-- name: orders
-- An order for each delivery.
INSERT INTO dk.orders (id, customer_id, merchant_id, placed_at, ready_at, promised_at, items, goods_cents, fee_cents,
  dropoff_lat, dropoff_lon, source)
SELECT i, 1, 1, :born, :born, :born, 1, 2000, 300, 52.5, 13.5, 'bench' FROM generate_series(1, :count) AS i

-- name: deliveries
-- Deliveries that are being offered.
INSERT INTO dk.deliveries (id, order_id, state, created_at, dispatch_at, version)
SELECT i, i, 'OFFERING', :born, :born, 1 FROM generate_series(1, :count) AS i

-- name: episodes
-- Their searches.
INSERT INTO dk.unassigned_orders (id, delivery_id, episode, state, opened_at, level, version)
SELECT i, i, 1, 'OPEN', :born, 0, 1 FROM generate_series(1, :count) AS i

-- name: offers
-- The offer of each, which nobody answered.
INSERT INTO dk.driver_offers (id, delivery_id, driver_id, episode, attempt, ask, mode, pay_cents, distance_m, payload,
  payload_sha256, sent_at, expires_at, hard_deadline, delivered_at, version)
SELECT i, i, i, 1, 1, 1, 'cascade', 1000, 900, CAST(json_build_object('distance_m', 900, 'pay_cents', 1000) AS text),
  repeat('0', 64), :born, :due, :due, :born, 1
FROM generate_series(1, :count) AS i
