-- name: mart_cases
-- A row is one suspicion against an assignment, with what became of the delivery and the instant by which a
-- reassigned delivery had to arrive: the later of promise + 15 minutes and placement + 60 minutes.
CREATE OR REPLACE TABLE mart_cases AS
SELECT c.id AS case_id, c.delivery_id, c.driver_id, c.new_driver_id, c.episode, c.trigger, c.state,
    c.suspected_at, c.confirmed_at, c.released_at, c.closed_at,
    d.zone, d.state AS delivery_state, d.outcome, d.ended_by, d.ended_at, d.delivered_at,
    greatest(
        d.placed_at + INTERVAL 60 MINUTE,
        coalesce(d.promised_at + INTERVAL 15 MINUTE, d.placed_at + INTERVAL 60 MINUTE)
    ) AS due_at
FROM reassignment_cases AS c JOIN mart_deliveries AS d ON d.delivery_id = c.delivery_id
ORDER BY c.id;
