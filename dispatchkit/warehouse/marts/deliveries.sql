-- name: mart_deliveries
-- One row per delivery, with the times of its order, where and how it ended, and how long each stage took.
-- An order without a delivery has one row too (delivery_id empty, outcome 'no_delivery'), so that none is lost.
--   *_s: durations in seconds, empty where a stage is implied (reached, but without a time);
--   superseded: another delivery replaced this one; what became of an order is told by its last delivery;
--   zone: the order's zone, else the merchant's, else the 0.01 degree cell of the merchant, else 'no zone';
--   round1_*: offers of the first round of the first episode, by what became of them;
--   dispatchable: a driver could be sought, since dispatch time came before the end;
--   never_served: it ended, or was cancelled while it sought a driver, without ever having one.
CREATE OR REPLACE TABLE mart_deliveries AS
WITH export AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
offer_counts AS (
    SELECT delivery_id,
        count(*) AS offers,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1) AS round1_offers,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1 AND state = 'ACCEPTED') AS round1_accepted,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1 AND state = 'PENDING') AS round1_open,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1 AND state IN ('REVOKED', 'UNDELIVERABLE')) AS round1_withdrawn
    FROM driver_offers GROUP BY delivery_id
),
searches AS (
    SELECT delivery_id, count(*) AS episodes,
        min(closed_at) FILTER (WHERE state IN ('ASSIGNED', 'CUSTODY')) AS first_assigned_at
    FROM unassigned_orders GROUP BY delivery_id
),
replaced AS (SELECT DISTINCT replaces AS id FROM deliveries WHERE replaces IS NOT NULL),
joined AS (
    SELECT order_.id AS order_id, delivery.id AS delivery_id, delivery.state, delivery.ended_by, delivery.ended_while,
        coalesce(order_zone.id, merchant_zone.id) AS zone_id,
        coalesce(order_zone.name, merchant_zone.name,
            'cell ' || CAST(round(floor(merchant.lat * 100) / 100, 2) AS VARCHAR)
            || '/' || CAST(round(floor(merchant.lon * 100) / 100, 2) AS VARCHAR), 'no zone') AS zone,
        order_.merchant_id, delivery.driver_id, coalesce(delivery.driver_unknown, false) AS driver_unknown,
        driver.vehicle, order_.source,
        order_.placed_at, order_.ready_at, order_.promised_at, delivery.created_at, delivery.dispatch_at,
        coalesce(search.first_assigned_at, delivery.assigned_at) AS first_assigned_at,
        delivery.assigned_at, delivery.started_at, delivery.arrived_pickup_at, delivery.picked_up_at,
        delivery.arrived_dropoff_at, delivery.ended_at,
        CASE WHEN delivery.state = 'DELIVERED' THEN delivery.ended_at END AS delivered_at,
        coalesce(offer.offers, 0) AS offers, coalesce(offer.round1_offers, 0) AS round1_offers,
        coalesce(offer.round1_accepted, 0) AS round1_accepted, coalesce(offer.round1_open, 0) AS round1_open,
        coalesce(offer.round1_withdrawn, 0) AS round1_withdrawn, coalesce(search.episodes, 0) AS episodes,
        engaged.engaged_s, order_.fee_cents, order_.goods_cents, replaced.id IS NOT NULL AS superseded, export.as_of
    FROM orders AS order_ CROSS JOIN export
    LEFT JOIN deliveries AS delivery ON delivery.order_id = order_.id
    LEFT JOIN merchants AS merchant ON merchant.id = order_.merchant_id
    LEFT JOIN delivery_zones AS order_zone ON order_zone.id = order_.zone_id
    LEFT JOIN delivery_zones AS merchant_zone ON merchant_zone.id = merchant.zone_id
    LEFT JOIN drivers AS driver ON driver.id = delivery.driver_id
    LEFT JOIN offer_counts AS offer ON offer.delivery_id = delivery.id
    LEFT JOIN searches AS search ON search.delivery_id = delivery.id
    LEFT JOIN replaced ON replaced.id = delivery.id
    LEFT JOIN mart_engaged AS engaged ON engaged.delivery_id = delivery.id
)
SELECT * EXCLUDE (as_of),
    CASE state
        WHEN 'DELIVERED' THEN 'delivered' WHEN 'CANCELLED' THEN 'cancelled' WHEN 'UNFULFILLED' THEN 'unfulfilled'
        WHEN 'FAILED' THEN 'failed' WHEN 'RETURNED' THEN 'failed'
        ELSE CASE WHEN delivery_id IS NULL THEN 'no_delivery' ELSE 'open' END
    END AS outcome,
    delivery_id IS NOT NULL AND coalesce(ended_while NOT IN ('CREATED', 'SCHEDULED'), true)
        AND (dispatch_at <= coalesce(ended_at, as_of) OR state = 'DELIVERED') AS dispatchable,
    coalesce(
        assigned_at IS NOT NULL OR first_assigned_at IS NOT NULL OR driver_id IS NOT NULL OR driver_unknown, false
    ) AS assigned,
    coalesce(picked_up_at IS NOT NULL OR state IN (
        'PICKED_UP', 'EN_ROUTE_DROPOFF', 'ARRIVED_DROPOFF', 'RESCUE', 'RETURNING', 'RETURNED', 'DELIVERED'
    ), false) AS picked_up,
    coalesce(state = 'UNFULFILLED' OR (state = 'CANCELLED' AND coalesce(
        ended_while IN ('UNASSIGNED', 'OFFERING'),
        dispatch_at <= ended_at AND assigned_at IS NULL AND first_assigned_at IS NULL
    )), false) AS never_served,
    (epoch_us(first_assigned_at) - epoch_us(dispatch_at)) / 1e6 AS search_s,
    (epoch_us(arrived_pickup_at) - epoch_us(assigned_at)) / 1e6 AS to_pickup_s,
    (epoch_us(picked_up_at) - epoch_us(arrived_pickup_at)) / 1e6 AS at_merchant_s,
    (epoch_us(arrived_dropoff_at) - epoch_us(picked_up_at)) / 1e6 AS to_door_s,
    (epoch_us(delivered_at) - epoch_us(picked_up_at)) / 1e6 AS pickup_to_delivered_s,
    (epoch_us(delivered_at) - epoch_us(placed_at)) / 1e6 AS click_to_door_s,
    (epoch_us(delivered_at) - epoch_us(ready_at)) / 1e6 AS ready_to_door_s,
    (epoch_us(picked_up_at) - epoch_us(ready_at)) / 1e6 AS ready_to_pickup_s
FROM joined ORDER BY order_id, delivery_id;
