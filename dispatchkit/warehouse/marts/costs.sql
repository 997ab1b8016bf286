-- name: mart_costs
-- A row is one cost line with the order it belongs to, if any; signed_cents is what it adds to cost.
-- `counted_at` is when it counts: the placement of its order, or its own time where there is no order (idle top-ups).
CREATE OR REPLACE TABLE mart_costs AS
SELECT c.id AS line_id, c.delivery_id, d.order_id, c.driver_id, coalesce(d.zone, z.name, 'no zone') AS zone,
    c.at, coalesce(d.placed_at, c.at) AS counted_at, c.kind, c.rule, c.corrects,
    c.direction * c.amount_cents AS signed_cents,
    CASE WHEN c.kind IN ('payment_fee', 'support_cost', 'map_cost') THEN 'other' ELSE 'driver' END AS side
FROM delivery_costs AS c
LEFT JOIN mart_deliveries AS d ON d.delivery_id = c.delivery_id
LEFT JOIN delivery_zones AS z ON z.id = c.zone_id
ORDER BY c.id;
