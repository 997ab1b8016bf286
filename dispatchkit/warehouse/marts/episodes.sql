-- name: mart_episodes
-- One row per episode: one stretch in which a delivery seeks a driver.
--   closed_at: empty while the search goes on; level, level_due_at, level_at: the highest escalation level reached,
--     when it was due and when it was reported;
--   implied, known: a source may name no episodes. Then a dispatchable delivery has one implied episode, from dispatch
--     to assignment (or to the end, if it never had a driver); known is false where that assignment has no time;
--   pickup_known: the merchant has a position; released_for: trigger of the case that opened this episode;
--   untaken: offers of the episode that no driver accepted. These three determine why a search took long.
CREATE OR REPLACE TABLE mart_episodes AS
WITH searches AS (
    SELECT search.delivery_id, search.episode, delivery.zone, delivery.merchant_id, delivery.placed_at,
        delivery.dispatch_at, search.opened_at, search.closed_at, search.state,
        search.level, search.level_due_at, search.level_at, search.reminders, false AS implied, true AS known
    FROM unassigned_orders AS search JOIN mart_deliveries AS delivery ON delivery.delivery_id = search.delivery_id
    UNION ALL
    SELECT delivery_id, 1, zone, merchant_id, placed_at, dispatch_at, dispatch_at,
        CASE WHEN assigned THEN greatest(assigned_at, dispatch_at) ELSE greatest(ended_at, dispatch_at) END,
        CASE WHEN assigned THEN 'ASSIGNED' WHEN ended_at IS NULL THEN 'OPEN' ELSE state END,
        0, NULL, NULL, 0, true, NOT assigned OR assigned_at IS NOT NULL
    FROM mart_deliveries WHERE dispatchable AND episodes = 0
),
not_accepted AS (
    SELECT delivery_id, episode, count(*) AS untaken FROM driver_offers
    WHERE state IN ('PENDING', 'DECLINED', 'EXPIRED') GROUP BY ALL
),
released AS (
    SELECT delivery_id, episode + 1 AS episode, arg_max(trigger, id) AS released_for FROM reassignment_cases
    WHERE released_at IS NOT NULL GROUP BY ALL
)
SELECT search.* EXCLUDE (merchant_id), merchant.lat IS NOT NULL AND merchant.lon IS NOT NULL AS pickup_known,
    released.released_for, coalesce(not_accepted.untaken, 0) AS untaken
FROM searches AS search
LEFT JOIN merchants AS merchant ON merchant.id = search.merchant_id
LEFT JOIN not_accepted
    ON not_accepted.delivery_id = search.delivery_id AND not_accepted.episode = search.episode
LEFT JOIN released ON released.delivery_id = search.delivery_id AND released.episode = search.episode
ORDER BY search.delivery_id, search.episode;
