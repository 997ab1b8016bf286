-- name: mart_revenue
-- One row per revenue line, with its order.
--   side: 'revenue', 'contra' (reduces revenue) or 'pass_through' (tips, tax and goods, which are never ours);
--   signed_cents: what the line adds to its side, in cents; counted_at: the placement of its order.
CREATE OR REPLACE TABLE mart_revenue AS
SELECT revenue.id AS line_id, revenue.delivery_id, delivery.order_id, delivery.zone, revenue.at,
    coalesce(delivery.placed_at, revenue.at) AS counted_at,
    revenue.side, revenue.kind, revenue.rule, revenue.corrects,
    revenue.direction * revenue.amount_cents AS signed_cents
FROM delivery_revenue AS revenue
LEFT JOIN mart_deliveries AS delivery ON delivery.delivery_id = revenue.delivery_id
ORDER BY revenue.id;
