-- name: mart_episodes
-- A row is one stretch in which a delivery sought a driver. Where a source names none, a dispatchable delivery has one
-- implied episode from its dispatch time to its assignment (or its end, if it never had a driver); `known` is false
-- where that assignment has no time, so that the wait cannot be told. `closed_at` is empty while the search goes on.
CREATE OR REPLACE TABLE mart_episodes AS
SELECT e.delivery_id, e.episode, d.zone, d.placed_at, d.dispatch_at, e.opened_at, e.closed_at, e.state, e.level,
    false AS implied, true AS known
FROM unassigned_orders AS e JOIN mart_deliveries AS d ON d.delivery_id = e.delivery_id
UNION ALL
SELECT delivery_id, 1, zone, placed_at, dispatch_at, dispatch_at,
    CASE WHEN assigned THEN greatest(assigned_at, dispatch_at) ELSE greatest(ended_at, dispatch_at) END,
    CASE WHEN assigned THEN 'ASSIGNED' WHEN ended_at IS NULL THEN 'OPEN' ELSE state END,
    0, true, NOT assigned OR assigned_at IS NOT NULL
FROM mart_deliveries WHERE dispatchable AND episodes = 0
ORDER BY delivery_id, episode;
