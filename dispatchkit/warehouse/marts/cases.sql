-- name: mart_cases
-- One row per reassignment case (one suspicion against an assignment), with what became of the delivery.
--   due_at: by when a reassigned delivery had to arrive, the later of promise + 15 minutes and placement + 60 minutes.
CREATE OR REPLACE TABLE mart_cases AS
SELECT case_.id AS case_id, case_.delivery_id, case_.driver_id, case_.new_driver_id, case_.episode,
    case_.trigger, case_.state, case_.suspected_at, case_.confirmed_at, case_.released_at, case_.closed_at,
    delivery.zone, delivery.state AS delivery_state, delivery.outcome, delivery.ended_by, delivery.ended_at,
    delivery.delivered_at,
    greatest(
        delivery.placed_at + INTERVAL 60 MINUTE,
        coalesce(delivery.promised_at + INTERVAL 15 MINUTE, delivery.placed_at + INTERVAL 60 MINUTE)
    ) AS due_at
FROM reassignment_cases AS case_ JOIN mart_deliveries AS delivery ON delivery.delivery_id = case_.delivery_id
ORDER BY case_.id;
