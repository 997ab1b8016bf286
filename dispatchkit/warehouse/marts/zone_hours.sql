-- name: mart_zone_hours
-- One row per zone and quarter hour in which an order was placed or a driver was available there.
--   bucket_at: start of the quarter hour;
--   orders, delivered, never_served, open_orders: counts by placement, each order once (its last delivery);
--   engaged_s: seconds of drivers' time that the orders placed here took; engaged_orders: of how many that is known;
--   available_s: ON_DUTY seconds of the drivers present (mart_presence).
CREATE OR REPLACE TABLE mart_zone_hours AS
WITH demand AS (
    SELECT zone, epoch_us(placed_at) // 900000000 AS quarter,
        count(*) AS orders,
        count(*) FILTER (WHERE outcome = 'delivered') AS delivered,
        count(*) FILTER (WHERE never_served) AS never_served,
        count(*) FILTER (WHERE outcome = 'open') AS open_orders,
        coalesce(sum(engaged_s) FILTER (WHERE outcome = 'delivered'), 0) AS engaged_s,
        count(engaged_s) FILTER (WHERE outcome = 'delivered') AS engaged_orders
    FROM mart_deliveries WHERE NOT superseded AND outcome <> 'no_delivery' GROUP BY ALL
),
presence_quarters AS (
    SELECT zone, since_us, until_us,
        unnest(range(since_us // 900000000, (until_us - 1) // 900000000 + 1)) AS quarter
    FROM mart_presence
),
supply AS (
    SELECT zone, quarter,
        sum(least(until_us, (quarter + 1) * 900000000) - greatest(since_us, quarter * 900000000)) / 1e6 AS available_s
    FROM presence_quarters GROUP BY ALL
)
SELECT coalesce(demand.zone, supply.zone) AS zone,
    make_timestamptz(coalesce(demand.quarter, supply.quarter) * 900000000) AS bucket_at,
    coalesce(demand.orders, 0) AS orders,
    coalesce(demand.delivered, 0) AS delivered,
    coalesce(demand.never_served, 0) AS never_served,
    coalesce(demand.open_orders, 0) AS open_orders,
    coalesce(demand.engaged_s, 0) AS engaged_s,
    coalesce(demand.engaged_orders, 0) AS engaged_orders,
    coalesce(supply.available_s, 0) AS available_s
FROM demand FULL JOIN supply ON supply.zone = demand.zone AND supply.quarter = demand.quarter
ORDER BY zone, bucket_at;
