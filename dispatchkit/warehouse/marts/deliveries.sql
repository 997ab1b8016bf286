-- name: mart_deliveries
-- A row is one delivery with the times of its order, where and how it ended, and how long each stage took;
-- an order that has no delivery has a row too (delivery_id empty, outcome 'no_delivery'), so that none is lost.
-- Durations are seconds and empty where a stage is implied (reached, but without a time).
-- `superseded` marks a try that another delivery replaced: an order's fate is that of its last try.
-- The zone is the order's, else the merchant's, else the 0.01 degree cell of the merchant, else 'no zone'.
CREATE OR REPLACE TABLE mart_deliveries AS
WITH run AS (SELECT CAST(value AS TIMESTAMPTZ) AS as_of FROM export_manifest WHERE key = 'as_of'),
asked AS (
    SELECT delivery_id,
        count(*) AS offers,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1) AS round1_offers,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1 AND state = 'ACCEPTED') AS round1_accepted,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1 AND state = 'PENDING') AS round1_open,
        count(*) FILTER (WHERE episode = 1 AND attempt = 1 AND state IN ('REVOKED', 'UNDELIVERABLE')) AS round1_withdrawn
    FROM driver_offers GROUP BY delivery_id
),
searches AS (
    SELECT delivery_id, count(*) AS episodes, min(closed_at) FILTER (WHERE state IN ('ASSIGNED', 'CUSTODY')) AS first_assigned_at
    FROM unassigned_orders GROUP BY delivery_id
),
replaced AS (SELECT DISTINCT replaces AS id FROM deliveries WHERE replaces IS NOT NULL),
joined AS (
    SELECT o.id AS order_id, d.id AS delivery_id, d.state, d.ended_by, d.ended_while,
        coalesce(zo.id, zm.id) AS zone_id,
        coalesce(zo.name, zm.name, 'cell ' || CAST(round(floor(m.lat * 100) / 100, 2) AS VARCHAR)
            || '/' || CAST(round(floor(m.lon * 100) / 100, 2) AS VARCHAR), 'no zone') AS zone,
        o.merchant_id, d.driver_id, coalesce(d.driver_unknown, false) AS driver_unknown, v.vehicle, o.source,
        o.placed_at, o.ready_at, o.promised_at, d.created_at, d.dispatch_at,
        coalesce(s.first_assigned_at, d.assigned_at) AS first_assigned_at,
        d.assigned_at, d.started_at, d.arrived_pickup_at, d.picked_up_at, d.arrived_dropoff_at, d.ended_at,
        CASE WHEN d.state = 'DELIVERED' THEN d.ended_at END AS delivered_at,
        coalesce(a.offers, 0) AS offers, coalesce(a.round1_offers, 0) AS round1_offers,
        coalesce(a.round1_accepted, 0) AS round1_accepted, coalesce(a.round1_open, 0) AS round1_open,
        coalesce(a.round1_withdrawn, 0) AS round1_withdrawn, coalesce(s.episodes, 0) AS episodes,
        e.engaged_s, o.fee_cents, o.goods_cents, r.id IS NOT NULL AS superseded, run.as_of
    FROM orders AS o CROSS JOIN run
    LEFT JOIN deliveries AS d ON d.order_id = o.id
    LEFT JOIN merchants AS m ON m.id = o.merchant_id
    LEFT JOIN delivery_zones AS zo ON zo.id = o.zone_id
    LEFT JOIN delivery_zones AS zm ON zm.id = m.zone_id
    LEFT JOIN drivers AS v ON v.id = d.driver_id
    LEFT JOIN asked AS a ON a.delivery_id = d.id
    LEFT JOIN searches AS s ON s.delivery_id = d.id
    LEFT JOIN replaced AS r ON r.id = d.id
    LEFT JOIN mart_engaged AS e ON e.delivery_id = d.id
)
SELECT * EXCLUDE (as_of),
    CASE state
        WHEN 'DELIVERED' THEN 'delivered' WHEN 'CANCELLED' THEN 'cancelled' WHEN 'UNFULFILLED' THEN 'unfulfilled'
        WHEN 'FAILED' THEN 'failed' WHEN 'RETURNED' THEN 'failed'
        ELSE CASE WHEN delivery_id IS NULL THEN 'no_delivery' ELSE 'open' END
    END AS outcome,
    delivery_id IS NOT NULL AND coalesce(ended_while NOT IN ('CREATED', 'SCHEDULED'), true)
        AND (dispatch_at <= coalesce(ended_at, as_of) OR state = 'DELIVERED') AS dispatchable,
    coalesce(assigned_at IS NOT NULL OR first_assigned_at IS NOT NULL OR driver_id IS NOT NULL OR driver_unknown, false) AS assigned,
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
