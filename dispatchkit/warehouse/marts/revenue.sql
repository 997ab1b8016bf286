-- name: mart_revenue
-- A row is one revenue line with its order; signed_cents is what the line adds to its side. Sides: revenue, contra
-- (reduces revenue), pass_through (tips, tax and goods: never ours).
CREATE OR REPLACE TABLE mart_revenue AS
SELECT r.id AS line_id, r.delivery_id, d.order_id, d.zone, r.at, coalesce(d.placed_at, r.at) AS counted_at,
    r.side, r.kind, r.rule, r.corrects, r.direction * r.amount_cents AS signed_cents
FROM delivery_revenue AS r LEFT JOIN mart_deliveries AS d ON d.delivery_id = r.delivery_id
ORDER BY r.id;
