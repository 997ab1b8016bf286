-- name: orders
-- Conditions that cut an extract to the orders of a period, with all that hangs on them; other tables leave whole.
placed_at >= :since AND placed_at < :until

-- name: deliveries
-- The deliveries of those orders.
order_id IN (SELECT id FROM dk.orders WHERE placed_at >= :since AND placed_at < :until)

-- name: driver_locations
-- Where drivers were in the period.
at >= :since AND at < :until

-- name: driver_offers
-- The offers of those deliveries.
delivery_id IN (SELECT d.id FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id
  WHERE o.placed_at >= :since AND o.placed_at < :until)

-- name: driver_availability_history
-- Duties that touch the period.
since < :until AND (until IS NULL OR until > :since)

-- name: unassigned_orders
-- The searches for those deliveries.
delivery_id IN (SELECT d.id FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id
  WHERE o.placed_at >= :since AND o.placed_at < :until)

-- name: reassignment_cases
-- The cases of those deliveries.
delivery_id IN (SELECT d.id FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id
  WHERE o.placed_at >= :since AND o.placed_at < :until)

-- name: support_tickets
-- The tickets of those deliveries.
delivery_id IN (SELECT d.id FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id
  WHERE o.placed_at >= :since AND o.placed_at < :until)

-- name: delivery_costs
-- What those deliveries cost, and what was paid in the period for no delivery in particular.
(delivery_id IS NULL AND at >= :since AND at < :until)
  OR delivery_id IN (SELECT d.id FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id
    WHERE o.placed_at >= :since AND o.placed_at < :until)

-- name: delivery_revenue
-- What those deliveries earned.
delivery_id IN (SELECT d.id FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id
  WHERE o.placed_at >= :since AND o.placed_at < :until)

-- name: zone_health_metrics
-- Zone health in the period.
bucket_at >= :since AND bucket_at < :until

-- name: eta_quotes
-- The times that were quoted for those deliveries.
delivery_id IN (SELECT d.id FROM dk.deliveries d JOIN dk.orders o ON o.id = d.order_id
  WHERE o.placed_at >= :since AND o.placed_at < :until)
