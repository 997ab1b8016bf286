-- name: mart_tickets
-- One row per support ticket that live work opened for a person, with the order it belongs to.
CREATE OR REPLACE TABLE mart_tickets AS
SELECT ticket.id AS ticket_id, ticket.delivery_id, delivery.order_id, delivery.zone, delivery.placed_at,
    ticket.episode, ticket.level, ticket.cause, ticket.state,
    ticket.opened_at, ticket.due_at, ticket.closed_at, ticket.closed_by
FROM support_tickets AS ticket JOIN mart_deliveries AS delivery ON delivery.delivery_id = ticket.delivery_id
ORDER BY ticket.id;
