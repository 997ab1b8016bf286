-- name: mart_eta_quotes
-- One row per predicted delivery time, with the time that came true.
--   error_s: seconds by which the order came later than predicted, empty unless it was delivered;
--   width_s: seconds between the low and the high prediction;
--   quote_number: 1 for the first quote of a delivery and quote event, then in order of time.
CREATE OR REPLACE TABLE mart_eta_quotes AS
SELECT quote.id AS quote_id, quote.delivery_id, quote.event, quote.model,
    quote.quoted_at, quote.eta_at, quote.low_at, quote.high_at,
    delivery.zone, delivery.outcome, delivery.ended_at, delivery.delivered_at,
    (epoch_us(delivery.delivered_at) - epoch_us(quote.eta_at)) / 1e6 AS error_s,
    (epoch_us(quote.high_at) - epoch_us(quote.low_at)) / 1e6 AS width_s,
    row_number() OVER (
        PARTITION BY quote.delivery_id, quote.event ORDER BY quote.quoted_at, quote.id
    ) AS quote_number
FROM eta_quotes AS quote JOIN mart_deliveries AS delivery ON delivery.delivery_id = quote.delivery_id
ORDER BY quote.id;
