-- name: mart_offers
-- A row is one offer: one delivery proposed to one driver, with its answer and the zone of the order.
-- `seen` tells a lost connection from silence. `countable` marks an answer or miss that may enter a driver's score:
-- never an assignment unasked, a lost race, a withdrawal, an undelivered push, an unseen expiry, or a reason that is not
-- the driver's fault. `refused` is how many offers of earlier rounds nobody wanted; `pickup_s` and `held` are what the
-- driver was told, empty where the source does not say.
CREATE OR REPLACE TABLE mart_offers AS
SELECT f.id AS offer_id, f.delivery_id, f.driver_id, f.episode, f.attempt, f.ask, f.mode, f.state, f.cause, f.late,
    d.order_id, d.zone, d.dispatch_at, d.placed_at,
    f.sent_at, f.expires_at, f.hard_deadline, f.responded_at, f.pay_cents, f.boost_cents, f.distance_m,
    f.delivered_at IS NOT NULL OR f.viewed_at IS NOT NULL AS seen,
    (f.state = 'ACCEPTED' AND f.mode <> 'forced')
        OR (f.state = 'DECLINED' AND coalesce(f.cause NOT IN (
            'UNSAFE_AREA', 'VEHICLE_UNSUITABLE', 'ENDING_SHIFT', 'ALREADY_STACKED', 'CASH_LIMIT'), true))
        OR (f.state = 'EXPIRED' AND (f.delivered_at IS NOT NULL OR f.viewed_at IS NOT NULL)) AS countable,
    CAST(coalesce(sum(CAST(f.state IN ('DECLINED', 'EXPIRED') AS INT)) OVER (
        PARTITION BY f.delivery_id ORDER BY f.episode, f.attempt GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0) AS BIGINT) AS refused,
    CAST(nullif(regexp_extract(f.payload, '"pickup_s":([0-9]{1,6})\b', 1), '') AS BIGINT) AS pickup_s,
    CAST(nullif(regexp_extract(f.payload, '"held":([0-9])\b', 1), '') AS BIGINT) AS held,
    (epoch_us(f.responded_at) - epoch_us(f.sent_at)) / 1e6 AS response_s
FROM driver_offers AS f JOIN mart_deliveries AS d ON d.delivery_id = f.delivery_id
ORDER BY f.id;
