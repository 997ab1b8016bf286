-- name: mart_zone_hours
-- A row is one zone in one quarter hour in which an order was placed or a driver was available there.
-- Orders count by placement (last tries only); engaged_s is what the orders placed here took of drivers' time, over
-- the `engaged_orders` of which it is known; available_s is ON_DUTY time of the drivers present (mart_presence).
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
spread AS (
    SELECT zone, since_us, until_us, unnest(range(since_us // 900000000, (until_us - 1) // 900000000 + 1)) AS quarter
    FROM mart_presence
),
supply AS (
    SELECT zone, quarter,
        sum(least(until_us, (quarter + 1) * 900000000) - greatest(since_us, quarter * 900000000)) / 1e6 AS available_s
    FROM spread GROUP BY ALL
)
SELECT coalesce(d.zone, s.zone) AS zone,
    make_timestamptz(coalesce(d.quarter, s.quarter) * 900000000) AS bucket_at,
    coalesce(d.orders, 0) AS orders, coalesce(d.delivered, 0) AS delivered, coalesce(d.never_served, 0) AS never_served,
    coalesce(d.open_orders, 0) AS open_orders, coalesce(d.engaged_s, 0) AS engaged_s,
    coalesce(d.engaged_orders, 0) AS engaged_orders, coalesce(s.available_s, 0) AS available_s
FROM demand AS d FULL JOIN supply AS s ON s.zone = d.zone AND s.quarter = d.quarter
ORDER BY zone, bucket_at;
