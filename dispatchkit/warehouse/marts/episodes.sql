-- name: mart_episodes
-- A row is one stretch in which a delivery sought a driver. Where a source names none, a dispatchable delivery has one
-- implied episode from its dispatch time to its assignment (or its end, if it never had a driver); `known` is false
-- where that assignment has no time, so that the wait cannot be told. `closed_at` is empty while the search goes on.
-- The highest level reached has its due time and the time it was told. pickup_known, released_for (the case that opened
-- the search) and untaken (offers nobody said yes to) are what the cause of a search is told by.
CREATE OR REPLACE TABLE mart_episodes AS
WITH searches AS (
    SELECT e.delivery_id, e.episode, d.zone, d.merchant_id, d.placed_at, d.dispatch_at, e.opened_at, e.closed_at, e.state,
        e.level, e.level_due_at, e.level_at, e.reminders, false AS implied, true AS known
    FROM unassigned_orders AS e JOIN mart_deliveries AS d ON d.delivery_id = e.delivery_id
    UNION ALL
    SELECT delivery_id, 1, zone, merchant_id, placed_at, dispatch_at, dispatch_at,
        CASE WHEN assigned THEN greatest(assigned_at, dispatch_at) ELSE greatest(ended_at, dispatch_at) END,
        CASE WHEN assigned THEN 'ASSIGNED' WHEN ended_at IS NULL THEN 'OPEN' ELSE state END,
        0, NULL, NULL, 0, true, NOT assigned OR assigned_at IS NOT NULL
    FROM mart_deliveries WHERE dispatchable AND episodes = 0
),
asked AS (
    SELECT delivery_id, episode, count(*) AS untaken FROM driver_offers
    WHERE state IN ('PENDING', 'DECLINED', 'EXPIRED') GROUP BY ALL
),
taken AS (
    SELECT delivery_id, episode + 1 AS episode, arg_max(trigger, id) AS released_for FROM reassignment_cases
    WHERE released_at IS NOT NULL GROUP BY ALL
)
SELECT s.* EXCLUDE (merchant_id), m.lat IS NOT NULL AND m.lon IS NOT NULL AS pickup_known, t.released_for,
    coalesce(a.untaken, 0) AS untaken
FROM searches AS s
LEFT JOIN merchants AS m ON m.id = s.merchant_id
LEFT JOIN asked AS a ON a.delivery_id = s.delivery_id AND a.episode = s.episode
LEFT JOIN taken AS t ON t.delivery_id = s.delivery_id AND t.episode = s.episode
ORDER BY s.delivery_id, s.episode;
