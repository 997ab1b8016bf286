-- name: mart_tickets
-- A row is one ticket that live work opened for a person, with the order it belongs to.
CREATE OR REPLACE TABLE mart_tickets AS
SELECT t.id AS ticket_id, t.delivery_id, d.order_id, d.zone, d.placed_at, t.episode, t.level, t.cause, t.state,
    t.opened_at, t.due_at, t.closed_at, t.closed_by
FROM support_tickets AS t JOIN mart_deliveries AS d ON d.delivery_id = t.delivery_id
ORDER BY t.id;
