-- name: mart_offers
-- One row per offer: one delivery proposed to one driver, with the answer and the zone of the order.
--   seen: the offer was delivered or viewed, which tells silence from a lost connection;
--   countable: an answer or a miss that may enter a driver's score. Not countable are forced assignments, lost races,
--     withdrawn, undelivered and unseen offers, and reasons that are not the driver's fault;
--   refused_before: declined and expired offers of earlier rounds of the delivery;
--   pickup_s, held: seconds to the pickup and deliveries in hand as the driver was told, empty if not recorded;
--   response_s: seconds from sending to the answer; pay_cents, boost_cents in cents, distance_m in metres.
CREATE OR REPLACE TABLE mart_offers AS
SELECT offer.id AS offer_id, offer.delivery_id, offer.driver_id, offer.episode, offer.attempt, offer.ask,
    offer.mode, offer.state, offer.cause, offer.late,
    delivery.order_id, delivery.zone, delivery.dispatch_at, delivery.placed_at,
    offer.sent_at, offer.expires_at, offer.hard_deadline, offer.responded_at,
    offer.pay_cents, offer.boost_cents, offer.distance_m,
    offer.delivered_at IS NOT NULL OR offer.viewed_at IS NOT NULL AS seen,
    (offer.state = 'ACCEPTED' AND offer.mode <> 'forced')
        OR (offer.state = 'DECLINED' AND coalesce(offer.cause NOT IN (
            'UNSAFE_AREA', 'VEHICLE_UNSUITABLE', 'ENDING_SHIFT', 'ALREADY_STACKED', 'CASH_LIMIT'), true))
        OR (offer.state = 'EXPIRED' AND (offer.delivered_at IS NOT NULL OR offer.viewed_at IS NOT NULL)) AS countable,
    CAST(coalesce(sum(CAST(offer.state IN ('DECLINED', 'EXPIRED') AS INT)) OVER (
        PARTITION BY offer.delivery_id ORDER BY offer.episode, offer.attempt
        GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0) AS BIGINT) AS refused_before,
    CAST(nullif(regexp_extract(offer.payload, '"pickup_s":([0-9]{1,6})\b', 1), '') AS BIGINT) AS pickup_s,
    CAST(nullif(regexp_extract(offer.payload, '"held":([0-9])\b', 1), '') AS BIGINT) AS held,
    (epoch_us(offer.responded_at) - epoch_us(offer.sent_at)) / 1e6 AS response_s
FROM driver_offers AS offer JOIN mart_deliveries AS delivery ON delivery.delivery_id = offer.delivery_id
ORDER BY offer.id;
