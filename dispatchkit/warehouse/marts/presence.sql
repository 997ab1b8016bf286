-- name: mart_presence
-- A row is one stretch in which a driver was available in one zone: the home zone from the start of a shift, then the
-- zone of the order last taken. Exports carry too few positions to know better.
-- Starts, ends and orders taken are points on a driver's line; each point carries the last known state and zone forward.
CREATE OR REPLACE TABLE mart_presence AS
WITH points AS (
    SELECT DISTINCT driver_id, epoch_us(shift_since) AS at_us, NULL AS here, zone FROM mart_shifts
    UNION ALL
    SELECT driver_id, epoch_us(since), 1, NULL FROM mart_shifts WHERE available AND until > since
    UNION ALL
    SELECT driver_id, epoch_us(until), 0, NULL FROM mart_shifts WHERE available AND until > since
    UNION ALL
    SELECT driver_id, epoch_us(assigned_at), NULL, zone FROM mart_deliveries
    WHERE driver_id IS NOT NULL AND assigned_at IS NOT NULL
),
carried AS (
    SELECT driver_id, at_us,
        last_value(here IGNORE NULLS) OVER line AS here,
        last_value(zone IGNORE NULLS) OVER line AS zone,
        lead(at_us) OVER (PARTITION BY driver_id ORDER BY at_us, here NULLS LAST, zone) AS until_us
    FROM points
    WINDOW line AS (PARTITION BY driver_id ORDER BY at_us, here NULLS LAST, zone ROWS UNBOUNDED PRECEDING)
)
SELECT driver_id, zone, at_us AS since_us, until_us FROM carried
WHERE here = 1 AND until_us > at_us ORDER BY driver_id, since_us;
