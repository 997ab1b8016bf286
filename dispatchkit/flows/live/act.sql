-- name: delivery_of_offer
-- The delivery an offer belongs to.
SELECT id, delivery_id, driver_id FROM driver_offers WHERE id = :offer

-- name: delivery_of_ticket
-- The delivery a ticket belongs to.
SELECT id, delivery_id FROM support_tickets WHERE id = :ticket

-- name: delivery
-- The delivery itself.
SELECT * FROM deliveries WHERE id = :delivery

-- name: order
-- Its order.
SELECT * FROM orders WHERE id IN (SELECT order_id FROM deliveries WHERE id = :delivery)

-- name: asked_for
-- The order for which one is to be born.
SELECT * FROM orders WHERE id = :order

-- name: tries
-- Every delivery of that order so far.
SELECT * FROM deliveries WHERE order_id = :order

-- name: offers
-- Every offer made for it.
SELECT * FROM driver_offers WHERE delivery_id = :delivery

-- name: episode
-- Its open search for a driver.
SELECT * FROM unassigned_orders WHERE delivery_id = :delivery AND state = 'OPEN'

-- name: case
-- Its open reassignment case.
SELECT * FROM reassignment_cases WHERE delivery_id = :delivery AND state IN ('SUSPECTED', 'GRACE', 'CONFIRMED', 'RELEASED', 'REOFFERING', 'REASSIGNED')

-- name: cases
-- Every reassignment case it ever had.
SELECT * FROM reassignment_cases WHERE delivery_id = :delivery

-- name: raised
-- Every ticket it ever had.
SELECT * FROM support_tickets WHERE delivery_id = :delivery

-- name: drivers
-- The acting driver and the one who holds it.
SELECT * FROM drivers WHERE id = :driver OR id IN (SELECT driver_id FROM deliveries WHERE id = :delivery AND driver_id IS NOT NULL)

-- name: held
-- What these drivers hold.
SELECT * FROM deliveries WHERE state IN ('ASSIGNED', 'EN_ROUTE_PICKUP', 'ARRIVED_PICKUP', 'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING')
AND (driver_id = :driver OR driver_id IN (SELECT driver_id FROM deliveries WHERE id = :delivery AND driver_id IS NOT NULL))

-- name: pending
-- What the acting driver is being asked.
SELECT * FROM driver_offers WHERE driver_id = :driver AND state = 'PENDING'

-- name: duties
-- The acting driver's duties of late, the present one included.
SELECT * FROM driver_availability_history WHERE driver_id = :driver AND (until IS NULL OR until >= :since)
