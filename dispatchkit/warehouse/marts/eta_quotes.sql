-- name: mart_eta_quotes
-- A row is one predicted delivery time with what came true. error_s is positive when the order came later than quoted
-- and empty unless it was delivered. `nth` counts the quotes of one delivery and quote event in order of time.
CREATE OR REPLACE TABLE mart_eta_quotes AS
SELECT q.id AS quote_id, q.delivery_id, q.event, q.model, q.quoted_at, q.eta_at, q.low_at, q.high_at,
    d.zone, d.outcome, d.ended_at, d.delivered_at,
    (epoch_us(d.delivered_at) - epoch_us(q.eta_at)) / 1e6 AS error_s,
    (epoch_us(q.high_at) - epoch_us(q.low_at)) / 1e6 AS width_s,
    row_number() OVER (PARTITION BY q.delivery_id, q.event ORDER BY q.quoted_at, q.id) AS nth
FROM eta_quotes AS q JOIN mart_deliveries AS d ON d.delivery_id = q.delivery_id
ORDER BY q.id;
