-- name: mart_costs
-- One row per cost line, with the order it belongs to, if any.
--   signed_cents: what the line adds to cost, in cents; side: 'driver' (pay and its like) or 'other';
--   counted_at: when it counts, the placement of its order, or its own time without one (idle top-ups).
CREATE OR REPLACE TABLE mart_costs AS
SELECT cost.id AS line_id, cost.delivery_id, delivery.order_id, cost.driver_id,
    coalesce(delivery.zone, zone.name, 'no zone') AS zone,
    cost.at, coalesce(delivery.placed_at, cost.at) AS counted_at, cost.kind, cost.rule, cost.corrects,
    cost.direction * cost.amount_cents AS signed_cents,
    CASE WHEN cost.kind IN ('payment_fee', 'support_cost', 'map_cost') THEN 'other' ELSE 'driver' END AS side
FROM delivery_costs AS cost
LEFT JOIN mart_deliveries AS delivery ON delivery.delivery_id = cost.delivery_id
LEFT JOIN delivery_zones AS zone ON zone.id = cost.zone_id
ORDER BY cost.id;
